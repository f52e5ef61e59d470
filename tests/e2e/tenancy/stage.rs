//! The stage of a family: red with its connections, blue, two providers, and the marks by which a credential that
//! belongs to others is known wherever it turns up.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::api::ListParams;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use super::people::{folder_user, namespace_user};
use crate::attacks::admission_is_at_work;
use crate::binding::ACCOUNT;
use crate::fixtures::{Ground, client_credentials_connector, token_connector};
use crate::support::strict_provider::{Answer, Received, StrictProvider};
use crate::world::World;

/// Every credential of red begins so: what it wrote into Secrets, and what the honest provider issues for it.
pub(super) const RED: &str = "red-credential";

/// The same of the organisation's own OAuth app.
pub(super) const ORGANISATION: &str = "org-credential";

pub(super) struct Stage {
    /// With the administrator's rights.
    pub(super) red: Ground,
    /// The same.
    pub(super) blue: Ground,
    pub(super) honest: StrictProvider,
    pub(super) hostile: StrictProvider,
    /// May do everything in blue, with Secrets, ServiceAccounts and Pods, and nothing elsewhere.
    pub(super) eve: Client,
    /// Makes and uses connections in blue, and reads no Secret.
    pub(super) carl: Client,
    name: &'static str,
}

impl Stage {
    pub(super) async fn new(name: &'static str) -> Result<Self> {
        let world = World::shared();
        admission_is_at_work(world.control_plane).await?;
        let administrator = world.control_plane.client().await?;
        let red = Ground::new(administrator.clone(), &format!("red-{name}")).await?;
        let blue = Ground::new(administrator, &format!("blue-{name}")).await?;
        let stage = Self {
            honest: world.provider()?,
            hostile: world.hostile_provider()?,
            eve: namespace_user(&blue, "eve", &["edit"]).await?,
            carl: folder_user(&blue, "carl").await?,
            name,
            red,
            blue,
        };
        stage.answer();
        stage.furnish().await?;
        Ok(stage)
    }

    /// The honest provider issues tokens that tell whose they are; the hostile one accepts whatever it gets.
    fn answer(&self) {
        let issued = AtomicUsize::new(0);
        let elsewhere = self.hostile.endpoint("");
        self.honest.script(move |request| {
            if request.path.starts_with("/moved") {
                return Some(sent_on(&elsewhere, &request.path));
            }
            let number = issued.fetch_add(1, Ordering::Relaxed);
            let seen = visible(request);
            let marks = [RED, ORGANISATION];
            let whose = marks.iter().find(|mark| seen.contains(**mark)).unwrap_or(&"own");
            answer(request, &format!("{whose}-token-{number}"))
        });
        self.hostile.script(|request| answer(request, "hostile-token"));
    }

    /// What red has, and connectors at both providers.
    async fn furnish(&self) -> Result<()> {
        let (red, blue) = (&self.red, &self.blue);
        let honest = |path: &str| self.honest.endpoint(path);
        red.connector(&self.connector("client"), client_credentials_connector(&honest)).await?;
        red.connector(&self.connector("pat"), token_connector(&honest)).await?;
        red.connector(&self.connector("hostile"), self.hostile_connector()).await?;
        red.secret("app", &[("clientId", "red"), ("clientSecret", &format!("{RED}-secret"))]).await?;
        red.secret("pat", &[("token", &format!("{RED}-pat"))]).await?;
        red.connection("crm", self.with_app("client")).await?;
        red.connection("erp", self.with_pat("pat")).await?;
        // What members of blue have that not every member reads.
        blue.secret("team-pat", &[("token", "blue-credential-pat")]).await?;
        blue.secret("app", &[("clientId", "blue"), ("clientSecret", "blue-credential-secret")]).await?;
        red.until_ready("crm").await?;
        red.until_ready("erp").await?;
        let accounts =
            json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": ACCOUNT } });
        red.apply(&accounts).await?;
        red.grant_use().await?;
        let orders = json!({ "connectionRef": { "name": "crm" }, "secretName": "orders" });
        red.bind("orders", &self.connector("client"), orders).await?;
        let by_default = json!({ "default": true, "secretName": "by-default" });
        red.bind("by-default", &self.connector("client"), by_default).await?;
        red.until_binding("orders", "True", "Bound").await?;
        red.until_binding("by-default", "True", "Bound").await?;
        Ok(())
    }

    /// The name of one of this stage's connectors; they are for the whole cluster.
    pub(super) fn connector(&self, kind: &str) -> String {
        format!("{}-{kind}", self.name)
    }

    /// Where everything that it is given goes to the hostile provider.
    pub(super) fn hostile_connector(&self) -> Value {
        let hostile = |path: &str| self.hostile.endpoint(path);
        let mut spec = client_credentials_connector(&hostile);
        let token = token_connector(&hostile)["authMethods"][0].clone();
        let key = json!({
            "type": "APIKey", "request": { "headers": { "X-Key": "{record}" } },
            "parameters": [{ "name": "record", "secret": true, "required": true }],
        });
        for method in [token, key] {
            spec["authMethods"].as_array_mut().into_iter().for_each(|methods| methods.push(method.clone()));
        }
        spec
    }

    /// The spec of a Connection with the namespace's own OAuth app.
    pub(super) fn with_app(&self, connector: &str) -> Value {
        json!({
            "connectorRef": { "name": self.connector(connector) }, "authType": "OAuth2ClientCredentials",
            "oauthApp": { "secretRef": { "name": "app" } },
        })
    }

    /// The spec of a Connection with a token that a person made.
    pub(super) fn with_pat(&self, connector: &str) -> Value {
        json!({
            "connectorRef": { "name": self.connector(connector) }, "authType": "PersonalAccessToken",
            "credentials": { "secretRef": { "name": "pat" } },
        })
    }

    /// A Connection of blue.
    pub(super) fn in_blue(&self, name: &str, spec: &Value) -> Value {
        connection(&self.blue.namespace, name, spec)
    }

    /// A Connection of red.
    pub(super) fn in_red(&self, name: &str, spec: &Value) -> Value {
        connection(&self.red.namespace, name, spec)
    }

    /// A Secret of blue.
    pub(super) fn secret_in_blue(&self, name: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": { "name": name, "namespace": self.blue.namespace },
        })
    }

    /// The hostile provider has seen no credential of others, and no Secret in blue holds one.
    pub(super) async fn nothing_came_to_light(&self) -> Result<()> {
        for request in self.hostile.received() {
            let seen = visible(&request);
            for mark in [RED, ORGANISATION, "blue-credential"] {
                ensure!(!seen.contains(mark), "{} {} got a {mark}", request.method, request.path);
            }
        }
        for secret in self.blue.secrets().list(&ListParams::default()).await? {
            let name = secret.name_any();
            for value in secret.data.into_iter().flatten().map(|(_, value)| value.0) {
                let value = String::from_utf8_lossy(&value).into_owned();
                ensure!(!value.contains(RED), "secret {name} of blue has a {RED}");
                let own = format!("{ORGANISATION}-secret");
                ensure!(!value.contains(&own), "secret {name} of blue has the organisation's client");
            }
        }
        // The watch is worth something: red's own provider has seen red's credentials.
        let known = self.honest.received().iter().any(|request| visible(request).contains(RED));
        ensure!(known, "red's credentials are known where they are shown");
        Ok(())
    }
}

fn answer(request: &Received, token: &str) -> Option<Answer> {
    Some(match request.path.as_str() {
        "/token" => {
            Answer::json(200, &json!({ "access_token": token, "token_type": "Bearer", "expires_in": 3600 }))
        }
        "/me" => Answer::json(200, &json!({ "id": "7", "name": "acme" })),
        "/revoke" => Answer::json(200, &json!({})),
        _ => return None,
    })
}

/// A redirect that keeps method and body.
fn sent_on(elsewhere: &str, path: &str) -> Answer {
    let target = if path == "/moved" { "/token" } else { "/me" };
    let headers = vec![("location".to_owned(), format!("{elsewhere}{target}"))];
    Answer { status: 307, headers, body: String::new() }
}

/// Everything that a provider is shown, as text, Basic credentials opened.
pub(super) fn visible(request: &Received) -> String {
    let mut text = format!("{} {} {}", request.path, request.query, request.body);
    for value in request.headers.values() {
        text.push(' ');
        text.push_str(value);
        let basic = value.strip_prefix("Basic ").and_then(|encoded| STANDARD.decode(encoded).ok());
        text.push_str(&String::from_utf8_lossy(&basic.unwrap_or_default()));
    }
    text
}

pub(super) fn connection(namespace: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "liaison.dev/v1alpha1", "kind": "Connection",
        "metadata": { "name": name, "namespace": namespace }, "spec": spec,
    })
}

/// With another value at this place; parents are made.
pub(super) fn with(object: &Value, place: &str, value: Value) -> Value {
    let mut changed = object.clone();
    let mut at = &mut changed;
    for key in place.split('/').skip(1) {
        at = match key.parse::<usize>() {
            Ok(index) => &mut at[index],
            Err(_) => &mut at[key.replace("~1", "/")],
        };
    }
    *at = value;
    changed
}

/// The uid of an object that is there.
pub(super) fn uid(object: &impl ResourceExt) -> Result<String> {
    object.uid().context("uid")
}
