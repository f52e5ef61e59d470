//! Wires watches to passes: who is looked at when what changes.

mod bindings;
mod folders;
mod policies;

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::api::PartialObjectMeta;
use kube::runtime::Controller;
use kube::runtime::controller::{Action, Config};
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::api::names::FOLDER_OWNER_ROLE;
use crate::api::{Connection, ConnectionPolicy, Connector, ConsentRequest, Folder, ProcessBinding};
use crate::cluster::watch::{self, Watched};
use crate::cluster::{
    self, Context, Error, Guarded, KnownRecords, OwnWrites, Publisher, Rights, Secrets, Surroundings,
    connector, consent,
};
use crate::domain::connection;
use crate::envelope::Keyring;
use crate::ports::{Clock, Leadership, ProviderClient};

use super::metrics::Metrics;
use super::settings::Settings;

/// A pass that could not be completed is tried again after this, then twice as long each time, …
const AFTER_ERROR: Duration = Duration::from_secs(2);

/// … up to this.
const LONGEST_AFTER_ERROR: Duration = Duration::from_mins(5);

/// Objects of one kind whose failures are remembered.
const REMEMBERED_FAILURES: usize = 10_000;

/// Failed passes in a row, by object.
#[derive(Clone, Default)]
struct Failures(Arc<Mutex<HashMap<String, u32>>>);

impl Failures {
    fn succeeded(&self, object: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(object);
    }

    /// Counts one more, and says when to try again.
    fn failed(&self, object: &str) -> Duration {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= REMEMBERED_FAILURES {
            // Mostly objects that are gone. The others begin with a short pause once more.
            counts.clear();
        }
        let count = counts.entry(object.to_owned()).or_default();
        *count = count.saturating_add(1);
        (AFTER_ERROR * 2_u32.pow((*count - 1).min(8))).min(LONGEST_AFTER_ERROR)
    }
}

/// What the controllers need from the process.
pub struct Parts {
    /// The API server.
    pub client: Client,
    /// Where provider requests go out.
    pub provider: Arc<dyn ProviderClient>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How long this replica leads.
    pub leadership: Arc<dyn Leadership>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Keys of token records.
    pub keyring: Arc<Keyring>,
    /// Settings that decisions depend on.
    pub decisions: Arc<connection::Settings>,
    /// Connections as they are this moment, for consents.
    pub snapshots: consent::Snapshots,
}

/// Runs all controllers until `stop`, and finishes what is under way.
#[expect(
    clippy::too_many_lines,
    reason = "the wiring of all watches, from top to bottom; it decides nothing"
)]
pub async fn run(parts: Parts, settings: &Settings, stop: CancellationToken) {
    let client = parts.client.clone();
    let territory = settings.territory();
    let connectors = watch::objects::<Connector>(Api::all(client.clone()));
    let folders = watch::objects::<Folder>(Api::all(client.clone()));
    let (surroundings, beside) = Surroundings::new();
    let connections = watch::followed::<Connection>(&client, &territory, Arc::clone(&surroundings));
    let consents = watch::objects_in::<ConsentRequest>(&client, &territory);
    let policies = watch::written::<ConnectionPolicy>(Api::all(client.clone()));
    let bindings = watch::followed::<ProcessBinding>(&client, &territory, Arc::clone(&surroundings));
    let outputs = watch::secrets(&client, &territory, &watch::outputs_selector());
    let rights = Rights::watch(&client, &territory);
    let credentials = watch::secrets(&client, &territory, &watch::credentials_selector());
    let tokens = watch::secrets(&client, &territory, &watch::tokens_selector());
    let namespaces = watch::namespaces(&client, &territory);
    let owner_role = watch::named::<ClusterRole>(&client, FOLDER_OWNER_ROLE);

    parts.metrics.count(connections.store.clone());
    let reporter = Reporter { controller: "liaison".to_owned(), instance: Some(settings.identity.clone()) };
    let context = Arc::new(Context {
        recorder: Publisher::new(Recorder::new(client.clone(), reporter), &territory),
        client: client.clone(),
        provider: parts.provider,
        clock: parts.clock,
        leadership: parts.leadership,
        telemetry: parts.metrics,
        keyring: parts.keyring,
        settings: parts.decisions,
        snapshots: parts.snapshots,
        provider_timeout: settings.provider_timeout,
        operator_namespace: settings.namespace.clone(),
        territory,
        adoptions_are_reviewed: !settings.admission_configuration.is_empty(),
        owner_role: owner_role.store.clone(),
        connectors: connectors.store.clone(),
        definitions: connector::Definitions::default(),
        folders: folders.store.clone(),
        connections: connections.store.clone(),
        consents: consents.store.clone(),
        policies: policies.store.clone(),
        bindings: bindings.store.clone(),
        surroundings,
        written: OwnWrites::default(),
        secrets: Secrets::new(client, &settings.namespace, credentials.store.clone(), tokens.store.clone()),
        binding: cluster::binding::Shared::new(outputs.store.clone()),
        records: KnownRecords::default(),
    });
    let complete = {
        let context = Arc::clone(&context);
        async move { context.is_read().await }.boxed().shared()
    };
    let (touch, touched) = tokio::sync::watch::channel(());
    let (by_connector, by_folder, by_secret) = (touch.clone(), touch.clone(), touch);
    let causes = vec![
        connections_of(&context, connectors, move |context, changed: &Guarded<Connector>, gone| {
            by_connector.send_replace(());
            if gone {
                context.definitions.forget(&changed.uid().unwrap_or_default());
            }
            watch::connections_of_connector(&context.connections, &changed.name_any())
        }),
        connections_of(&context, folders, move |context, changed, _| {
            by_folder.send_replace(());
            context.binding.calls.call(watch::bindings_of_folder(&context.bindings, changed));
            watch::connections_of_folder(&context.connections, &context.folders, &context.policies, changed)
        }),
        connections_of(&context, credentials, move |context, changed: &PartialObjectMeta<Secret>, gone| {
            if changed.meta().namespace.as_deref() == Some(&context.operator_namespace) {
                by_secret.send_replace(());
            }
            if gone {
                context.secrets.forget(&changed.uid().unwrap_or_default());
            }
            let (bindings, connections) = (&context.bindings, &context.connections);
            let (policies, own) = (&context.policies, context.operator_namespace.as_str());
            let using = watch::connections_of_secret(connections, policies, own, changed);
            context.binding.calls.call(watch::bindings_of_credentials(bindings, connections, &using));
            using
        }),
        connections_of(&context, tokens, |context, changed: &PartialObjectMeta<Secret>, gone| {
            if gone {
                context.records.forget(&changed.uid().unwrap_or_default());
            }
            watch::connection_of_token(&context.connections, changed)
        }),
        connections_of(&context, consents, |context, changed: &Guarded<ConsentRequest>, _| {
            watch::connection_of_consent(&context.connections, changed)
        }),
        connections_of(&context, policies, |context, _: &Guarded<ConnectionPolicy>, _| {
            context.binding.calls.call(watch::bindings_where(&context.bindings, |_| true));
            watch::all_connections(&context.connections)
        }),
        // What they mean for connections, their follower tells.
        connections_of(&context, bindings, |_, _: &Guarded<ProcessBinding>, _| Vec::new()),
        beside,
    ];

    let connections = bindings::told_of(&context, connections);
    let passes = Passes { context, concurrency: settings.concurrency, stop };
    let ready = complete.clone();
    tokio::join!(
        passes.over_connectors(),
        passes.over_folders(namespaces, owner_role),
        passes.over_connections(connections, causes, complete.clone()),
        passes.over_bindings(outputs, rights, complete),
        passes.over_policies(ready, touched),
        passes.over_consents(),
    );
}

/// Objects whose passes a change causes.
type Caused<K> = BoxStream<'static, ObjectRef<Guarded<K>>>;

/// Whose passes a change of another kind causes, and what a deletion lets us forget.
fn connections_of<K>(
    context: &Arc<Context>,
    watched: Watched<K>,
    concerned: impl Fn(&Context, &K, bool) -> watch::Concerned<Connection> + Send + 'static,
) -> Caused<Connection>
where
    K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
{
    let (context, store) = (Arc::clone(context), watched.store);
    watch::forward(watched.changes, move |changed: &K| {
        let gone = store.get(&ObjectRef::from_obj(changed)).is_none();
        concerned(&context, changed, gone)
    })
}

/// Passes over all objects of each kind.
struct Passes {
    context: Arc<Context>,
    concurrency: u16,
    stop: CancellationToken,
}

impl Passes {
    fn controller<K>(&self, watched: Watched<Guarded<K>>) -> Controller<Guarded<K>>
    where
        K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + Sync + 'static,
    {
        Controller::for_stream(watch::relevant(watched.changes), watched.store)
            .with_config(Config::default().concurrency(self.concurrency))
            .graceful_shutdown_on(self.stop.clone().cancelled_owned())
    }

    async fn over_connectors(&self) {
        self.controller(watch::objects::<Connector>(Api::all(self.context.client.clone())))
            .run(observed("Connector", connector::reconcile), never, Arc::clone(&self.context))
            .for_each(|_| std::future::ready(()))
            .await;
    }

    /// A Connection is looked at only once everything that it may refer to has been read; before, all would seem to
    /// be missing.
    async fn over_connections(
        &self,
        connections: Watched<Guarded<Connection>>,
        causes: Vec<Caused<Connection>>,
        complete: impl Future<Output = bool>,
    ) {
        tokio::select! {
            complete = complete => if !complete { return },
            () = self.stop.cancelled() => return,
        }
        let controller = causes.into_iter().fold(self.controller(connections), Controller::reconcile_on);
        controller
            .run(observed("Connection", cluster::connection::reconcile), never, Arc::clone(&self.context))
            .for_each(|_| std::future::ready(()))
            .await;
    }

    async fn over_consents(&self) {
        self.controller(watch::objects_in::<ConsentRequest>(&self.context.client, &self.context.territory))
            .run(observed("ConsentRequest", consent::reconcile), never, Arc::clone(&self.context))
            .for_each(|_| std::future::ready(()))
            .await;
    }
}

/// A pass that is counted, timed and logged, and made again after a pause where it could not be completed.
fn observed<K, Pass, Running>(
    kind: &'static str,
    pass: Pass,
) -> impl Fn(Arc<Guarded<K>>, Arc<Context>) -> BoxFuture<'static, Result<Action, Infallible>>
where
    K: Resource<DynamicType = ()> + Send + Sync + 'static,
    Pass: Fn(Arc<Guarded<K>>, Arc<Context>) -> Running,
    Running: Future<Output = Result<Action, Error>> + Send + 'static,
{
    let failures = Failures::default();
    move |object, context| {
        let name = object.name_any();
        let namespace = object.meta().namespace.clone().unwrap_or_default();
        let running = pass(object, Arc::clone(&context));
        let failures = failures.clone();
        Box::pin(async move {
            let started = Instant::now();
            context.telemetry.running(kind, 1);
            let result = running.await;
            context.telemetry.running(kind, -1);
            context.telemetry.reconciled(kind, started.elapsed(), result.is_err());
            let object = format!("{namespace}/{name}");
            Ok(match result {
                Ok(action) => {
                    tracing::debug!(kind, namespace, name, "looked at");
                    failures.succeeded(&object);
                    action
                }
                Err(error) => {
                    tracing::warn!(kind, namespace, name, %error, "could not be completed");
                    match error {
                        // Only a new version of the object helps.
                        Error::Malformed(_) => Action::await_change(),
                        _ => Action::requeue(failures.failed(&object)),
                    }
                }
            })
        })
    }
}

/// Passes answer for their errors themselves.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the controller's signature")]
fn never<K>(_: Arc<Guarded<K>>, error: &Infallible, _: Arc<Context>) -> Action {
    match *error {}
}
