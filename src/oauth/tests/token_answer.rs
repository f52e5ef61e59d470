//! Recorded answers of token endpoints: those of the RFC, and the odd ones that providers send.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use rstest::rstest;
use secrecy::ExposeSecret;

use super::*;
use crate::oauth::testing::response;

const HOST: &str = "login.example.com:443";

fn now() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

fn oauth2(yaml: &str) -> OAuth2 {
    serde_yaml::from_str(&format!("{{tokenURL: 'https://login.example.com/token', {yaml}}}")).unwrap()
}

fn requested() -> Vec<String> {
    vec!["read".into(), "write".into()]
}

fn read(yaml: &str, status: u16, body: &str) -> Result<TokenGrant, Failure> {
    parse(&oauth2(yaml), HOST, &response(status, body), &requested(), now())
}

/// Seconds until the access token expires.
fn lifetime(yaml: &str, body: &str) -> Option<i64> {
    read(yaml, 200, body).unwrap().expires_at.map(|end| end.duration_since(now()).as_secs())
}

#[test]
fn the_answer_of_rfc_6749_is_read() {
    let body = r#"{"access_token":"2YotnFZFEjr1zCsicMWpAA","token_type":"example","expires_in":3600,
        "refresh_token":"tGzv3JOkF0XG5Qx2TlKWIA","scope":"read","id_token":"a.b.c","refresh_expires_in":7200}"#;
    let grant = read("", 200, body).unwrap();
    assert_eq!(grant.access_token.expose_secret(), "2YotnFZFEjr1zCsicMWpAA");
    assert_eq!(grant.refresh_token.unwrap().expose_secret(), "tGzv3JOkF0XG5Qx2TlKWIA");
    assert_eq!(grant.expires_at, Some("2026-11-24T13:00:00Z".parse().unwrap()));
    assert_eq!(grant.refresh_token_expires_at, Some("2026-11-24T14:00:00Z".parse().unwrap()));
    assert_eq!(grant.granted_scopes, ["read"]);
    assert_eq!(grant.id_token.unwrap().expose_secret(), "a.b.c");
}

#[rstest]
#[case::bare(r#"{"access_token":"t"}"#)]
#[case::error_null(r#"{"access_token":"t","error":null}"#)]
#[case::error_empty(r#"{"access_token":"t","error":""}"#)]
#[case::error_zero(r#"{"access_token":"t","error":0}"#)]
#[case::null_refresh_token(r#"{"access_token":"t","refresh_token":null}"#)]
#[case::byte_order_mark("\u{feff}{\"access_token\":\"t\"}")]
#[case::form("access_token=t&token_type=bearer")]
#[case::form_in_any_order("scope=&access_token=t")]
fn lenient_answers_still_hold_a_token(#[case] body: &str) {
    let grant = read("", 200, body).unwrap();
    assert_eq!(grant.access_token.expose_secret(), "t");
    assert!(grant.refresh_token.is_none());
    assert_eq!(grant.expires_at, None);
}

#[rstest]
#[case::number("", "3600", Some(3600))]
#[case::text("", "\"3600\"", Some(3600))]
#[case::text_with_spaces("", "\" 3600 \"", Some(3600))]
#[case::fraction("", "3600.9", Some(3600))]
#[case::zero("", "0", None)]
#[case::negative("", "-1", None)]
#[case::huge("", "1e300", None)]
#[case::huge_integer("", "9223372036854775807", None)]
#[case::huge_text("", "\"999999999999999999999999\"", None)]
#[case::not_a_number("", "\"NaN\"", None)]
#[case::word("", "\"never\"", None)]
#[case::null("", "null", None)]
#[case::object("", "{}", None)]
#[case::date("", "\"2026-11-24T12:01:00Z\"", Some(60))]
#[case::milliseconds("response: {expiresUnit: Milliseconds}", "90000", Some(90))]
#[case::absolute("response: {expiresUnit: UnixSeconds}", "1795521660", Some(60))]
#[case::absolute_past("response: {expiresUnit: UnixSeconds}", "1795521540", Some(-60))]
#[case::fall_back("lifetimeSeconds: 60", "null", Some(60))]
#[case::fall_back_for_zero("lifetimeSeconds: 60", "0", Some(60))]
#[case::named_wins("lifetimeSeconds: 60", "90", Some(90))]
#[case::fixed("lifetime: Fixed, lifetimeSeconds: 60", "90", Some(60))]
#[case::never("lifetime: Never, lifetimeSeconds: 60", "90", None)]
#[case::opaque_jwt("lifetime: JWT", "90", Some(90))]
fn a_lifetime_is_read_in_every_form(#[case] yaml: &str, #[case] named: &str, #[case] expected: Option<i64>) {
    let body = format!(r#"{{"access_token":"t","expires_in":{named}}}"#);
    assert_eq!(lifetime(yaml, &body), expected);
}

#[test]
fn the_expiry_of_a_jwt_is_its_claim() {
    let claims = URL_SAFE_NO_PAD.encode(r#"{"exp":1795521630}"#);
    let body = format!(r#"{{"access_token":"e30.{claims}.c2ln","expires_in":90}}"#);
    assert_eq!(lifetime("lifetime: JWT", &body), Some(30));
}

#[rstest]
#[case::absent("", r"{}", &["read", "write"])]
#[case::null("", r#"{"scope":null}"#, &["read", "write"])]
#[case::spaces("", r#"{"scope":"read  admin read"}"#, &["read", "admin"])]
#[case::commas("", r#"{"scope":"read,admin"}"#, &["read", "admin"])]
#[case::commas_and_spaces("", r#"{"scope":"read, admin"}"#, &["read", "admin"])]
#[case::separator("scopes: {separator: '+'}", r#"{"scope":"read+admin"}"#, &["read", "admin"])]
#[case::list("", r#"{"scope":["read","admin"]}"#, &["read", "admin"])]
#[case::nothing_granted("", r#"{"scope":""}"#, &[])]
#[case::elsewhere("response: {scope: /data/scopes}", r#"{"data":{"scopes":"read"}}"#, &["read"])]
fn granted_scopes_are_read_in_every_form(#[case] yaml: &str, #[case] body: &str, #[case] expected: &[&str]) {
    let mut document: Value = serde_json::from_str(body).unwrap();
    document["access_token"] = Value::from("t");
    assert_eq!(read(yaml, 200, &document.to_string()).unwrap().granted_scopes, expected);
}

#[test]
fn a_scope_with_a_comma_stays_whole_where_it_was_asked_for() {
    let body = response(200, r#"{"access_token":"t","scope":"a,b c"}"#);
    let grant = parse(&oauth2(""), HOST, &body, &["a,b".to_owned()], now()).unwrap();
    assert_eq!(grant.granted_scopes, ["a,b", "c"]);
}

#[test]
fn parts_are_found_where_the_mapping_says() {
    let yaml = "response: {accessToken: /data/0/token, refreshToken: /data/0/again, expiresIn: /data/0/ttl}";
    let body = r#"{"data":[{"token":"t","again":"r","ttl":"60"}]}"#;
    let grant = read(yaml, 200, body).unwrap();
    assert_eq!(grant.access_token.expose_secret(), "t");
    assert_eq!(grant.refresh_token.unwrap().expose_secret(), "r");
    assert_eq!(grant.expires_at, Some("2026-11-24T12:01:00Z".parse().unwrap()));
}

#[rstest]
#[case::empty("")]
#[case::html("<html><body>access_token=t</body></html>")]
#[case::truncated(r#"{"access_token":"t"#)]
#[case::empty_object("{}")]
#[case::list("[]")]
#[case::text("\"access_token=t\"")]
#[case::empty_token(r#"{"access_token":""}"#)]
#[case::number_token(r#"{"access_token":1}"#)]
#[case::nested_token(r#"{"access_token":{"token":"t"}}"#)]
#[case::line_feed_in_token(r#"{"access_token":"a\r\nX-Evil: 1"}"#)]
#[case::not_ascii_token(r#"{"access_token":"é"}"#)]
#[case::form_without_token("token_type=bearer")]
#[case::other_error(r#"{"ok":false,"error":"something_odd"}"#)]
#[case::error_object(r#"{"error":{"code":"invalid_client"}}"#)]
fn an_answer_that_cannot_be_understood_is_asked_for_again(#[case] body: &str) {
    let failure = read("", 200, body).unwrap_err();
    assert_eq!(
        (failure.reason, failure.is_transient()),
        (Reason::AnswerInvalid, true),
        "{}",
        failure.message
    );
    assert!(failure.message.contains(HOST));
}

#[rstest]
#[case(400, "invalid_client", Reason::ClientRejected, false)]
#[case(401, "invalid_client", Reason::ClientRejected, false)]
#[case(400, "unauthorized_client", Reason::ClientRejected, false)]
#[case(403, "access_denied", Reason::ClientRejected, false)]
#[case(400, "invalid_grant", Reason::ReconsentRequired, false)]
#[case(401, "invalid_grant", Reason::ReconsentRequired, false)]
#[case(200, "invalid_grant", Reason::ReconsentRequired, false)]
#[case(400, "invalid_scope", Reason::ScopeRejected, false)]
#[case(400, "invalid_request", Reason::RequestRejected, false)]
#[case(400, "unsupported_grant_type", Reason::RequestRejected, false)]
#[case(400, "invalid_target", Reason::RequestRejected, false)]
#[case(400, "something_odd", Reason::RequestRejected, false)]
#[case(401, "something_odd", Reason::ClientRejected, false)]
#[case(400, "temporarily_unavailable", Reason::ProviderUnavailable, true)]
#[case(400, "server_error", Reason::ProviderUnavailable, true)]
#[case(503, "invalid_grant", Reason::ProviderUnavailable, true)]
#[case(429, "invalid_grant", Reason::RateLimited, true)]
#[case(408, "", Reason::ProviderUnavailable, true)]
fn an_error_code_decides_reason_and_class(
    #[case] status: u16,
    #[case] code: &str,
    #[case] reason: Reason,
    #[case] transient: bool,
) {
    let body = format!(r#"{{"error":"{code}","error_description":"do not repeat s3cret"}}"#);
    let failure = read("", status, &body).unwrap_err();
    assert_eq!((failure.reason, failure.is_transient()), (reason, transient), "{}", failure.message);
    assert!(failure.message.contains(HOST));
    assert!(!failure.message.contains("s3cret"));
    assert!(!failure.message.contains("odd"));
}

#[rstest]
#[case(302, Reason::RequestRejected)]
#[case(400, Reason::RequestRejected)]
#[case(401, Reason::ClientRejected)]
#[case(403, Reason::RequestRejected)]
#[case(404, Reason::RequestRejected)]
fn without_an_error_code_the_status_decides(#[case] status: u16, #[case] reason: Reason) {
    let failure = read("", status, "<html>s3cret</html>").unwrap_err();
    assert_eq!((failure.reason, failure.is_transient()), (reason, false));
    assert!(!failure.message.contains("s3cret"));
}

#[test]
fn a_redirect_is_named_as_one() {
    let failure = read("", 302, "").unwrap_err();
    assert!(failure.message.contains("answered with a redirect, which is never followed"));
}

#[test]
fn a_wait_that_the_provider_asks_for_is_kept() {
    for (status, code) in [(429, ""), (503, ""), (400, "temporarily_unavailable")] {
        let mut answer = response(status, &format!(r#"{{"error":"{code}"}}"#));
        answer.headers.insert("retry-after".into(), "30".into());
        let failure = parse(&oauth2(""), HOST, &answer, &[], now()).unwrap_err();
        assert_eq!(failure.retry_after(), Some(Duration::from_secs(30)), "{status}");
    }
}

#[test]
fn an_error_is_found_where_the_mapping_says() {
    let failure =
        read("response: {error: /fault/code}", 400, r#"{"fault":{"code":"invalid_grant"}}"#).unwrap_err();
    assert_eq!(failure.reason, Reason::ReconsentRequired);
    let failure = read("", 400, "error=invalid_grant&error_description=x").unwrap_err();
    assert_eq!(failure.reason, Reason::ReconsentRequired);
}

#[test]
fn a_message_says_what_happened_where_and_what_to_do() {
    let failure = read("", 401, r#"{"error":"invalid_client"}"#).unwrap_err();
    assert_eq!(
        failure.message,
        "login.example.com:443 rejected the OAuth client (invalid_client, status 401). Check clientId and \
         clientSecret in the Secret named in spec.oauthApp.secretRef, and that the client may use this grant."
    );
}

#[test]
fn a_grant_prints_without_its_tokens() {
    let grant =
        read("", 200, r#"{"access_token":"s3cret","refresh_token":"s3cret","id_token":"s3cret"}"#).unwrap();
    assert!(!format!("{grant:?}").contains("s3cret"));
}

proptest! {
    #[test]
    fn reading_never_panics(status in 100u16..700, body in prop::collection::vec(any::<u8>(), 0..128)) {
        let answer = Response { status, headers: std::collections::BTreeMap::default(), body: zeroize::Zeroizing::new(body) };
        let _ = parse(&oauth2("lifetime: JWT"), HOST, &answer, &requested(), now());
    }

    #[test]
    fn odd_fields_never_panic(
        token in any::<String>(),
        expires in prop_oneof![any::<i64>().prop_map(Value::from), any::<f64>().prop_map(Value::from), any::<String>().prop_map(Value::from)],
        scope in any::<String>(),
        unit in prop::sample::select(vec!["Seconds", "Milliseconds", "UnixSeconds"]),
    ) {
        let body = serde_json::json!({ "access_token": token, "expires_in": expires, "refresh_expires_in": expires, "scope": scope });
        let _ = read(&format!("response: {{expiresUnit: {unit}}}"), 200, &body.to_string());
    }

    #[test]
    fn a_failure_never_repeats_what_the_provider_wrote(status in 100u16..600, marker in "Q[a-z]{8}Z") {
        let body = serde_json::json!({ "error": marker, "error_description": marker });
        if let Err(failure) = read("", status, &body.to_string()) {
            prop_assert!(!failure.message.contains(&marker));
        }
    }
}
