//! What the API server and the operator say to writes that they refuse, with canaries in whatever was to be written.

use anyhow::{Context as _, Result};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use kube::{Api, ResourceExt};
use liaison::api::ConsentRequest;
use serde_json::{Value, json};

use super::canary::Canaries;
use super::consent_canaries::Scene;
use crate::person::Asked;

/// As much of a text as a receipt has, in its characters.
fn as_receipt(text: &str) -> String {
    text.replace(['+', '/', '='], "-")[..43].to_owned()
}

/// A text in the form of a receipt that is none.
pub(super) fn no_receipt(what: &str, remembered: &Canaries) -> String {
    let receipt = as_receipt(&Canaries::default().fresh(what));
    remembered.learn(what, &receipt);
    receipt
}

impl Scene {
    /// A receipt before the browser is back.
    pub(super) async fn too_early(&self, asked: &Asked) -> Result<String> {
        self.people.link(asked).await?;
        let receipt = no_receipt("receipt before the browser", &self.hidden);
        Ok(asked.hand_in(&receipt).await.err().context("it is refused")?.to_string())
    }

    /// Writes that are refused when they are made; gives what is said about them.
    pub(super) async fn refusals(&self, returned: &Asked) -> Result<Vec<String>> {
        let ground = &self.people.ground;
        let mut said = Vec::new();
        let uid = ground.connections().get("connected").await?.uid().context("uid")?;
        let whole = json!({
            "apiVersion": "liaison.dev/v1alpha1", "kind": "ConsentRequest",
            "metadata": { "generateName": "refused-" },
            "spec": {
                "connectionRef": { "name": "connected", "uid": uid }, "challenge": "c".repeat(43),
            },
        });
        let with = |field: &str, value: Value| {
            let mut request = whole.clone();
            request["spec"][field] = value;
            request
        };
        let resource = ApiResource::erase::<ConsentRequest>(&());
        let requests: Api<DynamicObject> =
            Api::namespaced_with(ground.client.clone(), &ground.namespace, &resource);
        for request in [
            with("receipt", no_receipt("receipt that came too early", &self.hidden).into()),
            with("receipt", json!({ "value": self.hidden.fresh("receipt of another type") })),
            with("loopbackPort", self.hidden.fresh("port of another type").into()),
            with("challenge", self.hidden.fresh("challenge of another form").into()),
        ] {
            let made = requests.create(&PostParams::default(), &serde_json::from_value(request)?).await;
            said.push(made.err().context("it is refused")?.to_string());
        }
        let foreign = self.people.stage.control_plane.client_as("eve", &["system:masters"]).await?;
        let foreign: Api<ConsentRequest> = Api::namespaced(foreign, &ground.namespace);
        let receipt = no_receipt("receipt of somebody else", &self.hidden);
        let brought = foreign
            .patch(
                &returned.name,
                &PatchParams::default(),
                &Patch::Merge(json!({ "spec": { "receipt": receipt } })),
            )
            .await;
        said.push(brought.err().context("it is refused")?.to_string());
        Ok(said)
    }

    /// What the operator answers where the API server asks it.
    pub(super) async fn replies(&self) -> Result<Vec<String>> {
        let configurations: Api<MutatingWebhookConfiguration> = Api::all(self.people.ground.client.clone());
        let webhooks = configurations.get("liaison").await?.webhooks.unwrap_or_default();
        let bundle = webhooks.first().and_then(|webhook| webhook.client_config.ca_bundle.clone());
        let authority = reqwest::Certificate::from_pem(&bundle.context("an authority")?.0)?;
        let client = reqwest::Client::builder().tls_certs_only([authority]).no_proxy().build()?;
        let fresh = |what: &str| self.hidden.fresh(what);
        let review = |object: Value| {
            json!({
                "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
                "request": {
                    "uid": "1", "operation": "CREATE", "namespace": "consent-canaries", "name": "",
                    "kind": { "group": "liaison.dev", "version": "v1alpha1", "kind": "ConsentRequest" },
                    "resource": { "group": "liaison.dev", "version": "v1alpha1", "resource": "consentrequests" },
                    "userInfo": { "username": "ada" }, "object": object,
                },
            })
        };
        let request = |spec: Value| {
            json!({
                "apiVersion": "liaison.dev/v1alpha1", "kind": "ConsentRequest", "metadata": { "name": "reviewed" },
                "spec": spec,
            })
        };
        let reference = json!({ "name": "connected", "uid": "1" });
        let requester = json!({ "username": fresh("forged requester"), "seal": fresh("forged seal") });
        let (receipt, challenge) = (fresh("reviewed receipt"), fresh("reviewed challenge"));
        let mut said = Vec::new();
        for body in [
            review(request(
                json!({ "connectionRef": reference, "challenge": challenge, "requester": requester }),
            )),
            review(request(
                json!({ "connectionRef": reference, "challenge": challenge, "receipt": receipt }),
            )),
            review(request(json!({ "connectionRef": fresh("reference of another type") }))),
            json!({ "apiVersion": fresh("another version"), "request": fresh("another request") }),
        ] {
            let admission = self.people.stage.settings.admission.context("admission")?;
            let url = format!("{}/admission/consent-requests", admission.url());
            let reply = client.post(url).json(&body).send().await?;
            let headers = format!("{:?}", reply.headers());
            said.push(format!("{headers} {}", reply.text().await?));
        }
        Ok(said)
    }
}
