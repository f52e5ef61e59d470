//! Answers that are good for a while, each asked for once however many wait for it.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;

/// How many answers are kept. Beyond it those that are over go, and then all: they are only asked for again.
const LIMIT: usize = 10_000;

struct Entry<V> {
    asked: Instant,
    answer: Arc<OnceCell<V>>,
}

/// Answers by question.
pub(super) struct Remembered<K, V> {
    lifetime: Duration,
    entries: Mutex<HashMap<K, Entry<V>>>,
}

impl<K: Eq + Hash, V: Clone> Remembered<K, V> {
    /// Answers count from when they were asked for.
    pub(super) fn new(lifetime: Duration) -> Self {
        Self { lifetime, entries: Mutex::default() }
    }

    /// What is remembered, or what `ask` says. Of several that ask the same at once one does, and the others wait. A
    /// failure is not remembered.
    pub(super) async fn get<E>(&self, key: K, ask: impl Future<Output = Result<V, E>>) -> Result<V, E> {
        let answer = self.entry(key, Instant::now());
        answer.get_or_try_init(|| ask).await.cloned()
    }

    fn entry(&self, key: K, now: Instant) -> Arc<OnceCell<V>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let good = |entry: &Entry<V>| now.duration_since(entry.asked) < self.lifetime;
        if let Some(entry) = entries.get(&key).filter(|entry| good(entry)) {
            return Arc::clone(&entry.answer);
        }
        if entries.len() >= LIMIT {
            entries.retain(|_, entry| good(entry));
            if entries.len() >= LIMIT {
                entries.clear();
            }
        }
        let answer = Arc::new(OnceCell::new());
        entries.insert(key, Entry { asked: now, answer: Arc::clone(&answer) });
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    async fn counted(count: &AtomicU32, answer: Result<u32, ()>) -> Result<u32, ()> {
        tokio::task::yield_now().await;
        count.fetch_add(1, Ordering::Relaxed);
        answer
    }

    #[tokio::test]
    async fn an_answer_is_asked_for_once_also_by_many_at_once() {
        let (remembered, count) = (Remembered::new(Duration::from_hours(1)), AtomicU32::new(0));
        let ask = || remembered.get("a", counted(&count, Ok(7)));
        let answers = tokio::join!(ask(), ask(), ask());
        assert_eq!(answers, (Ok(7), Ok(7), Ok(7)));
        assert_eq!(remembered.get("a", counted(&count, Ok(8))).await, Ok(7));
        assert_eq!(count.load(Ordering::Relaxed), 1);
        assert_eq!(remembered.get("b", counted(&count, Ok(8))).await, Ok(8));
    }

    #[tokio::test]
    async fn a_failure_is_not_remembered_and_an_answer_not_for_longer_than_its_time() {
        let (remembered, count) = (Remembered::new(Duration::from_hours(1)), AtomicU32::new(0));
        assert_eq!(remembered.get("a", counted(&count, Err(()))).await, Err(()));
        assert_eq!(remembered.get("a", counted(&count, Ok(7))).await, Ok(7));

        let later = Instant::now() + Duration::from_hours(1);
        assert_eq!(remembered.entry("a", later).get(), None);
    }

    #[tokio::test]
    async fn questions_do_not_fill_memory() {
        let remembered = Remembered::new(Duration::from_hours(1));
        for number in 0..=LIMIT {
            remembered.entry(number, Instant::now()).set(number).unwrap();
        }
        assert_eq!(remembered.entries.lock().unwrap().len(), 1);
    }
}
