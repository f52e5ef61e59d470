//! Records that are not the last ones known, or cannot be opened.

use super::*;

/// A Connection that has known a later token than the record holds.
fn put_back() -> Observed {
    let mut observed = with_token(CLIENT);
    let TokenState::Present(token) = &mut observed.token else { unreachable!() };
    (token.sequence, token.consent_id) = (5, "second".to_owned());
    annotate(&mut observed, REAUTHENTICATE_AT_ANNOTATION, "second");
    let mut observed = recorded(&observed, &decide(&observed, at(10)).status);
    let TokenState::Present(token) = &mut observed.token else { unreachable!() };
    (token.sequence, token.consent_id) = (4, "first".to_owned());
    observed
}

#[test]
fn a_record_that_was_put_back_is_no_credential_and_asks_for_nothing_by_itself() {
    let mut observed = put_back();
    let decision = decide(&observed, at(20));
    assert_eq!(short(&decision.status, ConditionType::Ready), "False/TokenRolledBack");
    assert!(
        message(&decision.status, ConditionType::Ready)
            .contains("number 4, but number 5 was the last one known")
    );
    assert_eq!((decision.effect, decision.next), (None, None));
    assert_eq!(decision.status.last_handled_reauthenticate_at.as_deref(), Some("second"));
    assert_eq!(decision.status.token.unwrap().sequence, 5);

    annotate(&mut observed, REAUTHENTICATE_AT_ANNOTATION, "third");
    assert_eq!(decide(&observed, at(20)).effect, Some(plan(5, true, "third")));
}

#[test]
fn s48_a_record_that_cannot_be_opened_is_reported_and_replaced_only_when_asked() {
    let mut observed = with_token(CLIENT);
    let mut observed = recorded(&observed.clone(), &{
        let status = decide(&observed, at(1)).status;
        observed.token = TokenState::Unreadable("secret \"liaison-token-0b3c\": no key \"2\"".to_owned());
        status
    });
    observed.token = TokenState::Unreadable("secret \"liaison-token-0b3c\": no key \"2\"".to_owned());
    let decision = decide(&observed, at(20));
    assert_eq!((decision.effect, decision.next), (None, None));
    assert_eq!(
        message(&decision.status, ConditionType::Ready),
        "secret \"liaison-token-0b3c\": no key \"2\"; restore the operator's keyring, or set the annotation \
         liaison.dev/reauthenticate-at"
    );
    annotate(&mut observed, REAUTHENTICATE_AT_ANNOTATION, "now");
    assert_eq!(decide(&observed, at(20)).effect, Some(plan(1, true, "now")));
}
