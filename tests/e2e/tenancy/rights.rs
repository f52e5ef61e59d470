//! What the operator may do, and what it did: no right that would make it a tool for more, and Secrets of which only
//! metadata are listed.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use liaison::cluster::access::{self, Access, Named};
use serde_json::Value;

use super::stage::Stage;
use crate::support::control_plane::output_of;
use crate::support::installation::helm;
use crate::support::operator::OPERATOR_NAMESPACE;
use crate::world::World;

/// Verbs that give more than they say.
const WIDENING: [&str; 3] = ["*", "escalate", "impersonate"];

/// The one role that the operator gives.
const OWNER_ROLE: &str = "liaison-folder-owner";

fn rendered() -> Result<Vec<Value>> {
    let template = ["template", "liaison", "charts/liaison", "--namespace", OPERATOR_NAMESPACE];
    let text = output_of(&mut helm(&template)?)?;
    let documents = serde_yaml::Deserializer::from_str(&text);
    let documents = documents.map(serde::Deserialize::deserialize);
    Ok(documents.collect::<Result<Vec<Value>, _>>()?)
}

fn words(rule: &Value, key: &str) -> Vec<String> {
    let listed = rule[key].as_array().into_iter().flatten();
    listed.filter_map(|word| word.as_str().map(ToOwned::to_owned)).collect()
}

#[test]
fn no_role_of_the_chart_is_wider_than_it_says() -> Result<()> {
    let objects = rendered()?;
    let roles =
        objects.iter().filter(|object| ["Role", "ClusterRole"].map(Value::from).contains(&object["kind"]));
    let mut names = BTreeSet::new();
    for role in roles {
        let name = role["metadata"]["name"].as_str().context("a name")?;
        names.insert(name.to_owned());
        for rule in role["rules"].as_array().into_iter().flatten() {
            for key in ["apiGroups", "resources", "verbs"] {
                let wide = words(rule, key).into_iter().find(|word| WIDENING.contains(&word.as_str()));
                ensure!(wide.is_none(), "{name}: {wide:?} in {rule}");
            }
            let binds = words(rule, "verbs").contains(&"bind".to_owned());
            ensure!(!binds || words(rule, "resourceNames") == [OWNER_ROLE], "{name} binds: {rule}");
            let groups = words(rule, "apiGroups").contains(&"rbac.authorization.k8s.io".to_owned());
            let reads =
                words(rule, "verbs").iter().all(|verb| ["get", "list", "watch"].contains(&verb.as_str()));
            ensure!(!groups || reads || words(rule, "resourceNames") == [OWNER_ROLE], "{name} gives: {rule}");
        }
    }
    ensure!(names.contains("liaison") && names.contains(OWNER_ROLE) && names.len() >= 8, "{names:?}");
    Ok(())
}

#[test]
fn no_right_that_the_code_asks_for_is_wider_than_it_says() {
    let tables =
        [access::CLUSTER, access::OWN_NAMESPACE, access::UNINSTALL_CLUSTER, access::UNINSTALL_OWN_NAMESPACE];
    let all: Vec<&Access> = tables.into_iter().flatten().collect();
    assert!(all.len() > 20, "{}", all.len());
    for access in all {
        let words = [&[access.group, access.resource], access.verbs].concat();
        assert!(words.iter().all(|word| !WIDENING.contains(word) && !word.contains('*')), "{access:?}");
        assert!(!access.verbs.contains(&"bind") || access.named == Named::Exactly(OWNER_ROLE), "{access:?}");
    }
}

/// The audit log tells of which lists the API server has answered with metadata alone, and that nothing else was asked
/// for in bulk. Of watches it keeps no answer: `bodies_of_secrets_are_never_listed_or_watched` looks at what the
/// operator asks for.
#[tokio::test]
async fn lists_of_secrets_are_of_metadata_and_nothing_was_changed_in_bulk() -> Result<()> {
    let stage = Stage::new("rights").await?;
    let audit_log = World::shared().control_plane.audit_log().context("an audit log")?;
    let operator = format!("system:serviceaccount:{OPERATOR_NAMESPACE}:liaison");
    let events = audit_log.events()?;
    let ours: Vec<_> = events.iter().filter(|event| event.user.username == operator).collect();
    let of_secrets: Vec<_> = ours.iter().filter(|event| event.resource() == "secrets").collect();
    let lists: Vec<_> = of_secrets.iter().filter(|event| event.verb == "list").collect();
    ensure!(!lists.is_empty(), "the operator lists Secrets");
    for list in &lists {
        ensure!(list.response_object.kind == "PartialObjectMetadataList", "{list:?}");
    }
    // Bodies are read one by one, by name.
    ensure!(of_secrets.iter().any(|event| event.verb == "get" && !event.object_ref.name.is_empty()));
    let forbidden: Vec<_> = ours.iter().filter(|event| event.response_status.code == 403).collect();
    ensure!(forbidden.is_empty(), "{forbidden:?}");
    for event in &ours {
        ensure!(event.verb != "deletecollection" && event.impersonated_user.is_none(), "{event:?}");
    }
    stage.nothing_came_to_light().await
}
