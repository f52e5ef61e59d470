//! Passes over ConnectionPolicies.

use std::future::Future;
use std::sync::Arc;

use futures::StreamExt;
use kube::Api;

use crate::api::ConnectionPolicy;
use crate::cluster;
use crate::cluster::watch;

use super::{Passes, never, observed};

impl Passes {
    /// `touched` tells that something has changed that a policy may name, once the stores show it.
    pub(super) async fn over_policies(
        &self,
        complete: impl Future<Output = bool>,
        touched: tokio::sync::watch::Receiver<()>,
    ) {
        tokio::select! {
            complete = complete => if !complete { return },
            () = self.stop.cancelled() => return,
        }
        let policies = self.context.policies.clone();
        let touched = futures::stream::unfold(touched, |mut touched| async {
            touched.changed().await.ok()?;
            Some(((), touched))
        });
        let concerned =
            touched.flat_map(move |()| futures::stream::iter(watch::all_policies(&policies))).boxed();
        self.controller(watch::objects::<ConnectionPolicy>(Api::all(self.context.client.clone())))
            .reconcile_on(concerned)
            .run(observed("ConnectionPolicy", cluster::policy::reconcile), never, Arc::clone(&self.context))
            .for_each(|_| std::future::ready(()))
            .await;
    }
}
