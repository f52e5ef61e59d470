//! Every byte of token, refresh and revocation requests.

use std::collections::BTreeMap;

use rstest::rstest;

use super::*;
use crate::api::AuthType;
use crate::catalogue::Definition;
use crate::domain::reason::Reason;
use crate::oauth::testing::{definition, wire};

const NEVER: HttpAllowed<'static> = &|_, _| false;

fn connector(oauth2: &str) -> Definition {
    definition(&format!(
        "displayName: E\nparameters: [{{name: audience, default: a&b}}, {{name: tenant}}]\nauthMethods:\n\
         - type: OAuth2ClientCredentials\n  oauth2: {{tokenURL: 'https://login.example.com/token', {oauth2}}}\n"
    ))
}

fn client() -> ClientCredentials {
    ClientCredentials { id: "my client".into(), secret: Some(SecretString::from("s:e c+r/é")) }
}

fn scopes() -> Vec<String> {
    vec!["read".into(), "write".into()]
}

fn client_credentials(oauth2: &str, client: &ClientCredentials) -> Result<Request, BuildFault> {
    let definition = connector(oauth2);
    let method = definition.method(AuthType::OAuth2ClientCredentials).unwrap();
    let values = definition.resolve(method, &BTreeMap::new()).unwrap();
    client_credentials_request(method, &values, client, &scopes(), NEVER)
}

#[rstest]
#[case::basic_is_form_encoded_first(
    "",
    "POST https://login.example.com/token\naccept: application/json\n\
     authorization: Basic bXkrY2xpZW50OnMlM0FlK2MlMkJyJTJGJUMzJUE5\n\
     content-type: application/x-www-form-urlencoded\n\n\
     grant_type=client_credentials&scope=read+write"
)]
#[case::body(
    "clientAuthentication: Body",
    "POST https://login.example.com/token\naccept: application/json\n\
     content-type: application/x-www-form-urlencoded\n\n\
     grant_type=client_credentials&scope=read+write&client_id=my+client&client_secret=s%3Ae+c%2Br%2F%C3%A9"
)]
#[case::public_client(
    "clientAuthentication: None",
    "POST https://login.example.com/token\naccept: application/json\n\
     content-type: application/x-www-form-urlencoded\n\n\
     grant_type=client_credentials&scope=read+write&client_id=my+client"
)]
#[case::json(
    "clientAuthentication: Body, requestFormat: JSON",
    "POST https://login.example.com/token\naccept: application/json\ncontent-type: application/json\n\n\
     {\"grant_type\":\"client_credentials\",\"scope\":\"read write\",\"client_id\":\"my client\",\"client_secret\":\"s:e c+r/é\"}"
)]
#[case::query(
    "requestFormat: Query, requestMethod: GET, clientAuthentication: None",
    "GET https://login.example.com/token?grant_type=client_credentials&scope=read+write&client_id=my+client\n\
     accept: application/json\n"
)]
#[case::comma_scopes(
    "clientAuthentication: None, scopes: {separator: ','}",
    "POST https://login.example.com/token\naccept: application/json\n\
     content-type: application/x-www-form-urlencoded\n\n\
     grant_type=client_credentials&scope=read%2Cwrite&client_id=my+client"
)]
#[case::own_parameters_win_and_optional_ones_are_left_out(
    "clientAuthentication: None, tokenParameters: {audience: '{audience}', grant_type: account, \
     tenant: '{tenant}', key: '{clientId}'}",
    "POST https://login.example.com/token\naccept: application/json\n\
     content-type: application/x-www-form-urlencoded\n\n\
     grant_type=account&scope=read+write&client_id=my+client&audience=a%26b&key=my+client"
)]
fn a_client_credentials_request_is_exactly_this(#[case] oauth2: &str, #[case] expected: &str) {
    assert_eq!(wire(&client_credentials(oauth2, &client()).unwrap()), expected);
}

#[test]
fn without_scopes_none_are_asked_for() {
    let definition = connector("clientAuthentication: None");
    let method = definition.method(AuthType::OAuth2ClientCredentials).unwrap();
    let values = definition.resolve(method, &BTreeMap::new()).unwrap();
    let request = client_credentials_request(method, &values, &client(), &[], NEVER).unwrap();
    assert!(wire(&request).ends_with("\n\ngrant_type=client_credentials&client_id=my+client"));
}

#[rstest]
#[case::secret_missing("", "id", None, Reason::ClientCredentialsMissing)]
#[case::secret_missing_in_body("clientAuthentication: Body", "id", None, Reason::ClientCredentialsMissing)]
#[case::line_feed("", "id", Some("secret\n"), Reason::ClientCredentialsMissing)]
#[case::empty_id("", "", Some("secret"), Reason::ClientCredentialsMissing)]
#[case::empty_secret("", "id", Some(""), Reason::ClientCredentialsMissing)]
#[case::assertion("clientAuthentication: PrivateKeyJWT", "id", Some("s"), Reason::AuthTypeNotAvailable)]
#[case::certificate("clientAuthentication: ClientCertificate", "id", Some("s"), Reason::AuthTypeNotAvailable)]
fn a_client_that_cannot_prove_itself_gets_no_request(
    #[case] oauth2: &str,
    #[case] id: &str,
    #[case] secret: Option<&str>,
    #[case] reason: Reason,
) {
    let client = ClientCredentials { id: id.into(), secret: secret.map(SecretString::from) };
    let failure = client_credentials(oauth2, &client).unwrap_err().failure();
    assert_eq!(failure.reason, reason);
    assert!(!failure.is_transient());
}

#[test]
fn a_refresh_goes_to_its_own_address_with_its_own_parameters() {
    let definition = connector(
        "refreshURL: 'https://refresh.example.com/again', tokenParameters: {a: b}, \
         refreshParameters: {old: '{refreshToken}', audience: '{audience}'}",
    );
    let method = definition.method(AuthType::OAuth2ClientCredentials).unwrap();
    let values = definition.resolve(method, &BTreeMap::new()).unwrap();
    let request = refresh_request(method, &values, &client(), &SecretString::from("r t"), NEVER).unwrap();
    assert_eq!(request.purpose, Purpose::Token);
    assert_eq!(
        wire(&request),
        "POST https://refresh.example.com/again\naccept: application/json\n\
         authorization: Basic bXkrY2xpZW50OnMlM0FlK2MlMkJyJTJGJUMzJUE5\n\
         content-type: application/x-www-form-urlencoded\n\n\
         grant_type=refresh_token&refresh_token=r+t&audience=a%26b&old=r+t"
    );
}

#[test]
fn a_refresh_goes_to_the_token_endpoint_where_nothing_else_is_said() {
    let definition = connector("clientAuthentication: None");
    let method = definition.method(AuthType::OAuth2ClientCredentials).unwrap();
    let values = definition.resolve(method, &BTreeMap::new()).unwrap();
    let public = ClientCredentials { id: "id".into(), secret: None };
    let request = refresh_request(method, &values, &public, &SecretString::from("r"), NEVER).unwrap();
    assert_eq!(request.url.as_str(), "https://login.example.com/token");
    assert!(wire(&request).ends_with("\n\ngrant_type=refresh_token&refresh_token=r&client_id=id"));
}

#[test]
fn a_revocation_names_token_and_kind() {
    let definition = connector("revokeURL: 'https://login.example.com/revoke', requestFormat: JSON");
    let method = definition.method(AuthType::OAuth2ClientCredentials).unwrap();
    let values = definition.resolve(method, &BTreeMap::new()).unwrap();
    let token = SecretString::from("t&1");
    let request =
        revocation_request(method, &values, &client(), &token, TokenKind::Refresh, NEVER).unwrap().unwrap();
    assert_eq!(request.purpose, Purpose::Revoke);
    assert_eq!(
        wire(&request),
        "POST https://login.example.com/revoke\naccept: application/json\n\
         authorization: Basic bXkrY2xpZW50OnMlM0FlK2MlMkJyJTJGJUMzJUE5\n\
         content-type: application/x-www-form-urlencoded\n\ntoken=t%261&token_type_hint=refresh_token"
    );
}

#[test]
fn without_a_revocation_endpoint_there_is_no_revocation() {
    let definition = connector("");
    let method = definition.method(AuthType::OAuth2ClientCredentials).unwrap();
    let values = definition.resolve(method, &BTreeMap::new()).unwrap();
    let token = SecretString::from("t");
    let request = revocation_request(method, &values, &client(), &token, TokenKind::Access, NEVER).unwrap();
    assert!(request.is_none());
}

#[test]
fn plain_http_is_refused_with_the_host_alone() {
    let definition = definition(
        "{displayName: E, authMethods: [{type: OAuth2ClientCredentials, oauth2: {tokenURL: 'http://demo:8080/secret-path'}}]}",
    );
    let method = definition.method(AuthType::OAuth2ClientCredentials).unwrap();
    let values = definition.resolve(method, &BTreeMap::new()).unwrap();
    let failure = client_credentials_request(method, &values, &client(), &[], NEVER).unwrap_err().failure();
    assert_eq!(failure.reason, Reason::EgressDenied);
    assert_eq!(
        failure.message,
        "the address of the token request is refused: must be https: plain http to demo:8080 is not among the \
         allowed exceptions"
    );
    let exception: HttpAllowed<'_> = &|host, port| host == "demo" && port == 8080;
    assert!(client_credentials_request(method, &values, &client(), &[], exception).is_ok());
}

#[test]
fn nothing_prints_a_secret() {
    let request = client_credentials("clientAuthentication: Body", &client()).unwrap();
    let printed = format!("{request:?} {:?}", client());
    assert!(!printed.contains("s:e"), "{printed}");
}

#[test]
fn s46_a_code_is_redeemed_with_its_verifier_and_the_very_redirect_address() {
    let definition = definition(
        "displayName: E\nauthMethods:\n- type: OAuth2AuthorizationCode\n  oauth2: {authorizeURL: \
         'https://login.example.com/authorize', tokenURL: 'https://login.example.com/token'}\n",
    );
    let method = definition.method(AuthType::OAuth2BringYourOwnApp).unwrap();
    let values = definition.resolve(method, &BTreeMap::new()).unwrap();
    let client = ClientCredentials { id: "web".into(), secret: Some("secret".into()) };
    let redirect_uri = "https://liaison.example/callback/crm";
    let code = SecretString::from("a/b+c");
    let verifier = SecretString::from("the-verifier");
    let request = |verifier| {
        wire(&code_request(method, &values, &client, &code, redirect_uri, verifier, NEVER).unwrap())
    };
    let start = "POST https://login.example.com/token\naccept: application/json\n\
                 authorization: Basic d2ViOnNlY3JldA==\ncontent-type: application/x-www-form-urlencoded\n\n\
                 grant_type=authorization_code&code=a%2Fb%2Bc\
                 &redirect_uri=https%3A%2F%2Fliaison.example%2Fcallback%2Fcrm";
    assert_eq!(request(Some(&verifier)), format!("{start}&code_verifier=the-verifier"));
    assert_eq!(request(None), start);
}
