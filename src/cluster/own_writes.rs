//! What this process wrote itself, until the watch shows it. A pass that trusted the watch alone would see its own
//! writes undone, and repeat them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kube::{Resource, ResourceExt};

/// A watch that is later than this meets a conflict, and the pass is made again. It bounds memory: what is remembered
/// is soon seen.
const REMEMBERED_FOR: Duration = Duration::from_secs(10);

/// Objects of one kind as this process left them.
pub struct OwnWrites<K>(Mutex<Remembered<K>>);

struct Remembered<K> {
    by_uid: HashMap<String, Written<K>>,
    /// Who was remembered when, oldest first.
    ages: VecDeque<(Instant, String)>,
}

struct Written<K> {
    /// Versions that the watch may still show, although they are superseded.
    superseded: Vec<String>,
    latest: K,
    at: Instant,
}

impl<K> Default for OwnWrites<K> {
    fn default() -> Self {
        Self(Mutex::new(Remembered { by_uid: HashMap::new(), ages: VecDeque::new() }))
    }
}

impl<K: Resource + Clone> OwnWrites<K> {
    /// The object as it is, as far as this process knows: `shown` is what the watch shows.
    pub(super) fn apply(&self, shown: &K) -> K {
        let remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let version = shown.resource_version().unwrap_or_default();
        let written = shown.uid().and_then(|uid| remembered.by_uid.get(&uid));
        let newer = written.filter(|written| written.superseded.contains(&version));
        newer.map_or_else(|| shown.clone(), |written| written.latest.clone())
    }

    /// Takes note of what became of `before` by a write.
    pub(super) fn note(&self, before: &K, mut after: K, now: Instant) {
        // As in what a watch shows.
        after.managed_fields_mut().clear();
        let (Some(uid), Some(version)) = (after.uid(), before.resource_version()) else { return };
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Remembered { by_uid, ages } = &mut *remembered;
        while let Some((at, uid)) = ages.front().filter(|(at, _)| now.duration_since(*at) > REMEMBERED_FOR) {
            if by_uid.get(uid).is_some_and(|written| written.at == *at) {
                by_uid.remove(uid);
            }
            ages.pop_front();
        }
        let earlier =
            by_uid.remove(&uid).filter(|written| written.latest.resource_version() == Some(version.clone()));
        let mut superseded = earlier.map(|written| written.superseded).unwrap_or_default();
        superseded.push(version);
        ages.push_back((now, uid.clone()));
        by_uid.insert(uid, Written { superseded, latest: after, at: now });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::api::ObjectMeta;

    fn object(version: &str) -> ConfigMap {
        let (uid, resource_version) = (Some("uid".to_owned()), Some(version.to_owned()));
        ConfigMap {
            metadata: ObjectMeta { uid, resource_version, ..ObjectMeta::default() },
            ..ConfigMap::default()
        }
    }

    fn seen(writes: &OwnWrites<ConfigMap>, shown: &str) -> String {
        writes.apply(&object(shown)).resource_version().unwrap()
    }

    #[test]
    fn a_late_watch_is_overtaken_by_ones_own_writes_and_by_nothing_else() {
        let writes = OwnWrites::default();
        let now = Instant::now();
        assert_eq!(seen(&writes, "1"), "1");
        writes.note(&object("1"), object("2"), now);
        writes.note(&object("2"), object("3"), now);
        assert_eq!([seen(&writes, "1"), seen(&writes, "2"), seen(&writes, "3")], ["3", "3", "3"]);
        assert_eq!(seen(&writes, "4"), "4", "somebody else's write is newer");

        writes.note(&object("4"), object("5"), now);
        assert_eq!([seen(&writes, "4"), seen(&writes, "3")], ["5", "3"], "a break in the chain ends it");
    }

    #[test]
    fn what_was_written_is_forgotten_after_a_while() {
        let writes = OwnWrites::default();
        let now = Instant::now();
        writes.note(&object("1"), object("2"), now);
        let mut other = object("7");
        other.metadata.uid = Some("other".to_owned());
        writes.note(&other, other.clone(), now + REMEMBERED_FOR + Duration::from_secs(1));
        assert_eq!(seen(&writes, "1"), "1");
    }
}
