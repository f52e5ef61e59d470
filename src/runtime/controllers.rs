//! Wires watches to passes: who is looked at when what changes.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::PartialObjectMeta;
use kube::runtime::controller::{Action, Config};
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::{Controller, reflector};
use kube::{Api, Client, Resource, ResourceExt};
use tokio_util::sync::CancellationToken;

use crate::api::names::FOLDER_LABEL;
use crate::api::{Connection, Connector, Folder};
use crate::cluster::{self, Context, Error, Guarded, KnownRecords, OwnWrites, Secrets, connector, watch};
use crate::domain::connection;
use crate::envelope::Keyring;
use crate::ports::{Clock, Leadership, ProviderClient};

use super::metrics::Metrics;
use super::settings::Settings;

/// A pass that could not be completed is tried again after this.
const AFTER_ERROR: Duration = Duration::from_secs(5);

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
    pub keyring: Keyring,
    /// Settings that decisions depend on.
    pub decisions: connection::Settings,
}

/// Runs all controllers until `stop`, and finishes what is under way.
pub async fn run(parts: Parts, settings: &Settings, stop: CancellationToken) {
    let client = parts.client.clone();
    let (connectors, connector_changes) = watch::objects::<Connector>(Api::all(client.clone()));
    let (folders, folder_changes) = watch::objects::<Folder>(Api::all(client.clone()));
    let (connections, connection_changes) = watch::objects::<Connection>(Api::all(client.clone()));
    let (credentials, credential_changes) =
        watch::metadata::<Secret>(Api::all(client.clone()), &watch::credentials_selector());
    let (tokens, token_changes) = watch::metadata::<Secret>(Api::all(client.clone()), &watch::tokens_selector());
    let (namespaces, namespace_changes) = watch::metadata::<Namespace>(Api::all(client.clone()), FOLDER_LABEL);

    parts.metrics.count(connections.clone());
    let reporter = Reporter { controller: "liaison".to_owned(), instance: Some(settings.identity.clone()) };
    let context = Arc::new(Context {
        recorder: Recorder::new(client.clone(), reporter),
        client: client.clone(),
        provider: parts.provider,
        clock: parts.clock,
        leadership: parts.leadership,
        telemetry: parts.metrics,
        keyring: Arc::new(parts.keyring),
        settings: Arc::new(parts.decisions),
        provider_timeout: settings.provider_timeout,
        operator_namespace: settings.namespace.clone(),
        connectors: connectors.clone(),
        definitions: connector::Definitions::default(),
        folders: folders.clone(),
        connections: connections.clone(),
        written: OwnWrites::default(),
        secrets: Secrets::new(client.clone(), credentials.clone(), tokens.clone()),
        records: KnownRecords::default(),
    });

    let by_connector = {
        let (connections, context, connectors) = (connections.clone(), Arc::clone(&context), connectors.clone());
        watch::forward(connector_changes, move |changed: &Guarded<Connector>| {
            if connectors.get(&reflector::ObjectRef::from_obj(changed)).is_none() {
                context.definitions.forget(&changed.uid().unwrap_or_default());
            }
            watch::connections_of_connector(&connections, &changed.name_any())
        })
    };
    let by_folder = {
        let connections = connections.clone();
        watch::forward(folder_changes, move |changed| watch::connections_of_folder(&connections, changed))
    };
    let by_credentials = {
        let (connections, context, credentials) = (connections.clone(), Arc::clone(&context), credentials.clone());
        watch::forward(credential_changes, move |changed: &PartialObjectMeta<Secret>| {
            if credentials.get(&reflector::ObjectRef::from_obj(changed)).is_none() {
                context.secrets.forget(&changed.uid().unwrap_or_default());
            }
            watch::connections_of_secret(&connections, changed)
        })
    };
    let by_token = {
        let (connections, context, tokens) = (connections.clone(), Arc::clone(&context), tokens.clone());
        watch::forward(token_changes, move |changed: &PartialObjectMeta<Secret>| {
            if tokens.get(&reflector::ObjectRef::from_obj(changed)).is_none() {
                context.records.forget(&changed.uid().unwrap_or_default());
            }
            watch::connection_of_token(&connections, changed)
        })
    };
    let by_namespace = {
        let folders = folders.clone();
        watch::forward(namespace_changes, move |changed: &PartialObjectMeta<Namespace>| {
            watch::folders_of_namespace(&folders, &changed.name_any())
        })
    };

    let concurrency = Config::default().concurrency(settings.concurrency);
    let connector_controller = {
        let (store, changes) = watch::objects::<Connector>(Api::all(client.clone()));
        Controller::for_stream(watch::relevant(changes), store)
            .with_config(concurrency.clone())
            .graceful_shutdown_on(stop.clone().cancelled_owned())
            .run(observed("Connector", connector::reconcile), on_error, Arc::clone(&context))
    };
    let folder_controller = {
        let (store, changes) = watch::objects::<Folder>(Api::all(client.clone()));
        let (_, others) = watch::objects::<Folder>(Api::all(client.clone()));
        let others = {
            let folders = folders.clone();
            watch::forward(watch::relevant(others), move |_: &Guarded<Folder>| watch::all_folders(&folders))
        };
        Controller::for_stream(watch::relevant(changes), store)
            .with_config(concurrency.clone())
            .reconcile_on(by_namespace)
            .reconcile_on(others)
            .graceful_shutdown_on(stop.clone().cancelled_owned())
            .run(observed("Folder", cluster::folder::reconcile), on_error, Arc::clone(&context))
    };

    // A Connection is looked at only once everything that it may refer to has been read; before, all would seem to
    // be missing.
    let complete = async {
        let read = tokio::join!(
            connectors.wait_until_ready(),
            folders.wait_until_ready(),
            credentials.wait_until_ready(),
            tokens.wait_until_ready(),
            namespaces.wait_until_ready(),
        );
        [read.0, read.1, read.2, read.3, read.4].into_iter().all(|store| store.is_ok())
    };
    let connection_controller = async {
        tokio::select! {
            complete = complete => if !complete { return },
            () = stop.cancelled() => return,
        }
        Controller::for_stream(watch::relevant(connection_changes), connections)
            .with_config(concurrency.clone())
            .reconcile_on(by_connector)
            .reconcile_on(by_folder)
            .reconcile_on(by_credentials)
            .reconcile_on(by_token)
            .graceful_shutdown_on(stop.clone().cancelled_owned())
            .run(observed("Connection", cluster::connection::reconcile), on_error, Arc::clone(&context))
            .for_each(|_| async {})
            .await;
    };
    tokio::join!(
        connector_controller.for_each(|_| async {}),
        folder_controller.for_each(|_| async {}),
        connection_controller,
    );
}

/// A pass that is counted, timed and logged.
fn observed<K, Pass, Running>(
    kind: &'static str,
    pass: Pass,
) -> impl Fn(Arc<Guarded<K>>, Arc<Context>) -> futures::future::BoxFuture<'static, Result<Action, Error>>
where
    K: Resource<DynamicType = ()> + Send + Sync + 'static,
    Pass: Fn(Arc<Guarded<K>>, Arc<Context>) -> Running,
    Running: Future<Output = Result<Action, Error>> + Send + 'static,
{
    move |object, context| {
        let name = object.name_any();
        let namespace = object.meta().namespace.clone().unwrap_or_default();
        let running = pass(object, Arc::clone(&context));
        Box::pin(async move {
            let started = Instant::now();
            context.telemetry.running(kind, 1);
            let result = running.await;
            context.telemetry.running(kind, -1);
            context.telemetry.reconciled(kind, started.elapsed(), result.is_err());
            match &result {
                Ok(_) => tracing::debug!(kind, namespace, name, "looked at"),
                Err(error) => tracing::warn!(kind, namespace, name, %error, "could not be completed; tried again"),
            }
            result
        })
    }
}

fn on_error<K>(_: Arc<Guarded<K>>, error: &Error, _: Arc<Context>) -> Action {
    match error {
        // Only a new version of the object helps.
        Error::Malformed(_) => Action::await_change(),
        Error::Api { .. } | Error::Seal(_) => Action::requeue(AFTER_ERROR),
    }
}
