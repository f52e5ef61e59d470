//! S48: what a provider hands out, and what a person put into a Secret, is found nowhere else.

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use liaison::api::Connection;
use liaison::domain::conditions::{self, ConditionType};
use liaison::envelope::Keyring;
use serde_json::{Value, json};

use super::canary::Canaries;
use super::findings::Findings;
use super::leaky_provider::{CREDENTIAL_ANSWERS, TOKEN_ANSWERS, answer};
use super::{Stage, report};
use crate::fixtures::{Ground, client_credentials_connector, token_connector};
use crate::support::operator::OPERATOR_NAMESPACE;
use crate::support::waiting::{SOON, eventually};

struct Scene {
    stage: Stage,
    ground: Ground,
    given_out: Canaries,
    by_people: Canaries,
}

impl Scene {
    async fn new(name: &str) -> Result<Self> {
        let stage = Stage::new(name).await?;
        let ground = stage.ground(name).await?;
        let (given_out, by_people) = (Canaries::default(), Canaries::default());
        let canaries = given_out.clone();
        stage.script(move |request| answer(&canaries, request));
        Ok(Self { stage, ground, given_out, by_people })
    }

    async fn with_client(&self, case: &str) -> Result<String> {
        let name = format!("client-{case}");
        let endpoint = |path: &str| self.stage.provider.endpoint(&format!("{path}/{case}"));
        self.ground.connector(&name, client_credentials_connector(&endpoint)).await?;
        let secret = self.by_people.fresh(&format!("clientSecret of {case}"));
        self.ground.secret(&name, &[("clientId", "client"), ("clientSecret", &secret)]).await?;
        let spec = json!({ "connectorRef": { "name": name }, "oauthApp": { "secretRef": { "name": name } } });
        self.ground.connection(&name, spec).await?;
        Ok(name)
    }

    async fn with_token(&self, case: &str) -> Result<String> {
        let name = format!("token-{case}");
        let endpoint = |path: &str| self.stage.provider.endpoint(&format!("{path}/{case}"));
        self.credential(&name, token_connector(&endpoint), "token").await
    }

    /// An API key that the connector puts into the address.
    async fn with_key(&self, case: &str, authority: &str) -> Result<String> {
        let (name, url) = (format!("key-{case}"), format!("http://{authority}/me/{case}"));
        let spec = json!({
            "displayName": "Scripted provider",
            "authMethods": [{ "type": "APIKey", "request": { "query": { "key": "{apiKey}" } } }],
            "account": { "url": url, "idPath": "/id", "namePath": "/name" },
            "verify": { "url": url, "success": "response.status == 200" },
        });
        self.credential(&name, spec, "apiKey").await
    }

    async fn credential(&self, name: &str, connector: Value, key: &str) -> Result<String> {
        self.ground.connector(name, connector).await?;
        let secret = self.by_people.fresh(&format!("{key} of {name}"));
        self.ground.secret(name, &[(key, &secret)]).await?;
        let spec =
            json!({ "connectorRef": { "name": name }, "credentials": { "secretRef": { "name": name } } });
        self.ground.connection(name, spec).await?;
        Ok(name.to_owned())
    }

    /// Waits until the operator has made up its mind, and says what it thinks.
    async fn decided(&self, name: &str) -> Result<String> {
        let reason = |connection: &Connection| {
            let status = connection.status.clone().unwrap_or_default();
            conditions::find(&status.conditions, ConditionType::Ready).map(|ready| ready.reason.clone())
        };
        let open = ["Pending", "AwaitingAuthentication", "ConnectorInvalid", "ConnectorNotFound"];
        let decided =
            |connection: &Connection| reason(connection).is_some_and(|word| !open.contains(&word.as_str()));
        let connection = self.ground.until_is(name, "decided", decided).await?;
        Ok(reason(&connection).unwrap_or_default())
    }
}

#[tokio::test]
async fn s48_no_secret_is_found_outside_its_place() -> Result<()> {
    let closed = format!("localhost:{}", crate::support::free_port()?);
    let scene = {
        let mut scene = Scene::new("canaries").await?;
        scene.stage.boundaries.kill();
        scene.stage.settings.exceptions.push(closed.clone());
        scene.stage.operate().await?;
        scene
    };
    let mut names = Vec::new();
    for case in TOKEN_ANSWERS {
        names.push(scene.with_client(case).await?);
    }
    for case in CREDENTIAL_ANSWERS {
        names.push(scene.with_token(case).await?);
        names.push(scene.with_key(case, &scene.stage.provider.authority()).await?);
    }
    names.push(scene.with_key("unreachable", &closed).await?);
    let mut reasons = std::collections::BTreeMap::<String, usize>::new();
    for name in &names {
        *reasons.entry(scene.decided(name).await?).or_default() += 1;
    }
    let sequence = |connection: &Connection| {
        connection.status.clone().unwrap_or_default().token.map_or(0, |token| token.sequence)
    };
    scene.ground.until_is("client-renewed", "refreshed", |connection| sequence(connection) >= 3).await?;
    // The revocation is refused with canaries; that is said in an Event.
    scene.ground.connections().delete("client-issued", &DeleteParams::default()).await?;
    scene.ground.until_event("client-issued", "RevocationFailed").await?;

    let (given_out, by_people) = (scene.given_out.search(), scene.by_people.search());
    let mut found = Vec::new();
    let mut searched = 0;
    for search in [&given_out, &by_people] {
        let mut findings = Findings::of(search);
        let objects = findings.look_at_objects(&scene.ground.client).await?;
        let count = |kind: &str| objects.get(kind).copied().unwrap_or_default();
        assert!(count("Connection") > 20 && count("Connector") > 20 && count("Event") > 10, "{objects:?}");
        findings.look_at_files(&scene.stage, "client-issued").await?;
        found.extend(findings.lines);
        searched += findings.searched;
    }
    let etcd = scene.stage.control_plane.etcd_directory().context("etcd's files")?;
    // That etcd's files can be searched at all is shown by what people wrote: those lie there in the open.
    let (in_the_open, _) = by_people.hits_below(etcd)?;
    assert_eq!(in_the_open.len(), scene.by_people.count(), "{in_the_open:?}");
    let (hits, length) = given_out.hits_below(etcd)?;
    found.extend(hits.into_iter().map(|hit| format!("etcd: {hit}")));
    let (given, written) = (scene.given_out.count(), scene.by_people.count());
    assert!(given >= 64, "{given} canaries");
    report(&format!(
        "S48: {given} canaries given out, {written} written by people, {} hits in {} kB of objects, logs, metrics and \
         audit log and {length_mb} MB of etcd's files; outcomes {reasons:?}",
        found.len(),
        searched >> 10,
        length_mb = length >> 20,
    ));
    assert!(found.is_empty(), "{found:#?}");
    Ok(())
}

#[tokio::test]
async fn s48_the_wrong_key_is_reported_and_crashes_nothing() -> Result<()> {
    let scene = Scene::new("keyring").await?;
    let name = scene.with_client("issued").await?;
    scene.ground.until_ready(&name).await?;
    let keyrings: Api<Secret> = Api::namespaced(scene.ground.client.clone(), OPERATOR_NAMESPACE);
    let right = keyrings.get("liaison-keyring").await?.data;
    let replace = async |data: Value| -> Result<()> {
        scene.stage.boundaries.kill();
        keyrings
            .patch("liaison-keyring", &PatchParams::default(), &Patch::Merge(json!({ "data": data })))
            .await?;
        scene.stage.operate().await
    };
    for (number, id) in ["1", "2"].into_iter().enumerate() {
        let wrong = Keyring::new(id, [7; 32])?.to_secret_data();
        let mut data: Value = right.iter().flatten().map(|(key, _)| (key.clone(), Value::Null)).collect();
        let values = wrong.into_iter().map(|(key, value)| (key, json!(k8s_openapi::ByteString(value))));
        data.as_object_mut().context("object")?.extend(values);
        let asked = scene.stage.provider.count("/token/issued");
        replace(data).await?;

        let connection =
            scene.ground.until(&name, ConditionType::Authenticated, "False", "TokenUnreadable").await?;
        assert!(connection.status.unwrap_or_default().token.is_some(), "what is known stays");
        // It works on: another Connection gets its token under the key that is there.
        let other = scene.with_client(&format!("other-{number}")).await?;
        scene.ground.until_ready(&other).await?;
        assert_eq!(
            scene.stage.provider.count("/token/issued"),
            asked,
            "no token is asked for without being told to"
        );
        scene.ground.connections().delete(&other, &DeleteParams::default()).await?;
        eventually("the other Connection goes", SOON, async || {
            Ok(scene.ground.connections().get_opt(&other).await?.is_none().then_some(()))
        })
        .await?;
        replace(json!(right)).await?;
        scene.ground.until_ready(&name).await?;
    }
    Ok(())
}
