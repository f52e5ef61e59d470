//! Connectors that share their redirect address: an issuer instead of endpoints, and what its metadata completes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rstest::rstest;

use super::*;
use crate::api::connector::IssuerMetadata;

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
