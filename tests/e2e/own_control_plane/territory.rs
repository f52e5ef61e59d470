//! An operator that works in some namespaces only, with Roles in them instead of rights everywhere.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use liaison::api::consent_request::Phase;
use liaison::api::{Connection, Folder, ProcessBinding};
use liaison::domain::conditions::{self, ConditionType};
use serde_json::{Value, json};

use super::consenting::{Attempt, PeopleScene};
use super::rotating_provider::RotatingProvider;
use super::{RECOVERS, Stage};
use crate::fixtures::{Ground, apply, token_connector};
use crate::support::audit_log::AuditEvent;
use crate::support::installation::{apply_rendered, operator_rights_in};
use crate::support::waiting::{SOON, eventually};

const OPERATOR: &str = "system:serviceaccount:liaison-system:liaison";

/// What the operator asks for that is in no namespace.
const OF_THE_CLUSTER: [&str; 9] = [
    "connectors",
    "folders",
    "connectionpolicies",
    "namespaces",
    "subjectaccessreviews",
    "tokenreviews",
    "clusterroles",
    "clusterrolebindings",
    "webhookconfigurations",
];

fn folder(name: &str, spec: &Value) -> Value {
    let mut spec = spec.clone();
    spec["displayName"] = name.into();
    if spec["type"].is_null() {
        spec["type"] = "Shared".into();
    }
    json!({ "apiVersion": "liaison.dev/v1alpha1", "kind": "Folder", "metadata": { "name": name }, "spec": spec })
}

async fn until_folder(stage: &Stage, name: &str, reason: &str) -> Result<String> {
    let folders: Api<Folder> = Api::all(stage.control_plane.client().await?);
    eventually(&format!("folder {name}: {reason}"), RECOVERS, async || {
        let conditions = folders.get(name).await?.status.unwrap_or_default().conditions;
        let ready = conditions::find(&conditions, ConditionType::Ready).cloned().context("Ready")?;
        ensure!(ready.reason == reason, "{}: {}", ready.reason, ready.message);
        Ok(Some(ready.message))
    })
    .await
}

/// A folder that adopts a namespace.
async fn adopted(stage: &Stage, namespace: &str) -> Result<Ground> {
    let client = stage.control_plane.client().await?;
    apply(&client, "", &folder(namespace, &json!({ "adopt": true }))).await?;
    until_folder(stage, namespace, "NamespaceOwned").await?;
    Ok(Ground { client, namespace: namespace.to_owned() })
}

/// A process that may use the connection and gets it as a Secret.
async fn bound(stage: &Stage, ground: &Ground) -> Result<()> {
    let team = "--namespace=team-a";
    stage.control_plane.run_kubectl(&["create", "serviceaccount", "sync", team])?;
    let give = ["create", "rolebinding", "sync", "--clusterrole=liaison-connection-use", team];
    stage.control_plane.run_kubectl(&[&give[..], &["--serviceaccount=team-a:sync"]].concat())?;
    ground.apply(&binding("sync", None)).await
}

/// A binding that has a Secret made of the connection `crm`, of this namespace or of another one.
fn binding(name: &str, namespace: Option<&str>) -> Value {
    let mut connection = json!({ "name": "crm" });
    if let Some(namespace) = namespace {
        connection["namespace"] = namespace.into();
    }
    json!({
        "apiVersion": "liaison.dev/v1alpha1", "kind": "ProcessBinding", "metadata": { "name": name },
        "spec": {
            "connectorRef": { "name": "crm" }, "connectionRef": connection,
            "serviceAccountName": "sync", "secretName": format!("{name}-crm"),
        },
    })
}

/// A process here that needs a connection where the operator does not work is told so, whether or not there is one.
async fn told_of_elsewhere(ground: &Ground, words: &str) -> Result<()> {
    ground.apply(&binding("far", Some("elsewhere"))).await?;
    let far = ground.until_binding("far", "False", "NamespaceNotServed").await?;
    let conditions = far.status.unwrap_or_default().conditions;
    let told = conditions::find(&conditions, ConditionType::Ready).context("Ready")?.message.clone();
    assert_eq!(told, format!("connection \"elsewhere/crm\" is out of reach: {words}"));
    let bindings: Api<ProcessBinding> = Api::namespaced(ground.client.clone(), &ground.namespace);
    bindings.delete("far", &DeleteParams::default()).await?;
    Ok(())
}

fn of_operator(stage: &Stage) -> Result<Vec<AuditEvent>> {
    let events = stage.control_plane.audit_log().context("an audit log")?.events()?;
    Ok(events.into_iter().filter(|event| event.user.username == OPERATOR).collect())
}

/// Whether all that the operator asked for is in the cluster, in its own namespace or in these; and granted.
fn stays_in(stage: &Stage, namespaces: &[&str]) -> Result<()> {
    let asked = of_operator(stage)?;
    ensure!(asked.len() > 50, "{} requests", asked.len());
    for event in asked {
        let AuditEvent { verb, request_uri, object_ref, response_status, .. } = &event;
        let of_the_cluster = OF_THE_CLUSTER.iter().any(|kind| object_ref.resource.ends_with(kind));
        let place = object_ref.namespace.as_str();
        let served = if place.is_empty() {
            of_the_cluster
        } else {
            place == "liaison-system" || namespaces.contains(&place)
        };
        // Discovery and health are in no namespace and no kind.
        ensure!(served || object_ref.resource.is_empty(), "{verb} {request_uri}");
        ensure!(response_status.code != 403, "{verb} {request_uri}: forbidden");
    }
    Ok(())
}

#[tokio::test]
async fn an_operator_of_one_namespace_makes_a_connection_ready_there_and_asks_for_nothing_elsewhere()
-> Result<()> {
    let stage = Stage::in_namespaces("territory", &["team-a"]).await?;
    stage.control_plane.run_kubectl(&["create", "namespace", "elsewhere"])?;
    apply_rendered(&stage.control_plane, "user-roles", &["--show-only=templates/user-roles.yaml"])?;
    let client = stage.control_plane.client().await?;
    // Made before anybody could refuse them: a condition tells what admission would have.
    apply(&client, "", &folder("early", &json!({ "namespace": "elsewhere", "adopt": true }))).await?;
    let mute = Ground { client: client.clone(), namespace: "elsewhere".to_owned() };
    mute.secret("pat", &[("token", "t")]).await?;
    mute.connection("early", json!({ "connectorRef": { "name": "crm" } })).await?;
    let words = "Liaison does not work in namespace \"elsewhere\"; choose one that it works in, or have an administrator \
                 add this one (--namespaces)";
    stage.operate().await?;
    assert_eq!(until_folder(&stage, "early", "NamespaceNotServed").await?, words);

    // From then on it is refused, in the same words.
    let late = folder("late", &json!({ "namespace": "elsewhere", "adopt": true }));
    let refused = apply(&client, "", &late).await.expect_err("it is refused");
    assert!(format!("{refused:#}").contains(words), "{refused:#}");
    let made = apply(&client, "", &folder("made", &json!({}))).await.expect_err("it is refused");
    assert!(format!("{made:#}").contains("Liaison does not work in namespace \"made\""), "{made:#}");
    let refused = mute.connection("late", json!({ "connectorRef": { "name": "crm" } })).await;
    let refused = format!("{:#}", refused.expect_err("it is refused"));
    assert!(refused.contains(words), "{refused}");
    let refused = mute.apply(&binding("crm", None)).await.expect_err("it is refused");
    assert!(format!("{refused:#}").contains(words), "{refused:#}");

    let ground = adopted(&stage, "team-a").await?;
    stage.script(|request| {
        let known = request.headers.get("authorization").is_some_and(|value| value == "Bearer t");
        let body = json!({ "id": "7", "name": "ada" });
        Some(crate::support::strict_provider::Answer::json(if known { 200 } else { 401 }, &body))
    });
    ground.connector("crm", token_connector(&|path| stage.provider.endpoint(path))).await?;
    let spec =
        json!({ "connectorRef": { "name": "crm" }, "credentials": { "secretRef": { "name": "pat" } } });
    ground.connection("crm", spec).await?;
    ground.until("crm", ConditionType::Ready, "False", "CredentialsMissing").await?;
    // The watch of the namespace's Secrets tells.
    ground.secret("pat", &[("token", "t")]).await?;
    ground.until_ready("crm").await?;
    ground.until_event("crm", "Authenticated").await?;

    let secrets = ground.secrets();
    bound(&stage, &ground).await?;
    eventually("the process has its Secret", SOON, async || {
        let found = secrets.get_opt("sync-crm").await?.and_then(|secret| secret.data);
        Ok(found.filter(|data| data.values().any(|value| value.0 == b"t")))
    })
    .await?;
    // Rights are watched here too.
    stage.control_plane.run_kubectl(&["delete", "rolebinding", "sync", "--namespace=team-a"])?;
    eventually("the process has it no more", SOON, async || {
        let found = secrets.get_opt("sync-crm").await?.and_then(|secret| secret.data).unwrap_or_default();
        Ok(found.values().all(|value| value.0 != b"t").then_some(()))
    })
    .await?;
    stage.control_plane.run_kubectl(&["delete", "processbinding", "sync", "--namespace=team-a"])?;
    told_of_elsewhere(&ground, words).await?;

    // Nothing is said where the operator has nothing to say.
    let elsewhere: Api<Connection> = Api::namespaced(client.clone(), "elsewhere");
    assert_eq!(elsewhere.get("early").await?.status.and_then(|status| status.observed_generation), None);

    // The folder goes, and the namespace stays: here nobody deletes any.
    let folders: Api<Folder> = Api::all(client.clone());
    let held = folders.delete("team-a", &DeleteParams::default()).await.expect_err("it holds a connection");
    assert!(held.to_string().contains("still holds connections: crm"), "{held}");
    ground.connections().delete("crm", &DeleteParams::default()).await?;
    for name in ["team-a", "early"] {
        eventually(&format!("folder {name} goes"), SOON, async || {
            let _ = folders.delete(name, &DeleteParams::default()).await;
            Ok(folders.get_opt(name).await?.is_none().then_some(()))
        })
        .await?;
    }
    let home =
        folder("home", &json!({ "namespace": "team-a", "adopt": true, "type": "Personal", "owner": "ada" }));
    apply(&client, "", &home).await?;
    until_folder(&stage, "home", "NamespaceOwned").await?;
    let bindings: Api<k8s_openapi::api::rbac::v1::RoleBinding> = Api::namespaced(client, "team-a");
    let named: BTreeSet<_> = bindings
        .list(&ListParams::default())
        .await?
        .items
        .into_iter()
        .filter_map(|it| it.metadata.name)
        .collect();
    assert_eq!(named, ["liaison".to_owned(), "liaison-folder-owner".to_owned()].into());
    stays_in(&stage, &["team-a"])
}

#[tokio::test]
async fn a_person_consents_in_a_namespace_of_such_an_operator() -> Result<()> {
    let stage = Stage::in_namespaces("territory-people", &["team-a"]).await?;
    stage.operate().await?;
    let provider = RotatingProvider::default();
    provider.set(3600, true);
    let answering = provider.clone();
    stage.script(move |request| answering.answer(request));
    let ground = adopted(&stage, "team-a").await?;
    ground.secret("app", &[("clientId", "id"), ("clientSecret", "secret")]).await?;
    let scene = PeopleScene { stage, ground };
    scene.connector("people").await?;
    scene.waiting("crm", "people").await?;
    match scene.attempt("crm").await? {
        Attempt::Ended(request) => {
            let status = request.status.unwrap_or_default();
            assert_eq!(status.phase, Some(Phase::Succeeded), "{:?}", status.message);
        }
        Attempt::Told(text) => anyhow::bail!("{text}"),
    }
    scene.ground.until_ready("crm").await?;

    // Whoever visits names a namespace, and has the operator look into none of the others.
    let foreign = format!("{}/consent/elsewhere/x?start=y", scene.stage.settings.public_url());
    assert!(reqwest::get(&foreign).await?.status().is_client_error());
    stays_in(&scene.stage, &["team-a"])
}

#[tokio::test]
async fn a_namespace_that_is_gone_holds_the_others_up_in_nothing_and_is_served_once_it_is_back() -> Result<()>
{
    let both = ["team-a", "team-b"];
    let stage = Stage::in_namespaces("territory-gone", &both).await?;
    // The first start makes the keyring, for which every namespace has to be seen: token records may be in it.
    stage.operate().await?;
    stage.boundaries.kill();
    stage.control_plane.run_kubectl(&["delete", "namespace", "team-b"])?;
    stage.operate().await?;
    let client = stage.control_plane.client().await?;
    apply(&client, "", &folder("team-b", &json!({ "adopt": true }))).await?;
    until_folder(&stage, "team-b", "NamespaceNotFound").await?;
    let ground = adopted(&stage, "team-a").await?;
    ground.connection("crm", json!({ "connectorRef": { "name": "none" } })).await?;
    ground.until("crm", ConditionType::Ready, "False", "ConnectorNotFound").await?;

    stage.control_plane.run_kubectl(&["create", "namespace", "team-b"])?;
    operator_rights_in(&stage.control_plane, &both).await?;
    until_folder(&stage, "team-b", "NamespaceOwned").await?;
    let back = Ground { client, namespace: "team-b".to_owned() };
    back.connection("crm", json!({ "connectorRef": { "name": "none" } })).await?;
    back.until_is("crm", "is looked at", |connection| {
        connection.status.as_ref().is_some_and(|status| status.observed_generation.is_some())
    })
    .await?;
    Ok(())
}
