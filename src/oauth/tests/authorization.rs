//! The authorization request in full, and answers as providers and attackers send them.

use std::collections::BTreeMap;

use rstest::rstest;

use super::*;
use crate::api::AuthType;
use crate::oauth::testing::definition;

fn url(oauth2: &str, scopes: &[&str]) -> Result<Url, BuildFault> {
    let definition = definition(&format!(
        "displayName: E\nparameters: [{{name: team, default: a&b}}, {{name: hint}}]\nauthMethods:\n\
         - type: OAuth2AuthorizationCode\n  oauth2: {{tokenURL: 'https://login.example.com/token', {oauth2}}}\n"
    ));
    let method = definition.method(AuthType::OAuth2AuthorizationCode).unwrap();
    let values = definition.resolve(method, &BTreeMap::new()).unwrap();
    let attempt = Attempt {
        state: "the-state".into(),
        nonce: "the-nonce".into(),
        // RFC 7636, appendix B.
        verifier: uses_pkce(method).then(|| "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".into()),
    };
    let scopes: Vec<String> = scopes.iter().map(|&scope| scope.to_owned()).collect();
    let redirect_uri = "https://liaison.example/callback/crm";
    authorization_url(method, &values, "web client", &scopes, redirect_uri, &attempt, &|_, _| false)
}

const PLAIN: &str = "authorizeURL: 'https://login.example.com/authorize'";

#[test]
fn a_request_carries_state_challenge_and_the_exact_redirect_address() {
    assert_eq!(
        url(PLAIN, &["read", "write"]).unwrap().as_str(),
        "https://login.example.com/authorize?response_type=code&client_id=web+client\
         &redirect_uri=https%3A%2F%2Fliaison.example%2Fcallback%2Fcrm&scope=read+write&state=the-state\
         &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256"
    );
}

#[rstest]
#[case::openid_sends_a_nonce(PLAIN, &["openid"], "nonce=the-nonce", true)]
#[case::others_do_not(PLAIN, &["read"], "nonce", false)]
#[case::pkce_off("pkce: 'Off', authorizeURL: 'https://login.example.com/authorize'", &[], "code_challenge", false)]
#[case::no_scopes_no_parameter(PLAIN, &[], "scope=", false)]
#[case::separator("scopes: {separator: ','}, authorizeURL: 'https://login.example.com/authorize'", &["a", "b"], "scope=a%2Cb", true)]
#[case::the_connectors_own("authorizeParameters: {team: '{team}', hint: '{hint}'}, authorizeURL: 'https://login.example.com/authorize'", &[], "team=a%26b", true)]
#[case::what_is_not_given_is_left_out("authorizeParameters: {hint: '{hint}'}, authorizeURL: 'https://login.example.com/authorize'", &[], "hint", false)]
#[case::a_query_of_the_address_stays("authorizeURL: 'https://login.example.com/authorize?prompt=consent'", &[], "prompt=consent", true)]
#[case::ours_win("authorizeURL: 'https://login.example.com/authorize?state=fixed&redirect_uri=x'", &[], "fixed", false)]
fn a_request_holds(#[case] oauth2: &str, #[case] scopes: &[&str], #[case] text: &str, #[case] there: bool) {
    let url = url(oauth2, scopes).unwrap();
    assert_eq!(url.as_str().contains(text), there, "{url}");
    let states = url.query_pairs().filter(|(name, _)| name == "state").count();
    assert_eq!(states, 1);
}

#[test]
fn a_code_or_an_error_is_read_with_its_state_and_issuer() {
    let answer =
        parse_callback("code=abc&state=s&iss=https%3A%2F%2Flogin.example.com&session_state=x").unwrap();
    assert_eq!(answer.outcome.unwrap().expose_secret(), "abc");
    assert_eq!((answer.state.as_str(), answer.issuer.as_deref()), ("s", Some("https://login.example.com")));

    let answer = parse_callback("error=access_denied&error_description=no+%3Cscript%3E&state=s").unwrap();
    let error = answer.outcome.unwrap_err();
    assert_eq!((error.code.as_str(), error.description.as_deref()), ("access_denied", Some("no <script>")));
}

#[rstest]
#[case::two_codes("code=a&code=b&state=s", CallbackFault::Repeated)]
#[case::two_states("code=a&state=s&state=t", CallbackFault::Repeated)]
#[case::two_issuers("code=a&state=s&iss=x&iss=y", CallbackFault::Repeated)]
#[case::both("code=a&error=b&state=s", CallbackFault::Incomplete)]
#[case::neither("state=s", CallbackFault::Incomplete)]
#[case::empty_code("code=&state=s", CallbackFault::Incomplete)]
#[case::no_state("code=a", CallbackFault::StateMissing)]
#[case::empty_state("code=a&state=", CallbackFault::StateMissing)]
#[case::nothing("", CallbackFault::Incomplete)]
fn answers_that_no_provider_sends_are_refused(#[case] query: &str, #[case] fault: CallbackFault) {
    assert_eq!(parse_callback(query).unwrap_err(), fault);
}

#[test]
fn an_endless_part_is_refused() {
    let query = format!("code={}&state=s", "a".repeat(PART_LIMIT + 1));
    assert_eq!(parse_callback(&query).unwrap_err(), CallbackFault::TooLong);
}

#[rstest]
#[case(IssuerCheck::Required, Some("https://a"), Some("https://a"), true)]
#[case(IssuerCheck::Required, Some("https://a"), Some("https://a/"), false)]
#[case(IssuerCheck::Required, Some("https://a"), Some("https://b"), false)]
#[case(IssuerCheck::Required, Some("https://a"), None, false)]
#[case(IssuerCheck::Required, None, Some("https://a"), false)]
#[case(IssuerCheck::IfPresent, Some("https://a"), None, true)]
#[case(IssuerCheck::IfPresent, Some("https://a"), Some("https://a"), true)]
#[case(IssuerCheck::IfPresent, Some("https://a"), Some("https://A"), false)]
#[case(IssuerCheck::IfPresent, None, Some("https://a"), true)]
#[case(IssuerCheck::Off, Some("https://a"), Some("https://b"), true)]
fn an_issuer_is_compared_as_text(
    #[case] check: IssuerCheck,
    #[case] expected: Option<&str>,
    #[case] claimed: Option<&str>,
    #[case] believed: bool,
) {
    assert_eq!(is_from(check, expected, claimed), believed);
}

#[test]
fn an_attempt_and_an_answer_print_without_their_secrets() {
    let attempt = Attempt { state: "s3".into(), nonce: "n3".into(), verifier: Some("v3".into()) };
    let answer = parse_callback("code=c3&state=t").unwrap();
    let printed = format!("{attempt:?} {answer:?}");
    assert!(["s3", "n3", "v3", "c3"].iter().all(|secret| !printed.contains(secret)), "{printed}");
}
