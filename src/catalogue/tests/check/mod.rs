//! The linter over whole descriptions: what is accepted, what each fault says, and what the definition answers.

mod faults;
mod shared_redirect;

use std::collections::BTreeMap;

use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::api::AuthType;
use crate::catalogue::address::HttpAllowed;
use crate::catalogue::method::SecretNames;

const NEVER: HttpAllowed<'static> = &|_, _| false;

fn spec(yaml: &str) -> ConnectorSpec {
    serde_yaml::from_str(yaml).unwrap()
}

fn faults(yaml: &str) -> Vec<String> {
    check(&spec(yaml)).unwrap_err().iter().map(ToString::to_string).collect()
}

fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

const FULL: &str = r#"
displayName: Example
documentationURL: https://docs.example.com/apps
baseURL: https://{organization}.example.com/api
redirect: PerConnection
parameters:
- {name: organization, required: true, pattern: "[a-z]+"}
- {name: audience, default: main}
authMethods:
- type: OAuth2AuthorizationCode
  oauth2:
    authorizeURL: https://{organization}.example.com/authorize
    tokenURL: https://{organization}.example.com/token
    revokeURL: https://{organization}.example.com/revoke
    tokenParameters: {audience: "{audience}", id: "{clientId}"}
    refreshParameters: {also: "{refreshToken}"}
- type: OAuth2ClientCredentials
  oauth2: {tokenURL: "https://{organization}.example.com/token", refreshURL: "https://login.example.com/refresh"}
- type: PersonalAccessToken
- type: APIKey
  parameters: [{name: key, required: true, secret: true}, {name: region, secret: true}]
  request: {headers: {X-Key: "{key}"}, query: {k: "{key}"}}
- type: Basic
  parameters: [{name: password, default: X}]
account: {url: "https://{organization}.example.com/me", idPath: /id, namePath: /name}
verify:
  url: https://{organization}.example.com/me
  success: response.status == 200 && response.body.ok
"#;

#[test]
fn a_description_without_faults_becomes_a_definition() {
    let definition = check(&spec(FULL)).unwrap();
    assert_eq!(definition.display_name(), "Example");
    assert_eq!(definition.documentation_url(), Some("https://docs.example.com/apps"));
    assert_eq!(
        definition.auth_types(),
        [
            AuthType::OAuth2AuthorizationCode,
            AuthType::OAuth2BringYourOwnApp,
            AuthType::OAuth2ClientCredentials,
            AuthType::PersonalAccessToken,
            AuthType::APIKey,
            AuthType::Basic
        ]
    );
    assert!(definition.declares_verification());
    assert!(definition.declares_account());
    assert!(definition.method(AuthType::JWTBearer).is_none());
    let own_app = definition.method(AuthType::OAuth2BringYourOwnApp).unwrap();
    assert_eq!(own_app.auth_type(), AuthType::OAuth2BringYourOwnApp);
    assert!(definition.declares_revocation(own_app));
    assert!(!definition.declares_revocation(definition.method(AuthType::Basic).unwrap()));
}

#[rstest]
#[case(AuthType::OAuth2ClientCredentials, &[], &[])]
#[case(AuthType::PersonalAccessToken, &["token"], &[])]
#[case(AuthType::APIKey, &["key"], &["region"])]
#[case(AuthType::Basic, &["username"], &[])]
fn secrets_are_the_declared_ones_or_those_of_the_type(
    #[case] auth_type: AuthType,
    #[case] required: &[&str],
    #[case] optional: &[&str],
) {
    let definition = check(&spec(FULL)).unwrap();
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(
        definition.method(auth_type).unwrap().secret_names(),
        SecretNames { required: owned(required), optional: owned(optional) }
    );
}

#[test]
fn targets_are_every_place_a_credential_goes_to() {
    let definition = check(&spec(FULL)).unwrap();
    let targets = |auth_type| {
        let method = definition.method(auth_type).unwrap();
        let values = definition.resolve(method, &values(&[("organization", "acme")])).unwrap();
        let targets = definition.targets(method, &values, NEVER).unwrap();
        targets.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        targets(AuthType::OAuth2AuthorizationCode),
        [
            "authorize https://acme.example.com:443",
            "token https://acme.example.com:443",
            "revoke https://acme.example.com:443",
            "verify https://acme.example.com:443",
            "account https://acme.example.com:443",
            "api https://acme.example.com:443",
        ]
    );
    assert_eq!(
        targets(AuthType::OAuth2ClientCredentials),
        [
            "token https://acme.example.com:443",
            "token https://login.example.com:443",
            "verify https://acme.example.com:443",
            "account https://acme.example.com:443",
            "api https://acme.example.com:443",
        ]
    );
}

#[test]
fn plain_http_is_refused_where_requests_go_without_an_exception() {
    let definition =
        check(&spec("{displayName: E, baseURL: 'http://demo:8080/api', authMethods: [{type: None}]}"))
            .unwrap();
    let method = definition.method(AuthType::None).unwrap();
    let none = definition.resolve(method, &BTreeMap::new()).unwrap();
    assert!(definition.targets(method, &none, NEVER).is_err());
    let exception: HttpAllowed<'_> = &|host, port| host == "demo" && port == 8080;
    assert_eq!(definition.targets(method, &none, exception).unwrap()[0].to_string(), "api http://demo:8080");
    assert_eq!(definition.base_url(&none).unwrap().as_deref(), Some("http://demo:8080/api"));
}

#[test]
fn the_base_address_is_written_as_in_the_template() {
    let definition = check(&spec(FULL)).unwrap();
    let method = definition.method(AuthType::APIKey).unwrap();
    let values = definition.resolve(method, &values(&[("organization", "acme")])).unwrap();
    assert_eq!(definition.base_url(&values).unwrap().as_deref(), Some("https://acme.example.com/api"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn checking_never_panics(text in "(https?://)?[{}a-z/:.?#\\PC]{0,32}", which in 0usize..12) {
        let mut spec = spec(FULL);
        let place = match which {
            0 => &mut spec.display_name,
            1 => spec.base_url.as_mut().unwrap(),
            2 => &mut spec.parameters[0].name,
            3 => spec.parameters[0].pattern.as_mut().unwrap(),
            4 => spec.parameters[1].default.as_mut().unwrap(),
            5 => &mut spec.auth_methods[0].oauth2.as_mut().unwrap().token_url.as_mut().unwrap(),
            6 => spec.auth_methods[0].oauth2.as_mut().unwrap().token_parameters.get_mut("audience").unwrap(),
            7 => spec.auth_methods[3].request.as_mut().unwrap().headers.get_mut("X-Key").unwrap(),
            8 => spec.auth_methods[3].request.as_mut().unwrap().query.get_mut("k").unwrap(),
            9 => spec.account.as_mut().unwrap().id_path.as_mut().unwrap(),
            10 => &mut spec.verify.as_mut().unwrap().url,
            _ => spec.verify.as_mut().unwrap().success.as_mut().unwrap(),
        };
        place.clone_from(&text);
        if let Err(faults) = check(&spec) {
            prop_assert!(faults.iter().all(|fault| fault.field.starts_with("spec.") && !fault.problem.is_empty()));
        }
    }
}

#[test]
fn a_definition_can_be_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>(_: &T) {}
    shared(&check(&spec(FULL)).unwrap());
}
