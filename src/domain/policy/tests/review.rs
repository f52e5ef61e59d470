//! What is said of a policy itself.

use std::sync::Arc;

use super::*;
use crate::catalogue;
use crate::domain::conditions::{self, ConditionType};
use crate::domain::connection::{ConnectorState, SecretState, at};
use crate::domain::decision::Event;
use crate::domain::policy::review::{Observed, decide};
use crate::domain::reason::Reason;

const CRM: &str = r"
displayName: CRM
baseURL: https://{site}.crm.example
redirect: PerConnection
parameters: [{name: site, required: true, pattern: '[a-z]+'}]
authMethods:
- type: OAuth2ClientCredentials
  oauth2: {tokenURL: 'https://login.example/token'}
- type: APIKey
  request: {headers: {X-Key: '{apiKey}'}}
";

fn folder(name: &str, parent: Option<&str>) -> Folder {
    let parent_ref = parent.map(|name| crate::api::schema::NameReference { name: name.to_owned() });
    Folder::new(name, FolderSpec { parent_ref, ..FolderSpec::default() })
}

fn found(keys: &[&str]) -> SecretState {
    SecretState::Found {
        name: "s".to_owned(),
        fingerprints: keys.iter().map(|key| ((*key).to_owned(), "digest".to_owned())).collect(),
        client_id: None,
    }
}

fn observed(spec: &str) -> Observed {
    let definition = Arc::new(catalogue::check(&serde_yaml::from_str(CRM).unwrap()).unwrap());
    let crm = ConnectorState::Valid { definition, identity: String::new() };
    Observed {
        policy: policy("p", spec),
        folders: vec![folder("root", None), folder("team", Some("root")), folder("other", None)],
        connectors: [("crm".to_owned(), crm)].into(),
        secrets: [
            ("app".to_owned(), found(&["clientId", "clientSecret"])),
            ("half".to_owned(), found(&["clientId"])),
            ("key".to_owned(), found(&["apiKey"])),
            ("bare".to_owned(), SecretState::NotLabelled("bare".to_owned())),
        ]
        .into(),
        operator_namespace: "liaison-system".to_owned(),
    }
}

/// The faults that the condition lists, once each.
fn faults(spec: &str) -> Vec<String> {
    let status = decide(&observed(spec), at(0)).status;
    let valid = conditions::find(&status.conditions, ConditionType::Valid).unwrap().clone();
    assert_eq!(valid.status == "True", valid.message.is_empty());
    valid.message.split("; ").filter(|fault| !fault.is_empty()).map(str::to_owned).collect()
}

#[test]
fn n45_a_policy_counts_the_folders_that_it_governs() {
    let count = |spec: &str| decide(&observed(spec), at(0)).status.folders;
    assert_eq!(count("{}"), Some(3));
    assert_eq!(count("{folders: {names: [root]}}"), Some(1));
    assert_eq!(count("{folders: {names: [root], subtree: true}}"), Some(2));
    assert_eq!(count("{folders: {selector: {matchLabels: {a: b}}}}"), Some(0));
}

#[test]
fn a_policy_without_faults_is_valid() {
    let spec = "{folders: {names: [team]}, connectors: {allow: [crm]}, egressExceptions: ['crm.internal:8443'], defaults: \
                [{connector: crm, oauthApp: {secretRef: {name: app}}, authTypes: [OAuth2ClientCredentials], credentials: {secretRef: {name: key}}, \
                allowedHosts: [login.example, '*.crm.example'], parameters: {site: acme}}]}";
    assert_eq!(faults(spec), [""; 0]);
    let decision = decide(&observed(spec), at(0));
    assert_eq!(decision.events, []);
    let mut recorded = observed(spec);
    recorded.policy.status = Some(decision.status.clone());
    assert_eq!(decide(&recorded, at(9)).status, decision.status, "a quiet policy stays as it is");
}

#[test]
fn all_faults_of_a_policy_are_listed_at_once_and_heal() {
    let spec = "{folders: {names: [team, gone]}, connectors: {allow: [crm, typo], deny: [older]}, \
                egressExceptions: ['crm.internal:0'], defaults: [\
                {connector: absent, oauthApp: {secretRef: {name: none}}, allowedHosts: [x.example]}, \
                {connector: crm, oauthApp: {secretRef: {name: half}}, authTypes: [OAuth2ClientCredentials], credentials: \
                {secretRef: {name: bare}}, \
                allowedHosts: [other.example], parameters: {site: ACME, sitte: x}}]}";
    assert_eq!(
        faults(spec),
        [
            "spec.folders.names: folder \"gone\" does not exist",
            "spec.connectors.allow: connector \"typo\" does not exist",
            "spec.connectors.deny: connector \"older\" does not exist",
            "spec.egressExceptions: \"crm.internal:0\" is not one host and one port",
            "spec.defaults: connector \"absent\" does not exist",
            "spec.defaults[absent].oauthApp.secretRef: secret \"none\" does not exist in namespace \"liaison-system\", the \
             operator's own",
            "create it with the label liaison.dev/credentials: \"true\"",
            "spec.defaults[crm].oauthApp.secretRef: secret \"half\" in namespace \"liaison-system\" lacks a value under the \
             key clientSecret",
            "spec.defaults[crm].credentials.secretRef: secret \"bare\" does not allow its use by connections",
            "run `kubectl label secret bare -n liaison-system liaison.dev/credentials=true`",
            "spec.defaults[crm].parameters.site must match the pattern [a-z]+",
            "spec.defaults[crm].parameters.sitte is not a parameter of this connector",
            "declared: site",
        ]
    );
    let decision = decide(&observed(spec), at(0));
    assert_eq!(decision.events, [Event::warning(Reason::PolicyInvalid)]);
    let mut told = observed(spec);
    told.policy.status = Some(decision.status);
    assert_eq!(decide(&told, at(1)).events, [], "once");
    told.policy.spec = serde_yaml::from_str("{}").unwrap();
    let healed = decide(&told, at(2)).status;
    assert_eq!(conditions::find(&healed.conditions, ConditionType::Valid).unwrap().reason, "PolicyValid");
}

#[test]
fn what_is_lent_for_no_use_or_to_no_host_is_a_fault() {
    let hosts = "{defaults: [{connector: crm, oauthApp: {secretRef: {name: app}}, authTypes: [OAuth2ClientCredentials], \
                 allowedHosts: [other.example], parameters: {site: acme}}]}";
    assert_eq!(
        faults(hosts),
        [
            "spec.defaults[crm].allowedHosts: no auth type of the connector does without \"acme.crm.example\" (api requests)"
        ]
    );
    let open = "{defaults: [{connector: crm, oauthApp: {secretRef: {name: app}}, authTypes: [OAuth2ClientCredentials], \
                allowedHosts: [other.example]}]}";
    assert_eq!(faults(open), [""; 0], "where the hosts are is for each Connection to say");
    let nobodys =
        "{defaults: [{connector: crm, oauthApp: {secretRef: {name: app}}, allowedHosts: [other.example]}]}";
    assert_eq!(
        faults(nobodys),
        [
            "spec.defaults[crm].oauthApp has no use: no auth type of the connector needs a person, and others are lent it \
             only where authTypes names them: OAuth2ClientCredentials"
        ]
    );
    let unfit = "{defaults: [{connector: crm, oauthApp: {secretRef: {name: app}}, allowedHosts: [login.example], authTypes: \
                 [APIKey, OAuth2BringYourOwnApp, OAuth2ClientCredentials, OAuth2Password]}]}";
    assert_eq!(
        faults(unfit),
        [
            "spec.defaults[crm].authTypes: authType \"APIKey\" has no OAuth client",
            "spec.defaults[crm].authTypes: authType \"OAuth2BringYourOwnApp\" brings an app of one's own and is lent none",
            "spec.defaults[crm].authTypes: authType \"OAuth2Password\" is not supported by the connector",
        ]
    );
    let keys = "{defaults: [{connector: crm, credentials: {secretRef: {name: app}}, allowedHosts: ['*.crm.example']}]}";
    assert!(faults(keys)[0].ends_with("lacks a value under the key apiKey"), "{:?}", faults(keys));
}
