//! Webhook configurations, in which the API server finds whom to trust.

use std::fmt::Debug;

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use kube::api::{Patch, PatchParams};
use kube::runtime::watcher::Config;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{Fault, Publication, api};

/// Owns `clientConfig.caBundle` of our webhooks, and nothing else.
const FIELD_MANAGER: &str = "liaison-admission-ca";

/// Publishes into our webhook configurations of both kinds.
pub struct TrustedWebhooks {
    /// The API server.
    pub client: Client,
    /// Name of both.
    pub configuration: String,
}

#[async_trait]
impl Publication for TrustedWebhooks {
    fn changes(&self) -> BoxStream<'static, ()> {
        futures::stream::select(
            self.changes_of::<ValidatingWebhookConfiguration>(),
            self.changes_of::<MutatingWebhookConfiguration>(),
        )
        .boxed()
    }

    async fn publish(&self, bundle: &str) -> Result<(), Fault> {
        self.publish_in::<ValidatingWebhookConfiguration>(bundle).await?;
        self.publish_in::<MutatingWebhookConfiguration>(bundle).await
    }
}

impl TrustedWebhooks {
    /// Whenever somebody changes our webhook configuration of this kind.
    fn changes_of<K>(&self) -> impl Stream<Item = ()> + Send + use<K>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let only = Config::default().fields(&format!("metadata.name={}", self.configuration));
        watcher(Api::<K>::all(self.client.clone()), only).default_backoff().touched_objects().map(drop)
    }

    /// Sets the bundle of every webhook of a configuration where it differs, by a field manager that owns nothing else.
    async fn publish_in<K>(&self, bundle: &str) -> Result<(), Fault>
    where
        K: Configuration,
    {
        let configurations: Api<K> = Api::all(self.client.clone());
        let found = configurations
            .get_opt(&self.configuration)
            .await
            .map_err(api("read the webhook configuration"))?;
        let found = found.ok_or_else(|| {
            Fault::Missing(format!("the webhook configurations \"{}\"", self.configuration))
        })?;
        let webhooks = found.webhooks();
        let current = |client: &WebhookClientConfig| {
            client.ca_bundle.as_ref().is_some_and(|current| current.0 == bundle.as_bytes())
        };
        if webhooks.iter().all(|(_, client)| current(client)) {
            return Ok(());
        }
        let encoded = ByteString(bundle.as_bytes().to_vec());
        let webhooks: Vec<_> = webhooks
            .iter()
            .map(|(name, _)| json!({ "name": name, "clientConfig": { "caBundle": encoded } }))
            .collect();
        let patch = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            "metadata": { "name": self.configuration, "uid": found.uid() },
            "webhooks": webhooks,
        });
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        configurations
            .patch(&self.configuration, &parameters, &Patch::Apply(patch))
            .await
            .map_err(api("write the authorities into the webhook configuration"))?;
        Ok(())
    }
}

/// The two kinds of webhook configurations, as far as certificates concern them.
trait Configuration: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned {
    fn webhooks(&self) -> Vec<(&str, &WebhookClientConfig)>;
}

impl Configuration for ValidatingWebhookConfiguration {
    fn webhooks(&self) -> Vec<(&str, &WebhookClientConfig)> {
        described(self.webhooks.as_deref(), |webhook| (&webhook.name, &webhook.client_config))
    }
}

impl Configuration for MutatingWebhookConfiguration {
    fn webhooks(&self) -> Vec<(&str, &WebhookClientConfig)> {
        described(self.webhooks.as_deref(), |webhook| (&webhook.name, &webhook.client_config))
    }
}

fn described<W>(
    webhooks: Option<&[W]>,
    of: fn(&W) -> (&String, &WebhookClientConfig),
) -> Vec<(&str, &WebhookClientConfig)> {
    webhooks.unwrap_or_default().iter().map(of).map(|(name, client)| (name.as_str(), client)).collect()
}
