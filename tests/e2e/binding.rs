//! Processes of tests, and what they get.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client};
use liaison::api::ProcessBinding;
use liaison::domain::conditions::{self, ConditionType};
use serde_json::{Value, json};

use crate::fixtures::{Ground, HEALS, apply};
use crate::support::waiting::eventually;

/// The ServiceAccount of tests' processes.
pub(crate) const ACCOUNT: &str = "orders";

/// Withdrawn rights take effect within this.
pub(crate) const WITHDRAWN: Duration = Duration::from_mins(1);

const RBAC: &str = "rbac.authorization.k8s.io";

/// Lets a subject do something with connections of a namespace: with all of them, or with one.
pub(crate) async fn grant(
    client: &Client,
    namespace: &str,
    subject: Value,
    name: Option<&str>,
) -> Result<()> {
    let names: Vec<_> = name.into_iter().collect();
    let right = json!({ "apiGroups": ["liaison.dev"], "resources": ["connections"], "verbs": ["use"], "resourceNames": names });
    let role = json!({
        "apiVersion": format!("{RBAC}/v1"), "kind": "Role", "metadata": { "name": "uses" }, "rules": [right],
    });
    apply(client, namespace, &role).await?;
    let bound = json!({
        "apiVersion": format!("{RBAC}/v1"), "kind": "RoleBinding", "metadata": { "name": "uses" },
        "roleRef": { "apiGroup": RBAC, "kind": "Role", "name": "uses" }, "subjects": [subject],
    });
    apply(client, namespace, &bound).await
}

/// Takes that away again.
pub(crate) async fn withdraw(client: &Client, namespace: &str) -> Result<()> {
    let bindings: Api<k8s_openapi::api::rbac::v1::RoleBinding> = Api::namespaced(client.clone(), namespace);
    bindings.delete("uses", &DeleteParams::default()).await?;
    Ok(())
}

/// The process of a namespace, as a subject.
pub(crate) fn process(namespace: &str) -> Value {
    json!({ "kind": "ServiceAccount", "name": ACCOUNT, "namespace": namespace })
}

impl Ground {
    /// Lets the process of this namespace use its connections.
    pub(crate) async fn grant_use(&self) -> Result<()> {
        grant(&self.client, &self.namespace, process(&self.namespace), None).await
    }

    pub(crate) async fn bind(&self, name: &str, connector: &str, spec: Value) -> Result<()> {
        let mut spec = spec;
        spec["connectorRef"] = json!({ "name": connector });
        spec["serviceAccountName"] = ACCOUNT.into();
        self.apply(&json!({
            "apiVersion": "liaison.dev/v1alpha1", "kind": "ProcessBinding", "metadata": { "name": name }, "spec": spec,
        }))
        .await
    }

    pub(crate) fn bindings(&self) -> Api<ProcessBinding> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) async fn patch_binding(&self, name: &str, spec: Value) -> Result<()> {
        let patch = Patch::Merge(json!({ "spec": spec }));
        self.bindings().patch(name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Waits until Ready of a binding says so.
    pub(crate) async fn until_binding(
        &self,
        name: &str,
        status: &str,
        reason: &str,
    ) -> Result<ProcessBinding> {
        self.until_binding_within(name, status, reason, HEALS).await
    }

    pub(crate) async fn until_binding_within(
        &self,
        name: &str,
        status: &str,
        reason: &str,
        deadline: Duration,
    ) -> Result<ProcessBinding> {
        let bindings = self.bindings();
        eventually(&format!("binding {name}: Ready={status}/{reason}"), deadline, async || {
            let binding = bindings.get(name).await?;
            let all = binding.status.clone().unwrap_or_default().conditions;
            let ready = conditions::find(&all, ConditionType::Ready).context("no Ready")?;
            ensure!(
                ready.status == status && ready.reason == reason,
                "{}/{}: {}",
                ready.status,
                ready.reason,
                ready.message
            );
            Ok(Some(binding))
        })
        .await
    }

    /// What a Secret says; nothing where there is none.
    pub(crate) async fn secret_texts(&self, name: &str) -> Result<Option<BTreeMap<String, String>>> {
        Ok(self.secrets().get_opt(name).await?.map(texts))
    }

    /// Waits until the Secret of a binding says that.
    pub(crate) async fn until_secret(
        &self,
        name: &str,
        what: &str,
        wanted: impl Fn(&BTreeMap<String, String>) -> bool,
    ) -> Result<BTreeMap<String, String>> {
        eventually(&format!("secret {name}: {what}"), WITHDRAWN, async || {
            let texts = self.secret_texts(name).await?.context("there is no such Secret")?;
            Ok(Some(texts).filter(|texts| wanted(texts)))
        })
        .await
    }
}

/// Values of a Secret as text.
pub(crate) fn texts(secret: Secret) -> BTreeMap<String, String> {
    let data = secret.data.unwrap_or_default();
    data.into_iter().map(|(key, value)| (key, String::from_utf8_lossy(&value.0).into_owned())).collect()
}

/// What Ready of a binding says.
pub(crate) fn ready_message(binding: &ProcessBinding) -> String {
    let all = binding.status.clone().unwrap_or_default().conditions;
    conditions::find(&all, ConditionType::Ready).map(|ready| ready.message.clone()).unwrap_or_default()
}

/// Whether the token of a Secret has not ended yet.
pub(crate) fn is_fresh(texts: &BTreeMap<String, String>) -> Result<bool> {
    #[expect(clippy::disallowed_methods, reason = "a token ends by the clock of whoever uses it")]
    let now = jiff::Timestamp::now();
    let expires_at: jiff::Timestamp = texts.get("expires-at").context("an end")?.parse()?;
    Ok(now < expires_at)
}
