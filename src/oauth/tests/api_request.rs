//! Every byte of verification and account requests.

use rstest::rstest;

use super::*;
use crate::api::AuthType;
use crate::domain::reason::Reason;
use crate::oauth::testing::{definition, wire};

const NEVER: HttpAllowed<'static> = &|_, _| false;

fn secrets(pairs: &[(&str, &str)]) -> BTreeMap<String, SecretString> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), SecretString::from(*value))).collect()
}

fn connector(method: &str, verify: &str) -> Definition {
    definition(&format!(
        "displayName: E\nparameters: [{{name: organization, default: a/b}}]\nauthMethods: [{{{method}}}]\n\
         verify: {{url: 'https://api.example.com/{{organization}}?x=1', {verify}}}\n\
         account: {{url: 'https://api.example.com/a%2Fb?x=1', idPath: /id}}\n"
    ))
}

fn build(definition: &Definition, credential: Credential<'_>) -> Result<Request, BuildFault> {
    let method = definition.method(definition.auth_types()[0]).unwrap();
    let values = definition.resolve(method, &BTreeMap::new()).unwrap();
    verification_request(definition, method, &values, credential, NEVER).map(Option::unwrap)
}

const START: &str = "GET https://api.example.com/a%2Fb?x=1";

#[rstest]
#[case::personal_access_token("type: PersonalAccessToken", "", &[("token", "t")],
    "\nauthorization: Bearer t\naccept: application/json\n")]
#[case::api_key("type: APIKey", "", &[("apiKey", "k")],
    "\nauthorization: Bearer k\naccept: application/json\n")]
#[case::basic("type: Basic", "", &[("username", "Aladdin"), ("password", "open sesame")],
    "\nauthorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\naccept: application/json\n")]
#[case::basic_without_password("type: Basic, parameters: [{name: password, secret: true}]", "", &[("username", "key")],
    "\nauthorization: Basic a2V5Og==\naccept: application/json\n")]
#[case::basic_with_fixed_password("type: Basic, parameters: [{name: password, default: X}]", "", &[("username", "key")],
    "\nauthorization: Basic a2V5Olg=\naccept: application/json\n")]
#[case::own_header("type: APIKey, request: {headers: {X-Api-Key: '{apiKey}', X-Org: 'o {organization}'}}", "", &[("apiKey", "k")],
    "\nx-api-key: k\nx-org: o a/b\naccept: application/json\n")]
#[case::query("type: APIKey, request: {query: {key: '{apiKey}'}}", "", &[("apiKey", "k&l=m #é")],
    "&key=k%26l%3Dm+%23%C3%A9\naccept: application/json\n")]
#[case::optional_header_left_out(
    "type: APIKey, parameters: [{name: extra, secret: true}], request: {headers: {A: '{apiKey}', B: '{extra}'}, query: {c: '{extra}'}}",
    "", &[("apiKey", "k")], "\na: k\naccept: application/json\n")]
#[case::own_accept("type: APIKey", "headers: {accept: text/plain, X-Version: '1'}", &[("apiKey", "k")],
    "\nauthorization: Bearer k\nx-version: 1\naccept: text/plain\n")]
#[case::nothing_needed("type: None", "", &[], "\naccept: application/json\n")]
#[case::values_of_undeclared_names_are_not_taken("type: APIKey, request: {headers: {A: '{apiKey}-{organization}'}}", "",
    &[("apiKey", "k"), ("organization", "evil")], "\na: k-a/b\naccept: application/json\n")]
fn a_static_credential_goes_where_the_method_says(
    #[case] method: &str,
    #[case] verify: &str,
    #[case] given: &[(&str, &str)],
    #[case] expected: &str,
) {
    let given = secrets(given);
    let request = build(&connector(method, verify), Credential::Secrets(&given)).unwrap();
    let mut lines: Vec<String> = wire(&request).lines().map(str::to_owned).collect();
    let mut wanted: Vec<String> = format!("{START}{expected}").lines().map(str::to_owned).collect();
    // The order of headers means nothing.
    lines[1..].sort();
    wanted[1..].sort();
    assert_eq!(lines, wanted);
}

#[test]
fn an_oauth_token_is_a_bearer_token_by_default() {
    let definition =
        connector("type: OAuth2ClientCredentials, oauth2: {tokenURL: 'https://api.example.com/token'}", "");
    let token = SecretString::from("t");
    let request = build(&definition, Credential::AccessToken(&token)).unwrap();
    assert_eq!(wire(&request), format!("{START}\nauthorization: Bearer t\naccept: application/json\n"));
    assert_eq!(request.purpose, Purpose::Verify);
}

#[test]
fn an_oauth_token_goes_where_the_method_says() {
    let definition = connector(
        "type: OAuth2ClientCredentials, oauth2: {tokenURL: 'https://api.example.com/token'}, \
         request: {query: {access_token: '{accessToken}'}}",
        "",
    );
    let token = SecretString::from("t");
    let request = build(&definition, Credential::AccessToken(&token)).unwrap();
    assert_eq!(wire(&request), format!("{START}&access_token=t\naccept: application/json\n"));
}

#[rstest]
#[case::graph_query(r#"{"query": "{ me { id } }"}"#, "application/json", r#"{"query": "{ me { id } }"}"#)]
#[case::json_value(r#"{"k": "{apiKey}"}"#, "application/json", r#"{"k": "a\"&b"}"#)]
#[case::form("k={apiKey}&o={organization}", "application/x-www-form-urlencoded", "k=a%22%26b&o=a%2Fb")]
fn a_body_is_json_or_a_form(#[case] body: &str, #[case] content_type: &str, #[case] expected: &str) {
    let definition = connector("type: APIKey", &format!("method: POST, body: '{body}'"));
    let given = secrets(&[("apiKey", "a\"&b")]);
    let request = build(&definition, Credential::Secrets(&given)).unwrap();
    let wire = wire(&request);
    assert!(wire.starts_with("POST "));
    assert!(wire.contains(&format!("\ncontent-type: {content_type}\n")), "{wire}");
    assert!(wire.ends_with(&format!("\n\n{expected}")), "{wire}");
}

#[rstest]
#[case::missing("type: APIKey", &[], "the credential \"apiKey\" is missing or empty; put it into the Secret named in spec.credentials.secretRef")]
#[case::empty("type: APIKey", &[("apiKey", "")], "the credential \"apiKey\" is missing or empty; put it into the Secret named in spec.credentials.secretRef")]
#[case::line_feed("type: APIKey", &[("apiKey", "k\n")], "the credential cannot be sent: the value of \"apiKey\" must be printable ASCII to stand in a header; look for a line feed at its end")]
#[case::colon("type: Basic", &[("username", "a:b"), ("password", "c")], "the user name must have no colon and, like the password, no control characters")]
#[case::password_line_feed("type: Basic", &[("username", "a"), ("password", "c\n")], "the user name must have no colon and, like the password, no control characters")]
#[case::user_missing("type: Basic", &[("password", "c")], "the credential \"username\" is missing or empty; put it into the Secret named in spec.credentials.secretRef")]
fn a_credential_that_cannot_be_sent_is_explained(
    #[case] method: &str,
    #[case] given: &[(&str, &str)],
    #[case] message: &str,
) {
    let given = secrets(given);
    let failure = build(&connector(method, ""), Credential::Secrets(&given)).unwrap_err().failure();
    assert_eq!((failure.reason, failure.message.as_str()), (Reason::CredentialsMissing, message));
}

#[test]
fn an_undeclared_request_is_none() {
    let definition = definition("{displayName: E, authMethods: [{type: APIKey}]}");
    let method = definition.method(AuthType::APIKey).unwrap();
    let values = definition.resolve(method, &BTreeMap::new()).unwrap();
    let given = secrets(&[("apiKey", "k")]);
    let credential = Credential::Secrets(&given);
    assert!(verification_request(&definition, method, &values, credential, NEVER).unwrap().is_none());
    assert!(account_request(&definition, method, &values, credential, NEVER).unwrap().is_none());
}

#[test]
fn requests_that_differ_only_in_purpose_are_the_same() {
    let given = secrets(&[("apiKey", "k")]);
    let other = secrets(&[("apiKey", "l")]);
    let both = |definition: &Definition, secrets| {
        let method = definition.method(AuthType::APIKey).unwrap();
        let values = definition.resolve(method, &BTreeMap::new()).unwrap();
        let credential = Credential::Secrets(secrets);
        let verify = verification_request(definition, method, &values, credential, NEVER).unwrap().unwrap();
        let account = account_request(definition, method, &values, credential, NEVER).unwrap().unwrap();
        (verify, account)
    };
    let alike = connector("type: APIKey", "");
    let (verify, account) = both(&alike, &given);
    assert_eq!(account.purpose, Purpose::Account);
    assert!(same_request(&verify, &account));
    assert!(!same_request(&verify, &both(&alike, &other).1));
    let (verify, account) = both(&connector("type: APIKey", "headers: {X-Version: '1'}"), &given);
    assert!(!same_request(&verify, &account));
    let (verify, account) = both(&connector("type: APIKey", "method: POST"), &given);
    assert!(!same_request(&verify, &account));
}

#[test]
fn nothing_prints_a_credential() {
    let given = secrets(&[("apiKey", "s3cret")]);
    let credential = Credential::Secrets(&given);
    let definition = connector("type: APIKey, request: {query: {k: '{apiKey}'}}", "");
    let request = build(&definition, credential).unwrap();
    assert!(!format!("{credential:?} {request:?}").contains("s3cret"));
}
