//! Verifications: when they are made, how often, and what they say.

use super::*;

/// A Connection with a token that lasts, verified at the beginning.
fn verified() -> Observed {
    let mut observed = client(CLIENT_VERIFIED);
    observed.connection.metadata.finalizers = Some(vec![REVOKE_FINALIZER.to_owned()]);
    observed.token = TokenState::Present(issued_at(&observed, 0, None));
    after(&observed, probed(VerificationOutcome::Succeeded), at(0))
}

fn next_verification(observed: &Observed, second: i64) -> i64 {
    let decision = decide(observed, at(second));
    assert_eq!(decision.effect, None);
    decision.next.unwrap().duration_since(at(0)).as_secs()
}

#[test]
fn a_new_token_is_verified_once_and_then_in_intervals() {
    let observed = verified();
    let status = decide(&observed, at(1)).status;
    assert_eq!(short(&status, ConditionType::Healthy), "True/Verified");
    let next = next_verification(&observed, 1);
    assert!((3240..=3960).contains(&next), "{next}");
    assert_eq!(decide(&observed, at(next + 1)).effect, Some(Effect::Probe));
}

#[test]
fn s28_verify_at_causes_one_verification() {
    let mut observed = verified();
    annotate(&mut observed, VERIFY_AT_ANNOTATION, "2027-01-15T10:00:00Z");
    assert_eq!(decide(&observed, at(60)).effect, Some(Effect::Probe));
    let token = observed.status().token;
    let done = after(&observed, probed(VerificationOutcome::Succeeded), at(60));
    assert_eq!(done.status().last_handled_verify_at.as_deref(), Some("2027-01-15T10:00:00Z"));
    assert_eq!((done.status().token, done.status().last_verification.unwrap().time), (token, Time(at(60))));
    assert!(next_verification(&done, 61) > 3000);
}

#[test]
fn s28_an_inconclusive_verification_alters_neither_the_token_nor_authenticated() {
    let mut observed = verified();
    annotate(&mut observed, VERIFY_AT_ANNOTATION, "now");
    let inconclusive = probed(VerificationOutcome::Inconclusive(transient(None)));
    let observed = after(&observed, inconclusive, at(60));
    assert_eq!(standing(&observed, 61), pair("True/TokenIssued", "True/Ready"));
    let status = observed.status();
    assert_eq!(short(&status, ConditionType::Healthy), "False/ProviderUnavailable");
    assert_eq!(status.last_failure, None);
    let again = next_verification(&observed, 61);
    assert!((60 + 810..=60 + 990).contains(&again), "{again}");
}

#[test]
fn n16_a_verification_waits_as_long_as_the_provider_asks() {
    let mut observed = verified();
    annotate(&mut observed, VERIFY_AT_ANNOTATION, "now");
    let mut observed =
        after(&observed, probed(VerificationOutcome::Inconclusive(transient(Some(3000)))), at(60));
    assert_eq!(next_verification(&observed, 61), 3060);
    annotate(&mut observed, VERIFY_AT_ANNOTATION, "again");
    assert_eq!(next_verification(&observed, 61), 3060);
}

#[test]
fn a_rejected_verification_takes_ready_away_until_one_succeeds() {
    let mut observed = verified();
    annotate(&mut observed, VERIFY_AT_ANNOTATION, "now");
    let mut observed = after(&observed, rejected(), at(60));
    assert_eq!(standing(&observed, 61), pair("True/TokenIssued", "False/CredentialsRejected"));
    assert_eq!(short(&observed.status(), ConditionType::Healthy), "False/CredentialsRejected");

    // Another token is another credential: it is verified as soon as two verifications may follow each other.
    let TokenState::Present(token) = &mut observed.token else { unreachable!() };
    (token.sequence, token.issued_at) = (2, at(65));
    assert_eq!(next_verification(&observed, 65), 71);
    assert_eq!(decide(&observed, at(71)).effect, Some(Effect::Probe));
    let observed = after(&observed, probed(VerificationOutcome::Succeeded), at(71));
    assert_eq!(standing(&observed, 72).1, "True/Ready");
}

#[test]
fn a_refreshed_token_is_not_verified_anew_while_all_is_well() {
    let mut observed = verified();
    let TokenState::Present(token) = &mut observed.token else { unreachable!() };
    (token.sequence, token.issued_at) = (2, at(65));
    assert!(next_verification(&observed, 65) > 3000);
}

#[test]
fn verifications_are_ten_seconds_apart_whatever_asks_for_them() {
    let mut observed = verified();
    let begun = at(60).checked_add(Duration::from_millis(999)).unwrap();
    annotate(&mut observed, VERIFY_AT_ANNOTATION, "first");
    let mut observed = after(&observed, probed(VerificationOutcome::Succeeded), begun);
    annotate(&mut observed, VERIFY_AT_ANNOTATION, "second");
    let next = decide(&observed, begun).next.unwrap();
    assert!(next.duration_since(begun).as_secs_f64() >= 10.0);
}

#[test]
fn at_most_300_verifications_a_day_whatever_asks_for_them() {
    let (mut observed, mut now, mut count) = (verified(), at(60), 0);
    while now < at(86_460) {
        annotate(&mut observed, VERIFY_AT_ANNOTATION, &count.to_string());
        let decision = decide(&observed, now);
        if decision.effect.is_some() {
            count += 1;
            observed = after(&observed, probed(VerificationOutcome::Succeeded), now);
        } else {
            now = decision.next.unwrap();
        }
    }
    assert!((250..=300).contains(&count), "{count}");
}

#[test]
fn s28_a_verification_that_is_not_declared_is_answered_without_a_request() {
    let mut observed = with_token(CLIENT);
    annotate(&mut observed, VERIFY_AT_ANNOTATION, "now");
    let decision = decide(&observed, at(60));
    assert_eq!(decision.effect, None);
    assert_eq!(short(&decision.status, ConditionType::Healthy), "Unknown/VerificationNotDeclared");
    assert_eq!(decision.status.last_handled_verify_at.as_deref(), Some("now"));
    assert_eq!(standing(&observed, 60).1, "True/Ready");
}

#[test]
fn looking_up_the_account_is_limited_like_verifications_are() {
    let connector = format!("{CLIENT}account: {{url: 'https://api.example.com/me', idPath: /id}}\n");
    let mut observed = client(&connector);
    observed.token = TokenState::Present(issued_at(&observed, 0, None));
    let (mut now, mut count) = (at(0), 0);
    while now < at(86_400) {
        annotate(&mut observed, VERIFY_AT_ANNOTATION, &count.to_string());
        let decision = decide(&observed, now);
        if decision.effect == Some(Effect::Probe) {
            count += 1;
            let account = Some("ann@example.com".to_owned());
            observed = after(&observed, Outcome::Probed(ProbeOutcome { verification: None, account }), now);
        } else {
            observed = recorded(&observed, &decision.status);
            now = decision.next.unwrap();
        }
    }
    assert!((250..=300).contains(&count), "{count}");
    assert_eq!(observed.status().account.as_deref(), Some("ann@example.com"));
}

#[test]
fn a_request_for_a_verification_longer_than_a_status_can_hold_is_handled_once_too() {
    let mut observed = verified();
    annotate(&mut observed, VERIFY_AT_ANNOTATION, &"x".repeat(100_000));
    let observed = after(&observed, probed(VerificationOutcome::Succeeded), at(60));
    assert_eq!(observed.status().last_handled_verify_at.map(|text| text.len()), Some(64));
    assert!(next_verification(&observed, 61) > 3000);
}

#[test]
fn suspend_stops_verifications() {
    let mut observed = verified();
    observed.connection.spec.suspend = true;
    annotate(&mut observed, VERIFY_AT_ANNOTATION, "now");
    let decision = decide(&observed, at(60));
    assert_eq!((decision.effect, decision.next), (None, None));
}
