//! A ConfigMap from which workloads learn whom to trust.

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use super::{Fault, Publication, api};

/// Name of the ConfigMap in the operator's namespace.
pub const TOKEN_AUTHORITY_CONFIG_MAP: &str = "liaison-token-ca";

/// Its only key, named as in Kubernetes' own `kube-root-ca.crt`.
const KEY: &str = "ca.crt";

/// Owns that key, and nothing else.
const FIELD_MANAGER: &str = "liaison-token-ca";

/// Publishes into the ConfigMap. The operator may change this one and make none.
pub struct TrustedConfigMap {
    /// The API server.
    pub client: Client,
    /// The operator's own namespace.
    pub namespace: String,
}

#[async_trait]
impl Publication for TrustedConfigMap {
    fn changes(&self) -> BoxStream<'static, ()> {
        // It is looked at from time to time; a watch of its own would be a right more.
        futures::stream::pending().boxed()
    }

    async fn publish(&self, bundle: &str) -> Result<(), Fault> {
        let config_maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let found = config_maps.get_opt(TOKEN_AUTHORITY_CONFIG_MAP).await;
        let found =
            found.map_err(api("read the ConfigMap of the token endpoint's authority"))?.ok_or_else(|| {
                Fault::Missing(format!(
                    "the ConfigMap \"{TOKEN_AUTHORITY_CONFIG_MAP}\" in namespace \"{}\"",
                    self.namespace
                ))
            })?;
        if found.data.as_ref().and_then(|data| data.get(KEY)).is_some_and(|current| current == bundle) {
            return Ok(());
        }
        let patch = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": TOKEN_AUTHORITY_CONFIG_MAP, "uid": found.uid() },
            "data": { KEY: bundle },
        });
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        config_maps
            .patch(TOKEN_AUTHORITY_CONFIG_MAP, &parameters, &Patch::Apply(patch))
            .await
            .map_err(api("write the ConfigMap of the token endpoint's authority"))?;
        Ok(())
    }
}
