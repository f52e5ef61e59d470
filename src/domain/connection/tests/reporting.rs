//! What people and tools read: names, account, state, conditions for tools that wait, Events.

use rstest::rstest;

use super::*;

fn named(display_name: Option<&str>, mut observed: Observed) -> ConnectionStatus {
    observed.connection.spec.display_name = display_name.map(ToOwned::to_owned);
    decide(&observed, at(60)).status
}

#[test]
fn n02_the_display_name_is_the_account_where_nothing_is_said() {
    assert_eq!(named(None, client(CLIENT)).display_name.as_deref(), Some("System"));
    assert_eq!(named(None, with_token(CLIENT)).display_name.as_deref(), Some("client-1"));
    assert_eq!(named(Some("Sales"), with_token(CLIENT)).display_name.as_deref(), Some("Sales"));
}

#[test]
fn s29_a_rename_changes_the_display_name_and_asks_for_nothing() {
    let mut observed = with_token(CLIENT);
    observed.connection.spec.display_name = Some("Sales".to_owned());
    let before = decide(&observed, at(60)).status;
    let mut observed = recorded(&observed, &before);
    observed.connection.spec.display_name = Some("Marketing".to_owned());
    observed.connection.metadata.generation = Some(2);
    let decision = decide(&observed, at(61));
    assert_eq!((decision.effect, decision.events), (None, Vec::new()));
    assert_eq!(decision.status.display_name.as_deref(), Some("Marketing"));
    assert_eq!((decision.status.account, decision.status.token), (before.account, before.token));
}

#[test]
fn s72_the_account_never_returns_to_system() {
    let mut observed = with_token(CLIENT);
    assert_eq!(decide(&client(CLIENT), at(0)).status.account.as_deref(), Some("System"));
    observed = recorded(&observed, &decide(&observed, at(1)).status);
    observed.token = TokenState::Missing;
    let lost = decide(&observed, at(4000)).status;
    assert_eq!((lost.state, lost.account.as_deref()), (State::Disconnected, Some("client-1")));
}

#[test]
fn an_account_that_the_provider_named_stays() {
    let mut observed = with_token(CLIENT);
    observed.connection.status.get_or_insert_default().account = Some("ann@example.com".to_owned());
    assert_eq!(decide(&observed, at(60)).status.account.as_deref(), Some("ann@example.com"));
}

#[test]
fn an_account_fits_its_field() {
    let mut observed = client(CLIENT);
    observed.oauth_app = app(&"é".repeat(2000), "first");
    observed.token = TokenState::Present(issued_at(&observed, 0, None));
    assert_eq!(decide(&observed, at(60)).status.account.unwrap().chars().count(), 256);

    let account = Some("é".repeat(2000));
    let verification = Some(VerificationOutcome::Succeeded);
    let observed = after(&personal(TOKEN), Outcome::Probed(ProbeOutcome { verification, account }), at(0));
    assert_eq!(observed.status().account.unwrap().chars().count(), 256);
}

#[test]
fn messages_of_others_fit_their_fields() {
    let long = || AttemptFailure { message: "é".repeat(5000), ..transient(None) };
    let observed = after(&client(CLIENT), Outcome::AttemptFailed(long()), at(0));
    assert_eq!(observed.status().last_failure.unwrap().message.chars().count(), 1024);

    let observed = after(&personal(TOKEN), probed(VerificationOutcome::Inconclusive(long())), at(0));
    assert_eq!(observed.status().last_verification.unwrap().message.unwrap().chars().count(), 1024);
}

#[test]
fn a_base_url_that_does_not_fit_its_field_is_left_out() {
    let mut observed =
        personal(&TOKEN.replace("https://{siteUrl}.example.com/api", "https://x.example.com/{siteUrl}"));
    observed.connection.spec.parameters.insert("siteUrl".to_owned(), "a".repeat(2048));
    assert_eq!(decide(&observed, at(0)).status.base_url, None);
}

#[test]
fn n03_the_state_is_inactive_then_connected_then_disconnected_and_never_inactive_again() {
    let mut observed = client(CLIENT);
    assert_eq!(decide(&observed, at(0)).status.state, State::Inactive);
    observed = recorded(&with_token(CLIENT), &decide(&observed, at(0)).status);
    assert_eq!(decide(&observed, at(1)).status.state, State::Connected);
    observed = recorded(&observed, &decide(&observed, at(1)).status);
    observed.folder = FolderState::NotFound;
    observed.token = TokenState::Missing;
    assert_eq!(decide(&observed, at(2)).status.state, State::Disconnected);
}

#[rstest]
#[case::waiting(|observed: &mut Observed| observed.connector = ConnectorState::NotFound, "True", "False")]
#[case::stuck(|observed: &mut Observed| observed.connection.spec.auth_type = Some(AuthType::Basic), "False", "True")]
#[case::suspended(|observed: &mut Observed| observed.connection.spec.suspend = true, "False", "False")]
#[case::ready(|_: &mut Observed| (), "False", "False")]
fn tools_that_wait_see_reconciling_stalled_or_neither(
    #[case] change: fn(&mut Observed),
    #[case] reconciling: &str,
    #[case] stalled: &str,
) {
    let mut observed = with_token(CLIENT);
    change(&mut observed);
    let status = decide(&observed, at(60)).status;
    assert_eq!(condition(&status, ConditionType::Reconciling).0, reconciling);
    assert_eq!(condition(&status, ConditionType::Stalled).0, stalled);
    assert!(status.conditions.iter().all(|condition| condition.observed_generation == Some(1)));
    assert_eq!(status.observed_generation, Some(1));
}

#[test]
fn s06_becoming_authenticated_is_told_once() {
    let observed = with_token(CLIENT);
    let decision = decide(&observed, at(1));
    assert_eq!(decision.events, [Event::normal(Reason::Authenticated)]);
    let observed = recorded(&observed, &decision.status);
    assert_eq!(decide(&observed, at(2)).events, []);
}

#[test]
fn a_new_cause_of_not_being_ready_is_told_once() {
    let mut observed = client(CLIENT);
    observed.connector = ConnectorState::NotFound;
    let decision = decide(&observed, at(0));
    assert_eq!(decision.events, [Event::warning(Reason::ConnectorNotFound)]);
    let mut observed = recorded(&observed, &decision.status);
    assert_eq!(decide(&observed, at(1)).events, []);
    observed.connection.spec.suspend = true;
    assert_eq!(decide(&observed, at(2)).events, [Event::normal(Reason::Suspended)]);
}

#[test]
fn failures_in_a_row_of_one_kind_are_told_once() {
    let observed = client(CLIENT);
    let observed = recorded(&observed, &decide(&observed, at(0)).status);
    let failure = || Outcome::AttemptFailed(transient(None));
    let first = decide(&learn(observed.clone(), failure(), at(0)), at(0));
    assert_eq!(first.events, [Event::warning(Reason::ProviderUnavailable)]);
    let observed = recorded(&learn(observed, failure(), at(0)), &first.status);
    let next = decide(&observed, at(100));
    assert_eq!((next.events, asks_for_token(next.effect.as_ref())), (Vec::new(), true));
    let observed = learn(observed, failure(), at(100));
    assert_eq!(decide(&observed, at(100)).events, []);
}

#[test]
fn n13_changes_that_do_not_help_are_told_and_nothing_is_asked_until_another_one() {
    let mut observed = client(CLIENT);
    for attempt in 1..=3_i64 {
        annotate(&mut observed, REAUTHENTICATE_AT_ANNOTATION, &attempt.to_string());
        let now = at(attempt * 86_400);
        assert!(matches!(decide(&observed, now).effect, Some(Effect::RequestToken(_))), "attempt {attempt}");
        observed = learn(observed, failed(Reason::ClientRejected, FailureClass::Permanent), now);
        let decision = decide(&observed, now);
        assert_eq!((decision.effect, decision.next), (None, None), "nothing more by itself");
        let healthy = conditions::find(&decision.status.conditions, ConditionType::Healthy).unwrap();
        assert_eq!(healthy.reason == "RepeatedAuthenticationFailures", attempt == 3, "{healthy:?}");
        observed.connection.status = Some(decision.status);
    }
    assert_eq!(decide(&observed, at(400 * 86_400)).effect, None, "time does not help");
    observed.oauth_app = app("client-1", "second");
    let mended = decide(&observed, at(400 * 86_400));
    assert!(matches!(mended.effect, Some(Effect::RequestToken(_))), "an edit is worth an attempt");
    assert_eq!(
        observed.connection.spec,
        client(CLIENT).connection.spec,
        "the spec is nobody's but its author's"
    );
}
