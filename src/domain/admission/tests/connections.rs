use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rstest::rstest;

use crate::api::connector::Stability;
use crate::api::schema::{NameReference, SecretSource};
use crate::api::{AuthType, Connection, ConnectionPolicy, ConnectionSpec, Connector};
use crate::catalogue;
use crate::domain::admission::*;
use crate::domain::connection::{
    ConnectorState, FolderState, Observed, SecretState, Settings, TokenState, prepare,
};
use crate::domain::neighbours::Neighbours;
use crate::domain::policy::{Ancestry, EffectivePolicy, own_secrets};

const SEVERAL: &str = r"
displayName: GitHub
authMethods:
- {type: PersonalAccessToken, request: {headers: {Authorization: 'Bearer {token}'}}}
- {type: OAuth2ClientCredentials, oauth2: {tokenURL: 'https://login.example.com/token'}}
";

const SITE: &str = r"
displayName: Jira
baseURL: https://{siteUrl}.example.com/api
redirect: PerConnection
parameters: [{name: siteUrl, required: true, pattern: '[a-z]+'}, {name: note, pattern: '.*'}]
authMethods: [{type: PersonalAccessToken, request: {headers: {Authorization: 'Bearer {token}'}}}]
";

const PASSWORD: &str = r"
displayName: Old
authMethods: [{type: OAuth2Password, oauth2: {tokenURL: 'https://login.example.com/token'}, parameters: [{name: note}]}]
";

fn connector(yaml: &str) -> ConnectorSeen {
    let connector = Connector::new("app", serde_yaml::from_str(yaml).unwrap());
    let definition = Arc::new(catalogue::check(&connector.spec).unwrap());
    ConnectorSeen::found(&connector, ConnectorState::Valid { definition, identity: "1/1".to_owned() })
}

fn spec(auth_type: Option<AuthType>, parameters: &[(&str, &str)], with_secret: bool) -> ConnectionSpec {
    let source = SecretSource { secret_ref: NameReference { name: "s".to_owned() } };
    ConnectionSpec {
        connector_ref: NameReference { name: "app".to_owned() },
        auth_type,
        parameters: parameters.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        credentials: with_secret.then_some(source),
        ..ConnectionSpec::default()
    }
}

/// A ruling without any policy.
fn judged(old: Option<&Connection>, new: &Connection, connector: &ConnectorSeen) -> Ruling {
    connection(old, new, connector, &EffectivePolicy::default())
}

/// What the condition of a Connection that slipped past admission says.
fn condition(spec: &ConnectionSpec, connector: &ConnectorSeen) -> String {
    condition_under(spec, connector, &EffectivePolicy::default())
}

/// The same where these policies govern.
fn condition_under(spec: &ConnectionSpec, connector: &ConnectorSeen, policy: &EffectivePolicy) -> String {
    let observed = Observed {
        connection: Connection::new("c", spec.clone()),
        connector: connector.state.clone(),
        folder: FolderState::Ready("f".to_owned()),
        policy: Arc::new(policy.clone()),
        credentials: match &spec.credentials {
            None => SecretState::NotReferenced,
            Some(source) => SecretState::NotFound(source.secret_ref.name.clone()),
        },
        oauth_app: SecretState::NotReferenced,
        token: TokenState::Missing,
        consent: None,
        neighbours: Neighbours::default(),
        settings: Arc::new(Settings {
            refresh_fraction: 0.5,
            verify_interval: Duration::from_hours(1),
            egress_exceptions: BTreeSet::new(),
            egress_addresses: Vec::new(),
            public_url: String::new(),
        }),
    };
    prepare(&observed).unwrap_err().message
}

#[rstest]
#[case(SEVERAL, spec(None, &[], false), "connector \"app\" supports several auth types; set spec.authType to one of")]
#[case(
    SEVERAL,
    spec(Some(AuthType::OAuth2Password), &[], false),
    "connector \"app\" does not support authType \"OAuth2Password\"; supported: "
)]
#[case(
    SEVERAL,
    spec(Some(AuthType::OAuth2BringYourOwnApp), &[], false),
    "connector \"app\" has no OAuth2 authorization code method, so it cannot take your own app"
)]
#[case(
    SITE,
    spec(None, &[], false),
    "connector \"app\" with authType \"PersonalAccessToken\" needs parameters: siteUrl, token"
)]
#[case(SITE, spec(None, &[("siteUrl", "A B")], true), "spec.parameters.siteUrl must match the pattern [a-z]+")]
#[case(SITE, spec(None, &[("siteUrl", "a"), ("sitUrl", "b")], true), "spec.parameters.sitUrl is not a parameter")]
fn a_refused_connection_reads_what_its_condition_would_say(
    #[case] yaml: &str,
    #[case] spec: ConnectionSpec,
    #[case] begins: &str,
) {
    let connector = connector(yaml);
    let new = Connection::new("c", spec.clone());
    let Ruling::Refuse(message) = judged(None, &new, &connector) else { panic!("it passes") };
    assert!(message.starts_with(begins), "{message}");
    assert_eq!(message, condition(&spec, &connector));
}

/// What a policy "p" for all folders comes to, from its spec in YAML.
fn governed(spec: &str) -> EffectivePolicy {
    let policy = ConnectionPolicy::new("p", serde_yaml::from_str(spec).unwrap());
    EffectivePolicy::of(&[&policy], &Ancestry::default(), "app")
}

#[rstest]
#[case(
    "{connectors: {deny: [app]}}",
    SITE,
    None,
    "connector \"app\" is disabled by policy \"p\"; ask its administrator"
)]
#[case("{connectors: {allow: [other]}}", SITE, None, "connector \"app\" is disabled by policy \"p\"")]
#[case(
    "{authTypes: {deny: [OAuth2ClientCredentials]}}",
    SEVERAL,
    Some(AuthType::OAuth2ClientCredentials),
    "authType \"OAuth2ClientCredentials\" is disabled by policy \"p\"; ask its administrator"
)]
#[case(
    "{allowedHosts: [other.example]}",
    SITE,
    None,
    "policy \"p\" does not allow to send credentials to \"a.example.com\""
)]
#[case(
    "{accounts: [ann]}",
    SITE,
    None,
    "policy \"p\" allows only some accounts, and nothing tells the account"
)]
#[case("{}", PASSWORD, None, "no policy allows the password grant, which authType \"OAuth2Password\" uses")]
#[case("{passwordGrant: Denied}", PASSWORD, None, "policy \"p\" denies the password grant")]
#[case(
    "{defaults: [{connector: app, credentials: {secretRef: {name: org}}, allowedHosts: [b.example.com]}]}",
    SITE,
    None,
    "what policy \"p\" lends to connections on connector \"app\" may not go to \"a.example.com\" (api requests)"
)]
fn n42_what_policies_do_not_allow_is_refused_in_the_words_of_the_condition(
    #[case] policy: &str,
    #[case] yaml: &str,
    #[case] auth_type: Option<AuthType>,
    #[case] begins: &str,
) {
    let (connector, policy) = (connector(yaml), governed(policy));
    let parameters: &[(&str, &str)] = if yaml == SITE { &[("siteUrl", "a")] } else { &[] };
    let spec = spec(auth_type, parameters, false);
    let new = Connection::new("c", spec.clone());
    let ruling = connection(None, &new, &connector, &policy);
    let Ruling::Refuse(message) = ruling else { panic!("it passes: {ruling:?}") };
    assert!(message.starts_with(begins), "{message}");
    assert_eq!(message, condition_under(&spec, &connector, &policy));
}

#[test]
fn n44_what_was_not_allowed_before_may_still_be_suspended_and_described_and_a_new_violation_is_refused() {
    let connector = connector(SITE);
    let policy = governed("{connectors: {deny: [app]}}");
    let old = Connection::new("c", spec(None, &[("siteUrl", "a")], true));
    let mut changed = old.clone();
    changed.spec.suspend = true;
    changed.spec.description = Some("why".to_owned());
    assert_eq!(connection(Some(&old), &changed, &connector, &policy), Ruling::Pass);
    assert!(matches!(connection(None, &changed, &connector, &policy), Ruling::Refuse(_)));

    let policy = governed("{allowedHosts: [a.example.com]}");
    let mut moved = old.clone();
    moved.spec.parameters.insert("siteUrl".to_owned(), "b".to_owned());
    assert!(matches!(connection(Some(&old), &moved, &connector, &policy), Ruling::Refuse(_)));
    let mut worse = moved.clone();
    worse.spec.parameters.insert("siteUrl".to_owned(), "c".to_owned());
    assert!(
        matches!(connection(Some(&moved), &worse, &connector, &policy), Ruling::Refuse(_)),
        "another host"
    );
    assert_eq!(connection(Some(&moved), &old, &connector, &policy), Ruling::Pass, "back again");
    moved.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
    assert_eq!(connection(Some(&old), &moved, &connector, &policy), Ruling::Pass, "it is going");
}

#[test]
fn n43_what_a_policy_gives_need_not_be_given() {
    let lent = governed(
        "{defaults: [{connector: app, credentials: {secretRef: {name: org}}, allowedHosts: ['*.example.com'], \
         parameters: {siteUrl: acme}}]}",
    );
    let bare = Connection::new("c", spec(None, &[], false));
    assert_eq!(connection(None, &bare, &connector(SITE), &lent), Ruling::Pass);
    assert!(matches!(judged(None, &bare, &connector(SITE)), Ruling::Refuse(_)));
}

#[test]
fn n08_a_display_name_that_another_bears_is_refused_where_it_is_new() {
    let named = |name: Option<&str>| {
        let display_name = name.map(ToOwned::to_owned);
        Connection::new("c", ConnectionSpec { display_name, ..spec(None, &[], false) })
    };
    let refused = Ruling::Refuse("display name \"x\" is already used in folder \"f\"".to_owned());
    assert_eq!(display_name(None, &named(Some("x")), "f", true), refused);
    assert_eq!(display_name(Some(&named(Some("y"))), &named(Some("x")), "f", true), refused);
    assert_eq!(display_name(Some(&named(Some("x"))), &named(Some("x")), "f", true), Ruling::Pass);
    assert_eq!(display_name(None, &named(Some("x")), "f", false), Ruling::Pass);
    assert_eq!(display_name(None, &named(None), "f", true), Ruling::Pass);
    let mut going = named(Some("x"));
    going.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
    assert_eq!(display_name(None, &going, "f", true), Ruling::Pass);
}

#[test]
fn what_is_missing_or_faulty_elsewhere_is_left_to_the_conditions() {
    let new = Connection::new("c", spec(None, &[], false));
    assert_eq!(judged(None, &new, &ConnectorSeen::not_found()), Ruling::Pass);
    let faulty = ConnectorState::Invalid(vec!["x".to_owned()]);
    let faulty = ConnectorSeen { state: faulty, stability: Stability::GA };
    assert_eq!(judged(None, &new, &faulty), Ruling::Pass);
    let new = Connection::new("c", spec(None, &[("siteUrl", "a")], true));
    assert_eq!(judged(None, &new, &connector(SITE)), Ruling::Pass, "whether the Secret is there");
}

#[test]
fn a_preview_is_told_once() {
    let preview = format!("{SITE}stability: Preview\n");
    let preview = connector(&preview);
    let made = Connection::new("c", spec(None, &[("siteUrl", "a")], true));
    let Ruling::Warn(text) = judged(None, &made, &preview) else { panic!("no warning") };
    assert!(text.starts_with("connector \"app\" is a preview"), "{text}");
    let mut changed = made.clone();
    changed.spec.suspend = true;
    assert_eq!(judged(Some(&made), &changed, &preview), Ruling::Pass);
}

#[test]
fn only_a_change_of_the_spec_that_makes_it_wrong_is_refused() {
    let connector = connector(SITE);
    let wrong = Connection::new("c", spec(None, &[("gone", "x")], true));
    let mut labelled = wrong.clone();
    labelled.metadata.labels = Some(BTreeMap::from([("a".to_owned(), "b".to_owned())]));
    assert_eq!(judged(Some(&wrong), &labelled, &connector), Ruling::Pass, "labels");

    let mut suspended = wrong.clone();
    suspended.spec.suspend = true;
    assert_eq!(judged(Some(&wrong), &suspended, &connector), Ruling::Pass, "as wrong as before");

    let mut worse = wrong.clone();
    worse.spec.parameters.insert("other".to_owned(), "x".to_owned());
    assert!(matches!(judged(Some(&wrong), &worse, &connector), Ruling::Refuse(_)));
    worse.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
    assert_eq!(judged(Some(&wrong), &worse, &connector), Ruling::Pass, "it is going");
}

#[test]
fn only_a_parameter_that_reaches_a_host_sends_credentials_elsewhere() {
    let known = connector(SITE);
    let at = |site, note| spec(None, &[("siteUrl", site), ("note", note)], true);
    assert!(!reaches_other_hosts(&at("a", "x"), &at("a", "x"), &known, &EffectivePolicy::default()));
    assert!(!reaches_other_hosts(&at("a", "x"), &at("a", "y"), &known, &EffectivePolicy::default()));
    assert!(reaches_other_hosts(&at("a", "x"), &at("b", "x"), &known, &EffectivePolicy::default()));
    assert!(
        reaches_other_hosts(&spec(None, &[], true), &at("b", "x"), &known, &EffectivePolicy::default()),
        "went nowhere before"
    );
    assert!(
        !reaches_other_hosts(&at("a", "x"), &spec(None, &[], true), &known, &EffectivePolicy::default()),
        "goes nowhere"
    );
    assert!(
        reaches_other_hosts(
            &at("a", "x"),
            &at("a", "y"),
            &ConnectorSeen::not_found(),
            &EffectivePolicy::default()
        ),
        "nobody knows"
    );
    assert_eq!(own_secrets(&at("a", "x")), ["s"]);
}
