//! What answers to verification and account look-up say.

use std::time::Duration;

use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::oauth::testing::{definition, response};

const HOST: &str = "api.example.com:443";

fn now() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

fn connector(rule: &str) -> Definition {
    definition(&format!(
        "displayName: E\nauthMethods: [{{type: APIKey}}]\nverify: {{url: 'https://api.example.com/me'{rule}}}\n\
         account: {{url: 'https://api.example.com/me', idPath: /id, namePath: /user/name}}\n"
    ))
}

fn judge(rule: &str, status: u16, body: &str) -> VerificationOutcome {
    verification(&connector(rule), HOST, &response(status, body), now())
}

const OK_RULE: &str = ", success: response.body.ok == true";

#[rstest]
#[case("", 200, "")]
#[case("", 204, "")]
#[case(OK_RULE, 200, r#"{"ok":true}"#)]
#[case(", success: response.status == 404", 404, "")]
fn the_rule_says_that_the_credential_works(#[case] rule: &str, #[case] status: u16, #[case] body: &str) {
    assert_eq!(judge(rule, status, body), VerificationOutcome::Succeeded);
}

#[rstest]
#[case("", 401, "")]
#[case("", 403, "")]
#[case(OK_RULE, 401, "<html>")]
#[case(OK_RULE, 200, r#"{"ok":false}"#)]
#[case(", success: 'has(response.body.user)'", 200, "{}")]
fn the_provider_says_that_the_credential_does_not_work(
    #[case] rule: &str,
    #[case] status: u16,
    #[case] body: &str,
) {
    let VerificationOutcome::Rejected { message } = judge(rule, status, body) else { panic!("not rejected") };
    assert!(message.starts_with("api.example.com:443 rejected the credential"));
}

#[rstest]
#[case("", 408, "", Reason::ProviderUnavailable, true)]
#[case("", 429, "", Reason::RateLimited, true)]
#[case("", 500, "", Reason::ProviderUnavailable, true)]
#[case(OK_RULE, 503, r#"{"ok":false}"#, Reason::ProviderUnavailable, true)]
#[case("", 302, "", Reason::RequestRejected, false)]
#[case("", 404, "", Reason::RequestRejected, false)]
#[case("", 400, "", Reason::RequestRejected, false)]
#[case(OK_RULE, 200, "<html>", Reason::AnswerInvalid, true)]
#[case(OK_RULE, 200, "{}", Reason::AnswerInvalid, true)]
fn other_answers_say_nothing_about_the_credential(
    #[case] rule: &str,
    #[case] status: u16,
    #[case] body: &str,
    #[case] reason: Reason,
    #[case] transient: bool,
) {
    let VerificationOutcome::Inconclusive { failure } = judge(rule, status, body) else {
        panic!("conclusive")
    };
    assert_eq!((failure.reason, failure.is_transient()), (reason, transient));
}

#[test]
fn a_wait_that_the_provider_asks_for_is_kept() {
    let mut answer = response(429, "");
    answer.headers.insert("retry-after".into(), "30".into());
    let outcome = verification(&connector(""), HOST, &answer, now());
    let VerificationOutcome::Inconclusive { failure } = outcome else { panic!("conclusive") };
    assert_eq!(failure.retry_after(), Some(Duration::from_secs(30)));
}

#[rstest]
#[case::name(200, r#"{"id":7,"user":{"name":"Ada"}}"#, Some("Ada"))]
#[case::identifier(200, r#"{"id":7}"#, Some("7"))]
#[case::identifier_for_null_name(200, r#"{"id":"x","user":{"name":null}}"#, Some("x"))]
#[case::identifier_for_empty_name(200, r#"{"id":"x","user":{"name":" "}}"#, Some("x"))]
#[case::big_number(200, r#"{"id":18446744073709551615}"#, Some("18446744073709551615"))]
#[case::control_characters(200, r#"{"user":{"name":"A\u0000d\r\na\u001b"}}"#, Some("Ada"))]
#[case::object(200, r#"{"id":{}}"#, None)]
#[case::truncated(200, r#"{"id":7"#, None)]
#[case::html(200, "<html>", None)]
#[case::rejected(401, r#"{"id":7}"#, None)]
fn an_account_is_its_name_or_else_its_identifier(
    #[case] status: u16,
    #[case] body: &str,
    #[case] expected: Option<&str>,
) {
    assert_eq!(account(&connector(""), &response(status, body)).as_deref(), expected);
}

#[test]
fn a_long_name_is_cut() {
    let body = serde_json::json!({ "user": { "name": "é".repeat(300) } }).to_string();
    assert_eq!(account(&connector(""), &response(200, &body)).unwrap().chars().count(), 256);
}

#[test]
fn an_account_that_is_not_declared_is_not_looked_for() {
    let definition = definition("{displayName: E, authMethods: [{type: APIKey}]}");
    assert_eq!(account(&definition, &response(200, r#"{"id":7}"#)), None);
}

proptest! {
    #[test]
    fn judging_never_panics(status in 100u16..700, body in "\\PC{0,64}") {
        let _ = judge(OK_RULE, status, &body);
        let _ = account(&connector(""), &response(status, &body));
    }
}
