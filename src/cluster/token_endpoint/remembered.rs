//! Answers that are good for a while, each asked for once however many wait for it. Who was answered favourably lately is
//! known for longer than that, so that what strangers ask does not stand in their way.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;

/// How many questions are remembered at most.
const LIMIT: usize = 10_000;

/// How many make room at once where all of them are still worth remembering, so that not each new one looks through all.
const BATCH: usize = LIMIT / 8;

/// A question whose answer was favourable is known for so long after it was asked last: longer than most workloads
/// keep what they are handed.
const KNOWN: Duration = Duration::from_hours(1);

struct Entry<V> {
    asked: Instant,
    answer: Arc<OnceCell<V>>,
    /// The last favourable answer, and when it was given.
    favourable: Option<(Instant, V)>,
}

impl<V> Entry<V> {
    fn known(&self, now: Instant) -> Option<&V> {
        let (since, answer) = self.favourable.as_ref()?;
        (now.duration_since(*since) < KNOWN).then_some(answer)
    }
}

/// Answers by question.
pub(super) struct Remembered<K, V> {
    lifetime: Duration,
    is_favourable: fn(&V) -> bool,
    entries: Mutex<HashMap<K, Entry<V>>>,
}

/// Where an answer is, or will be.
struct Place<V> {
    answer: Arc<OnceCell<V>>,
    /// The last favourable answer to the same question.
    known: Option<V>,
    /// Whether the question has been let through already.
    admitted: bool,
}

impl<K: Clone + Eq + Hash, V: Clone> Remembered<K, V> {
    /// Answers are good for `lifetime` from when they were asked for.
    pub(super) fn new(lifetime: Duration, is_favourable: fn(&V) -> bool) -> Self {
        Self { lifetime, is_favourable, entries: Mutex::default() }
    }

    /// What is remembered, or what `ask` says. Of several that ask the same at once one does, and the others wait. A
    /// failure is not remembered. Before anything is asked or takes up memory, `admit` has to agree; it is told the last
    /// favourable answer, if there was one lately.
    pub(super) async fn get<E, F>(
        &self,
        key: K,
        admit: impl Fn(Option<&V>) -> Result<(), E>,
        ask: impl FnOnce() -> F,
    ) -> Result<V, E>
    where
        F: Future<Output = Result<V, E>>,
    {
        let Place { answer, known, admitted } = self.place(&key, Instant::now(), &admit)?;
        let asked = async {
            if !admitted {
                admit(known.as_ref())?;
            }
            // Most questions are answered from memory, and carry no room for the asking.
            let given = Box::pin(ask()).await?;
            self.learn(&key, &answer, &given, Instant::now());
            Ok(given)
        };
        answer.get_or_try_init(|| asked).await.cloned()
    }

    fn place<E>(
        &self,
        key: &K,
        now: Instant,
        admit: impl Fn(Option<&V>) -> Result<(), E>,
    ) -> Result<Place<V>, E> {
        let mut entries = self.entries();
        let found = entries.get_mut(key);
        let known = found.as_ref().and_then(|entry| entry.known(now).cloned());
        if let Some(entry) = found {
            if now.duration_since(entry.asked) < self.lifetime {
                return Ok(Place { answer: Arc::clone(&entry.answer), known, admitted: false });
            }
            admit(known.as_ref())?;
            (entry.asked, entry.answer) = (now, Arc::default());
            return Ok(Place { answer: Arc::clone(&entry.answer), known, admitted: true });
        }
        admit(None)?;
        self.make_room(&mut entries, now);
        let answer = Arc::default();
        let entry = Entry { asked: now, answer: Arc::clone(&answer), favourable: None };
        entries.insert(key.clone(), entry);
        Ok(Place { answer, known: None, admitted: true })
    }

    fn learn(&self, key: &K, answer: &Arc<OnceCell<V>>, given: &V, now: Instant) {
        let mut entries = self.entries();
        if let Some(entry) = entries.get_mut(key).filter(|entry| Arc::ptr_eq(&entry.answer, answer)) {
            entry.favourable = (self.is_favourable)(given).then(|| (now, given.clone()));
        }
    }

    /// Lets go what is over; then, of what is left, the oldest of those that nothing good is known of, and only where
    /// there are none the oldest of the others.
    fn make_room(&self, entries: &mut HashMap<K, Entry<V>>, now: Instant) {
        if entries.len() < LIMIT {
            return;
        }
        entries
            .retain(|_, entry| now.duration_since(entry.asked) < self.lifetime || entry.known(now).is_some());
        if entries.len() < LIMIT {
            return;
        }
        let ages = |known: bool| {
            let those = entries.iter().filter(|(_, entry)| entry.known(now).is_some() == known);
            those.map(|(key, entry)| (entry.asked, key.clone())).collect::<Vec<_>>()
        };
        let mut going = ages(false);
        if going.is_empty() {
            going = ages(true);
        }
        going.sort_unstable_by_key(|(asked, _)| *asked);
        for (_, key) in going.into_iter().take(BATCH) {
            entries.remove(&key);
        }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<K, Entry<V>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
