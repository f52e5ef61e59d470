//! Credentials that were opened before, so that a process that asks again causes no request. They are wiped when they
//! are dropped.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::OnceCell;

use crate::domain::hand_out::Form;
use crate::ports::Credential;

/// Credentials that are held at most; beyond it those that nobody asked for lately go, and then all.
const LIMIT: usize = 10_000;

/// One that nobody asks for is dropped after this, once there is no more room.
const IDLE: Duration = Duration::from_mins(10);

/// Values of a Secret are read again after this: nothing tells that they have changed.
const STATIC_LIFETIME: Duration = Duration::from_secs(10);

/// Of what a credential is: it is another one as soon as any of this differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edition {
    /// Its form, and a token's number.
    pub form: Form,
    /// The generation of the Connection's spec, which names the Secret.
    pub generation: Option<i64>,
}

struct Entry {
    edition: Edition,
    read: Instant,
    used: Instant,
    credential: Arc<OnceCell<Arc<Credential>>>,
}

impl Entry {
    fn is_good(&self, edition: Edition, now: Instant, time: Timestamp) -> bool {
        let same = match edition.form {
            Form::Token { .. } => self.edition.form == edition.form,
            Form::Static => self.edition == edition && now.duration_since(self.read) < STATIC_LIFETIME,
            Form::Nothing => false,
        };
        let over = self.credential.get().is_some_and(|credential| match **credential {
            Credential::Token { expires_at: Some(end), .. } => end <= time,
            _ => false,
        });
        same && !over
    }
}

/// Credentials by the uid of their Connection.
#[derive(Default)]
pub(super) struct Held(Mutex<HashMap<String, Entry>>);

impl Held {
    /// The credential that is held, or the one that `read` gives, which is held from then on.
    pub(super) async fn get<E>(
        &self,
        uid: &str,
        edition: Edition,
        time: Timestamp,
        read: impl Future<Output = Result<Arc<Credential>, E>>,
    ) -> Result<Arc<Credential>, E> {
        let credential = self.entry(uid, edition, Instant::now(), time);
        credential.get_or_try_init(|| read).await.cloned()
    }

    fn entry(
        &self,
        uid: &str,
        edition: Edition,
        now: Instant,
        time: Timestamp,
    ) -> Arc<OnceCell<Arc<Credential>>> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get_mut(uid).filter(|entry| entry.is_good(edition, now, time)) {
            entry.used = now;
            return Arc::clone(&entry.credential);
        }
        if entries.len() >= LIMIT {
            entries.retain(|_, entry| now.duration_since(entry.used) < IDLE);
            if entries.len() >= LIMIT {
                entries.clear();
            }
        }
        let credential = Arc::new(OnceCell::new());
        let entry = Entry { edition, read: now, used: now, credential: Arc::clone(&credential) };
        entries.insert(uid.to_owned(), entry);
        credential
    }

    /// Drops what is held for a Connection, if it offers something else now, or nothing.
    pub(super) fn keep_only(&self, uid: &str, form: Option<Form>) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.get(uid).is_some_and(|entry| Some(entry.edition.form) != form) {
            entries.remove(uid);
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    const TOKEN: Edition = Edition { form: Form::Token { sequence: 1 }, generation: Some(1) };
    const STATIC: Edition = Edition { form: Form::Static, generation: Some(1) };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn token(expires_at: Option<i64>) -> Arc<Credential> {
        Arc::new(Credential::Token {
            access_token: SecretString::from("t"),
            expires_at: expires_at.map(at),
            granted_scopes: Vec::new(),
        })
    }

    /// Whether the same is held still.
    async fn is_held(held: &Held, edition: Edition, second: i64, credential: Arc<Credential>) -> bool {
        let before: Result<_, ()> = held.get("uid", TOKEN, at(0), async { Ok(credential) }).await;
        let after = held.get("uid", edition, at(second), async { Err(()) }).await;
        after.is_ok_and(|after| Arc::ptr_eq(&before.unwrap(), &after))
    }

    #[tokio::test]
    async fn a_token_is_held_until_there_is_another_one_or_it_ends() {
        let same_token = Edition { generation: Some(2), ..TOKEN };
        assert!(is_held(&Held::default(), same_token, 9, token(Some(10))).await);
        assert!(is_held(&Held::default(), TOKEN, 9, token(None)).await);
        assert!(!is_held(&Held::default(), TOKEN, 10, token(Some(10))).await);
        let next = Edition { form: Form::Token { sequence: 2 }, ..TOKEN };
        assert!(!is_held(&Held::default(), next, 9, token(Some(10))).await);
        assert!(!is_held(&Held::default(), STATIC, 9, token(None)).await);
    }

    #[test]
    fn values_of_a_secret_are_read_again_before_long_and_for_another_spec() {
        let (held, now) = (Held::default(), Instant::now());
        held.entry("uid", STATIC, now, at(0)).set(Arc::new(Credential::Nothing)).unwrap();
        let is_held =
            |edition, after| held.0.lock().unwrap().get("uid").unwrap().is_good(edition, now + after, at(0));
        assert!(is_held(STATIC, Duration::from_millis(9_999)));
        assert!(!is_held(STATIC, STATIC_LIFETIME));
        assert!(!is_held(Edition { generation: Some(2), ..STATIC }, Duration::ZERO));
    }

    #[tokio::test]
    async fn what_is_no_longer_offered_is_dropped_also_if_nobody_asks() {
        let held = Held::default();
        let next = Form::Token { sequence: 2 };
        for offered in [None, Some(next), Some(Form::Static)] {
            let credential = token(None);
            let dropped = Arc::downgrade(&credential);
            let _: Result<_, ()> = held.get("uid", TOKEN, at(0), async { Ok(credential) }).await;
            held.keep_only("other", None);
            held.keep_only("uid", Some(TOKEN.form));
            assert!(dropped.upgrade().is_some());
            held.keep_only("uid", offered);
            assert!(dropped.upgrade().is_none(), "{offered:?}");
        }
    }

    #[test]
    fn credentials_do_not_fill_memory() {
        let held = Held::default();
        for number in 0..=LIMIT {
            held.entry(&number.to_string(), TOKEN, Instant::now(), at(0));
        }
        assert_eq!(held.0.lock().unwrap().len(), 1);
    }
}
