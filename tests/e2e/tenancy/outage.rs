//! Without the operator's webhooks, which only an administrator takes away: policies of the API server hold, and what
//! passes comes to nothing by its conditions. On servers of its own.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use liaison::api::Folder;
use serde_json::{Value, json};

use super::attempt::{Deed, attempt, refused, says};
use super::stage::connection;
use crate::attacks::prepare;
use crate::fixtures::{Ground, token_connector};
use crate::support::control_plane::{ControlPlane, Options};
use crate::support::installation::{AdmissionPort, RELEASE};
use crate::support::run_directory::RunDirectory;
use crate::support::strict_provider::{Answer, StrictProvider};
use crate::support::waiting::{SOON, eventually};
use crate::world::OperatorSettings;

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "liaison.dev/v1alpha1", "kind": kind, "metadata": { "name": name }, "spec": spec })
}

/// A folder with a Connection, and a policy that does not allow the connector `denied`.
async fn furnish(ground: &Ground, provider: &StrictProvider) -> Result<()> {
    provider.script(|_| Some(Answer::json(200, &json!({ "id": "1", "name": "ada" }))));
    for name in ["denied", "allowed"] {
        ground.connector(name, token_connector(&|path| provider.endpoint(path))).await?;
    }
    ground.secret("pat", &[("token", "kept-from-the-provider")]).await?;
    let policy = json!({ "connectors": { "deny": ["denied"] } });
    Deed::create(&ground.client, &object("ConnectionPolicy", "company", &policy)).perform().await?;
    Ok(())
}

#[tokio::test]
async fn what_passes_without_the_webhooks_comes_to_nothing() -> Result<()> {
    let control_plane =
        ControlPlane::start(RunDirectory::take("tenancy-outage")?, &Options::with_crds()).await?;
    let provider = StrictProvider::start()?;
    let settings = OperatorSettings {
        admission: Some(AdmissionPort::take()?),
        exceptions: vec![provider.authority()],
        ..OperatorSettings::new("outage")?
    };
    let _operator = settings.start(&control_plane).await?;
    prepare(&control_plane).await?;
    let client = control_plane.client().await?;
    let ground = Ground::new(client.clone(), "team").await?;
    furnish(&ground, &provider).await?;
    let pat = |connector: &str| json!({ "connectorRef": { "name": connector }, "credentials": { "secretRef": { "name": "pat" } } });
    let denied = connection("team", "denied", &pat("denied"));
    let words = "connector \"denied\" is disabled by policy \"company\"; ask its administrator";
    eventually("the webhooks are asked, and know the policy", SOON, async || {
        Ok(Deed::create(&client, &denied).dry_run().perform().await.is_err().then_some(()))
    })
    .await?;
    attempt("while they are there", Deed::create(&client, &denied), refused(words)).run(&client).await?;

    let webhooks: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    webhooks.delete(RELEASE, &DeleteParams::default()).await?;
    eventually("nobody is asked any more", SOON, async || {
        Ok(Deed::create(&client, &denied).dry_run().perform().await.ok())
    })
    .await?;
    // Of two folders of one second the uid says which is the elder.
    let folders: Api<Folder> = Api::all(client.clone());
    let made = folders.get("team").await?.metadata.creation_timestamp;
    eventually("a later second", SOON, async || {
        let probe: Folder = serde_json::from_value(json!({
            "apiVersion": "liaison.dev/v1alpha1", "kind": "Folder", "metadata": { "name": "probe" },
            "spec": { "displayName": "P", "type": "Shared" },
        }))?;
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        let later = folders.create(&dry_run, &probe).await?.metadata.creation_timestamp;
        Ok((later > made).then_some(()))
    })
    .await?;
    let below =
        |parent: &str| json!({ "displayName": "A", "type": "Shared", "parentRef": { "name": parent } });
    let taken = json!({ "displayName": "A", "type": "Shared", "namespace": "team" });
    let reserved = json!({ "displayName": "A", "type": "Shared", "namespace": "kube-system" });
    let nobody = control_plane.client_as("nobody", &[]).await?;
    control_plane.run_kubectl(&[
        "create",
        "clusterrole",
        "makes",
        "--verb=create",
        "--resource=folders.liaison.dev,connections.liaison.dev",
    ])?;
    control_plane.run_kubectl(&[
        "create",
        "clusterrolebinding",
        "makes",
        "--clusterrole=makes",
        "--user=nobody",
    ])?;
    let allowed = connection("team", "allowed", &pat("allowed"));
    let attempts = [
        attempt("a denied connector", Deed::create(&client, &denied), says("ConnectorDisabled", words)),
        attempt(
            "a namespace of the cluster",
            Deed::create(&client, &object("Folder", "reserved", &reserved)),
            says("NamespaceReserved", "belongs to the cluster or the operator"),
        ),
        attempt(
            "another folder's namespace",
            Deed::create(&client, &object("Folder", "taken", &taken)),
            says("NamespaceTaken", "folder \"team\" has namespace \"team\""),
        ),
        attempt(
            "somebody's Secret",
            Deed::create(&nobody, &allowed),
            refused("needs the right to get secret \"pat\""),
        ),
        attempt(
            "a folder below another without attach",
            Deed::create(&nobody, &object("Folder", "below", &below("team"))),
            refused("needs the right to attach"),
        ),
    ];
    for attempt in attempts {
        attempt.run(&client).await.with_context(|| attempt.name.clone())?;
    }
    let connections = ground.connections();
    let status = connections.get("denied").await?.status.unwrap_or_default();
    let allowed = status.conditions.iter().find(|condition| condition.type_ == "PolicyAllowed");
    ensure!(allowed.is_some_and(|allowed| allowed.status == "False"), "{allowed:?}");
    // Its provider would have been asked first: what is asked for later is answered.
    ground.connection("allowed", pat("allowed")).await?;
    ground.until_ready("allowed").await?;
    let asked = provider.received().len();
    connections.delete("allowed", &DeleteParams::default()).await?;
    ground
        .patch("denied", json!({ "metadata": { "annotations": { "liaison.dev/verify-at": "now" } } }))
        .await?;
    ground.connection("again", pat("allowed")).await?;
    ground.until_ready("again").await?;
    ensure!(provider.received().len() == 2 * asked, "the denied connection was asked about");
    Ok(())
}
