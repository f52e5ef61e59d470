//! Namespaces of others, taken over by Folders, and what Personal folders give.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client};
use liaison::api::Connection;
use serde_json::{Value, json};

use super::Family;
use super::attempt::{Attempt, Deed, attempt, forbidden, refused, says};
use super::people::{name_of, paula, rules, with_rules_everywhere};
use super::stage::{Stage, with};
use crate::support::operator::OPERATOR_NAMESPACE;
use crate::support::waiting::{SOON, eventually};
use crate::world::World;

const OWNER_ROLE: &str = "liaison-folder-owner";
const FOLDER_LABEL: &str = "/metadata/labels/liaison.dev~1folder";

fn folder(name: &str, spec: &Value) -> Value {
    let mut spec = spec.clone();
    spec["displayName"] = name.into();
    if spec["type"].is_null() {
        spec["type"] = "Shared".into();
    }
    json!({ "apiVersion": "liaison.dev/v1alpha1", "kind": "Folder", "metadata": { "name": name }, "spec": spec })
}

fn namespace(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } })
}

/// Names of this family's own.
fn own(name: &str) -> String {
    format!("tenancy-{name}")
}

/// Namespaces that belong to the cluster, to the operator or to red.
fn foreign_namespaces(stage: &Stage, paula: &Client) -> Vec<Attempt> {
    let red = stage.red.namespace.as_str();
    let mut attempts = Vec::new();
    for target in ["kube-system", "kube-public", "kube-node-lease", "default", OPERATOR_NAMESPACE] {
        let name = own(&format!("on-{target}"));
        let words = format!("namespace \"{target}\" belongs to the cluster or the operator");
        let wanted = folder(&name, &json!({ "namespace": target }));
        attempts.push(attempt(format!("a Folder on {target}"), Deed::create(paula, &wanted), refused(words)));
    }
    for target in ["kube-system", OPERATOR_NAMESPACE, red] {
        let wanted = folder(&own("adopts"), &json!({ "namespace": target, "adopt": true }));
        attempts.push(attempt(
            format!("a Folder that adopts {}", target.replace(red, "red's namespace")),
            Deed::create(paula, &wanted),
            refused(format!("namespace \"{target}\"")),
        ));
    }
    let on_red = folder(&own("on-red"), &json!({ "namespace": red }));
    let personal =
        json!({ "namespace": red, "type": "Personal", "owner": name_of("eve", &stage.blue.namespace) });
    let taken = format!("folder \"{red}\" has namespace \"{red}\"");
    attempts.extend([
        attempt("a Folder on red's namespace", Deed::create(paula, &on_red), refused(taken.as_str())),
        attempt(
            "the same by apply",
            Deed::merge(paula, &on_red, on_red.clone()),
            forbidden("patch", "folders"),
        ),
        attempt(
            "a Personal folder on red's namespace",
            Deed::create(paula, &folder(&own("red-for-eve"), &personal)),
            refused(taken),
        ),
    ]);
    attempts
}

/// A namespace that nobody has given to a folder, and one whose folder is gone.
async fn plain_namespaces(stage: &Stage, paula: &Client) -> Result<Vec<Attempt>> {
    let administrator = &stage.red.client;
    let (plain, orphan) = (own("plain"), own("orphan"));
    Deed::create(administrator, &namespace(&plain)).perform().await?;
    let labelled = with(&namespace(&orphan), FOLDER_LABEL, own("ghost").into());
    Deed::create(administrator, &labelled).perform().await?;
    let uma = with_rules_everywhere(
        &stage.blue,
        "uma",
        json!([
            { "apiGroups": ["liaison.dev"], "resources": ["folders"], "verbs": ["create", "get"] },
            { "apiGroups": [""], "resources": ["namespaces"], "verbs": ["update", "get"] },
        ]),
    )
    .await?;
    let eve = name_of("eve", &stage.blue.namespace);
    let mine = json!({ "namespace": plain, "type": "Personal", "owner": eve });
    let adopting = with(&mine, "/adopt", true.into());
    let words = format!("spec.adopt takes namespace \"{plain}\" over, which needs the right to update");
    let exists =
        |namespace: &str| says("NamespaceExists", format!("namespace \"{namespace}\" exists already"));
    Ok(vec![
        attempt(
            "a plain namespace, adopted without the right to update it",
            Deed::create(paula, &folder(&own("adopts-plain"), &json!({ "namespace": plain, "adopt": true }))),
            refused(words),
        ),
        attempt(
            "a plain namespace, for a Personal folder",
            Deed::create(paula, &folder(&own("takes-plain"), &mine)),
            exists(&plain),
        ),
        attempt(
            "a namespace that bears the name of a folder that is gone",
            Deed::create(paula, &folder(&own("ghost"), &json!({ "namespace": orphan }))),
            exists(&orphan),
        ),
        attempt(
            "a plain namespace, adopted for its Secrets by who may only update it",
            Deed::create(&uma, &folder(&own("reads-plain"), &adopting)).dry_run(),
            refused(format!("spec.adopt gives namespace \"{plain}\" with its Secrets to \"{eve}\"")),
        ),
    ])
}

/// Fred may do everything with Folders, and nothing with namespaces.
async fn by_changes(stage: &Stage) -> Result<Vec<Attempt>> {
    let verbs = ["create", "get", "list", "patch", "update", "delete"];
    let fred = with_rules_everywhere(&stage.blue, "fred", rules("liaison.dev", &["folders"], &verbs)).await?;
    let red = stage.red.namespace.as_str();
    // On the plain namespace, which it does not have.
    let eve = name_of("eve", &stage.blue.namespace);
    let plain = json!({ "namespace": own("plain"), "type": "Personal", "owner": eve });
    let there = folder(&own("takes-plain"), &plain);
    let spec = |change: Value| Deed::merge(&fred, &there, json!({ "spec": change }));
    let adopting = with(&there, "/spec/adopt", true.into());
    let words = "which needs the right";
    let below = folder(&own("below-red"), &json!({ "parentRef": { "name": red } }));
    let attach = format!("spec.parentRef needs the right to attach to folder \"{red}\"");
    let red_folder = folder(red, &Value::Null);
    Ok(vec![
        attempt("adopted later, by a merge patch", spec(json!({ "adopt": true })), refused(words)),
        attempt("adopted later, by a dry run", spec(json!({ "adopt": true })).dry_run(), refused(words)),
        attempt("adopted later, by apply", Deed::apply(&fred, &adopting), refused(words)),
        attempt("adopted later, by replacing", Deed::replace(&fred, &adopting), refused(words)),
        attempt("another owner", spec(json!({ "owner": "eve" })), refused("spec.owner is immutable")),
        attempt(
            "another type",
            spec(json!({ "type": "Shared", "owner": null })),
            refused("spec.type is immutable"),
        ),
        attempt(
            "another namespace",
            spec(json!({ "namespace": red })),
            refused("spec.namespace is immutable"),
        ),
        attempt(
            "the namespace taken away",
            spec(json!({ "namespace": null })),
            refused("spec.namespace is immutable"),
        ),
        attempt("another parent", spec(json!({ "parentRef": { "name": red } })), refused("spec.parentRef")),
        attempt("a folder below red's without attach", Deed::create(&fred, &below), refused(attach.as_str())),
        attempt("the same by apply, of a new one", Deed::apply(&fred, &below), refused(attach)),
        attempt(
            "red's folder deleted",
            Deed::delete(&fred, &red_folder),
            refused(format!("folder \"{red}\" still holds connections: crm, erp")),
        ),
        attempt(
            "red's folder made another's",
            Deed::merge(&fred, &red_folder, json!({ "spec": { "type": "Personal", "owner": "eve" } })),
            refused("spec.type is immutable"),
        ),
    ])
}

/// Nell labels namespaces, and would say whose they are.
async fn by_labels(stage: &Stage) -> Result<Vec<Attempt>> {
    let verbs = ["patch", "get", "list", "create"];
    let nell = with_rules_everywhere(&stage.blue, "nell", rules("", &["namespaces"], &verbs)).await?;
    let plain = namespace(&own("plain"));
    let red = namespace(&stage.red.namespace);
    let blue = &stage.blue.namespace;
    let labelled = |value: Value| json!({ "metadata": { "labels": { "liaison.dev/folder": value } } });
    let made =
        |value: &str| json!({ "metadata": { "annotations": { "liaison.dev/created-by-folder": value } } });
    let fresh = with(&namespace(&own("fresh")), FOLDER_LABEL, json!(blue));
    let words = || refused("only the operator sets them");
    Ok(vec![
        attempt("a plain namespace labelled", Deed::merge(&nell, &plain, labelled(json!(blue))), words()),
        attempt("a plain namespace marked as made", Deed::merge(&nell, &plain, made("some-uid")), words()),
        attempt("red's namespace labelled", Deed::merge(&nell, &red, labelled(json!(blue))), words()),
        attempt("red's label taken away", Deed::merge(&nell, &red, labelled(Value::Null)), words()),
        attempt("a new namespace labelled", Deed::create(&nell, &fresh), words()),
    ])
}

/// The one binding of Olga's Personal folder.
struct OlgasFolder {
    namespace: String,
    bindings: Api<RoleBinding>,
    owner: String,
}

impl OlgasFolder {
    async fn new(stage: &Stage) -> Result<Self> {
        let (name, owner) = (own("olga"), name_of("olga", "tenancy"));
        let home = folder(&name, &json!({ "type": "Personal", "owner": owner }));
        Deed::create(&stage.red.client, &home).perform().await?;
        let this =
            Self { bindings: Api::namespaced(stage.red.client.clone(), &name), namespace: name, owner };
        this.is_hers().await?;
        Ok(this)
    }

    /// Waits until she, and she alone, has the owner's role.
    async fn is_hers(&self) -> Result<()> {
        eventually("Olga alone is bound", SOON, async || {
            let all = self.bindings.list(&ListParams::default()).await?.items;
            ensure!(all.len() == 1, "{} bindings", all.len());
            let subjects = all[0].subjects.iter().flatten().map(|subject| subject.name.as_str());
            let hers = all[0].role_ref.name == OWNER_ROLE && subjects.eq([self.owner.as_str()]);
            ensure!(hers, "{:?}", all[0]);
            Ok(Some(()))
        })
        .await
    }

    fn binding(&self, role: &str, user: &str) -> Value {
        let group = "rbac.authorization.k8s.io";
        json!({
            "apiVersion": format!("{group}/v1"), "kind": "RoleBinding",
            "metadata": { "name": OWNER_ROLE, "namespace": self.namespace },
            "roleRef": { "apiGroup": group, "kind": "ClusterRole", "name": role },
            "subjects": [{ "apiGroup": group, "kind": "User", "name": user }],
        })
    }
}

/// Rob may write bindings in Olga's namespace, and give Olga's role.
async fn olgas_binding(family: &mut Family) -> Result<()> {
    let olga = OlgasFolder::new(&family.stage).await?;
    let rob = with_rules_everywhere(
        &family.stage.blue,
        "rob",
        json!([{
            "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["rolebindings", "clusterroles"],
            "verbs": ["patch", "get", "list", "create", "update", "delete", "bind"],
        }]),
    )
    .await?;
    let eve = name_of("eve", &family.stage.blue.namespace);
    let hers = olga.binding(OWNER_ROLE, &olga.owner);
    let subjects = olga.binding(OWNER_ROLE, &eve)["subjects"].clone();
    Deed::merge(&rob, &hers, json!({ "subjects": subjects })).perform().await?;
    family.count("Olga's binding given to Eve", olga.is_hers().await)?;
    Deed::delete(&rob, &hers).perform().await?;
    family.count("Olga's binding deleted", olga.is_hers().await)?;
    let bindings: Api<RoleBinding> = Api::namespaced(rob.clone(), &olga.namespace);
    bindings.delete(OWNER_ROLE, &DeleteParams::default()).await?;
    // The operator may have been faster.
    let _ = Deed::create(&rob, &olga.binding("view", &eve)).perform().await;
    family.count("another role under the name of Olga's binding", olga.is_hers().await)?;

    let world = World::shared();
    let as_olga = world.control_plane.client_as(&olga.owner, &[]).await?;
    let more = with(&olga.binding(OWNER_ROLE, &eve), "/metadata/name", "more".into());
    let attempts = vec![attempt(
        "somebody let in by Olga, who may not give rights",
        Deed::create(&as_olga, &more),
        forbidden("create", "rolebindings"),
    )];
    family.make(attempts).await?;
    let as_group = world.control_plane.client_as("gus", &[&olga.owner, "staff"]).await?;
    let seen = Api::<Connection>::namespaced(as_group, &olga.namespace).list(&ListParams::default()).await;
    let outcome = super::attempt::is_refused(seen, "cannot list resource \"connections\"");
    family.count("a group of the owner's name", outcome)
}

/// Nothing that was tried has left a mark on a namespace that is nobody's.
async fn namespaces_are_unmarked(client: &Client) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    for name in ["kube-system", "kube-public", "default", OPERATOR_NAMESPACE, &own("plain")] {
        let labels = namespaces.get(name).await?.metadata.labels.unwrap_or_default();
        ensure!(!labels.contains_key("liaison.dev/folder"), "{name} is labelled");
        let bindings: Api<RoleBinding> = Api::namespaced(client.clone(), name);
        ensure!(bindings.get_opt(OWNER_ROLE).await?.is_none(), "{name} has an owner's binding");
    }
    Ok(())
}

#[tokio::test]
async fn namespaces_of_others_are_not_had_by_folders() -> Result<()> {
    let mut family = Family::new("folders").await?;
    let stage = &family.stage;
    let paula = paula(&stage.blue).await?;
    let attempts = [foreign_namespaces(stage, &paula), plain_namespaces(stage, &paula).await?].concat();
    family.make(attempts).await?;
    let attempts = [by_changes(&family.stage).await?, by_labels(&family.stage).await?].concat();
    family.make(attempts).await?;
    olgas_binding(&mut family).await?;
    namespaces_are_unmarked(&family.stage.red.client).await?;
    family.end().await
}
