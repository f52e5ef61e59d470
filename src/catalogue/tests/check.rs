//! The linter over whole descriptions: what is accepted, what each fault says, and what the definition answers.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::api::AuthType;
use crate::api::connector::IssuerMetadata;
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

/// A description with one method of client credentials, whose oauth2 part is given.
fn with_oauth2(parameters: &str, rest: &str, oauth2: &str) -> String {
    format!(
        "displayName: E\nparameters: [{parameters}]\n{rest}\nauthMethods:\n- type: OAuth2ClientCredentials\n  oauth2: {{{oauth2}}}\n"
    )
}

const AT: &str = "spec.authMethods[OAuth2ClientCredentials].oauth2";

#[rstest]
#[case::undeclared(
    "{name: b}, {name: a}",
    "",
    "tokenURL: 'https://x.example.com/{organization}'",
    "tokenURL: undeclared variable \"organization\"; declared: a, b"
)]
#[case::none_declared(
    "",
    "",
    "tokenURL: 'https://x.example.com/{organization}'",
    "tokenURL: undeclared variable \"organization\"; none is declared"
)]
#[case::syntax("", "", "tokenURL: 'https://x.example.com/{a'", "tokenURL: an opening brace is never closed")]
#[case::scheme("", "", "tokenURL: x.example.com", "tokenURL: must start with https://")]
#[case::secret_in_address(
    "{name: s, secret: true, required: true}",
    "",
    "tokenURL: 'https://x.example.com/{s}'",
    "tokenURL: the secret parameter \"s\" must not be part of an address"
)]
#[case::client_in_address(
    "",
    "",
    "tokenURL: 'https://x.example.com/{clientSecret}'",
    "tokenURL: undeclared variable \"clientSecret\"; none is declared"
)]
#[case::optional_in_address(
    "{name: o}",
    "",
    "tokenURL: 'https://x.example.com/{o}'",
    "tokenURL: parameter \"o\" is in an address: it must be required or have a default"
)]
#[case::host(
    "{name: h, required: true, pattern: a}",
    "",
    "tokenURL: 'https://{h}.example.com/'",
    "tokenURL: parameter \"h\" reaches the host: that needs redirect: PerConnection"
)]
#[case::host_pattern(
    "{name: h, required: true}",
    "redirect: PerConnection",
    "tokenURL: 'https://{h}.example.com/'",
    "tokenURL: parameter \"h\" reaches the host: it needs an enum or a pattern"
)]
#[case::issuer(
    "{name: t, required: true}",
    "",
    "tokenURL: 'https://a.example.com', issuer: 'https://a.example.com/{t}'",
    "issuer: parameter \"t\" is part of the issuer: it needs an enum or a pattern"
)]
#[case::secret_in_token_request(
    "{name: s, secret: true}",
    "",
    "tokenURL: 'https://a.example.com', tokenParameters: {a: '{s}'}",
    "tokenParameters[a]: the secret parameter \"s\" is not available in OAuth requests"
)]
#[case::own_parameter(
    "",
    "",
    "tokenURL: 'https://a.example.com', authorizeParameters: {state: a}",
    "authorizeParameters[state]: cannot be set: Liaison sets it"
)]
#[case::fixed(
    "",
    "",
    "tokenURL: 'https://a.example.com', lifetime: Fixed",
    "lifetimeSeconds: is required with lifetime: Fixed"
)]
#[case::get(
    "",
    "",
    "tokenURL: 'https://a.example.com', requestMethod: GET",
    "requestMethod: GET needs requestFormat: Query"
)]
#[case::scope_twice(
    "",
    "",
    "tokenURL: 'https://a.example.com', scopes: {default: [a], optional: [a]}",
    "scopes.optional: the scope \"a\" is there twice"
)]
#[case::scope_separator(
    "",
    "",
    "tokenURL: 'https://a.example.com', scopes: {default: ['a,b'], separator: ','}",
    "scopes.default: the scope \"a,b\" contains the separator \",\""
)]
#[case::scope_characters(
    "",
    "",
    "tokenURL: 'https://a.example.com', scopes: {default: ['a b']}",
    "scopes.default: \"a b\" is not a scope"
)]
#[case::pointer(
    "",
    "",
    "tokenURL: 'https://a.example.com', response: {accessToken: data.token}",
    "response.accessToken: is not a JSON pointer (RFC 6901): it must start with \"/\", and \"~\" only occurs as ~0 or ~1"
)]
#[case::no_token_url("", "", "pkce: Required", "tokenURL: is required")]
#[case::empty_token_url("", "", "tokenURL: ''", "tokenURL: must start with https://")]
fn faults_of_an_oauth_server_are_explained(
    #[case] parameters: &str,
    #[case] rest: &str,
    #[case] oauth2: &str,
    #[case] fault: &str,
) {
    assert_eq!(faults(&with_oauth2(parameters, rest, oauth2)), [format!("{AT}.{fault}")]);
}

#[rstest]
#[case::display_name("{displayName: ' ', authMethods: [{type: None}]}", "spec.displayName: is required")]
#[case::no_method("{displayName: E, authMethods: []}", "spec.authMethods: at least one is required")]
#[case::method_twice(
    "{displayName: E, authMethods: [{type: None}, {type: None}]}",
    "spec.authMethods[None]: is there twice"
)]
#[case::own_app(
    "{displayName: E, authMethods: [{type: OAuth2BringYourOwnApp}]}",
    "spec.authMethods[OAuth2BringYourOwnApp]: comes with OAuth2AuthorizationCode; list that one"
)]
#[case::oauth2_missing(
    "{displayName: E, authMethods: [{type: OAuth2ClientCredentials}]}",
    "spec.authMethods[OAuth2ClientCredentials].oauth2: is required for an OAuth2 auth type"
)]
#[case::oauth2_unasked(
    "{displayName: E, authMethods: [{type: Basic, oauth2: {tokenURL: 'https://a.example.com'}}]}",
    "spec.authMethods[Basic].oauth2: is only for OAuth2 auth types"
)]
#[case::authorize_missing(
    "{displayName: E, authMethods: [{type: OAuth2AuthorizationCode, oauth2: {tokenURL: 'https://a.example.com'}}]}",
    "spec.authMethods[OAuth2AuthorizationCode].oauth2.authorizeURL: is required for OAuth2AuthorizationCode"
)]
#[case::parameter_twice(
    "{displayName: E, parameters: [{name: a}, {name: a}], authMethods: [{type: None}]}",
    "spec.parameters[a]: is declared twice"
)]
#[case::parameter_in_both(
    "{displayName: E, parameters: [{name: a}], authMethods: [{type: APIKey, parameters: [{name: a}]}]}",
    "spec.authMethods[APIKey].parameters[a]: is declared by the connector already"
)]
#[case::reserved(
    "{displayName: E, parameters: [{name: accessToken}], authMethods: [{type: None}]}",
    "spec.parameters[accessToken]: the name is reserved"
)]
#[case::pattern(
    "{displayName: E, parameters: [{name: a, pattern: '('}], authMethods: [{type: None}]}",
    "spec.parameters[a]: its pattern is not a regular expression"
)]
#[case::default_and_enum(
    "{displayName: E, parameters: [{name: a, default: c, enum: [a, b]}], authMethods: [{type: None}]}",
    "spec.parameters[a]: its default must be one of a, b"
)]
#[case::host_header(
    "{displayName: E, authMethods: [{type: APIKey, request: {headers: {Host: '{apiKey}'}}}]}",
    "spec.authMethods[APIKey].request.headers[Host]: this header cannot be set"
)]
#[case::transfer_header(
    "{displayName: E, authMethods: [{type: APIKey, request: {headers: {transfer-Encoding: '{apiKey}'}}}]}",
    "spec.authMethods[APIKey].request.headers[transfer-Encoding]: this header cannot be set"
)]
#[case::bad_header(
    "{displayName: E, authMethods: [{type: APIKey, request: {headers: {'a b': '{apiKey}'}}}]}",
    "spec.authMethods[APIKey].request.headers[a b]: is not a header's name"
)]
#[case::placement_undeclared(
    "{displayName: E, authMethods: [{type: APIKey, request: {query: {k: '{key}'}}}]}",
    "spec.authMethods[APIKey].request.query[k]: undeclared variable \"key\"; none is declared"
)]
#[case::method_parameter_in_shared_template(
    "{displayName: E, baseURL: 'https://a.example.com/{a}', authMethods: [{type: APIKey, parameters: [{name: a, required: true}]}, {type: Basic}]}",
    "spec.baseURL: undeclared variable \"a\"; none is declared"
)]
#[case::foreign_domain(
    "{displayName: E, baseURL: 'https://{a}/', parameters: [{name: a, required: true}], authMethods: [{type: APIKey}]}",
    "spec.baseURL: the host must end in a literal domain such as .example.com, or redirect must be PerConnection"
)]
#[case::secret_in_verify(
    "{displayName: E, authMethods: [{type: APIKey}], verify: {url: 'https://a.example.com/?k={apiKey}'}}",
    "spec.verify.url: the secret parameter \"apiKey\" must not be part of an address"
)]
#[case::rule(
    "{displayName: E, authMethods: [{type: APIKey}], verify: {url: 'https://a.example.com/', success: 'answer.ok'}}",
    "spec.verify.success: undeclared variable \"answer\"; declared: response"
)]
#[case::body(
    "{displayName: E, authMethods: [{type: APIKey}], verify: {url: 'https://a.example.com/', body: '{\"a\": {apiKey}'}}",
    "spec.verify.body: is not JSON; variables belong inside strings, as in \"{name}\""
)]
#[case::account_neither(
    "{displayName: E, authMethods: [{type: APIKey}], account: {}}",
    "spec.account: choose one of idTokenClaim or url"
)]
#[case::account_path(
    "{displayName: E, authMethods: [{type: APIKey}], account: {url: 'https://a.example.com/'}}",
    "spec.account.idPath: is required with url"
)]
#[case::account_pointer(
    "{displayName: E, authMethods: [{type: APIKey}], account: {url: 'https://a.example.com/', idPath: /id, namePath: name}}",
    "spec.account.namePath: is not a JSON pointer (RFC 6901): it must start with \"/\", and \"~\" only occurs as ~0 or ~1"
)]
fn faults_of_a_description_are_explained(#[case] yaml: &str, #[case] fault: &str) {
    assert_eq!(faults(yaml), [fault]);
}

#[test]
fn a_shared_redirect_needs_an_issuer_that_is_checked_and_no_addresses() {
    let yaml = "{displayName: E, redirect: Shared, authMethods: [{type: OAuth2AuthorizationCode, oauth2: \
                {authorizeURL: 'https://a.example.com/a', tokenURL: 'https://a.example.com/t'}}]}";
    let at = "spec.authMethods[OAuth2AuthorizationCode].oauth2";
    assert_eq!(
        faults(yaml),
        [
            format!("{at}.issuer: is required with redirect: Shared"),
            format!("{at}.iss: must be Required with redirect: Shared"),
            format!(
                "{at}.authorizeURL: must not be set with redirect: Shared: endpoints come from the issuer's metadata"
            ),
            format!(
                "{at}.tokenURL: must not be set with redirect: Shared: endpoints come from the issuer's metadata"
            ),
        ]
    );
    let right = "{displayName: E, redirect: Shared, authMethods: [{type: OAuth2AuthorizationCode, oauth2: \
                 {issuer: 'https://a.example.com', iss: Required}}]}";
    assert!(check(&spec(right)).is_ok());
}

#[rstest]
#[case::in_the_path(
    "https://a.example.com/{t}",
    "must have no parameters with redirect: Shared: one metadata document serves all connections"
)]
#[case::in_the_host(
    "https://{t}.example.com",
    "must have no parameters with redirect: Shared: one metadata document serves all connections"
)]
#[case::query("https://a.example.com/?t=1", "must not have a query (RFC 8414, section 2)")]
#[case::fragment("https://a.example.com/#t", "must not have a fragment")]
#[case::name("a.example.com", "must start with https://")]
fn the_issuer_of_a_shared_redirect_is_one_and_the_same_for_all(#[case] issuer: &str, #[case] fault: &str) {
    let yaml = format!(
        "{{displayName: E, redirect: Shared, parameters: [{{name: t, required: true, enum: [a]}}], authMethods: \
         [{{type: OAuth2AuthorizationCode, oauth2: {{issuer: '{issuer}', iss: Required}}}}]}}"
    );
    assert_eq!(faults(&yaml), [format!("spec.authMethods[OAuth2AuthorizationCode].oauth2.issuer: {fault}")]);
}

/// A connector whose endpoints come from its issuer, beside a method whose own are written out.
const SHARED: &str = "
displayName: E
redirect: Shared
authMethods:
- type: OAuth2AuthorizationCode
  oauth2: {issuer: 'https://a.example.com/t', iss: Required}
- type: OAuth2ClientCredentials
  oauth2: {tokenURL: 'https://own.example.com/token'}
";

fn metadata() -> IssuerMetadata {
    IssuerMetadata {
        issuer: "https://a.example.com/t".to_owned(),
        authorization_endpoint: "https://login.example.com/authorize".to_owned(),
        token_endpoint: "https://a.example.com:8443/token".to_owned(),
        revocation_endpoint: Some("https://a.example.com/revoke".to_owned()),
        introspection_endpoint: None,
        time: Time(jiff::Timestamp::UNIX_EPOCH),
    }
}

#[test]
fn the_issuers_metadata_completes_the_methods_that_need_a_person_and_no_other() {
    let open = check(&spec(SHARED)).unwrap();
    assert_eq!(open.metadata_issuer(), Some("https://a.example.com/t"));
    let completed = open.with_metadata(&metadata()).unwrap();
    let targets = |auth_type| {
        let method = completed.method(auth_type).unwrap();
        let values = completed.resolve(method, &BTreeMap::new()).unwrap();
        let targets = completed.targets(method, &values, NEVER).unwrap();
        targets.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let of_people = [
        "authorize https://login.example.com:443",
        "token https://a.example.com:8443",
        "revoke https://a.example.com:443",
    ];
    assert_eq!(targets(AuthType::OAuth2AuthorizationCode), of_people);
    assert_eq!(targets(AuthType::OAuth2BringYourOwnApp), of_people);
    assert_eq!(targets(AuthType::OAuth2ClientCredentials), ["token https://own.example.com:443"]);
    let revokes = |definition: &Definition| {
        definition.declares_revocation(definition.method(AuthType::OAuth2AuthorizationCode).unwrap())
    };
    assert_eq!((revokes(&open), revokes(&completed)), (false, true));
}

#[rstest]
#[case::another_issuer(|metadata: &mut IssuerMetadata| metadata.issuer.push('/'))]
#[case::no_address(|metadata: &mut IssuerMetadata| metadata.token_endpoint = "token".to_owned())]
#[case::a_template(|metadata: &mut IssuerMetadata| metadata.token_endpoint.push_str("{t}"))]
#[case::no_optional_address(|metadata: &mut IssuerMetadata| metadata.revocation_endpoint = Some("x".to_owned()))]
fn metadata_that_does_not_fit_completes_nothing(#[case] change: fn(&mut IssuerMetadata)) {
    let mut metadata = metadata();
    change(&mut metadata);
    assert!(check(&spec(SHARED)).unwrap().with_metadata(&metadata).is_none());
}

#[test]
fn only_a_shared_redirect_leaves_its_endpoints_open() {
    let written_out = "{displayName: E, authMethods: [{type: OAuth2AuthorizationCode, oauth2: {issuer: 'https://a.example.com', \
                       authorizeURL: 'https://a.example.com/a', tokenURL: 'https://a.example.com/t'}}]}";
    assert_eq!(check(&spec(written_out)).unwrap().metadata_issuer(), None);
    let nobody = "{displayName: E, redirect: Shared, authMethods: [{type: None}]}";
    assert_eq!(check(&spec(nobody)).unwrap().metadata_issuer(), None);
}

#[test]
fn all_faults_come_at_once_and_in_order() {
    let yaml = "{displayName: '', baseURL: '{x}', parameters: [{name: a, pattern: '['}], authMethods: \
                [{type: OAuth2ClientCredentials, oauth2: {tokenURL: 'ftp://a', lifetime: Fixed}}], \
                account: {idTokenClaim: email, url: 'https://a.example.com'}, verify: {url: 'https://a.example.com/#b', success: '1 +'}}";
    let fields: Vec<String> = check(&spec(yaml)).unwrap_err().into_iter().map(|fault| fault.field).collect();
    assert_eq!(
        fields,
        [
            "spec.displayName",
            "spec.parameters[a]",
            "spec.authMethods[OAuth2ClientCredentials].oauth2.tokenURL",
            "spec.authMethods[OAuth2ClientCredentials].oauth2.lifetimeSeconds",
            "spec.baseURL",
            "spec.account",
            "spec.verify.url",
            "spec.verify.success",
        ]
    );
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
