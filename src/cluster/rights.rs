//! Changes of rights. What a process may do is asked of the API server's authorizers, which tell nothing by themselves;
//! so the objects of role-based access control are watched, as metadata, and every change of one is a reason to ask
//! again. What other authorizers decide is asked anew every hour.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Debug;
use std::future::ready;
use std::mem;
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

/// An API server whose watches are late, under load or just begun, answers both times as before, and an answer is kept
/// for long. So it is asked a last time, this long after the last change of a batch.
const LAST: Duration = Duration::from_secs(25);

/// Changes within this share their last review. With [`LAST`] it leaves time to empty a Secret within a minute of any
/// of them.
const BATCH: Duration = Duration::from_secs(10);

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

/// Reviews that are still to come for changes that were heard.
#[derive(Default)]
struct Pending {
    /// Not reviewed yet.
    fresh: Reach,
    /// Reviewed once.
    again: Reach,
    /// When both of them are to be reviewed.
    soon: Option<Instant>,
    /// Batches that wait for their last review, oldest first; never more than [`LAST`] has room for.
    batches: VecDeque<Batch>,
}

/// Changes that are reviewed together a last time.
struct Batch {
    first: Instant,
    last: Instant,
    reach: Reach,
}

impl Pending {
    fn add(&mut self, change: &Reach, now: Instant) {
        self.fresh.add(change.clone());
        self.soon.get_or_insert(now + SETTLE);
        match self.batches.back_mut().filter(|batch| now < batch.first + BATCH) {
            Some(batch) => {
                batch.last = now;
                batch.reach.add(change.clone());
            }
            None => self.batches.push_back(Batch { first: now, last: now, reach: change.clone() }),
        }
    }

    /// When the next review is due.
    fn due(&self) -> Option<Instant> {
        let last = self.batches.front().map(|batch| batch.last + LAST);
        [self.soon, last].into_iter().flatten().min()
    }

    /// All that is due, which is then no longer pending, or only for a later time.
    fn take(&mut self, now: Instant) -> Reach {
        let mut reach = Reach::default();
        if self.soon.is_some_and(|soon| soon <= now) {
            reach.add(mem::replace(&mut self.again, self.fresh.clone()));
            reach.add(mem::take(&mut self.fresh));
            self.soon = (!self.again.is_empty()).then(|| now + ONCE_MORE);
        }
        while let Some(batch) = self.batches.pop_front_if(|batch| batch.last + LAST <= now) {
            reach.add(batch.reach);
        }
        reach
    }
}

/// Calls `review` soon after a change, once more, and a last time; changes in between are taken together.
async fn debounced(changes: impl futures::Stream<Item = Reach>, mut review: impl FnMut(&Reach)) {
    let mut changes = pin!(changes);
    let mut pending = Pending::default();
    loop {
        let change = match pending.due() {
            // Also where changes never pause.
            Some(due) if due <= Instant::now() => None,
            Some(due) => timeout_at(due, changes.next()).await.ok(),
            None => Some(changes.next().await),
        };
        match change {
            Some(Some(change)) => pending.add(&change, Instant::now()),
            Some(None) => return,
            None => review(&pending.take(Instant::now())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    fn of(namespace: &str) -> Reach {
        Reach::of(Some(namespace.to_owned()))
    }

    type Changes = mpsc::UnboundedSender<Reach>;
    type Asked = mpsc::UnboundedReceiver<(Duration, Reach)>;

    /// Where changes go in, and when what was asked comes out.
    fn followed() -> (Changes, Asked) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let changes = futures::stream::unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|reach| (reach, receiver))
        });
        let begun = Instant::now();
        let (told, asked) = mpsc::unbounded_channel();
        tokio::spawn(debounced(changes, move |reach| {
            let _ = told.send((begun.elapsed(), reach.clone()));
        }));
        (sender, asked)
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_a_reason_to_ask_three_times_and_many_are_no_reason_to_ask_more() {
        let (sender, mut asked) = followed();
        for namespace in ["a", "b", "a"] {
            sender.send(of(namespace)).unwrap();
        }
        let mut both = of("a");
        both.add(of("b"));
        assert_eq!(asked.recv().await, Some((SETTLE, both.clone())));
        sender.send(of("c")).unwrap();
        let mut all = both;
        all.add(of("c"));
        assert_eq!(asked.recv().await, Some((SETTLE + ONCE_MORE, all.clone())));
        let once_more = (SETTLE + 2 * ONCE_MORE, of("c"));
        assert_eq!(asked.recv().await, Some(once_more), "what came between, once more");
        let last = (SETTLE + LAST, all);
        assert_eq!(asked.recv().await, Some(last), "all of them a last time, after the last of them");

        let everywhere = Reach::of(None);
        assert!(everywhere.includes("any") && of("a").includes("a") && !of("a").includes("b"));
        sender.send(everywhere.clone()).unwrap();
        for _ in 0..3 {
            assert_eq!(asked.recv().await.unwrap().1, everywhere);
        }
        let nothing = timeout_at(Instant::now() + 10 * LAST, asked.recv()).await;
        assert!(nothing.is_err(), "then nothing is asked any more");
    }

    #[tokio::test(start_paused = true)]
    async fn changes_without_end_put_off_no_review_and_multiply_none() {
        let (sender, mut asked) = followed();
        let begun = Instant::now();
        let end = Duration::from_mins(10);
        sender.send(of("withdrawn")).unwrap();
        while begun.elapsed() < end {
            sender.send(of("busy")).unwrap();
            tokio::time::advance(Duration::from_millis(100)).await;
            tokio::task::yield_now().await;
        }
        drop(sender);
        let (mut reviews, mut of_withdrawn) = (0, Vec::new());
        while let Some((at, reach)) = asked.recv().await {
            reviews += 1;
            if reach.includes("withdrawn") {
                of_withdrawn.push(at);
            }
        }
        assert_eq!(of_withdrawn.len(), 3, "{of_withdrawn:?}");
        let last = of_withdrawn[2];
        assert!(LAST <= last && last <= LAST + BATCH + SETTLE, "{last:?}");
        let most = end.as_secs() / ONCE_MORE.as_secs() + end.as_secs() / BATCH.as_secs() + 2;
        assert!(reviews <= most, "{reviews}");
    }
}
