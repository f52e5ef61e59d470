//! What must not change, whatever is tried: the objects of the team that is attacked, and the operator's keys.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::{Namespace, Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use liaison::api::{Connection, Folder, ProcessBinding};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::support::operator::OPERATOR_NAMESPACE;

/// Objects by kind and name, with what of them must stay.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Snapshot(BTreeMap<String, Value>);

impl Snapshot {
    /// Of a folder's namespace with all that is in it, and of the operator's keyring.
    pub(super) async fn of(client: &Client, namespace: &str) -> Result<Self> {
        let mut seen = Self(BTreeMap::new());
        seen.all::<Connection>(client, namespace, &["/spec"]).await?;
        seen.all::<ProcessBinding>(client, namespace, &["/spec"]).await?;
        seen.all::<Secret>(client, namespace, &["/metadata/labels", "/metadata/ownerReferences", "/type"])
            .await?;
        seen.all::<ServiceAccount>(client, namespace, &["/metadata/resourceVersion"]).await?;
        seen.all::<Role>(client, namespace, &["/metadata/resourceVersion"]).await?;
        seen.all::<RoleBinding>(client, namespace, &["/metadata/resourceVersion"]).await?;
        let folder = Api::<Folder>::all(client.clone()).get(namespace).await?;
        seen.add(&folder, &["/spec", "/status/namespace", "/status/path"])?;
        let marks = ["/metadata/labels", "/metadata/annotations", "/metadata/ownerReferences"];
        seen.add(&Api::<Namespace>::all(client.clone()).get(namespace).await?, &marks)?;
        let keyring: Api<Secret> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
        seen.add(&keyring.get("liaison-keyring").await?, &["/metadata/resourceVersion", "/data"])?;
        Ok(seen)
    }

    async fn all<K>(&mut self, client: &Client, namespace: &str, places: &[&str]) -> Result<()>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + Serialize
            + std::fmt::Debug,
    {
        let api: Api<K> = Api::namespaced(client.clone(), namespace);
        for object in api.list(&ListParams::default()).await? {
            self.add(&object, places)?;
        }
        Ok(())
    }

    fn add<K>(&mut self, object: &K, places: &[&str]) -> Result<()>
    where
        K: kube::Resource<DynamicType = ()> + Serialize,
    {
        let whole = serde_json::to_value(object)?;
        let mut kept = json!({ "uid": object.meta().uid });
        for place in places {
            kept[*place] = whole.pointer(place).cloned().unwrap_or_default();
        }
        // What people wrote stays to the byte; what the operator keeps there may be refreshed.
        let owners = whole["metadata"]["ownerReferences"].to_string();
        let kept_fresh = ["Connection", "ProcessBinding"].iter().any(|kind| owners.contains(kind));
        if !kept_fresh && !whole["data"].is_null() {
            kept["/data"] = whole["data"].clone();
        }
        self.0.insert(format!("{} {}", K::kind(&()), object.name_any()), kept);
        Ok(())
    }

    /// Everything that was there before is there now, as it was. What came to it since is for others to judge.
    pub(super) fn still_holds(&self, now: &Self) -> Result<()> {
        for (name, before) in &self.0 {
            let after = now.0.get(name);
            // No value of a Secret is printed.
            ensure!(after == Some(before), "{name} has changed, or is gone");
        }
        Ok(())
    }
}
