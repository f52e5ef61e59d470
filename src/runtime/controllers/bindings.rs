//! Passes over ProcessBindings. What they depend on is mostly watched for others too; who is concerned is called from
//! there.

use std::future::Future;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::PartialObjectMeta;

use crate::api::{Connection, ProcessBinding};
use crate::cluster::watch::{self, Watched};
use crate::cluster::{self, Context, Guarded, Rights};

use super::{Passes, never, observed};

/// The same watch; whom each change concerns is called once the store shows it. A Connection's status counts too: a new
/// token, a person who has to act.
pub(super) fn told_of(
    context: &Arc<Context>,
    connections: Watched<Guarded<Connection>>,
) -> Watched<Guarded<Connection>> {
    let context = Arc::clone(context);
    let tell = move |change: &Result<Guarded<Connection>, _>| {
        if let Ok(changed) = change {
            context.binding.calls.call(watch::bindings_of_connection(&context.bindings, changed));
        }
    };
    Watched { store: connections.store, changes: connections.changes.inspect(tell).boxed() }
}

impl Passes {
    /// A binding is looked at only once everything that it may refer to has been read; before, a credential would seem
    /// to be lost. Rights are watched from before the first review.
    pub(super) async fn over_bindings(
        &self,
        outputs: Watched<PartialObjectMeta<Secret>>,
        mut rights: Rights,
        complete: impl Future<Output = bool>,
    ) {
        let context = &self.context;
        let (shown, by_output) = (outputs.store.clone(), Arc::clone(context));
        let caused = watch::forward(outputs.changes, move |changed: &PartialObjectMeta<Secret>| {
            watch::bindings_of_output(&by_output.bindings, changed)
        });
        let listed = async {
            rights.listed().await;
            complete.await
                && context.connections.wait_until_ready().await.is_ok()
                && shown.wait_until_ready().await.is_ok()
        };
        tokio::select! {
            listed = listed => if !listed { return },
            () = self.stop.cancelled() => return,
        }
        let bindings = watch::objects::<ProcessBinding>(Api::all(context.client.clone()));
        let passes = self
            .controller(bindings)
            .reconcile_on(caused)
            .reconcile_on(context.binding.calls.answered())
            .run(observed("ProcessBinding", cluster::binding::reconcile), never, Arc::clone(context))
            .for_each(|_| std::future::ready(()));
        tokio::select! {
            () = passes => {}
            () = rights.follow(Arc::clone(context)) => {}
        }
    }
}
