//! Where metadata is asked for, and every document that is not believed.

use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::oauth::testing::{response, wire};

const NEVER: HttpAllowed<'static> = &|_, _| false;
const ISSUER: &str = "https://login.example.com/tenant";
const HOST: &str = "login.example.com:443";

fn now() -> Timestamp {
    "2026-11-24T12:00:00.5Z".parse().unwrap()
}

fn document() -> Value {
    json!({
        "issuer": ISSUER,
        "authorization_endpoint": "https://login.example.com/tenant/authorize",
        "token_endpoint": "https://login.example.com/tenant/token",
        "revocation_endpoint": "https://login.example.com/tenant/revoke",
        "introspection_endpoint": "https://login.example.com/tenant/introspect",
        "authorization_response_iss_parameter_supported": true,
        "response_types_supported": ["code"],
    })
}

fn parsed(document: &Value) -> Result<IssuerMetadata, String> {
    let answer = response(200, &document.to_string());
    parse_metadata(ISSUER, HOST, &answer, NEVER, now()).map_err(|failure| failure.message)
}

#[rstest]
#[case(
    "https://a.example.com",
    "https://a.example.com/.well-known/openid-configuration",
    "https://a.example.com/.well-known/oauth-authorization-server"
)]
#[case(
    "https://a.example.com/",
    "https://a.example.com/.well-known/openid-configuration",
    "https://a.example.com/.well-known/oauth-authorization-server"
)]
#[case(
    "https://a.example.com:8443/one/two",
    "https://a.example.com:8443/one/two/.well-known/openid-configuration",
    "https://a.example.com:8443/.well-known/oauth-authorization-server/one/two"
)]
#[case(
    "https://a.example.com/one/",
    "https://a.example.com/one/.well-known/openid-configuration",
    "https://a.example.com/.well-known/oauth-authorization-server/one"
)]
fn metadata_is_asked_for_below_and_beside_the_issuer(
    #[case] issuer: &str,
    #[case] openid: &str,
    #[case] oauth: &str,
) {
    let requests = metadata_requests(issuer, NEVER).unwrap();
    let expected = |address: &str| format!("GET {address}\naccept: application/json\n");
    assert_eq!(requests.each_ref().map(wire), [openid, oauth].map(expected));
    assert!(requests.iter().all(|request| request.purpose == Purpose::Metadata));
}

#[rstest]
#[case("http://a.example.com")]
#[case("https://user@a.example.com")]
#[case("https://a.example.com/{t}")]
#[case("a.example.com")]
fn nothing_is_asked_of_an_issuer_that_is_no_plain_address(#[case] issuer: &str) {
    assert!(matches!(
        metadata_requests(issuer, NEVER),
        Err(BuildFault::Address { purpose: Purpose::Metadata, .. })
    ));
}

#[test]
fn plain_http_needs_an_exception_for_the_issuer_and_for_each_endpoint() {
    let allowed: HttpAllowed<'_> = &|host, port| (host, port) == ("127.0.0.1", 8080);
    assert!(metadata_requests("http://127.0.0.1:8080", allowed).is_ok());
    let mut document = document();
    document["token_endpoint"] = "http://127.0.0.1:8080/token".into();
    assert!(parsed(&document).unwrap_err().contains("plain http to 127.0.0.1:8080"));
    let answer = response(200, &document.to_string());
    assert!(parse_metadata(ISSUER, HOST, &answer, allowed, now()).is_ok());
}

#[test]
fn a_document_gives_the_endpoints_and_what_it_leaves_out_stays_out() {
    let metadata = parsed(&document()).unwrap();
    assert_eq!(metadata.issuer, ISSUER);
    assert_eq!(metadata.authorization_endpoint, "https://login.example.com/tenant/authorize");
    assert_eq!(metadata.token_endpoint, "https://login.example.com/tenant/token");
    assert_eq!(metadata.revocation_endpoint.as_deref(), Some("https://login.example.com/tenant/revoke"));
    assert_eq!(metadata.time.0.to_string(), "2026-11-24T12:00:00Z");

    let mut small = document();
    for name in ["revocation_endpoint", "introspection_endpoint"] {
        small.as_object_mut().unwrap().remove(name);
    }
    let metadata = parsed(&small).unwrap();
    assert_eq!((metadata.revocation_endpoint, metadata.introspection_endpoint), (None, None));
}

#[rstest]
#[case::another_issuer("issuer", json!("https://evil.example.com"), "is not that of the connector's issuer")]
#[case::a_slash_more("issuer", json!("https://login.example.com/tenant/"), "is not that of the connector's issuer")]
#[case::case_counts("issuer", json!("https://LOGIN.example.com/tenant"), "is not that of the connector's issuer")]
#[case::no_issuer("issuer", Value::Null, "is not that of the connector's issuer")]
#[case::no_authorization("authorization_endpoint", Value::Null, "names no authorization_endpoint")]
#[case::no_token("token_endpoint", Value::Null, "names no token_endpoint")]
#[case::http("token_endpoint", json!("http://login.example.com/token"), "token_endpoint in the metadata of login.example.com:443 must be https")]
#[case::other_scheme("authorization_endpoint", json!("javascript:alert(1)"), "must start with https://")]
#[case::user("token_endpoint", json!("https://user:s3cret@login.example.com/token"), "must not have a user name")]
#[case::fragment("authorization_endpoint", json!("https://login.example.com/a#b"), "must not have a fragment")]
#[case::braces("authorization_endpoint", json!("https://login.example.com/{tenant}"), "must be printable ASCII")]
#[case::dots("token_endpoint", json!("https://login.example.com/a/../token"), "as a segment of its path")]
#[case::spaces("token_endpoint", json!("https://login.example.com/ token"), "must be printable ASCII")]
#[case::empty("token_endpoint", json!(""), "must start with https://")]
#[case::optional_http("revocation_endpoint", json!("http://login.example.com/revoke"), "revocation_endpoint in the metadata")]
#[case::optional_user("introspection_endpoint", json!("https://a@login.example.com/"), "introspection_endpoint in the metadata")]
#[case::huge("token_endpoint", json!(format!("https://login.example.com/{}", "a".repeat(2048))), "is longer than 2048")]
#[case::no_iss(
    "authorization_response_iss_parameter_supported",
    Value::Null,
    "does not say that answers name their issuer"
)]
#[case::iss_off("authorization_response_iss_parameter_supported", json!(false), "does not say that answers name their issuer")]
#[case::iss_as_text("authorization_response_iss_parameter_supported", json!("true"), "is no metadata of an issuer")]
#[case::a_list("token_endpoint", json!(["https://login.example.com/token"]), "is no metadata of an issuer")]
fn a_document_with_a_fault_is_not_believed(#[case] member: &str, #[case] value: Value, #[case] fault: &str) {
    let mut document = document();
    document[member] = value;
    let message = parsed(&document).unwrap_err();
    assert!(message.contains(fault) && message.contains(HOST), "{message}");
    assert!(message.contains("dministrator"), "{message}");
    assert!(!message.contains("evil") && !message.contains("s3cret"), "{message}");
}

#[rstest]
#[case::html("<!doctype html><title>Sign in</title>")]
#[case::nothing("")]
#[case::null("null")]
#[case::list("[]")]
#[case::half("{\"issuer\": \"https://login.example.com/tenant\"")]
#[case::twice(
    "{\"issuer\": \"https://login.example.com/tenant\", \"issuer\": \"https://login.example.com/tenant\"}"
)]
fn what_is_no_document_is_not_believed(#[case] body: &str) {
    let failure = parse_metadata(ISSUER, HOST, &response(200, body), NEVER, now()).unwrap_err();
    assert!(failure.message.contains("is no metadata of an issuer"), "{}", failure.message);
}

#[rstest]
#[case::redirect(302, "redirect, which is never followed (status 302)", false)]
#[case::permanent_redirect(308, "redirect, which is never followed (status 308)", false)]
#[case::absent(404, "has no metadata for the connector's issuer (status 404)", false)]
#[case::forbidden(403, "refused the request for its metadata (status 403)", false)]
#[case::no_content(204, "refused the request for its metadata (status 204)", false)]
#[case::broken(503, "answered with status 503", true)]
#[case::throttled(429, "asks for fewer requests", true)]
fn only_a_status_of_200_brings_metadata(#[case] status: u16, #[case] text: &str, #[case] may_pass: bool) {
    let answer = response(status, &document().to_string());
    let failure = parse_metadata(ISSUER, HOST, &answer, NEVER, now()).unwrap_err();
    assert!(failure.message.starts_with(HOST) && failure.message.contains(text), "{}", failure.message);
    assert_eq!((failure.is_transient(), is_absent(&answer)), (may_pass, status == 404));
}
