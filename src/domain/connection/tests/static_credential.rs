//! Credentials that are read from their Secret at each use.

use super::*;

fn verified() -> Observed {
    after(&personal(TOKEN), probed(VerificationOutcome::Succeeded), at(0))
}

#[test]
fn a_credential_that_nothing_verifies_is_taken_as_it_is() {
    let decision = decide(&personal(TOKEN_UNVERIFIED), at(0));
    assert_eq!((decision.effect, decision.next), (None, None));
    assert_eq!(short(&decision.status, ConditionType::Authenticated), "True/CredentialsUnverified");
    assert_eq!(short(&decision.status, ConditionType::Ready), "True/Ready");
}

#[test]
fn s40_a_credential_is_verified_and_then_ready_without_further_action() {
    let observed = personal(TOKEN);
    assert_eq!(decide(&observed, at(0)).effect, Some(Effect::Probe));
    assert_eq!(standing(&observed, 0), pair("False/AwaitingAuthentication", "False/AwaitingAuthentication"));
    let observed = verified();
    assert_eq!(standing(&observed, 1), pair("True/CredentialsVerified", "True/Ready"));
    assert_eq!(observed.status().credential_source.as_deref(), Some("Connection/pat"));
    assert_eq!(observed.status().base_url.as_deref(), Some("https://acme.example.com/api"));
}

#[test]
fn a_rejected_credential_waits_for_another_one() {
    let mut observed = after(&personal(TOKEN), rejected(), at(0));
    let decision = decide(&observed, at(1_000_000));
    assert_eq!((decision.effect, decision.next), (None, None));
    assert_eq!(standing(&observed, 1), pair("False/CredentialsRejected", "False/CredentialsRejected"));

    observed.credentials = secret("pat", &[("token", "second")]);
    assert_eq!(decide(&observed, at(12)).effect, Some(Effect::Probe));
    let observed = after(&observed, probed(VerificationOutcome::Succeeded), at(12));
    assert_eq!(standing(&observed, 13), pair("True/CredentialsVerified", "True/Ready"));
}

#[test]
fn a_rejected_credential_is_tried_again_when_somebody_asks() {
    for annotation in [VERIFY_AT_ANNOTATION, REAUTHENTICATE_AT_ANNOTATION] {
        let mut observed = after(&personal(TOKEN), rejected(), at(0));
        annotate(&mut observed, annotation, "now");
        assert_eq!(decide(&observed, at(60)).effect, Some(Effect::Probe), "{annotation}");
        let observed = after(&observed, rejected(), at(60));
        assert_eq!(decide(&observed, at(1_000_000)).effect, None, "{annotation}");
    }
}

#[test]
fn a_new_secret_has_to_be_proven_although_the_old_one_was() {
    let mut observed = verified();
    observed.credentials = secret("pat", &[("token", "second")]);
    assert_eq!(standing(&observed, 60).0, "False/AwaitingAuthentication");
    let observed = after(&observed, rejected(), at(60));
    assert_eq!(standing(&observed, 61), pair("False/CredentialsRejected", "False/CredentialsRejected"));
    assert_eq!(observed.status().state, State::Disconnected);
}

#[test]
fn an_inconclusive_answer_about_a_new_credential_backs_off() {
    let inconclusive = |retry_after| probed(VerificationOutcome::Inconclusive(transient(retry_after)));
    let observed = after(&personal(TOKEN), inconclusive(None), at(0));
    assert_eq!(standing(&observed, 1), pair("False/ProviderUnavailable", "False/ProviderUnavailable"));
    let next = decide(&observed, at(1)).next.unwrap();
    assert_eq!(decide(&observed, next).effect, Some(Effect::Probe));

    let observed = after(&personal(TOKEN), inconclusive(Some(600)), at(0));
    assert_eq!(decide(&observed, at(1)).next, Some(at(600)));
}

#[test]
fn n16_a_permanent_failure_to_verify_a_new_credential_waits_for_a_change() {
    let failure =
        AttemptFailure { class: FailureClass::Permanent, reason: Reason::RequestRejected, ..transient(None) };
    let mut observed = after(&personal(TOKEN), probed(VerificationOutcome::Inconclusive(failure)), at(0));
    let decision = decide(&observed, at(1_000_000));
    assert_eq!((decision.effect, decision.next), (None, None));
    assert_eq!(short(&decision.status, ConditionType::Ready), "False/RequestRejected");
    observed.connector = valid(TOKEN, 2);
    assert_eq!(decide(&observed, at(1_000_000)).effect, Some(Effect::Probe));
}

#[test]
fn a_credential_does_not_follow_a_change_of_its_targets() {
    let mut observed = verified();
    observed.connection.spec.parameters.insert("siteUrl".to_owned(), "evil".to_owned());
    for second in [60, 100_000] {
        let decision = decide(&observed, at(second));
        assert_eq!((decision.effect, decision.next), (None, None));
        assert_eq!(short(&decision.status, ConditionType::Ready), "False/ReauthenticationRequired");
    }
    let text = message(&decide(&observed, at(60)).status, ConditionType::Ready);
    assert!(
        text.starts_with("the credential would go to [verify https://evil.example.com:443, api "),
        "{text}"
    );

    annotate(&mut observed, REAUTHENTICATE_AT_ANNOTATION, "approved");
    assert_eq!(decide(&observed, at(60)).effect, Some(Effect::Probe));
    let observed = after(&observed, probed(VerificationOutcome::Succeeded), at(60));
    assert_eq!(standing(&observed, 61), pair("True/CredentialsVerified", "True/Ready"));
    assert_eq!(observed.status().last_handled_reauthenticate_at.as_deref(), Some("approved"));
    assert_eq!(decide(&observed, at(120)).effect, None);
}

#[test]
fn a_target_that_comes_later_to_a_connector_without_any_is_a_change_too() {
    let without = TOKEN_UNVERIFIED.replace("baseURL: https://jira.example.com/api\n", "");
    let observed = personal(&without);
    let mut observed = recorded(&observed, &decide(&observed, at(0)).status);
    assert_eq!(standing(&observed, 1), pair("True/CredentialsUnverified", "True/Ready"));
    observed.connector = valid(&format!("{without}verify: {{url: 'https://evil.example.net/'}}\n"), 2);
    assert_eq!(standing(&observed, 1).1, "False/ReauthenticationRequired");
    assert_eq!(decide(&observed, at(1)).effect, None);
}

#[test]
fn the_order_in_which_targets_are_stored_does_not_matter() {
    let mut observed = verified();
    observed.connection.status.as_mut().unwrap().credential_targets.reverse();
    assert_eq!(standing(&observed, 1).1, "True/Ready");
}

#[test]
fn a_secret_that_is_gone_takes_authenticated_away_until_it_is_back() {
    let mut observed = verified();
    let found = observed.credentials.clone();
    observed.credentials = SecretState::NotFound("pat".to_owned());
    assert_eq!(standing(&observed, 60), pair("False/CredentialsMissing", "False/CredentialsMissing"));
    observed = recorded(&observed, &decide(&observed, at(60)).status);
    observed.credentials = found;
    assert_eq!(standing(&observed, 61), pair("True/CredentialsVerified", "True/Ready"));
    assert_eq!(decide(&observed, at(61)).effect, None);
}
