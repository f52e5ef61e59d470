//! Letting go of a cluster before the operator leaves it: nothing may wait for an operator that is gone. Objects stay.

use std::fmt;
use std::time::{Duration, Instant};

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, Preconditions};
use kube::core::Status;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::api::names::{FOLDER_FINALIZER, REVOKE_FINALIZER};
use crate::api::{Connection, Folder};

use super::finalizers::{self, Write};

/// Selects what the chart made outside namespaces.
const OURS: &str = "app.kubernetes.io/part-of=liaison";
/// Objects per page; bounds memory.
const PAGE_SIZE: u32 = 200;
/// How often all objects are gone through while others change them.
const PASSES: usize = 10;
/// The pause between two looks at the lease.
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

/// What is to be let go of.
pub struct Request<'a> {
    /// The operator's own namespace.
    pub namespace: &'a str,
    /// The namespaces that the operator works in, where these are not all.
    pub namespaces: &'a [String],
    /// The operator's Deployment, which is scaled down; without one the operator must have stopped before.
    pub deployment: Option<&'a str>,
    /// Name of the lease whose holder acts.
    pub lease: &'a str,
    /// How long to wait for the operator to stop, beside the time its lease lasts.
    pub patience: Duration,
}

/// Something that was done.
#[derive(Debug, PartialEq, Eq)]
pub enum Done {
    /// A Deployment was scaled to no replicas.
    Stopped(String),
    /// A webhook configuration was deleted.
    WebhookDeleted {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
    },
    /// A finalizer was taken from an object.
    Released {
        /// Its kind.
        kind: String,
        /// Where it is: the name, behind the namespace if it has one.
        name: String,
        /// The finalizer.
        finalizer: &'static str,
        /// Whether it was being deleted.
        deleting: bool,
    },
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped(name) => write!(f, "deployment \"{name}\": scaled to no replicas"),
            Self::WebhookDeleted { kind, name } => write!(f, "{kind} \"{name}\": deleted"),
            Self::Released { kind, name, finalizer, deleting } => {
                write!(f, "{kind} \"{name}\": took the finalizer {finalizer} away")?;
                match deleting {
                    true if *finalizer == REVOKE_FINALIZER => {
                        f.write_str("; it was being deleted, and its token was not revoked at the provider")
                    }
                    true => f.write_str("; it was being deleted, and nothing of ours holds it any more"),
                    false => Ok(()),
                }
            }
        }
    }
}

/// Why the cluster could not be let go of.
#[derive(Debug, thiserror::Error)]
pub enum UninstallFault {
    /// The API server refused or could not be reached.
    #[error("{action}: {source}")]
    Api {
        /// What was tried.
        action: &'static str,
        /// What it said.
        source: Box<kube::Error>,
    },
    /// The operator would add its finalizers again.
    #[error(
        "replica \"{0}\" of the operator still leads, and would add its finalizers again; stop the operator first, or \
         name its Deployment"
    )]
    StillLed(String),
    /// Others changed the objects all the time.
    #[error("objects changed faster than their finalizers could be taken away; try again")]
    Busy,
}

fn api(action: &'static str) -> impl FnOnce(kube::Error) -> UninstallFault {
    move |source| UninstallFault::Api { action, source: Box::new(source) }
}

/// Removes webhook configurations, stops the operator, then takes our finalizers away. What is gone already is
/// passed over, so it can be run again at any time.
pub async fn uninstall(
    client: &Client,
    request: &Request<'_>,
    tell: &mut (impl FnMut(Done) + Send),
) -> Result<(), UninstallFault> {
    delete_webhooks::<ValidatingWebhookConfiguration>(client, tell).await?;
    delete_webhooks::<MutatingWebhookConfiguration>(client, tell).await?;
    if let Some(deployment) = request.deployment {
        stop(client, request.namespace, deployment, tell).await?;
    }
    until_nobody_leads(client, request).await?;
    let connections = |namespace: Option<&str>| match namespace {
        Some(namespace) => Api::<Connection>::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    if request.namespaces.is_empty() {
        release(connections, REVOKE_FINALIZER, tell).await?;
    }
    for namespace in request.namespaces {
        release(|_| connections(Some(namespace)), REVOKE_FINALIZER, tell).await?;
    }
    release(|_| Api::<Folder>::all(client.clone()), FOLDER_FINALIZER, tell).await
}

async fn delete_webhooks<K>(client: &Client, tell: &mut impl FnMut(Done)) -> Result<(), UninstallFault>
where
    K: Resource<DynamicType = ()> + Clone + fmt::Debug + DeserializeOwned,
{
    let webhooks: Api<K> = Api::all(client.clone());
    let ours = webhooks.list_metadata(&ListParams::default().labels(OURS)).await;
    for webhook in ours.map_err(api("look for webhook configurations"))?.items {
        let name = webhook.name_any();
        let preconditions = Preconditions { uid: webhook.uid(), resource_version: None };
        let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match webhooks.delete(&name, &parameters).await {
            Ok(_) => tell(Done::WebhookDeleted { kind: K::kind(&()).into_owned(), name }),
            Err(error) if gone(&error) => {}
            Err(error) => return Err(api("delete a webhook configuration")(error)),
        }
    }
    Ok(())
}

async fn stop(
    client: &Client,
    namespace: &str,
    name: &str,
    tell: &mut impl FnMut(Done),
) -> Result<(), UninstallFault> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let none = Patch::Merge(json!({ "spec": { "replicas": 0 } }));
    match deployments.patch_scale(name, &PatchParams::default(), &none).await {
        Ok(_) => tell(Done::Stopped(name.to_owned())),
        Err(error) if gone(&error) => {}
        Err(error) => return Err(api("scale the operator's Deployment down")(error)),
    }
    Ok(())
}

/// Waits until the lease is given back, or has not been renewed for as long as it lasts. What its times say is not
/// compared with this machine's clock; only whether they change.
async fn until_nobody_leads(client: &Client, request: &Request<'_>) -> Result<(), UninstallFault> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), request.namespace);
    let started = Instant::now();
    let mut last_renewal = None;
    let mut unchanged_since = started;
    loop {
        let lease = leases.get_opt(request.lease).await.map_err(api("read the operator's lease"))?;
        let Some(spec) = lease.and_then(|lease| lease.spec) else { return Ok(()) };
        let Some(holder) = spec.holder_identity.filter(|holder| !holder.is_empty()) else { return Ok(()) };
        let lasts = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let lasts = Duration::from_secs(lasts.unwrap_or_default());
        if spec.renew_time != last_renewal {
            last_renewal = spec.renew_time;
            unchanged_since = Instant::now();
        }
        if unchanged_since.elapsed() >= lasts {
            return Ok(());
        }
        if started.elapsed() >= request.patience + lasts {
            return Err(UninstallFault::StillLed(holder));
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

/// Takes a finalizer from every object of a kind, pass by pass until a pass meets no conflict.
async fn release<K>(
    api_in: impl Fn(Option<&str>) -> Api<K>,
    finalizer: &'static str,
    tell: &mut impl FnMut(Done),
) -> Result<(), UninstallFault>
where
    K: Resource<DynamicType = ()> + Clone + fmt::Debug + DeserializeOwned,
{
    for _ in 0..PASSES {
        if pass(&api_in, finalizer, tell).await? {
            return Ok(());
        }
    }
    Err(UninstallFault::Busy)
}

/// One pass over all pages; whether it is known to have missed nothing.
async fn pass<K>(
    api_in: &impl Fn(Option<&str>) -> Api<K>,
    finalizer: &'static str,
    tell: &mut impl FnMut(Done),
) -> Result<bool, UninstallFault>
where
    K: Resource<DynamicType = ()> + Clone + fmt::Debug + DeserializeOwned,
{
    let mut complete = true;
    let mut page = ListParams::default().limit(PAGE_SIZE);
    loop {
        let objects = match api_in(None).list_metadata(&page).await {
            Ok(objects) => objects,
            // The kind is not there, so none of its objects is.
            Err(error) if gone(&error) => return Ok(true),
            // The list has grown too old to go on with.
            Err(kube::Error::Api(status)) if status.code == 410 => return Ok(false),
            Err(error) => return Err(api("list objects with finalizers")(error)),
        };
        for object in
            objects.items.iter().filter(|object| object.finalizers().iter().any(|held| held == finalizer))
        {
            let metadata = object.meta();
            let api = api_in(metadata.namespace.as_deref());
            match finalizers::remove(&api, metadata, finalizer)
                .await
                .map_err(self::api("take a finalizer away"))?
            {
                Write::Done(_) => tell(Done::Released {
                    kind: K::kind(&()).into_owned(),
                    name: full_name(metadata),
                    finalizer,
                    deleting: metadata.deletion_timestamp.is_some(),
                }),
                Write::Gone => {}
                Write::Conflict => complete = false,
            }
        }
        match objects.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(complete),
        }
    }
}

fn gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if Status::is_not_found(status))
}

fn full_name(metadata: &ObjectMeta) -> String {
    let name = metadata.name.as_deref().unwrap_or_default();
    metadata.namespace.as_ref().map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}"))
}
