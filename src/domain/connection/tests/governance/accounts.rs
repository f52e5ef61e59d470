//! Accounts that policies allow or do not.

use super::*;

const ACCOUNTS: &str = "{accounts: ['*@example.com']}";

#[test]
fn an_account_that_is_not_allowed_when_it_is_learnt_gives_no_ready_connection() {
    let eve = consented("a", Some("eve@evil.example"));
    let status = decide(&governed(&eve, ACCOUNTS), at(1)).status;
    assert_eq!(allowed(&status), pair("False/AccountNotAllowed", "False/AccountNotAllowed"));
    let text = message(&status, ConditionType::Ready);
    assert!(
        text.starts_with("account \"eve@evil.example\" is not among those that policy \"p\" allows"),
        "{text}"
    );
    assert_eq!(status.account_refused.as_deref(), Some("a"));
    assert!(status.authentication.as_ref().unwrap().url.is_some(), "somebody else can consent");

    let again = recorded(&governed(&eve, ACCOUNTS), &status);
    let later = decide(&again, at(2));
    assert_eq!(
        (later.status.clone(), later.events.len(), later.effect),
        (status, 0, None),
        "and so it stays"
    );
    assert_eq!(prepare_anew(&Observed { token: TokenState::Missing, ..again.clone() }).err(), None);

    let ann = Observed {
        token: TokenState::Present(consent_facts(&person(), "b", Some("ann@example.com"), 2)),
        ..again.clone()
    };
    let status = decide(&ann, at(3)).status;
    assert_eq!((allowed(&status), status.account_refused), (pair("True/Allowed", "True/Ready"), None));
    let widened = governed(&again, "{accounts: ['*']}");
    assert_eq!(allowed(&decide(&widened, at(3)).status), pair("True/Allowed", "True/Ready"));
}

#[test]
fn n44_an_account_that_a_later_policy_does_not_allow_is_reported() {
    let eve = consented("a", Some("eve@evil.example"));
    let eve = recorded(&eve, &decide(&eve, at(1)).status);
    let status = decide(&governed(&eve, ACCOUNTS), at(2)).status;
    assert_eq!(allowed(&status), pair("False/AccountNotAllowed", "True/Ready"));
    let suspended = governed(&eve, "{accounts: ['*@example.com'], enforcement: Suspend}");
    assert_eq!(
        allowed(&decide(&suspended, at(2)).status),
        pair("False/AccountNotAllowed", "False/AccountNotAllowed")
    );
    assert_eq!(suspended.policy.enforcement(), Enforcement::Suspend);
}

/// A Connection for a person whose account takes a request.
fn asked_for_account() -> Observed {
    let by_request = PERSON.replace("idTokenClaim: email", "url: 'https://api.example.com/me', idPath: /id");
    let mut observed = consented("a", None);
    observed.connector = valid(&by_request, 1);
    observed.token = TokenState::Present(consent_facts(&observed, "a", None, 0));
    observed
}

fn named(account: &str) -> Outcome {
    Outcome::Probed(ProbeOutcome { verification: None, account: Some(account.to_owned()) })
}

#[test]
fn where_accounts_are_limited_nothing_is_ready_before_the_account_is_learnt() {
    let observed = governed(&asked_for_account(), ACCOUNTS);
    let held = |observed: &Observed| {
        let observed = recorded(observed, &decide(observed, at(0)).status);
        let learnt = learn(observed.clone(), Outcome::Held, at(0));
        recorded(&learnt, &decide(&learnt, at(0)).status)
    };
    let observed = held(&observed);
    let decision = decide(&observed, at(1));
    assert_eq!(decision.effect, Some(Effect::Probe));
    assert_eq!(allowed(&decision.status), pair("True/Allowed", "False/AccountNotAllowed"));
    let of = |account| decide(&after(&observed, named(account), at(1)), at(2)).status;
    assert_eq!(allowed(&of("ann@example.com")), pair("True/Allowed", "True/Ready"));
    let eve = of("eve@evil.example");
    assert_eq!(allowed(&eve), pair("False/AccountNotAllowed", "False/AccountNotAllowed"));
    assert_eq!(eve.account_refused.as_deref(), Some("a"));
}

#[test]
fn the_account_of_a_new_static_credential_counts_as_well() {
    let connector = format!("{TOKEN}account: {{url: 'https://{{siteUrl}}.example.com/me', idPath: /id}}\n");
    let mut observed = personal(TOKEN);
    observed.connector = valid(&connector, 1);
    let observed = governed(&observed, ACCOUNTS);
    let outcome = |account: &str| {
        Outcome::Probed(ProbeOutcome {
            verification: Some(VerificationOutcome::Succeeded),
            account: Some(account.to_owned()),
        })
    };
    let ann = after(&observed, outcome("ann@example.com"), at(0));
    assert_eq!(allowed(&decide(&ann, at(1)).status), pair("True/Allowed", "True/Ready"));
    let mut eve = Observed { credentials: secret("pat", &[("token", "second")]), ..ann };
    eve = after(&eve, outcome("eve@evil.example"), at(60));
    let status = decide(&eve, at(61)).status;
    assert_eq!(allowed(&status), pair("False/AccountNotAllowed", "False/AccountNotAllowed"));
    let back = Observed { credentials: secret("pat", &[("token", "third")]), ..eve };
    assert_eq!(decide(&back, at(120)).effect, Some(Effect::Probe), "another credential is another chance");
}
