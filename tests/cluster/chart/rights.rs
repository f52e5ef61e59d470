//! The rights of the operator and of its uninstall: what the code says it uses, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use liaison::cluster::access::{self, Access, Named};
use serde_json::Value;

use super::{RELEASE, object, of_kind, render};

/// Verbs by group, resource and name; any name where it is empty.
type Rights = BTreeMap<[String; 3], BTreeSet<String>>;

fn strings(value: &Value) -> impl Iterator<Item = String> {
    value.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(ToOwned::to_owned))
}

fn rendered(role: &Value) -> Result<Rights> {
    let mut rights = Rights::new();
    for rule in role["rules"].as_array().context("rules")? {
        for group in strings(&rule["apiGroups"]) {
            for resource in strings(&rule["resources"]) {
                let names: Vec<_> = strings(&rule["resourceNames"]).collect();
                let key = [group.clone(), resource, names.join(",")];
                rights.entry(key).or_default().extend(strings(&rule["verbs"]));
            }
        }
    }
    Ok(rights)
}

fn declared(table: &[Access]) -> Rights {
    let mut rights = Rights::new();
    for access in table {
        let name = match access.named {
            Named::Any => "",
            Named::Installation => RELEASE,
            Named::Exactly(name) => name,
            Named::Served => "team-a,team-b",
        };
        let verbs = rights.entry([access.group, access.resource, name].map(ToOwned::to_owned)).or_default();
        verbs.extend(access.verbs.iter().map(ToString::to_string));
    }
    rights
}

#[rstest::rstest]
#[case("ClusterRole", "liaison", access::CLUSTER)]
#[case("Role", "liaison", access::OWN_NAMESPACE)]
#[case("ClusterRole", "liaison-uninstall", access::UNINSTALL_CLUSTER)]
#[case("Role", "liaison-uninstall", access::UNINSTALL_OWN_NAMESPACE)]
fn a_role_grants_exactly_what_the_code_uses(
    #[case] kind: &str,
    #[case] name: &str,
    #[case] table: &[Access],
) -> Result<()> {
    assert_eq!(rendered(object(&render(&[])?, kind, name)?)?, declared(table));
    Ok(())
}

/// An operator that works in two namespaces only.
const SOME: &str = "--set=namespaces={team-a,team-b}";

/// The rules of a role in a namespace, or of one of the cluster.
fn rules_in(objects: &[Value], name: &str, namespace: Option<&str>) -> Result<Rights> {
    let kind = if namespace.is_some() { "Role" } else { "ClusterRole" };
    let found = of_kind(objects, kind)
        .into_iter()
        .find(|role| role["metadata"]["name"] == name && role["metadata"]["namespace"].as_str() == namespace);
    rendered(found.with_context(|| format!("{kind} {name} in {namespace:?}"))?)
}

#[test]
fn an_operator_of_some_namespaces_has_roles_in_them_and_little_in_the_cluster() -> Result<()> {
    let objects = render(&[SOME])?;
    let [uninstall, uninstall_in_each] = access::uninstall_in_some();
    assert_eq!(rules_in(&objects, "liaison", None)?, declared(&access::in_the_cluster()));
    assert_eq!(rules_in(&objects, "liaison-uninstall", None)?, declared(&uninstall));
    for namespace in ["team-a", "team-b"] {
        assert_eq!(rules_in(&objects, "liaison", Some(namespace))?, declared(&access::in_a_namespace()));
        let rules = rules_in(&objects, "liaison-uninstall", Some(namespace))?;
        assert_eq!(rules, declared(&uninstall_in_each));
        for name in ["liaison", "liaison-uninstall"] {
            let bound = of_kind(&objects, "RoleBinding").into_iter().find(|binding| {
                binding["metadata"]["name"] == name && binding["metadata"]["namespace"] == namespace
            });
            let bound = bound.with_context(|| format!("RoleBinding {name} in {namespace}"))?;
            assert_eq!(
                (&bound["roleRef"]["kind"], &bound["roleRef"]["name"]),
                (&"Role".into(), &name.into())
            );
            assert_eq!(bound["subjects"][0]["name"], name);
            assert_eq!(bound["subjects"][0]["namespace"], "liaison-system");
        }
    }
    let own = rules_in(&objects, "liaison", Some("liaison-system"))?;
    assert_eq!(own, declared(&access::in_the_own_namespace()));

    // Together they are what the operator of a whole cluster has, but for making and deleting namespaces.
    let mut together = declared(&access::in_the_cluster());
    together.extend(declared(&access::in_a_namespace()));
    let namespaces = ["", "namespaces", "team-a,team-b"].map(ToOwned::to_owned);
    let named = together.remove(&namespaces).context("namespaces")?;
    let mut whole = declared(access::CLUSTER);
    let all = whole.remove(&["", "namespaces", ""].map(ToOwned::to_owned)).context("namespaces")?;
    assert_eq!(together, whole);
    assert_eq!(all.difference(&named).collect::<Vec<_>>(), ["create", "delete"]);
    for group in ["", "liaison.dev"] {
        for resource in ["secrets", "pods", "connections", "connections/status", "processbindings"] {
            let key = [group, resource, ""].map(ToOwned::to_owned);
            assert!(!declared(&access::in_the_cluster()).contains_key(&key), "{key:?}");
        }
    }
    Ok(())
}

/// What would let somebody have more than they were given.
const WIDENING: [&str; 4] = ["*", "escalate", "bind", "impersonate"];

#[test]
fn no_role_has_wildcards_or_can_widen_itself() -> Result<()> {
    let objects = render(&[])?;
    let roles = [of_kind(&objects, "ClusterRole"), of_kind(&objects, "Role")].concat();
    assert!(roles.len() >= 12, "{}", roles.len());
    let mut bound = Vec::new();
    for role in roles {
        let name = role["metadata"]["name"].as_str().context("name")?;
        for rule in role["rules"].as_array().context("rules")? {
            assert_eq!(rule["nonResourceURLs"], Value::Null, "{name}");
            let words = ["apiGroups", "resources", "verbs"].map(|key| strings(&rule[key]));
            let widening: Vec<_> =
                words.into_iter().flatten().filter(|word| WIDENING.contains(&word.as_str())).collect();
            if !widening.is_empty() {
                bound.push((name.to_owned(), widening, strings(&rule["resourceNames"]).collect::<Vec<_>>()));
            }
        }
    }
    let owner = "liaison-folder-owner".to_owned();
    assert_eq!(
        bound,
        [("liaison".to_owned(), vec!["bind".to_owned()], vec![owner])],
        "one role, by its name"
    );
    Ok(())
}

#[test]
fn roles_and_bindings_are_touched_by_name_alone() {
    let tables =
        [access::CLUSTER, access::OWN_NAMESPACE, access::UNINSTALL_CLUSTER, access::UNINSTALL_OWN_NAMESPACE];
    let reading = ["get", "list", "watch"];
    for access in tables.concat() {
        let widens = access.verbs.iter().any(|verb| WIDENING.contains(verb));
        assert!(!widens || access.verbs.contains(&"bind"), "{access:?}");
        let changes = access.verbs.iter().any(|verb| !reading.contains(verb));
        if access.group == "rbac.authorization.k8s.io" && changes {
            assert_eq!(access.named, Named::Exactly("liaison-folder-owner"), "{access:?}");
        }
        assert!(access.resource != "clusterrolebindings" || !changes, "{access:?}");
    }
}

#[test]
fn controllers_of_service_bindings_may_find_bindings_and_nothing_else() -> Result<()> {
    let name = "liaison-service-bindings";
    let objects = render(&[])?;
    let role = object(&objects, "ClusterRole", name)?;
    assert_eq!(role["metadata"]["labels"]["servicebinding.io/controller"], "true");
    let found = ["get", "list", "watch"].map(str::to_owned);
    let key = ["liaison.dev", "processbindings", ""].map(str::to_owned);
    assert_eq!(rendered(role)?, Rights::from([(key, found.into())]));
    assert!(object(&render(&["--set=rbac.serviceBindings=false"])?, "ClusterRole", name).is_err());
    Ok(())
}

#[test]
fn the_operator_is_given_its_own_roles_and_no_other() -> Result<()> {
    let objects = render(&[])?;
    let mut bindings = [of_kind(&objects, "ClusterRoleBinding"), of_kind(&objects, "RoleBinding")].concat();
    bindings.retain(|binding| binding["metadata"]["name"] != WORKLOADS);
    assert_eq!(bindings.len(), 4);
    for binding in bindings {
        let name = &binding["metadata"]["name"];
        assert_eq!(binding["roleRef"]["name"], *name);
        let subjects = binding["subjects"].as_array().context("subjects")?;
        assert_eq!(subjects.len(), 1);
        assert_eq!((&subjects[0]["kind"], &subjects[0]["name"]), (&"ServiceAccount".into(), name));
    }
    Ok(())
}

/// The role of all workloads, and its binding.
const WORKLOADS: &str = "liaison-token-ca";

#[test]
fn every_workload_may_read_whom_to_trust_and_nothing_else() -> Result<()> {
    let objects = render(&[])?;
    let expected = Access {
        group: "",
        resource: "configmaps",
        verbs: &["get"],
        named: Named::Exactly("liaison-token-ca"),
    };
    assert_eq!(rendered(object(&objects, "Role", WORKLOADS)?)?, declared(&[expected]));
    let binding = object(&objects, "RoleBinding", WORKLOADS)?;
    assert_eq!(binding["roleRef"]["name"], WORKLOADS);
    let subjects = binding["subjects"].as_array().context("subjects")?;
    assert_eq!(subjects.len(), 1);
    assert_eq!(
        (&subjects[0]["kind"], &subjects[0]["name"]),
        (&"Group".into(), &"system:serviceaccounts".into())
    );
    Ok(())
}
