//! What a consent brings about for a Connection: one that came to nothing, and one of another account.

use rstest::rstest;

use super::*;

fn failed_consent(id: &str, second: i64, reason: Reason, message: &str) -> FailedConsent {
    FailedConsent { id: id.to_owned(), at: at(second), reason, message: message.to_owned() }
}

fn rejected_client(id: &str, second: i64) -> FailedConsent {
    failed_consent(id, second, Reason::ClientRejected, "the OAuth client was rejected")
}

/// The message of Authenticated.
fn said(observed: &Observed, second: i64) -> String {
    message(&decide(observed, at(second)).status, ConditionType::Authenticated)
}

fn seen(observed: &Observed, second: i64) -> Observed {
    recorded(observed, &decide(observed, at(second)).status)
}

#[test]
fn s47_a_wrong_secret_is_told_outlives_its_request_and_leaves_another_try() {
    let mut observed = seen(&person(), 0);
    observed.consent = Some(rejected_client("a", 10));
    let decision = decide(&observed, at(11));
    assert_eq!((decision.effect.clone(), decision.next), (None, None));
    assert_eq!(decision.events, [Event::warning(Reason::ClientRejected)]);
    assert_eq!(standing(&observed, 11), pair("False/ClientRejected", "False/ClientRejected"));
    let told = "the OAuth client was rejected. To authenticate, run `kubectl liaison connect crm -n finance`";
    assert_eq!(said(&observed, 11), told);
    assert!(decision.status.authentication.unwrap().url.is_some());

    let mut observed = seen(&observed, 11);
    observed.consent = None;
    assert_eq!(said(&observed, 1000), told);
    assert_eq!(decide(&observed, at(1000)).effect, None);

    observed.oauth_app = app("client-1", "second");
    assert_eq!(standing(&observed, 1001).0, "False/AwaitingAuthentication");
}

#[test]
fn n15_detail_stands_in_the_condition_and_an_event_says_a_fixed_sentence() {
    let mut observed = person();
    observed.consent = Some(rejected_client("a", 10));
    let decision = decide(&observed, at(11));
    let [event] = decision.events[..] else { panic!("{:?}", decision.events) };
    assert_eq!(event.reason.note(), "The provider rejected the OAuth client.");
    assert!(Reason::ALL.iter().all(|reason| reason.note().ends_with('.') && !reason.note().contains("crm")));
}

#[test]
fn s46_an_address_that_is_not_registered_is_told_with_the_value_to_register() {
    let mut observed = person();
    let told = "register https://liaison.example.com/callback/jira at the provider";
    observed.consent = Some(failed_consent("a", 10, Reason::RedirectURIMismatch, told));
    assert_eq!(standing(&observed, 11).0, "False/RedirectURIMismatch");
    assert!(said(&observed, 11).starts_with(told));
}

#[test]
fn the_latest_failed_consent_is_told_and_an_older_one_that_shows_up_later_is_not() {
    let mut observed = person();
    observed.consent = Some(rejected_client("b", 20));
    let mut observed = seen(&observed, 21);
    observed.consent = Some(failed_consent("a", 10, Reason::ScopeRejected, "no"));
    assert_eq!(standing(&observed, 22).0, "False/ClientRejected");
    observed.consent = Some(failed_consent("c", 30, Reason::ScopeRejected, "no"));
    assert_eq!(standing(&observed, 31).0, "False/ScopeRejected");
}

#[rstest]
#[case::used(60)]
#[case::about_to_be_refreshed(3000)]
fn a_failed_consent_takes_no_valid_token_away(#[case] second: i64) {
    let mut observed = seen(&consented("consent-1", None), 50);
    observed.consent = Some(rejected_client("a", second - 1));
    let decision = decide(&observed, at(second));
    assert_eq!(standing(&observed, second), pair("True/TokenIssued", "True/Ready"));
    assert_eq!(decision.status.last_consent_failure, None);
    assert_eq!(decision.effect, decide(&Observed { consent: None, ..observed }, at(second)).effect);
}

#[test]
fn a_failed_consent_neither_stops_nor_starts_a_refresh() {
    let mut waiting = after(&consented("consent-1", None), Outcome::AttemptFailed(transient(None)), at(3590));
    waiting.consent = Some(rejected_client("a", 3700));
    assert_eq!(standing(&waiting, 3701).0, "False/ProviderUnavailable");
    assert!(asks_for_token(decide(&waiting, at(3701)).effect.as_ref()));

    let revoked = failed(Reason::ReconsentRequired, FailureClass::Permanent);
    let mut lost = after(&consented("consent-1", None), revoked, at(3000));
    lost.consent = Some(rejected_client("a", 2999));
    assert_eq!(standing(&lost, 3010).0, "False/ReconsentRequired", "the consent failed before");
    lost.consent = Some(rejected_client("b", 3020));
    assert_eq!(standing(&lost, 3021).0, "False/ClientRejected");
    let told = seen(&lost, 3021);
    assert_eq!(decide(&told, at(3300)).effect, None);
    // Nor does it bring the token back that the provider has taken.
    assert_eq!(standing(&told, 3300).1, "False/ClientRejected");
}

#[test]
fn a_success_ends_what_failed_before() {
    let mut observed = person();
    observed.consent = Some(rejected_client("a", 10));
    let mut observed = seen(&observed, 11);
    observed.token = TokenState::Present(consent_facts(&observed, "consent-2", None, 20));
    assert_eq!(standing(&observed, 21), pair("True/TokenIssued", "True/Ready"));
    let observed = seen(&observed, 21);
    assert_eq!(observed.status().last_consent_failure, None);
    let lost = Observed { token: TokenState::Missing, consent: None, ..observed };
    assert_eq!(standing(&lost, 30).0, "False/AwaitingAuthentication");
}

/// The next consent of a Connection, by this account where the record names one.
fn next_consent(observed: &Observed, second: i64, account: Option<&str>) -> Observed {
    let known = observed.status().token.map_or(0, |token| token.sequence);
    let consent = format!("consent-at-{second}");
    let facts = TokenFacts { sequence: known + 1, ..consent_facts(observed, &consent, account, second) };
    Observed { token: TokenState::Present(facts), ..observed.clone() }
}

#[test]
fn a_consent_of_another_account_is_told_once_and_named() {
    let first = seen(&consented("consent-1", Some("ann@example.com")), 10);
    let other = next_consent(&first, 20, Some("bob@example.com"));
    let decision = decide(&other, at(21));
    assert_eq!(decision.events, [Event::warning(Reason::AccountChanged)]);
    assert_eq!(decision.status.account.as_deref(), Some("bob@example.com"));
    assert_eq!(
        said(&other, 21),
        "the provider issued a token; the last consent was given by the account \"bob@example.com\", the one before \
         by \"ann@example.com\""
    );
    let other = seen(&other, 21);
    assert_eq!(
        (decide(&other, at(22)).events, standing(&other, 22).1),
        (Vec::new(), "True/Ready".to_owned())
    );

    let refreshed = consent_facts(&other, "consent-at-20", Some("bob@example.com"), 30);
    let refreshed =
        Observed { token: TokenState::Present(TokenFacts { sequence: 3, ..refreshed }), ..other.clone() };
    assert!(said(&refreshed, 31).contains("ann@example.com"), "a refresh is no consent");

    let same = seen(&next_consent(&other, 40, Some("bob@example.com")), 41);
    assert_eq!(said(&same, 42), "the provider issued a token");
}

#[test]
fn the_word_that_stands_before_authentication_is_never_told_as_an_account() {
    let mut observed = consented("consent-1", None);
    observed.connection.status = Some(ConnectionStatus {
        account: Some(ACCOUNT_BEFORE_AUTHENTICATION.to_owned()),
        previous_account: Some("bob@example.com".to_owned()),
        ..ConnectionStatus::default()
    });
    assert_eq!(said(&observed, 10), "the provider issued a token");
    let first = decide(&observed, at(10)).status;
    assert_eq!(decide(&recorded(&observed, &first), at(10)).status, first);
}

#[test]
fn an_account_that_a_request_finds_is_compared_after_a_new_consent_alone() {
    let account = "verify: {url: 'https://api.example.com/me'}\naccount: {url: 'https://api.example.com/me', idPath: /id}";
    let mut observed = person();
    observed.connector = valid(&PERSON.replace("account: {idTokenClaim: email}", account), 1);
    let named = |account: &str| {
        let verification = Some(VerificationOutcome::Succeeded);
        Outcome::Probed(ProbeOutcome { verification, account: Some(account.to_owned()) })
    };
    let first = next_consent(&observed, 0, None);
    assert_eq!(decide(&first, at(1)).effect, Some(Effect::Probe));
    let first = after(&first, named("ann"), at(1));
    assert_eq!((first.status().account.as_deref(), first.status().previous_account), (Some("ann"), None));

    let other = next_consent(&first, 60, None);
    let decision = decide(&other, at(61));
    assert_eq!(decision.effect, Some(Effect::Probe), "whose it is has to be asked");
    let again = decide_again(&other, decision.status, named("bob"), at(61));
    assert_eq!(again.events, [Event::warning(Reason::AccountChanged)]);
    let other = recorded(&other, &again.status);
    assert_eq!(other.status().previous_account.as_deref(), Some("ann"));
    assert_eq!(decide(&other, at(62)).effect, None);

    let renamed = learn(other, named("robert"), at(4000));
    let status = decide(&renamed, at(4000)).status;
    assert_eq!(
        (status.account.as_deref(), status.previous_account.as_deref()),
        (Some("robert"), Some("ann"))
    );
}

#[test]
fn an_account_that_cannot_be_learnt_is_asked_for_once_per_token() {
    let account = "account: {url: 'https://api.example.com/me', idPath: /id}";
    let mut observed = person();
    observed.connector = valid(&PERSON.replace("account: {idTokenClaim: email}", account), 1);
    let silent = || Outcome::Probed(ProbeOutcome { verification: None, account: None });
    let observed = after(&next_consent(&observed, 0, None), silent(), at(1));
    assert_eq!(decide(&observed, at(600)).effect, None);
}

#[test]
fn an_account_of_an_id_token_is_never_asked_for() {
    let observed = consented("consent-1", Some("ann@example.com"));
    assert_eq!(decide(&observed, at(10)).effect, None);
}
