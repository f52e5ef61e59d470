//! Keeps the listener's certificate and what the API server trusts the same: an authority in a Secret, a leaf in
//! memory, and the bundle of authorities in the webhook configurations.
//!
//! Every replica does this. What a replica writes follows from the Secret as it reads it then, so replicas do not fight:
//! one that was late writes what the others have written, which is nothing.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::watcher::Config;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::watch;

use crate::domain::admission::authorities::{Lifetimes, plan};
use crate::ports::{CertificateHolder, Clock};

use super::certificates::Authority;

/// Name of the Secret that holds the authorities.
pub const AUTHORITY_SECRET: &str = "liaison-admission-ca";

/// Owns `clientConfig.caBundle` of our webhooks, and nothing else.
const FIELD_MANAGER: &str = "liaison-admission-ca";

const ENTRY: &str = "authorities.json";

/// Without a change that is watched, all is looked at again after this.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// After a failure, and while others are faster.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// Whether the API server can reach this process's listener; if not, why.
pub type Standing = Result<(), String>;

/// What the keeper of certificates works with.
pub struct Keeper {
    /// The API server.
    pub client: Client,
    /// The operator's own namespace, where the Secret is.
    pub namespace: String,
    /// Name of both webhook configurations.
    pub configuration: String,
    /// DNS names and addresses under which the API server calls.
    pub hosts: Vec<String>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How long things last.
    pub lifetimes: Lifetimes,
    /// The listener.
    pub holder: Arc<dyn CertificateHolder>,
    /// Is told how things stand.
    pub standing: watch::Sender<Standing>,
}

/// Which leaf the listener shows.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Shown {
    authority: Timestamp,
    since: Timestamp,
}

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("{0}: {1}")]
    Api(&'static str, Box<kube::Error>),
    #[error("another replica was faster")]
    Overtaken,
    #[error("make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("write the authorities down: {0}")]
    Encoding(#[from] serde_json::Error),
    #[error("show a certificate: {0}")]
    Hold(String),
    #[error(
        "waiting for the webhook configurations \"{0}\"; the chart makes them, or `liaison manifests` prints them"
    )]
    Missing(String),
}

fn api(action: &'static str) -> impl FnOnce(kube::Error) -> Fault {
    move |error| Fault::Api(action, Box::new(error))
}

impl Keeper {
    /// Keeps things right until the process ends.
    pub async fn keep(self) {
        let mut changes = std::pin::pin!(futures::stream::select(
            self.changes::<ValidatingWebhookConfiguration>(),
            self.changes::<MutatingWebhookConfiguration>(),
        ));
        let mut shown = None;
        loop {
            let pause = match self.pass(&mut shown).await {
                Ok(()) => {
                    self.tell(Ok(()));
                    LOOK_AGAIN.min(self.lifetimes.settle / 2).min(self.lifetimes.leaf / 4)
                }
                Err(fault) => {
                    self.tell(Err(fault.to_string()));
                    AFTER_ERROR
                }
            };
            tokio::select! {
                Some(()) = changes.next() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn tell(&self, standing: Standing) {
        self.standing.send_if_modified(|before| {
            let news = *before != standing;
            if news {
                match &standing {
                    Ok(()) => tracing::info!("the API server trusts the listener for admission"),
                    Err(cause) => tracing::warn!(cause, "admission is not ready"),
                }
                *before = standing;
            }
            news
        });
    }

    /// Whenever somebody changes our webhook configuration of this kind.
    fn changes<K>(&self) -> impl Stream<Item = ()> + Send + use<K>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let only = Config::default().fields(&format!("metadata.name={}", self.configuration));
        watcher(Api::<K>::all(self.client.clone()), only).default_backoff().touched_objects().map(drop)
    }

    async fn pass(&self, shown: &mut Option<Shown>) -> Result<(), Fault> {
        let now = self.clock.now();
        let authorities = self.authorities(now).await?;
        let bundle: String = authorities.iter().map(|authority| authority.certificate.as_str()).collect();
        self.publish::<ValidatingWebhookConfiguration>(&bundle).await?;
        self.publish::<MutatingWebhookConfiguration>(&bundle).await?;

        let made: Vec<_> = authorities.iter().map(|authority| authority.made).collect();
        let issuer = plan(&made, now, &self.lifetimes).issuer.and_then(|index| authorities.get(index));
        let Some(issuer) = issuer else { return Err(Fault::Overtaken) };
        let fresh = |shown: &Shown| {
            let age = Duration::try_from(now.duration_since(shown.since)).unwrap_or_default();
            shown.authority == issuer.made && age < self.lifetimes.leaf / 2
        };
        if !shown.as_ref().is_some_and(fresh) {
            let leaf = issuer.issue(&self.hosts, now, self.lifetimes.leaf)?;
            self.holder.hold(leaf).map_err(Fault::Hold)?;
            *shown = Some(Shown { authority: issuer.made, since: now });
        }
        Ok(())
    }

    /// The authorities that are to be trusted now, the eldest first, as the Secret holds them.
    async fn authorities(&self, now: Timestamp) -> Result<Vec<Authority>, Fault> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let stored = secrets.get_opt(AUTHORITY_SECRET).await.map_err(api("read the authorities' Secret"))?;
        // Nothing is lost with an authority: what cannot be read is made anew.
        let mut authorities = stored.as_ref().and_then(read).unwrap_or_default();
        authorities.sort_by_key(|authority| authority.made);
        let made: Vec<_> = authorities.iter().map(|authority| authority.made).collect();
        let plan = plan(&made, now, &self.lifetimes);
        if !plan.add && plan.drop == 0 {
            return Ok(authorities);
        }
        authorities.drain(..plan.drop);
        if plan.add {
            authorities.push(Authority::make(now, 2 * self.lifetimes.authority)?);
        }
        self.store(&secrets, stored.as_ref(), &authorities).await?;
        tracing::info!(added = plan.add, dropped = plan.drop, "the authorities for admission have changed");
        Ok(authorities)
    }

    async fn store(
        &self,
        secrets: &Api<Secret>,
        stored: Option<&Secret>,
        authorities: &[Authority],
    ) -> Result<(), Fault> {
        let text = ByteString(serde_json::to_vec(authorities)?);
        let data = Some([(ENTRY.to_owned(), text)].into());
        let mut metadata = ObjectMeta { name: Some(AUTHORITY_SECRET.to_owned()), ..ObjectMeta::default() };
        let written = if let Some(stored) = stored {
            // Over the version that was read and no other.
            metadata.resource_version = stored.resource_version();
            let patch = Patch::Merge(json!({ "metadata": metadata, "data": data }));
            secrets.patch(AUTHORITY_SECRET, &PatchParams::default(), &patch).await
        } else {
            let secret = Secret { metadata, data, ..Secret::default() };
            secrets.create(&PostParams::default(), &secret).await
        };
        match written {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => {
                Err(Fault::Overtaken)
            }
            Err(error) => Err(api("write the authorities' Secret")(error)),
        }
    }

    /// Sets the bundle of every webhook of a configuration where it differs, by a field manager that owns nothing else.
    async fn publish<K>(&self, bundle: &str) -> Result<(), Fault>
    where
        K: Configuration,
    {
        let configurations: Api<K> = Api::all(self.client.clone());
        let found = configurations
            .get_opt(&self.configuration)
            .await
            .map_err(api("read the webhook configuration"))?;
        let found = found.ok_or_else(|| Fault::Missing(self.configuration.clone()))?;
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

fn read(secret: &Secret) -> Option<Vec<Authority>> {
    let entry = secret.data.as_ref()?.get(ENTRY)?;
    serde_json::from_slice(&entry.0)
        .inspect_err(|error| tracing::warn!(%error, "secret \"{AUTHORITY_SECRET}\" is not as it was written"))
        .ok()
}

/// The two kinds of webhook configurations, as far as certificates concern them.
trait Configuration: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned {
    fn webhooks(&self) -> Vec<(&str, &WebhookClientConfig)>;
}

impl Configuration for ValidatingWebhookConfiguration {
    fn webhooks(&self) -> Vec<(&str, &WebhookClientConfig)> {
        self.webhooks
            .iter()
            .flatten()
            .map(|webhook| (webhook.name.as_str(), &webhook.client_config))
            .collect()
    }
}

impl Configuration for MutatingWebhookConfiguration {
    fn webhooks(&self) -> Vec<(&str, &WebhookClientConfig)> {
        self.webhooks
            .iter()
            .flatten()
            .map(|webhook| (webhook.name.as_str(), &webhook.client_config))
            .collect()
    }
}
