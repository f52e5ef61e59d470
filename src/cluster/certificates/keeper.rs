//! Keeps a listener's certificate and what its callers trust the same: an authority in a Secret, a leaf in memory, and
//! the bundle of authorities where they are published.
//!
//! Every replica does this. What a replica writes follows from the Secret as it reads it then, so replicas do not fight:
//! one that was late writes what the others have written, which is nothing.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio::sync::watch;

use crate::domain::authorities::{Lifetimes, plan};
use crate::ports::{CertificateHolder, Clock};

use super::authority::Authority;
use super::{Fault, Listener, Publication, api};

const ENTRY: &str = "authorities.json";

/// Without a change that is watched, all is looked at again after this.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// After a failure, and while others are faster.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// Whether callers can reach this process's listener and trust it; if not, why.
pub type Standing = Result<(), String>;

/// What the keeper of certificates works with.
pub struct Keeper {
    /// The API server.
    pub client: Client,
    /// The operator's own namespace, where the Secret is.
    pub namespace: String,
    /// Whose certificates they are.
    pub listener: Listener,
    /// Where the authorities are published.
    pub publication: Box<dyn Publication>,
    /// DNS names and addresses under which it is called.
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

impl Keeper {
    /// Keeps things right until the process ends.
    pub async fn keep(self) {
        let mut changes = self.publication.changes();
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
        let purpose = self.listener.purpose;
        self.standing.send_if_modified(|before| {
            let news = *before != standing;
            if news {
                match &standing {
                    Ok(()) => tracing::info!(purpose, "callers can trust the listener"),
                    Err(cause) => tracing::warn!(purpose, cause, "the listener is not ready"),
                }
                *before = standing;
            }
            news
        });
    }

    async fn pass(&self, shown: &mut Option<Shown>) -> Result<(), Fault> {
        let now = self.clock.now();
        let authorities = self.authorities(now).await?;
        let bundle: String = authorities.iter().map(|authority| authority.certificate.as_str()).collect();
        self.publication.publish(&bundle).await?;

        let made: Vec<_> = authorities.iter().map(|authority| authority.made).collect();
        let issuer = plan(&made, now, &self.lifetimes).issuer.and_then(|index| authorities.get(index));
        let Some(issuer) = issuer else { return Err(Fault::Overtaken) };
        let fresh = |shown: &Shown| {
            let age = Duration::try_from(now.duration_since(shown.since)).unwrap_or_default();
            shown.authority == issuer.made && age < self.lifetimes.leaf / 2
        };
        if !shown.as_ref().is_some_and(fresh) {
            let leaf = issuer.issue(self.listener.purpose, &self.hosts, now, self.lifetimes.leaf)?;
            self.holder.hold(leaf).map_err(Fault::Hold)?;
            *shown = Some(Shown { authority: issuer.made, since: now });
        }
        Ok(())
    }

    /// The authorities that are to be trusted now, the eldest first, as the Secret holds them.
    async fn authorities(&self, now: Timestamp) -> Result<Vec<Authority>, Fault> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let stored =
            secrets.get_opt(self.listener.secret).await.map_err(api("read the authorities' Secret"))?;
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
            authorities.push(Authority::make(self.listener.purpose, now, 2 * self.lifetimes.authority)?);
        }
        self.store(&secrets, stored.as_ref(), &authorities).await?;
        let purpose = self.listener.purpose;
        tracing::info!(
            purpose,
            added = plan.add,
            dropped = plan.drop,
            "the listener's authorities have changed"
        );
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
        let name = self.listener.secret;
        let mut metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let written = if let Some(stored) = stored {
            // Over the version that was read and no other.
            metadata.resource_version = stored.resource_version();
            let patch = Patch::Merge(json!({ "metadata": metadata, "data": data }));
            secrets.patch(name, &PatchParams::default(), &patch).await
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
}

fn read(secret: &Secret) -> Option<Vec<Authority>> {
    let entry = secret.data.as_ref()?.get(ENTRY)?;
    serde_json::from_slice(&entry.0)
        .inspect_err(|error| tracing::warn!(secret = secret.name_any(), %error, "authorities are not as they were written"))
        .ok()
}
