//! A workload: a Pod with the tokens that it has of its ServiceAccount, which asks the operator for credentials. No
//! kubelet runs it; what counts is that the API server has it.

use std::net::IpAddr;

use anyhow::{Context as _, Result};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ServiceAccount};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use crate::fixtures::{Ground, apply};
use crate::support::control_plane::ControlPlane;
use crate::support::operator::OPERATOR_NAMESPACE;
use crate::support::waiting::{SOON, eventually};

/// The audience that the operator expects.
pub(crate) const AUDIENCE: &str = "liaison.dev";

/// What the operator answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
    pub text: String,
}

impl Answer {
    /// Status and code of a refusal, and its words.
    pub(crate) fn refusal(&self) -> (u16, &str, &str) {
        let text = |key: &str| self.body[key].as_str().unwrap_or_default();
        (self.status, text("error"), text("message"))
    }
}

/// A Pod of a ServiceAccount, as the API server has it.
pub(crate) async fn pod(ground: &Ground, name: &str, account: &str) -> Result<Pod> {
    let pods: Api<Pod> = Api::namespaced(ground.client.clone(), &ground.namespace);
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": { "serviceAccountName": account, "containers": [{ "name": "main", "image": "none" }] },
    });
    Ok(pods.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(pod)).await?)
}

/// A Pod of a ServiceAccount that asks at one operator.
pub(crate) struct Workload<'a> {
    control_plane: &'a ControlPlane,
    pub namespace: String,
    pub name: String,
    pub pod: Pod,
    url: String,
    http: reqwest::Client,
}

impl<'a> Workload<'a> {
    /// Makes the ServiceAccount and a Pod of it in the folder's namespace, and learns whom to trust as a Pod would.
    pub(crate) async fn new(
        control_plane: &'a ControlPlane,
        ground: &Ground,
        (name, url): (&str, &str),
    ) -> Result<Workload<'a>> {
        let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name } });
        ground.apply(&account).await?;
        let mut workload = Workload {
            control_plane,
            namespace: ground.namespace.clone(),
            name: name.to_owned(),
            pod: pod(ground, name, name).await?,
            url: url.to_owned(),
            http: reqwest::Client::new(),
        };
        workload.http = workload.client_from(None).await?;
        Ok(workload)
    }

    /// Another operator's endpoint, asked by the same ServiceAccount.
    pub(crate) fn at(self, url: &str) -> Self {
        Self { url: url.to_owned(), ..self }
    }

    /// The same, from another of this machine's own addresses.
    pub(crate) async fn from(self, address: IpAddr) -> Result<Self> {
        let http = self.client_from(Some(address)).await?;
        Ok(Self { http, ..self })
    }

    async fn client_from(&self, address: Option<IpAddr>) -> Result<reqwest::Client> {
        let authorities = self.authorities().await?;
        let certificates = reqwest::Certificate::from_pem_bundle(authorities.as_bytes())?;
        Ok(reqwest::Client::builder().tls_certs_only(certificates).local_address(address).build()?)
    }

    /// What stands in the ConfigMap, read with the ServiceAccount's own rights.
    async fn authorities(&self) -> Result<String> {
        let token = self.token_for(&[], None).await?;
        let client = self
            .control_plane
            .client_with(|config| {
                config.auth_info = kube::config::AuthInfo { token: Some(token.into()), ..Default::default() };
            })
            .await?;
        let config_maps: Api<ConfigMap> = Api::namespaced(client, OPERATOR_NAMESPACE);
        eventually("the authority is published", SOON, async || {
            let found = config_maps.get("liaison-token-ca").await?;
            Ok(found.data.unwrap_or_default().remove("ca.crt"))
        })
        .await
    }

    /// A token for these audiences, bound to a Pod where one is named.
    pub(crate) async fn token_for(&self, audiences: &[&str], pod: Option<&Pod>) -> Result<String> {
        let accounts: Api<ServiceAccount> =
            Api::namespaced(self.control_plane.client().await?, &self.namespace);
        let bound_object_ref = pod.map(|pod| BoundObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
        });
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: audiences.iter().map(ToString::to_string).collect(),
                bound_object_ref,
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        let answer = accounts.create_token_request(&self.name, &PostParams::default(), &request).await?;
        Ok(answer.status.context("a token")?.token)
    }

    /// A token as a projected volume has it, for these audiences.
    pub(crate) async fn projected(&self, audiences: &[&str]) -> Result<String> {
        self.token_for(audiences, Some(&self.pod)).await
    }

    /// A token as the endpoint expects it.
    pub(crate) async fn token(&self) -> Result<String> {
        self.projected(&[AUDIENCE]).await
    }

    /// Asks once.
    pub(crate) async fn ask_once(&self, token: &str, form: &[(&str, &str)]) -> Result<Answer> {
        let response = self.http.post(&self.url).bearer_auth(token).form(form).send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        Ok(Answer { status, headers, body: serde_json::from_str(&text).unwrap_or_default(), text })
    }

    /// Asks, and waits where all tests together ask too often.
    pub(crate) async fn ask(&self, token: &str, form: &[(&str, &str)]) -> Result<Answer> {
        eventually("a place at the token endpoint", SOON, async || {
            let answer = self.ask_once(token, form).await?;
            Ok((answer.status != 429).then_some(answer))
        })
        .await
    }

    /// Asks with a new token for a Connection.
    pub(crate) async fn ask_for(&self, connection: &str) -> Result<Answer> {
        self.ask(&self.token().await?, &[("connection", connection)]).await
    }

    /// Lets the ServiceAccount do this with these objects of a namespace.
    pub(crate) async fn allow(&self, namespace: &str, allowed: Value) -> Result<()> {
        let client = self.control_plane.client().await?;
        let name = format!("{}-{}", self.namespace, self.name);
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": { "name": name, "namespace": namespace }, "rules": [allowed],
        });
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": { "name": name, "namespace": namespace },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name },
            "subjects": [{ "kind": "ServiceAccount", "namespace": self.namespace, "name": self.name }],
        });
        apply(&client, namespace, &role).await?;
        apply(&client, namespace, &binding).await
    }

    /// Lets the ServiceAccount use Connections of a namespace: one by its name, or all.
    pub(crate) async fn allow_use(&self, namespace: &str, connection: Option<&str>) -> Result<()> {
        let mut rule =
            json!({ "apiGroups": ["liaison.dev"], "resources": ["connections"], "verbs": ["use"] });
        if let Some(connection) = connection {
            rule["resourceNames"] = json!([connection]);
        }
        self.allow(namespace, rule).await
    }
}
