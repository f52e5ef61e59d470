//! What holds for people, whatever the snapshot.

use proptest::prelude::*;

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn a_token_of_a_person_is_asked_for_with_a_refresh_token_or_not_at_all(observed in snapshots(), now in times()) {
        let Some(Effect::RequestToken(plan)) = decide(&observed, now).effect else { return Ok(()) };
        let for_person = prepare(&observed).unwrap().method.auth_type().needs_person();
        prop_assert_eq!(plan.grant == Grant::Refresh, for_person);
        if for_person {
            let TokenState::Present(token) = &observed.token else { panic!("without a record: {plan:?}") };
            prop_assert!(token.refreshable && plan.rehearse && plan.present_sequence == token.sequence);
            prop_assert_eq!(&plan.consent_id, &token.consent_id);
        }
    }

    #[test]
    fn a_failed_consent_changes_what_is_said_and_nothing_else(observed in snapshots(), now in times()) {
        let with = decide(&observed, now);
        let without = decide(&Observed { consent: None, ..observed }, now);
        prop_assert_eq!((with.effect, with.next), (without.effect, without.next));
        prop_assert_eq!(with.status.state, without.status.state);
        prop_assert_eq!(with.status.token, without.status.token);
        prop_assert_eq!(with.status.last_failure, without.status.last_failure);
    }

    #[test]
    fn the_page_is_there_only_for_people_who_can_act(observed in snapshots(), now in times()) {
        prop_assume!(!observed.deleting());
        prop_assume!(!matches!(observed.folder, FolderState::Terminating | FolderState::Settling));
        let status = decide(&observed, now).status;
        let page = status.authentication.is_some_and(|authentication| authentication.url.is_some());
        let awaited = short(&recorded(&observed, &decide(&observed, now).status).status(), ConditionType::Authenticated)
            == "False/AwaitingAuthentication";
        let person = prepare(&observed).is_ok_and(|prepared| prepared.method.auth_type().needs_person());
        prop_assert!(!page || (person && !observed.connection.spec.suspend));
        prop_assert!(!(awaited && person && !observed.connection.spec.suspend) || page);
    }
}
