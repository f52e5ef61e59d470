//! Tokens: the first one, the next ones, and everything that can stand between.

mod records;

use rstest::rstest;

use super::*;

fn plan(present_sequence: i64, rehearse: bool, consent_id: &str) -> Effect {
    Effect::RequestToken(TokenPlan {
        grant: Grant::ClientCredentials,
        present_sequence,
        rehearse,
        consent_id: consent_id.to_owned(),
    })
}

/// The moment at which the token of [`with_token`] is refreshed.
fn due() -> Timestamp {
    decide(&with_token(CLIENT), at(1)).next.unwrap()
}

fn seconds(time: Timestamp) -> f64 {
    time.duration_since(at(0)).as_secs_f64()
}

#[test]
fn s06_the_first_token_is_rehearsed_and_leaves_nothing_to_consume_in_between() {
    let observed = client(CLIENT);
    let decision = decide(&observed, at(0));
    assert_eq!(decision.effect, Some(plan(0, true, "")));
    assert_eq!(standing(&observed, 0), pair("False/AwaitingAuthentication", "False/AwaitingAuthentication"));

    let token = issued_at(&observed, 0, Some(3600));
    let stored = after(&observed, Outcome::TokenStored(token), at(0));
    assert_eq!(standing(&stored, 0), pair("True/TokenIssued", "True/Ready"));
    let token = stored.status().token.unwrap();
    assert_eq!((token.sequence, token.granted_scopes), (1, vec!["read".to_owned(), "write".to_owned()]));
    assert_eq!(decide(&stored, at(0)).effect, None);
}

#[test]
fn a_token_that_can_be_revoked_is_held_before_it_is_asked_for() {
    let observed = client(CLIENT_VERIFIED);
    assert_eq!(decide(&observed, at(0)).effect, Some(Effect::HoldForRevocation));
    let held = after(&observed, Outcome::Held, at(0));
    assert!(held.held_for_revocation());
    assert_eq!(decide(&held, at(0)).effect, Some(plan(0, true, "")));
}

#[test]
fn a_refresh_is_due_at_a_fraction_of_the_lifetime_spread_over_connections() {
    let due_of = |uid: &str| {
        let mut observed = with_token(CLIENT);
        observed.connection.metadata.uid = Some(uid.to_owned());
        let due = decide(&observed, at(1)).next.unwrap();
        assert_eq!(decide(&observed, due).effect, Some(plan(1, false, "")));
        seconds(due)
    };
    let due: Vec<_> = (0..50).map(|number| due_of(&number.to_string())).collect();
    assert!(due.iter().all(|due| (2592.0..=2880.0).contains(due)), "{due:?}");
    let (first, last) =
        (due.iter().copied().fold(f64::MAX, f64::min), due.iter().copied().fold(0.0, f64::max));
    assert!(last - first > 200.0, "all at once: {first} to {last}");
}

#[test]
fn a_refresh_that_rotates_is_rehearsed() {
    let mut observed = with_token(CLIENT);
    let TokenState::Present(token) = &mut observed.token else { unreachable!() };
    token.refreshable = true;
    assert_eq!(decide(&observed, due()).effect, Some(plan(1, true, "")));
}

#[test]
fn a_token_without_an_end_is_not_refreshed() {
    let mut observed = client(CLIENT);
    observed.token = TokenState::Present(issued_at(&observed, 0, None));
    let decision = decide(&observed, at(100_000_000));
    assert_eq!((decision.effect, decision.next), (None, None));
}

#[test]
fn an_expired_token_disconnects_and_asks_for_another() {
    let observed = with_token(CLIENT);
    let decision = decide(&recorded(&observed, &decide(&observed, at(1)).status), at(3600));
    assert_eq!(short(&decision.status, ConditionType::Ready), "False/TokenExpired");
    assert_eq!(decision.status.state, State::Disconnected);
    assert_eq!(decision.effect, Some(plan(1, false, "")));
}

#[test]
fn n16_a_permanent_failure_waits_for_a_change_and_heals_on_it() {
    let observed = client(CLIENT);
    let mut waiting = after(&observed, failed(Reason::ClientRejected, FailureClass::Permanent), at(0));
    let decision = decide(&waiting, at(1_000_000));
    assert_eq!((decision.effect, decision.next), (None, None));
    assert_eq!(standing(&waiting, 10), pair("False/ClientRejected", "False/ClientRejected"));
    assert_eq!(message(&decision.status, ConditionType::Ready), "no luck");

    waiting.oauth_app = app("client-1", "second");
    let decision = decide(&waiting, at(1));
    assert_eq!((decision.effect, decision.next), (None, Some(at(5))));
    assert!(asks_for_token(decide(&waiting, at(5)).effect.as_ref()));
}

type Change = fn(&mut Observed);

#[rstest]
#[case::secret(|observed: &mut Observed| observed.oauth_app = app("client-1", "second"))]
#[case::client(|observed: &mut Observed| observed.oauth_app = app("client-2", "first"))]
#[case::connector(|observed: &mut Observed| observed.connector = valid(CLIENT, 2))]
#[case::scopes(|observed: &mut Observed| observed.connection.spec.scopes = vec!["all".to_owned()])]
#[case::asked_anew(|observed: &mut Observed| annotate(observed, REAUTHENTICATE_AT_ANNOTATION, "now"))]
#[case::operator_settings(|observed: &mut Observed| {
    let mut settings = Settings::clone(&observed.settings);
    settings.egress_exceptions.insert(("login.example.com".to_owned(), 443));
    observed.settings = Arc::new(settings);
})]
fn every_change_that_matters_is_worth_a_new_attempt(#[case] change: Change) {
    let observed = client(CLIENT);
    let mut waiting = after(&observed, failed(Reason::EgressDenied, FailureClass::Permanent), at(0));
    change(&mut waiting);
    assert!(asks_for_token(decide(&waiting, at(5)).effect.as_ref()));
}

#[rstest]
#[case::label(|observed: &mut Observed| observed.connection.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into()))]
#[case::annotation(|observed: &mut Observed| annotate(observed, "example.com/a", "b"))]
#[case::description(|observed: &mut Observed| observed.connection.spec.description = Some("other".to_owned()))]
#[case::display_name(|observed: &mut Observed| observed.connection.spec.display_name = Some("other".to_owned()))]
#[case::verify(|observed: &mut Observed| annotate(observed, VERIFY_AT_ANNOTATION, "now"))]
fn other_changes_cause_no_request(#[case] change: Change) {
    let observed = client(CLIENT);
    let mut waiting = after(&observed, failed(Reason::ClientRejected, FailureClass::Permanent), at(0));
    change(&mut waiting);
    assert_eq!(decide(&waiting, at(1000)).effect, None);
}

#[test]
fn changes_are_not_worth_attempts_at_any_pace() {
    let (mut observed, mut now, mut attempts) = (client(CLIENT), at(0), 0);
    while now < at(86_400) {
        let decision = decide(&observed, now);
        if decision.effect.is_none() {
            now = decision.next.unwrap();
            continue;
        }
        attempts += 1;
        observed = after(&observed, failed(Reason::ClientRejected, FailureClass::Permanent), now);
        observed.oauth_app = app("client-1", &attempts.to_string());
    }
    assert!((250..=300).contains(&attempts), "{attempts}");
}

#[test]
fn n16_a_transient_failure_backs_off_and_leaves_a_valid_token_ready() {
    let observed = with_token(CLIENT);
    let waiting = after(&observed, Outcome::AttemptFailed(transient(None)), due());
    let decision = decide(&waiting, due());
    assert_eq!(decision.effect, None);
    let wait = decision.next.unwrap().duration_since(due()).as_secs_f64();
    assert!((4.0..=5.6).contains(&wait), "{wait}");
    assert_eq!(standing(&waiting, 2900), pair("True/TokenIssued", "True/Ready"));
    assert_eq!(standing(&waiting, 3600), pair("False/ProviderUnavailable", "False/ProviderUnavailable"));

    let mut refreshed = issued_at(&observed, 2900, Some(3600));
    refreshed.sequence = 2;
    let healed = after(&recorded(&waiting, &waiting.status()), Outcome::TokenStored(refreshed), at(2900));
    assert_eq!(healed.status().last_failure, None);
}

#[test]
fn a_stored_token_ends_a_failure_that_the_status_still_tells_of() {
    // The pass that stored the token did not write the status.
    let waiting = after(&client(CLIENT), Outcome::AttemptFailed(transient(None)), at(0));
    let token = TokenState::Present(issued_at(&waiting, 5, Some(3600)));
    let decision = decide(&Observed { token, ..waiting }, at(6));
    assert_eq!((decision.status.last_failure, decision.effect), (None, None));
    assert_eq!(decision.events, [Event::normal(Reason::Authenticated)]);
}

#[test]
fn the_pause_doubles_up_to_ten_minutes() {
    let (mut observed, mut now, mut pauses) = (client(CLIENT), at(0), Vec::new());
    for _ in 0..10 {
        observed = after(&observed, Outcome::AttemptFailed(transient(None)), now);
        let next = decide(&observed, now).next.unwrap();
        pauses.push(next.duration_since(now).as_secs());
        now = next;
    }
    let expected = [5, 10, 20, 40, 80, 160, 320, 600, 600, 600];
    assert!(
        pauses.iter().zip(expected).all(|(pause, least)| (least..=least * 11 / 10).contains(pause)),
        "{pauses:?}"
    );
}

#[test]
fn n16_retry_after_is_honoured_up_to_an_hour() {
    for (asked, waited) in [(120, 120), (100_000, 3600)] {
        let waiting = after(&client(CLIENT), Outcome::AttemptFailed(transient(Some(asked))), at(0));
        assert_eq!(decide(&waiting, at(0)).next, Some(at(waited)));
    }
}

#[rstest]
#[case(Reason::ReconsentRequired)]
#[case(Reason::ClientRejected)]
fn a_provider_that_takes_back_its_consent_disconnects_at_once(#[case] reason: Reason) {
    let observed = with_token(CLIENT);
    let lost = after(&observed, failed(reason, FailureClass::Permanent), due());
    let decision = decide(&lost, due());
    assert_eq!(short(&decision.status, ConditionType::Ready), format!("False/{reason}"));
    assert_eq!((decision.status.state, decision.next), (State::Disconnected, None));
}

#[rstest]
#[case(Reason::RequestRejected)]
#[case(Reason::ScopeRejected)]
#[case(Reason::EgressDenied)]
fn a_refusal_that_says_nothing_of_the_token_leaves_it_valid_until_it_ends(#[case] reason: Reason) {
    let waiting = after(&with_token(CLIENT), failed(reason, FailureClass::Permanent), due());
    assert_eq!(standing(&waiting, 3599), pair("True/TokenIssued", "True/Ready"));
    assert_eq!(decide(&waiting, at(3599)).next, Some(at(3600)));
    assert_eq!(standing(&waiting, 3600).1, format!("False/{reason}"));
}

#[test]
fn a_token_secret_that_cannot_be_written_is_reported_and_tried_again() {
    let blocked = failed(Reason::TokenStoreBlocked, FailureClass::Transient);
    let waiting = after(&client(CLIENT), blocked, at(0));
    assert_eq!(standing(&waiting, 1), pair("False/TokenStoreBlocked", "False/TokenStoreBlocked"));
    assert!(decide(&waiting, at(1)).next.is_some());
}

#[test]
fn a_provider_whose_tokens_have_expired_already_is_not_asked_without_pause() {
    let observed = client(CLIENT);
    let over = issued_at(&observed, -10, Some(5));
    let waiting = after(&observed, Outcome::TokenStored(over.clone()), at(0));
    let decision = decide(&waiting, at(0));
    assert_eq!(decision.effect, None);
    assert_eq!(short(&decision.status, ConditionType::Ready), "False/AnswerInvalid");
    let next = decision.next.unwrap();
    let again = after(&waiting, Outcome::TokenStored(TokenFacts { sequence: 2, ..over }), next);
    assert_eq!(again.status().last_failure.unwrap().count, 2);
}

#[rstest]
#[case::host(
    |observed: &mut Observed| observed.connector = valid(&CLIENT.replace("api.example.com", "evil.example.net"), 2),
    "requests would go to [token https://login.example.com:443, api https://evil.example.net:443], but the token was \
     issued for [token https://login.example.com:443, api https://api.example.com:443]"
)]
#[case::client(
    |observed: &mut Observed| observed.oauth_app = app("client-2", "first"),
    "the OAuth client has changed since the token was issued"
)]
fn a_change_of_where_the_token_goes_waits_for_somebody_who_may_authenticate(
    #[case] change: Change,
    #[case] what: &str,
) {
    let mut observed = with_token(CLIENT);
    change(&mut observed);
    for second in [10, 100_000] {
        let decision = decide(&observed, at(second));
        assert_eq!((decision.effect, decision.next), (None, None));
        assert_eq!(short(&decision.status, ConditionType::Ready), "False/ReauthenticationRequired");
        assert!(message(&decision.status, ConditionType::Ready).starts_with(what));
    }
    annotate(&mut observed, REAUTHENTICATE_AT_ANNOTATION, "approved");
    assert_eq!(decide(&observed, at(10)).effect, Some(plan(1, false, "approved")));
}

#[test]
fn s11_a_new_secret_of_the_same_client_keeps_the_token() {
    let mut observed = with_token(CLIENT);
    observed.oauth_app = app("client-1", "second");
    assert_eq!(standing(&observed, 10), pair("True/TokenIssued", "True/Ready"));
    assert_eq!(decide(&observed, at(10)).effect, None);
}

#[test]
fn s11_reauthenticate_at_is_handled_exactly_once() {
    let mut observed = with_token(CLIENT);
    annotate(&mut observed, REAUTHENTICATE_AT_ANNOTATION, "2027-01-15");
    assert_eq!(decide(&observed, at(60)).effect, Some(plan(1, false, "2027-01-15")));
    let mut token = issued_at(&observed, 60, Some(3600));
    (token.sequence, token.consent_id) = (2, "2027-01-15".to_owned());
    let done = after(&observed, Outcome::TokenStored(token), at(60));
    assert_eq!(done.status().last_handled_reauthenticate_at.as_deref(), Some("2027-01-15"));
    assert_eq!(decide(&done, at(120)).effect, None);

    let mut without = done.clone();
    without.connection.metadata.annotations = None;
    assert_eq!(decide(&without, at(120)).effect, None);
}

#[test]
fn people_who_ask_again_and_again_get_a_token_every_five_seconds_at_most() {
    let mut observed = with_token(CLIENT);
    annotate(&mut observed, REAUTHENTICATE_AT_ANNOTATION, "again");
    let decision = decide(&observed, at(1));
    assert_eq!((decision.effect, decision.next), (None, Some(at(5))));
    assert!(asks_for_token(decide(&observed, at(5)).effect.as_ref()));
}

#[test]
fn a_request_longer_than_a_status_can_hold_is_recorded_as_its_digest() {
    let mut observed = with_token(CLIENT);
    annotate(&mut observed, REAUTHENTICATE_AT_ANNOTATION, &"x".repeat(100_000));
    let Some(Effect::RequestToken(plan)) = decide(&observed, at(60)).effect else { unreachable!() };
    assert_eq!(plan.consent_id.len(), 64);
}

#[test]
fn n14_scopes_that_were_not_granted_are_listed_and_take_ready_away() {
    let mut observed = with_token(CLIENT);
    let TokenState::Present(token) = &mut observed.token else { unreachable!() };
    token.granted_scopes = vec!["read".to_owned()];
    let status = decide(&observed, at(60)).status;
    assert_eq!(short(&status, ConditionType::Authenticated), "True/TokenIssued");
    assert_eq!(short(&status, ConditionType::ScopesSatisfied), "False/ScopesMissing");
    assert_eq!(short(&status, ConditionType::Ready), "False/ScopesMissing");
    assert!(message(&status, ConditionType::Ready).starts_with("the provider did not grant: write; "));
    assert_eq!(status.token.unwrap().granted_scopes, ["read"]);
}

#[test]
fn n14_scopes_that_no_status_can_hold_do_not_keep_it_from_being_written() {
    let mut observed = with_token(CLIENT);
    let TokenState::Present(token) = &mut observed.token else { unreachable!() };
    let odd = ["write", "read", "write", "", "a b", "é", "\"q\"", &"x".repeat(257)].map(ToOwned::to_owned);
    token.granted_scopes = odd.into_iter().chain((0..100).map(|number| format!("s{number}"))).collect();
    let shown = decide(&observed, at(60)).status.token.unwrap().granted_scopes;
    assert_eq!(shown.len(), 64);
    assert!(
        shown.is_sorted() && !shown.iter().any(|scope| scope.len() > 256 || scope.contains([' ', '"', 'é']))
    );
}

#[test]
fn suspend_stops_every_request_and_takes_ready_away() {
    let mut observed = client(CLIENT);
    observed.connection.spec.suspend = true;
    let decision = decide(&observed, at(0));
    assert_eq!((decision.effect, decision.next), (None, None));
    assert_eq!(short(&decision.status, ConditionType::Ready), "False/Suspended");

    let mut observed = with_token(CLIENT);
    observed.connection.spec.suspend = true;
    assert_eq!(standing(&observed, 60), pair("True/TokenIssued", "False/Suspended"));
    assert_eq!(decide(&observed, at(60)).next, Some(at(3600)));
    let decision = decide(&observed, at(3600));
    assert_eq!((decision.effect, decision.next), (None, None));
    assert_eq!(
        message(&decision.status, ConditionType::Authenticated),
        "the token has expired; none is asked for while spec.suspend is true"
    );
}
