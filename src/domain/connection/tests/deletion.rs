//! Connections and namespaces on their way out.

use super::*;

fn deleting(finalizers: &[&str]) -> Observed {
    let mut observed = with_token(CLIENT_VERIFIED);
    observed.connection.metadata.deletion_timestamp = Some(Time(at(10)));
    observed.connection.metadata.finalizers = Some(finalizers.iter().map(|&name| name.to_owned()).collect());
    observed
}

#[test]
fn s24_a_deleted_connection_that_is_held_is_released() {
    let observed = deleting(&["example.com/other", REVOKE_FINALIZER]);
    let decision = decide(&observed, at(20));
    assert_eq!(decision.effect, Some(Effect::Release));
    assert_eq!((decision.status, decision.events, decision.next), (observed.status(), Vec::new(), None));
}

#[test]
fn s24_nothing_stands_in_the_way_of_a_deletion() {
    let mut observed = deleting(&[REVOKE_FINALIZER]);
    observed.connector = ConnectorState::NotFound;
    observed.folder = FolderState::Terminating;
    observed.connection.spec.suspend = true;
    assert_eq!(decide(&observed, at(20)).effect, Some(Effect::Release));
}

#[test]
fn s24_a_deleted_connection_that_is_not_held_is_left_alone() {
    let observed = deleting(&["example.com/other"]);
    let decision = decide(&observed, at(20));
    assert_eq!((decision.effect, decision.status), (None, observed.status()));
}

#[test]
fn a_terminating_namespace_or_a_folder_that_is_being_set_up_changes_nothing() {
    for folder in [FolderState::Terminating, FolderState::Settling] {
        for mut observed in [client(CLIENT), with_token(CLIENT), personal(TOKEN)] {
            observed.folder = folder.clone();
            let decision = decide(&observed, at(100_000));
            assert_eq!((decision.effect, decision.next), (None, None));
            assert_eq!((decision.status, decision.events), (observed.status(), Vec::new()));
        }
    }
}

#[test]
fn s24_the_token_can_be_revoked_while_the_folder_goes_or_is_gone() {
    for folder in [FolderState::Terminating, FolderState::NotFound] {
        let mut observed = with_token(CLIENT);
        observed.folder = folder;
        assert!(prepare(&observed).is_err());
        assert!(prepare_requests(&observed).is_ok());
    }
}
