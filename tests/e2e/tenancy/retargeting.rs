//! Credentials that are where they belong, sent somewhere else: by the Connector, by parameters, by the provider.

use anyhow::{Result, ensure};
use kube::Client;
use kube::api::DeleteParams;
use liaison::domain::conditions::ConditionType;
use serde_json::{Value, json};

use super::Family;
use super::attempt::{Attempt, Deed, attempt, forbidden, refused, says};
use super::people::mallory;
use super::stage::{Stage, with};
use crate::fixtures::{client_credentials_connector, token_connector};
use crate::support::waiting::{SOON, eventually};

const TOKEN_URL: &str = "/authMethods/0/oauth2/tokenURL";

fn connector(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "liaison.dev/v1alpha1", "kind": "Connector", "metadata": { "name": name }, "spec": spec,
    })
}

/// A change of a Connector: which one, and where to put the hostile address.
struct Turn {
    name: &'static str,
    connector: &'static str,
    /// Red's Connection on it.
    victim: &'static str,
    place: &'static str,
    path: &'static str,
}

const TURNS: [Turn; 6] = [
    Turn { name: "the token endpoint", connector: "client", victim: "crm", place: TOKEN_URL, path: "/token" },
    Turn {
        name: "the revocation endpoint",
        connector: "client",
        victim: "crm",
        place: "/authMethods/0/oauth2/revokeURL",
        path: "/revoke",
    },
    Turn { name: "the account", connector: "client", victim: "crm", place: "/account/url", path: "/me" },
    Turn {
        name: "the verification of a token",
        connector: "pat",
        victim: "erp",
        place: "/verify/url",
        path: "/me",
    },
    Turn {
        name: "the account of a token",
        connector: "pat",
        victim: "erp",
        place: "/account/url",
        path: "/me",
    },
    Turn { name: "the base address", connector: "pat", victim: "erp", place: "/baseURL", path: "" },
];

/// Connectors as they were.
fn honest_spec(stage: &Stage, kind: &str) -> Value {
    let honest = |path: &str| stage.honest.endpoint(path);
    if kind == "client" { client_credentials_connector(&honest) } else { token_connector(&honest) }
}

/// Mallory turns a Connector to the hostile provider; red's Connection waits for somebody of red.
async fn turned(stage: &Stage, mallory: &Client, turn: &Turn) -> Result<()> {
    let honest = honest_spec(stage, turn.connector);
    let object = connector(&stage.connector(turn.connector), &honest);
    let hostile = with(&honest, turn.place, stage.hostile.endpoint(turn.path).into());
    Deed::replace(mallory, &connector(&stage.connector(turn.connector), &hostile)).perform().await?;
    let waits = stage.red.until(turn.victim, ConditionType::Ready, "False", "ReauthenticationRequired").await;
    Deed::replace(mallory, &object).perform().await?;
    waits?;
    stage.red.until_ready(turn.victim).await?;
    Ok(())
}

/// Mallory deletes the Connector and makes another one of its name.
async fn made_anew(stage: &Stage, mallory: &Client) -> Result<()> {
    let honest = connector(&stage.connector("client"), &honest_spec(stage, "client"));
    let hostile = with(&honest, &format!("/spec{TOKEN_URL}"), stage.hostile.endpoint("/token").into());
    Deed::delete(mallory, &honest).perform().await?;
    stage.red.until("crm", ConditionType::Ready, "False", "ConnectorNotFound").await?;
    Deed::create(mallory, &hostile).perform().await?;
    let waits = stage.red.until("crm", ConditionType::Ready, "False", "ReauthenticationRequired").await;
    Deed::replace(mallory, &honest).perform().await?;
    waits?;
    stage.red.until_ready("crm").await?;
    Ok(())
}

/// A Connection goes while revocations lead elsewhere: its token is not shown there.
async fn revoked_elsewhere(stage: &Stage, mallory: &Client) -> Result<()> {
    stage.red.connection("leaving", stage.with_app("client")).await?;
    stage.red.until_ready("leaving").await?;
    let honest = honest_spec(stage, "client");
    let place = "/authMethods/0/oauth2/revokeURL";
    let hostile = with(&honest, place, stage.hostile.endpoint("/revoke").into());
    Deed::replace(mallory, &connector(&stage.connector("client"), &hostile)).perform().await?;
    stage.red.until("leaving", ConditionType::Ready, "False", "ReauthenticationRequired").await?;
    stage.red.connections().delete("leaving", &DeleteParams::default()).await?;
    let gone = eventually("the Connection is gone", SOON, async || {
        Ok(stage.red.connections().get_opt("leaving").await?.is_none().then_some(()))
    })
    .await;
    Deed::replace(mallory, &connector(&stage.connector("client"), &honest)).perform().await?;
    gone?;
    ensure!(stage.hostile.count("/revoke") == 0, "a revocation reached the hostile provider");
    stage.red.until_ready("crm").await?;
    Ok(())
}

/// The honest provider itself sends requests on.
async fn sent_on(stage: &Stage, place: &str, path: &str, name: &str, spec: Value) -> Result<()> {
    let kind = if place == TOKEN_URL { "client" } else { "pat" };
    let moved = with(&honest_spec(stage, kind), place, stage.honest.endpoint(path).into());
    let connector = stage.connector(name);
    stage.red.connector(&connector, moved).await?;
    stage.red.connection(name, with(&spec, "/connectorRef/name", connector.into())).await?;
    stage
        .red
        .until_is(name, "was looked at", |connection| {
            let status = connection.status.clone().unwrap_or_default();
            status.last_failure.is_some() || status.last_verification.is_some()
        })
        .await?;
    ensure!(stage.honest.count(path) > 0, "the honest provider was asked");
    let now = stage.red.connections().get(name).await?;
    let authenticated = now.status.unwrap_or_default().state;
    ensure!(authenticated == liaison::api::connection::State::Inactive, "{authenticated:?}");
    Ok(())
}

/// Carl may change what is not a Secret, and parameters say where the team's token goes.
async fn by_parameters(stage: &Stage, mallory: &Client) -> Result<Vec<Attempt>> {
    let there = sited(stage).await?;
    let carl = &stage.carl;
    let port = stage.hostile.authority().replace("localhost:", "");
    let words = "a change of spec.parameters that sends credentials to another host needs the right to get secret \
                 \"team-pat\"";
    let moved = with(&there, "/spec/parameters/port", port.as_str().into());
    let change = json!({ "spec": { "parameters": { "port": port } } });
    let removal = json!([{ "op": "remove", "path": "/spec/parameters/port" }]);
    let anew = with(&moved, "/metadata/name", "sited-anew".into());
    let mut attempts = vec![
        attempt("a parameter, by a merge patch", Deed::merge(carl, &there, change.clone()), refused(words)),
        attempt(
            "a parameter, by a dry run",
            Deed::merge(carl, &there, change.clone()).dry_run(),
            refused(words),
        ),
        attempt("a parameter, by apply", Deed::apply(carl, &moved), refused(words)),
        attempt("a parameter, by replacing", Deed::replace(carl, &moved), refused(words)),
        attempt("a parameter taken away, for its default", Deed::json(carl, &there, removal), refused(words)),
        attempt(
            "another Connection in place of this one",
            Deed::create(carl, &anew),
            refused("spec.credentials.secretRef needs the right to get secret \"team-pat\""),
        ),
    ];
    for odd in [format!("1@127.0.0.1:{port}"), format!("{port}/me"), format!("{port}#"), format!("{port}?")] {
        let change = json!({ "spec": { "parameters": { "port": odd } } });
        attempts.push(attempt(
            format!("a parameter with more in it: {}", odd.replace(&port, "PORT")),
            Deed::merge(carl, &there, change),
            refused("spec.parameters.port must match"),
        ));
    }
    let crm = stage.in_red("crm", &stage.with_app("client"));
    let anew = json!({ "metadata": { "annotations": { "liaison.dev/reauthenticate-at": "now" } } });
    attempts.push(attempt(
        "a confirmation by who turned the Connector",
        Deed::merge(mallory, &crm, anew),
        forbidden("patch", "connections"),
    ));
    // Last: who may read the Secret moves it, and still nothing is sent before somebody authenticates anew.
    attempts.push(attempt(
        "a parameter, by who may read the Secret and did not authenticate anew",
        Deed::merge(&stage.eve, &there, change),
        says("ReauthenticationRequired", "liaison.dev/reauthenticate-at"),
    ));
    Ok(attempts)
}

/// The team's Connection at the honest provider, at a port that a parameter names.
async fn sited(stage: &Stage) -> Result<Value> {
    let name = stage.connector("sited");
    let mut spec = token_connector(&|path| format!("http://localhost:{{port}}{path}"));
    let port = |authority: String| authority.replace("localhost:", "");
    spec["redirect"] = "PerConnection".into();
    spec["parameters"] = json!([{
        "name": "port", "pattern": "[0-9]+", "default": port(stage.hostile.authority()),
    }]);
    stage.blue.connector(&name, spec).await?;
    let spec = json!({
        "connectorRef": { "name": name }, "authType": "PersonalAccessToken",
        "parameters": { "port": port(stage.honest.authority()) },
        "credentials": { "secretRef": { "name": "team-pat" } },
    });
    stage.blue.connection("sited", spec.clone()).await?;
    stage.blue.until_ready("sited").await?;
    Ok(stage.in_blue("sited", &spec))
}

#[tokio::test]
async fn credentials_do_not_go_where_somebody_else_points_them() -> Result<()> {
    let mut family = Family::new("retargeting").await?;
    let mallory = mallory(&family.stage.blue).await?;
    for turn in &TURNS {
        let outcome = turned(&family.stage, &mallory, turn).await;
        family.count(&format!("a Connector turned: {}", turn.name), outcome)?;
    }
    let outcome = made_anew(&family.stage, &mallory).await;
    family.count("a Connector made anew elsewhere", outcome)?;
    let outcome = revoked_elsewhere(&family.stage, &mallory).await;
    family.count("a token revoked elsewhere", outcome)?;
    let spec = family.stage.with_app("client");
    let outcome = sent_on(&family.stage, TOKEN_URL, "/moved", "moved-token", spec).await;
    family.count("a token request that the provider sends on", outcome)?;
    let spec = family.stage.with_pat("pat");
    let outcome = sent_on(&family.stage, "/verify/url", "/moved-me", "moved-pat", spec).await;
    family.count("a verification that the provider sends on", outcome)?;
    let attempts = by_parameters(&family.stage, &mallory).await?;
    family.make(attempts).await?;
    family.end().await
}
