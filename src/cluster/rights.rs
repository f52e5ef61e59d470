//! Changes of rights. What a process may do is asked of the API server's authorizers, which tell nothing by themselves;
//! so the objects of role-based access control are watched, as metadata, and every change of one is a reason to ask
//! again. What other authorizers decide is asked anew every hour.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::future::ready;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::{BoxStream, select_all};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::api::PartialObjectMeta;
use kube::runtime::watcher::{Event, watcher};
use kube::runtime::{WatchStreamExt, watcher::Config};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

use crate::domain::binding::reaches_into;
use crate::domain::folder::Territory;

use super::watch::{Places, is_forbidden};
use super::{Context, watch};

/// Changes that come together are taken together.
const SETTLE: Duration = Duration::from_millis(250);

/// API servers learn of a change by watches of their own, some of them later than we. So each change is a reason to ask
/// twice, and no more often than this.
const ONCE_MORE: Duration = Duration::from_secs(2);

/// What was heard of rights.
enum Heard {
    /// All objects of one kind have been seen once.
    Listed,
    /// Rights may have changed.
    Changed(Reach),
}

/// How far a change of rights reaches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reach {
    everywhere: bool,
    namespaces: BTreeSet<String>,
}

impl Reach {
    pub(super) fn of(namespace: Option<String>) -> Self {
        Self { everywhere: namespace.is_none(), namespaces: namespace.into_iter().collect() }
    }

    fn add(&mut self, other: Self) {
        self.everywhere |= other.everywhere;
        self.namespaces.extend(other.namespaces);
    }

    fn is_empty(&self) -> bool {
        !self.everywhere && self.namespaces.is_empty()
    }

    /// Whether rights in that namespace may have changed.
    pub(super) fn includes(&self, namespace: &str) -> bool {
        self.everywhere || self.namespaces.contains(namespace)
    }
}

/// Watches of everything that gives or takes rights.
pub struct Rights {
    heard: BoxStream<'static, Heard>,
    watches: usize,
}

impl Rights {
    /// Begins to watch.
    pub fn watch(client: &Client, territory: &Territory) -> Self {
        let mut watches = vec![
            heard::<ClusterRole>(Api::all(client.clone())),
            heard::<ClusterRoleBinding>(Api::all(client.clone())),
        ];
        watches.extend(Places::of(client, territory).apis().into_iter().map(heard::<Role>));
        watches.extend(Places::of(client, territory).apis().into_iter().map(heard::<RoleBinding>));
        Self { watches: watches.len(), heard: select_all(watches).boxed() }
    }

    /// Waits until everything has been seen once. What changes from then on is told by [`Self::follow`].
    pub async fn listed(&mut self) {
        let mut listed = 0;
        while listed < self.watches {
            match self.heard.next().await {
                Some(Heard::Listed) => listed += 1,
                // Nothing has been asked yet that a change could make untrue.
                Some(Heard::Changed(_)) => {}
                None => return,
            }
        }
    }

    /// Has every ProcessBinding looked at whose process's rights may have changed.
    pub async fn follow(self, context: Arc<Context>) {
        let changes = self.heard.filter_map(|heard| {
            ready(match heard {
                Heard::Changed(reach) => Some(reach),
                Heard::Listed => None,
            })
        });
        debounced(changes, |reach| {
            context.binding.reviews.forget(reach);
            let concerned = watch::bindings_where(&context.bindings, |binding| {
                reach.everywhere || reach.namespaces.iter().any(|namespace| reaches_into(binding, namespace))
            });
            context.binding.calls.call(concerned);
        })
        .await;
    }
}

fn heard<K>(api: Api<PartialObjectMeta<K>>) -> BoxStream<'static, Heard>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
    PartialObjectMeta<K>: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync,
{
    let mut listed = false;
    let events = watcher(api, Config::default().page_size(watch::PAGE_SIZE)).default_backoff();
    events
        .filter_map(move |event| {
            ready(match event {
                Ok(Event::Apply(object) | Event::Delete(object)) => {
                    Some(Heard::Changed(Reach::of(object.namespace())))
                }
                // What happened while the watch was interrupted is not told one by one.
                Ok(Event::InitDone) if listed => Some(Heard::Changed(Reach::of(None))),
                Ok(Event::InitDone) => {
                    listed = true;
                    Some(Heard::Listed)
                }
                Ok(Event::Init | Event::InitApply(_)) => None,
                // A namespace that is closed to the operator holds nobody up.
                Err(error) if !listed && is_forbidden(&error) => {
                    tracing::warn!(%error, "rights in a namespace cannot be watched");
                    listed = true;
                    Some(Heard::Listed)
                }
                Err(error) => {
                    tracing::warn!(%error, "a watch of rights was interrupted and is begun again");
                    None
                }
            })
        })
        .boxed()
}

/// Calls `review` soon after a change, and once more after that; changes in between are taken together.
async fn debounced(changes: impl futures::Stream<Item = Reach>, mut review: impl FnMut(&Reach)) {
    let mut changes = pin!(changes);
    let mut reach = Reach::default();
    loop {
        if reach.is_empty() {
            let Some(first) = changes.next().await else { return };
            reach.add(first);
            reach.add(within(SETTLE, &mut changes).await);
            review(&reach);
        }
        let later = within(ONCE_MORE, &mut changes).await;
        reach.add(later.clone());
        review(&reach);
        reach = later;
    }
}

/// All changes of that time.
async fn within(time: Duration, changes: &mut (impl futures::Stream<Item = Reach> + Unpin)) -> Reach {
    let end = Instant::now() + time;
    let mut reach = Reach::default();
    while let Ok(Some(more)) = timeout_at(end, changes.next()).await {
        reach.add(more);
    }
    reach
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    fn of(namespace: &str) -> Reach {
        Reach::of(Some(namespace.to_owned()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_a_reason_to_ask_twice_and_many_are_no_reason_to_ask_more() {
        let (sender, receiver) = mpsc::unbounded_channel();
        let changes = futures::stream::unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|reach| (reach, receiver))
        });
        let begun = Instant::now();
        let (told, mut asked) = mpsc::unbounded_channel();
        tokio::spawn(debounced(changes, move |reach| {
            let _ = told.send((begun.elapsed(), reach.clone()));
        }));
        for namespace in ["a", "b", "a"] {
            sender.send(of(namespace)).unwrap();
        }
        let mut both = of("a");
        both.add(of("b"));
        assert_eq!(asked.recv().await, Some((SETTLE, both.clone())));
        sender.send(of("c")).unwrap();
        let mut all = both;
        all.add(of("c"));
        assert_eq!(asked.recv().await, Some((SETTLE + ONCE_MORE, all)));
        assert_eq!(
            asked.recv().await,
            Some((SETTLE + 2 * ONCE_MORE, of("c"))),
            "what came between, once more"
        );

        let everywhere = Reach::of(None);
        assert!(everywhere.includes("any") && of("a").includes("a") && !of("a").includes("b"));
        sender.send(everywhere.clone()).unwrap();
        assert_eq!(asked.recv().await.unwrap().1, everywhere);
    }
}
