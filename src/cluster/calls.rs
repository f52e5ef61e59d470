//! Who is to be looked at. Many changes that concern the same objects come to one call each, so that a storm of them
//! takes no more memory than there are objects.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use futures::stream::BoxStream;
use kube::Resource;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::Notify;

use super::Guarded;

/// Calls for passes over objects of one kind.
pub struct Calls<K>(Arc<Waiting<K>>)
where
    K: Resource<DynamicType = ()> + 'static;

struct Waiting<K>
where
    K: Resource<DynamicType = ()> + 'static,
{
    objects: Mutex<HashSet<ObjectRef<Guarded<K>>>>,
    added: Notify,
}

impl<K> Default for Calls<K>
where
    K: Resource<DynamicType = ()> + 'static,
{
    fn default() -> Self {
        Self(Arc::new(Waiting { objects: Mutex::default(), added: Notify::new() }))
    }
}

impl<K> Waiting<K>
where
    K: Resource<DynamicType = ()> + 'static,
{
    fn take(&self) -> Option<ObjectRef<Guarded<K>>> {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        let next = objects.iter().next().cloned()?;
        objects.take(&next)
    }
}

impl<K> Calls<K>
where
    K: Resource<DynamicType = ()> + Send + Sync + 'static,
{
    /// Asks for a pass over each of these. It never waits.
    pub fn call(&self, objects: impl IntoIterator<Item = ObjectRef<Guarded<K>>>) {
        self.0.objects.lock().unwrap_or_else(PoisonError::into_inner).extend(objects);
        self.0.added.notify_one();
    }

    /// Those that were asked for, each once for as many calls as came before it was its turn. For one reader.
    pub fn answered(&self) -> BoxStream<'static, ObjectRef<Guarded<K>>> {
        futures::stream::unfold(Arc::clone(&self.0), |waiting| async {
            loop {
                if let Some(next) = waiting.take() {
                    return Some((next, waiting));
                }
                waiting.added.notified().await;
            }
        })
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ProcessBinding;
    use futures::FutureExt;

    #[tokio::test]
    async fn calls_for_the_same_object_come_to_one_until_it_is_its_turn() {
        let calls: Calls<ProcessBinding> = Calls::default();
        let reference = |name: &str| ObjectRef::<Guarded<ProcessBinding>>::new(name).within("shop");
        let mut answered = calls.answered();
        assert!(answered.next().now_or_never().is_none());
        calls.call([reference("a"), reference("a")]);
        calls.call([reference("a")]);
        assert_eq!(answered.next().await, Some(reference("a")));
        assert!(answered.next().now_or_never().is_none(), "once");
        calls.call([reference("a"), reference("b")]);
        let mut both = [answered.next().await.unwrap().name, answered.next().await.unwrap().name];
        both.sort();
        assert_eq!(both, ["a", "b"]);
    }
}
