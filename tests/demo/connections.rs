//! Which Connections are Ready, and which wait for a person by design.

use std::time::Duration;

use anyhow::Result;
use kube::Client;
use kube::ResourceExt;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams};
use serde_json::Value;

use crate::support::waiting::eventually;

const DEADLINE: Duration = Duration::from_mins(1);

/// These types need somebody who consents in a browser.
const CONSENTED: [&str; 2] = ["OAuth2AuthorizationCode", "OAuth2BringYourOwnApp"];

#[derive(Debug, Eq, PartialEq)]
enum Progress {
    Ready,
    AwaitsPerson,
    NotYet(String),
}

/// Waits until each Connection is Ready or waits for a person; returns name and
/// namespace of a ready one.
pub(crate) async fn wait_ready(client: &Client) -> Result<[String; 2]> {
    let kind = GroupVersionKind::gvk("liaison.dev", "v1alpha1", "Connection");
    let api = Api::<DynamicObject>::all_with(client.clone(), &ApiResource::from_gvk(&kind));
    eventually("all Connections are Ready", DEADLINE, async || {
        let connections = api.list(&ListParams::default()).await?.items;
        let mut ready = None;
        for connection in &connections {
            let name = connection.name_any();
            match progress(&connection.data) {
                Progress::Ready => ready = Some([name, connection.namespace().unwrap_or_default()]),
                Progress::AwaitsPerson => {}
                Progress::NotYet(why) => anyhow::bail!("`{name}` is not: {why}"),
            }
        }
        Ok(ready)
    })
    .await
}

fn progress(connection: &Value) -> Progress {
    let condition = |name: &str| {
        let conditions = connection.pointer("/status/conditions").and_then(Value::as_array);
        conditions.into_iter().flatten().find(|condition| condition["type"] == name)
    };
    let Some(ready) = condition("Ready") else { return Progress::NotYet("no condition yet".to_owned()) };
    if ready["status"] == "True" {
        return Progress::Ready;
    }
    let consented = CONSENTED.iter().any(|consented| connection["spec"]["authType"] == *consented);
    let awaits = condition("Authenticated").is_some_and(|it| it["reason"] == "AwaitingAuthentication");
    if consented && awaits {
        return Progress::AwaitsPerson;
    }
    let text = |field: &str| ready[field].as_str().unwrap_or_default().to_owned();
    Progress::NotYet(format!("{}: {}", text("reason"), text("message")))
}
