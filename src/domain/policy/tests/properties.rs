//! What holds for every set of policies.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;
use crate::api::ConnectionSpec;
use crate::api::connection_policy::{ConnectorRules, ConsentRules, FolderLabels, FolderSelection};
use crate::api::schema::NameReference;
use crate::catalogue::{self, Definition};

const CRM: &str = r"
displayName: CRM
baseURL: https://api.example
authMethods:
- type: OAuth2Password
  oauth2: {tokenURL: 'https://login.example/token'}
- type: OAuth2ClientCredentials
  oauth2: {tokenURL: 'https://login.example/token'}
";

fn definition() -> Definition {
    catalogue::check(&serde_yaml::from_str(CRM).unwrap()).unwrap()
}

fn names(all: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    subsequence(all, 0..=all.len()).prop_map(|names| names.into_iter().map(str::to_owned).collect())
}

fn auth_types() -> impl Strategy<Value = Vec<AuthType>> {
    let all = vec![AuthType::OAuth2Password, AuthType::OAuth2ClientCredentials];
    subsequence(all, 0..=2)
}

prop_compose! {
    fn selections()(
        names in prop::option::of(names(&["root", "middle", "leaf", "sibling"])),
        subtree in any::<bool>(),
        label in prop::option::of(select(vec!["root", "middle", "leaf"])),
    ) -> FolderSelection {
        let selector = label.map(|label| FolderLabels {
            match_labels: [("at".to_owned(), label.to_owned())].into(),
        });
        FolderSelection { names, subtree, selector }
    }
}

/// A policy that only denies: it allows nothing that was not allowed without it.
fn denying() -> impl Strategy<Value = ConnectionPolicySpec> {
    let connectors = (prop::option::of(names(&["crm", "other"])), names(&["crm", "other"]));
    let auth_types = (prop::option::of(auth_types()), auth_types());
    let hosts = prop::option::of(names(&["api.example", "login.example", "*.example"]));
    let denies_password = any::<bool>();
    (prop::option::of(selections()), connectors, auth_types, hosts, denies_password).prop_map(
        |(folders, (allow, deny), (allowed_types, denied_types), allowed_hosts, denies_password)| {
            ConnectionPolicySpec {
                folders,
                connectors: Some(ConnectorRules { allow, deny }),
                auth_types: Some(AuthTypeRules { allow: allowed_types, deny: denied_types }),
                allowed_hosts,
                password_grant: denies_password.then_some(PasswordGrant::Denied),
                ..ConnectionPolicySpec::default()
            }
        },
    )
}

/// A policy that says anything.
fn any_policy() -> impl Strategy<Value = ConnectionPolicySpec> {
    let words = (
        prop::option::of(select(vec![Enforcement::Report, Enforcement::Suspend])),
        prop::option::of(any::<bool>()),
        prop::option::of(any::<bool>()),
        prop::option::of(names(&["ann", "b*"]).prop_filter("at least one", |names| !names.is_empty())),
        any::<bool>(),
    );
    let default = prop::option::of(select(vec!["one", "other"]));
    let grant = prop::option::of(select(vec![PasswordGrant::Allowed, PasswordGrant::Denied]));
    (denying(), words, default, grant).prop_map(
        |(
            spec,
            (enforcement, hand_out_static, code_entry, accounts, overridable),
            default,
            password_grant,
        )| {
            let scopes = |scope: &str| vec![scope.to_owned()];
            ConnectionPolicySpec {
                enforcement,
                hand_out_static,
                consent: Some(ConsentRules { allow_code_entry: code_entry }),
                accounts,
                overridable,
                password_grant,
                defaults: default
                    .map(|scope| ConnectorDefaults {
                        connector: "crm".to_owned(),
                        scopes: scopes(scope),
                        ..ConnectorDefaults::default()
                    })
                    .into_iter()
                    .collect(),
                ..spec
            }
        },
    )
}

fn policies() -> impl Strategy<Value = Vec<ConnectionPolicy>> {
    prop::collection::vec(any_policy(), 0..6).prop_map(|specs| {
        specs
            .into_iter()
            .enumerate()
            .map(|(at, spec)| ConnectionPolicy::new(&format!("p{at}"), spec))
            .collect()
    })
}

fn connections() -> impl Strategy<Value = ConnectionSpec> {
    select(vec![AuthType::OAuth2Password, AuthType::OAuth2ClientCredentials]).prop_map(|auth_type| {
        ConnectionSpec {
            connector_ref: NameReference { name: "crm".to_owned() },
            auth_type: Some(auth_type),
            ..ConnectionSpec::default()
        }
    })
}

fn is_allowed(spec: &ConnectionSpec, policies: &[ConnectionPolicy]) -> bool {
    violation(spec, Some(&definition()), &effective(policies)).is_none()
}

/// The same policy for all folders from this depth of the tree down.
fn at(depth: &str, spec: ConnectionPolicySpec) -> ConnectionPolicySpec {
    let names = Some(vec![depth.to_owned()]);
    ConnectionPolicySpec { folders: Some(FolderSelection { names, subtree: true, selector: None }), ..spec }
}

proptest! {
    #[test]
    fn n45_the_order_of_the_policies_does_not_matter(
        (ordered, shuffled) in policies().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
    ) {
        prop_assert_eq!(effective(&ordered), effective(&shuffled));
    }

    #[test]
    fn n45_one_more_policy_that_denies_never_allows_more(
        all in policies(),
        more in denying(),
        spec in connections(),
    ) {
        let before = is_allowed(&spec, &all);
        let with_more = [all, vec![ConnectionPolicy::new("a-denial", more)]].concat();
        prop_assert!(before || !is_allowed(&spec, &with_more));
    }

    #[test]
    fn n45_nothing_that_a_nearer_policy_says_undoes_what_an_ancestor_denies(
        denial in denying(),
        nearer in any_policy(),
        spec in connections(),
    ) {
        let ancestor = ConnectionPolicy::new("ancestor", at("root", denial));
        // The password grant is denied where nobody speaks; only an ancestor's own denial cannot be undone.
        let silent = ancestor.spec.password_grant.is_none() && spec.auth_type == Some(AuthType::OAuth2Password);
        let alone = is_allowed(&spec, std::slice::from_ref(&ancestor));
        let with_nearer = [ancestor, ConnectionPolicy::new("nearer", at("leaf", nearer))];
        prop_assert!(alone || silent || !is_allowed(&spec, &with_nearer));
    }

    #[test]
    fn n45_where_the_ancestor_is_final_its_words_stay(
        ancestor in any_policy(),
        nearer in any_policy(),
    ) {
        let ancestor = ConnectionPolicySpec { overridable: false, ..at("root", ancestor) };
        let ancestor = ConnectionPolicy::new("ancestor", ancestor);
        let alone = effective(std::slice::from_ref(&ancestor));
        let both = effective(&[ancestor.clone(), ConnectionPolicy::new("nearer", at("leaf", nearer))]);
        if ancestor.spec.enforcement.is_some() {
            prop_assert_eq!(alone.enforcement, both.enforcement);
        }
        if ancestor.spec.hand_out_static.is_some() {
            prop_assert_eq!(alone.hand_out_static, both.hand_out_static);
        }
        if ancestor.spec.consent.as_ref().is_some_and(|consent| consent.allow_code_entry.is_some()) {
            prop_assert_eq!(alone.code_entry, both.code_entry);
        }
        if ancestor.spec.accounts.is_some() {
            prop_assert_eq!(alone.accounts, both.accounts);
        }
    }

    #[test]
    fn n45_to_name_more_folders_never_frees_one(all in policies(), spec in connections(), more in denying()) {
        let named = |names: &[&str]| ConnectionPolicySpec {
            folders: Some(FolderSelection {
                names: Some(names.iter().map(|name| (*name).to_owned()).collect()),
                subtree: true,
                selector: None,
            }),
            enforcement: Some(Enforcement::Suspend),
            ..more.clone()
        };
        let with = |spec| effective(&[all.clone(), vec![ConnectionPolicy::new("x", spec)]].concat());
        let (few, many) = (with(named(&["root"])), with(named(&["root", "leaf"])));
        let definition = definition();
        let refused = |policy| violation(&spec, Some(&definition), policy).is_some();
        prop_assert!(!refused(&few) || refused(&many));
        prop_assert!(few.enforcement() == Enforcement::Report || many.enforcement() == Enforcement::Suspend);
    }
}
