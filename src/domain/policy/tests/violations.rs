//! What is not allowed, in which words.

use rstest::rstest;

use super::*;
use crate::api::ConnectionSpec;
use crate::api::schema::{NameReference, SecretSource};
use crate::catalogue::{self, Definition};

/// Several ways to authenticate, at hosts that a parameter chooses.
const CRM: &str = r"
displayName: CRM
baseURL: https://{site}.crm.example/api
redirect: PerConnection
parameters: [{name: site, required: true, pattern: '[a-z.]+'}, {name: note, pattern: '.*'}]
authMethods:
- type: OAuth2AuthorizationCode
  oauth2: {authorizeURL: 'https://login.example/authorize', tokenURL: 'https://login.example/token'}
- type: OAuth2ClientCredentials
  oauth2: {tokenURL: 'https://login.example/token', revokeURL: 'https://revoke.example/'}
- type: OAuth2Password
  oauth2: {tokenURL: 'https://login.example/token'}
- type: APIKey
  request: {headers: {X-Key: '{apiKey}'}}
verify: {url: 'https://verify.example/me'}
";

const DEFAULT: &str = "defaults: [{connector: crm, oauthApp: {secretRef: {name: org}}, authTypes: \
                       [OAuth2AuthorizationCode, OAuth2ClientCredentials], credentials: {secretRef: {name: key}}, \
                       allowedHosts: [login.example, revoke.example, verify.example, '*.crm.example'], \
                       parameters: {site: acme, unknown: x}, scopes: [org]}]";

fn definition() -> Definition {
    catalogue::check(&serde_yaml::from_str(CRM).unwrap()).unwrap()
}

fn spec(auth_type: AuthType) -> ConnectionSpec {
    ConnectionSpec {
        connector_ref: NameReference { name: "crm".to_owned() },
        auth_type: Some(auth_type),
        parameters: [("site".to_owned(), "own".to_owned())].into(),
        ..ConnectionSpec::default()
    }
}

fn own(name: &str) -> SecretSource {
    SecretSource { secret_ref: NameReference { name: name.to_owned() } }
}

/// Reason and message of the first violation.
fn said(spec: &ConnectionSpec, policies: &[&str]) -> Option<(String, String)> {
    let policies: Vec<_> =
        policies.iter().enumerate().map(|(at, text)| policy(&format!("p{at}"), text)).collect();
    let found = violation(spec, Some(&definition()), &effective(&policies))?;
    Some((found.blocked.reason.to_string(), found.blocked.message))
}

#[rstest]
#[case::nothing_said(&[], None)]
#[case::empty(&["{}"], None)]
#[case::listed(&["{connectors: {allow: [crm, other]}}"], None)]
#[case::another(&["{connectors: {deny: [other]}}"], None)]
#[case::not_listed(&["{connectors: {allow: [other]}}"], Some("p0"))]
#[case::nothing_allowed(&["{connectors: {allow: []}}"], Some("p0"))]
#[case::denied(&["{}", "{connectors: {deny: [crm]}}"], Some("p1"))]
#[case::denied_over_allowed(&["{connectors: {allow: [crm], deny: [crm]}}"], Some("p0"))]
#[case::denied_above(&["{connectors: {deny: [crm]}}", "{folders: {names: [leaf]}, connectors: {allow: [crm]}}"], Some("p0"))]
#[case::denied_below(&["{connectors: {allow: [crm]}}", "{folders: {names: [leaf]}, connectors: {deny: [crm]}}"], Some("p1"))]
#[case::elsewhere(&["{folders: {names: [sibling]}, connectors: {deny: [crm]}}"], None)]
fn n42_a_connector_is_disabled_by_any_policy_that_does_not_allow_it(
    #[case] policies: &[&str],
    #[case] by: Option<&str>,
) {
    let expected = by.map(|by| {
        let message = format!("connector \"crm\" is disabled by policy \"{by}\"; ask its administrator");
        ("ConnectorDisabled".to_owned(), message)
    });
    assert_eq!(said(&spec(AuthType::APIKey), policies), expected);
    let policies: Vec<_> =
        policies.iter().enumerate().map(|(at, text)| policy(&format!("p{at}"), text)).collect();
    let unseen = violation(&spec(AuthType::APIKey), None, &effective(&policies));
    assert_eq!(unseen.is_some(), by.is_some(), "the connector need not be there");
}

#[rstest]
#[case::listed("{authTypes: {allow: [APIKey]}}", AuthType::APIKey, false, None)]
#[case::not_listed(
    "{authTypes: {allow: [APIKey]}}",
    AuthType::OAuth2ClientCredentials,
    false,
    Some("OAuth2ClientCredentials")
)]
#[case::denied("{authTypes: {deny: [APIKey]}}", AuthType::APIKey, false, Some("APIKey"))]
#[case::own_app(
    "{authTypes: {deny: [OAuth2BringYourOwnApp]}}",
    AuthType::OAuth2BringYourOwnApp,
    true,
    Some("OAuth2BringYourOwnApp")
)]
#[case::own_app_under_another_name(
    "{authTypes: {deny: [OAuth2BringYourOwnApp]}}",
    AuthType::OAuth2AuthorizationCode,
    true,
    Some("OAuth2BringYourOwnApp")
)]
#[case::no_own_app(
    "{authTypes: {deny: [OAuth2BringYourOwnApp]}}",
    AuthType::OAuth2AuthorizationCode,
    false,
    None
)]
#[case::a_client_of_ones_own(
    "{authTypes: {deny: [OAuth2BringYourOwnApp]}}",
    AuthType::OAuth2ClientCredentials,
    true,
    None
)]
fn n42_an_auth_type_is_disabled_by_any_policy_that_does_not_allow_it(
    #[case] policy: &str,
    #[case] auth_type: AuthType,
    #[case] with_app: bool,
    #[case] denied: Option<&str>,
) {
    let spec = ConnectionSpec { oauth_app: with_app.then(|| own("mine")), ..spec(auth_type) };
    let found = said(&spec, &[policy]);
    assert_eq!(found.is_some(), denied.is_some(), "{found:?}");
    if let (Some(denied), Some((reason, message))) = (denied, found) {
        assert_eq!(reason, "AuthTypeDisabled");
        assert!(
            message.starts_with(&format!("authType \"{denied}\" is disabled by policy \"p0\"")),
            "{message}"
        );
        assert!(message.ends_with("; ask its administrator"), "{message}");
    }
}

#[rstest]
#[case::nobody(&[], Some("no policy allows the password grant, which authType \"OAuth2Password\" uses"))]
#[case::another_folder(&["{folders: {names: [sibling]}, passwordGrant: Allowed}"], Some("no policy allows"))]
#[case::allowed(&["{passwordGrant: Allowed}"], None)]
#[case::allowed_below(&["{}", "{folders: {names: [leaf]}, passwordGrant: Allowed}"], None)]
#[case::denied_above(&["{passwordGrant: Denied, overridable: true}", "{folders: {names: [leaf]}, passwordGrant: Allowed}"], Some("policy \"p0\" denies"))]
#[case::denied_below(&["{passwordGrant: Allowed}", "{folders: {names: [leaf]}, passwordGrant: Denied}"], Some("policy \"p1\" denies"))]
fn n05_the_password_grant_needs_a_policy_that_allows_it_and_none_that_denies_it(
    #[case] policies: &[&str],
    #[case] expected: Option<&str>,
) {
    let found = said(&spec(AuthType::OAuth2Password), policies);
    match (expected, found) {
        (None, None) => {}
        (Some(begins), Some((reason, message))) => {
            assert_eq!(reason, "PasswordGrantDenied");
            assert!(message.starts_with(begins), "{message}");
        }
        (_, found) => panic!("{found:?}"),
    }
    assert_eq!(said(&spec(AuthType::OAuth2ClientCredentials), &[]), None, "no other auth type needs that");
}

#[test]
fn every_host_has_to_be_covered_by_every_list() {
    let key = spec(AuthType::APIKey);
    assert_eq!(said(&key, &["{allowedHosts: ['*.crm.example', verify.example]}"]), None);
    let (reason, message) =
        said(&key, &["{allowedHosts: ['*.example']}", "{allowedHosts: [own.crm.example]}"]).unwrap();
    assert_eq!(reason, "HostNotAllowed");
    assert_eq!(
        message,
        "policy \"p1\" does not allow to send credentials to \"verify.example\" (verify requests); ask its administrator"
    );
    let person = spec(AuthType::OAuth2AuthorizationCode);
    let (_, message) = said(&person, &["{allowedHosts: []}"]).unwrap();
    for host in [
        "login.example\" (authorize",
        "login.example\" (token",
        "verify.example\" (verify",
        "own.crm.example\" (api",
    ] {
        assert!(message.contains(host), "{message}");
    }
    assert!(
        said(&spec(AuthType::OAuth2ClientCredentials), &["{allowedHosts: []}"])
            .unwrap()
            .1
            .contains("revoke.example")
    );
}

#[test]
fn s44_what_a_policy_lends_goes_to_the_hosts_of_its_entry_alone() {
    let policies = ["{DEFAULT}".replace("{DEFAULT}", &format!("{{{DEFAULT}}}"))];
    let policies: Vec<&str> = policies.iter().map(String::as_str).collect();
    let lent = spec(AuthType::OAuth2ClientCredentials);
    assert_eq!(said(&lent, &policies), None);

    let narrow = DEFAULT.replace("'*.crm.example'", "acme.crm.example");
    let narrow = format!("{{{narrow}, connectors: {{deny: [crm]}}}}");
    let policy = effective(&[policy("p0", &narrow)]);
    let retargeted = violation(&lent, Some(&definition()), &policy).unwrap();
    assert!(retargeted.always, "stops also what was there before");
    assert_eq!(retargeted.blocked.reason.as_str(), "HostNotAllowed");
    assert_eq!(
        retargeted.blocked.message,
        "what policy \"p0\" lends to connections on connector \"crm\" may not go to \"own.crm.example\" (api requests); \
         nothing was sent. Use credentials of your own, or ask its administrator"
    );
    let with_own = ConnectionSpec { oauth_app: Some(own("mine")), ..lent };
    let found = violation(&with_own, Some(&definition()), &policy).unwrap();
    assert_eq!((found.blocked.reason.as_str(), found.always), ("ConnectorDisabled", false));
}

#[test]
fn s44_a_connection_uses_its_own_first_and_a_method_only_what_it_takes() {
    let policy = effective(&[policy("p", &format!("{{{DEFAULT}}}"))]);
    let definition = definition();
    let shown = |spec: &ConnectionSpec| {
        [oauth_app(spec, spec.auth_type, &policy), credentials(spec, &policy)]
            .map(|choice| choice.map(|choice| choice.shown()))
    };
    let bare = spec(AuthType::OAuth2ClientCredentials);
    assert_eq!(shown(&bare), [Some("Policy/p".to_owned()), Some("Policy/p".to_owned())]);
    let with_own = ConnectionSpec { oauth_app: Some(own("mine")), ..bare.clone() };
    assert_eq!(shown(&with_own)[0].as_deref(), Some("Connection/mine"));
    assert_eq!(shown(&spec(AuthType::OAuth2BringYourOwnApp))[0], None, "who brings an own app is lent none");

    let lends = |spec: &ConnectionSpec| {
        let method = crate::domain::connection::method(spec, &definition).unwrap();
        super::lends(spec, method, &policy)
    };
    assert!(lends(&bare) && lends(&spec(AuthType::APIKey)));
    assert!(!lends(&with_own));
    assert!(!lends(&ConnectionSpec { credentials: Some(own("mine")), ..spec(AuthType::APIKey) }));
    let choice = oauth_app(&bare, bare.auth_type, &policy).unwrap();
    assert_eq!(
        (choice.namespace("team", "liaison-system"), choice.secret.as_str()),
        ("liaison-system", "org")
    );
    let own = oauth_app(&with_own, with_own.auth_type, &policy).unwrap();
    assert_eq!(own.namespace("team", "liaison-system"), "team");
    assert_eq!(oauth_app(&bare, None, &policy), None, "nothing is lent for a way that is not known");
}

#[rstest]
#[case::a_person("", AuthType::OAuth2AuthorizationCode, true)]
#[case::a_person_s_password("", AuthType::OAuth2Password, true)]
#[case::the_application_itself("", AuthType::OAuth2ClientCredentials, false)]
#[case::an_own_app("", AuthType::OAuth2BringYourOwnApp, false)]
#[case::no_client("", AuthType::APIKey, false)]
#[case::named("authTypes: [OAuth2ClientCredentials]", AuthType::OAuth2ClientCredentials, true)]
#[case::not_named("authTypes: [OAuth2ClientCredentials]", AuthType::OAuth2AuthorizationCode, false)]
#[case::both(
    "authTypes: [OAuth2ClientCredentials, OAuth2AuthorizationCode]",
    AuthType::OAuth2AuthorizationCode,
    true
)]
#[case::an_own_app_that_is_named(
    "authTypes: [OAuth2BringYourOwnApp]",
    AuthType::OAuth2BringYourOwnApp,
    false
)]
#[case::a_name_without_a_client("authTypes: [APIKey]", AuthType::APIKey, false)]
fn s44_an_app_is_lent_to_the_auth_types_that_are_named_else_to_those_of_people(
    #[case] named: &str,
    #[case] auth_type: AuthType,
    #[case] is_lent: bool,
) {
    let entry = format!(
        "{{defaults: [{{connector: crm, oauthApp: {{secretRef: {{name: org}}}}, allowedHosts: ['*.example'], {named}}}]}}"
    );
    let policy = effective(&[policy("p", &entry)]);
    let bare = spec(auth_type);
    let shown = oauth_app(&bare, Some(auth_type), &policy).map(|choice| choice.shown());
    assert_eq!(shown, is_lent.then(|| "Policy/p".to_owned()));
    let method = definition().method(auth_type).cloned().unwrap();
    assert_eq!(super::lends(&bare, &method, &policy), is_lent, "its hosts bind who has it");
    let could = auth_type.can_be_lent_app() && !is_lent;
    assert_eq!(withholds_app(auth_type, &policy), could.then_some("p"));
    let own = ConnectionSpec { oauth_app: Some(own("mine")), ..bare };
    assert_eq!(oauth_app(&own, Some(auth_type), &policy).unwrap().shown(), "Connection/mine");
}

#[test]
fn n43_parameters_and_scopes_of_a_policy_stand_in_where_the_connection_gives_none() {
    let policy = effective(&[policy("p", &format!("{{{DEFAULT}}}"))]);
    let definition = definition();
    let key = spec(AuthType::APIKey);
    let method = definition.method(AuthType::APIKey).unwrap();
    let given = given_parameters(&key, method, &policy);
    assert_eq!((given.values["site"].as_str(), given.by_policy), ("own", None));
    let bare = ConnectionSpec { parameters: [].into(), ..key };
    let given = given_parameters(&bare, method, &policy);
    assert_eq!(
        given.values,
        [("site".to_owned(), "acme".to_owned())].into(),
        "what no method knows is left out"
    );
    assert_eq!(given.by_policy, Some((vec!["site".to_owned()], "p".to_owned())));

    let client = definition.method(AuthType::OAuth2ClientCredentials).unwrap();
    assert_eq!(scopes(&bare, client, &policy), ["org"]);
    let wanted = ConnectionSpec { scopes: vec!["mine".to_owned()], ..bare.clone() };
    assert_eq!(scopes(&wanted, client, &policy), ["mine"]);
    assert!(scopes(&bare, client, &EffectivePolicy::default()).is_empty());
}

#[test]
fn where_accounts_are_limited_an_auth_type_that_names_none_is_not_allowed() {
    let (reason, message) = said(&spec(AuthType::APIKey), &["{accounts: ['*@example.com']}"]).unwrap();
    assert_eq!(reason, "AccountNotAllowed");
    assert!(message.starts_with("policy \"p0\" allows only some accounts, and nothing tells"), "{message}");
    assert_eq!(said(&spec(AuthType::OAuth2ClientCredentials), &["{accounts: ['*@example.com']}"]), None);
}
