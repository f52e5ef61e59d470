//! Who was handed what, and when: a line of the log for each, and an Event about the Connection now and then.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, Resource, ResourceExt};

use crate::api::Connection;
use crate::domain::connection::Blocked;
use crate::domain::hand_out::{Caller, Wanted};
use crate::domain::reason::Reason;

/// An Event about one Connection and one `ServiceAccount` is published at most this often.
const EVENT_GAP: Duration = Duration::from_hours(1);

/// The same refusal of the same `ServiceAccount` is a line of the log at most this often. All of them are counted.
const REFUSAL_GAP: Duration = Duration::from_secs(10);

/// What is remembered of it at most.
const LIMIT: usize = 50_000;

/// What is not to be told too often.
struct Seldom {
    gap: Duration,
    told: Mutex<HashMap<String, Instant>>,
}

impl Seldom {
    fn new(gap: Duration) -> Self {
        Self { gap, told: Mutex::default() }
    }

    /// Whether it is time to tell this, which then counts as told.
    fn is_due(&self, what: &str, now: Instant) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.get(what).is_some_and(|last| now.duration_since(*last) < self.gap) {
            return false;
        }
        if told.len() >= LIMIT {
            told.retain(|_, last| now.duration_since(*last) < self.gap);
            if told.len() >= LIMIT {
                return false;
            }
        }
        told.insert(what.to_owned(), now);
        true
    }
}

/// Writes down what was handed out.
pub(super) struct Audit {
    client: Client,
    /// This replica.
    identity: String,
    events: Seldom,
    refusals: Seldom,
}

impl Audit {
    pub(super) fn new(client: Client, identity: &str) -> Self {
        let (events, refusals) = (Seldom::new(EVENT_GAP), Seldom::new(REFUSAL_GAP));
        Self { client, identity: identity.to_owned(), events, refusals }
    }

    /// A credential was handed out.
    pub(super) fn handed_out(
        &self,
        (caller, source): (&Caller, IpAddr),
        wanted: &Wanted,
        connection: &Connection,
        now: Timestamp,
    ) {
        let (binding, user) = through(wanted);
        tracing::info!(
            service_account = format!("{}/{}", caller.namespace, caller.service_account),
            pod = caller.pod.name,
            pod_uid = caller.pod.uid,
            %source,
            connection = format!("{}/{}", connection.namespace().unwrap_or_default(), connection.name_any()),
            uid = connection.uid(),
            sequence = connection.status.as_ref().and_then(|status| Some(status.token.as_ref()?.sequence)),
            binding,
            user,
            "a credential was handed out"
        );
        self.event(caller, connection, now);
    }

    /// Nothing was handed out to somebody who is known.
    pub(super) fn refused(&self, (caller, source): (&Caller, IpAddr), wanted: &Wanted, why: &Blocked) {
        let (binding, user) = through(wanted);
        let connection = match wanted {
            Wanted::Connection { namespace, name } => Some(format!("{namespace}/{name}")),
            Wanted::Binding { .. } => None,
        };
        let service_account = format!("{}/{}", caller.namespace, caller.service_account);
        let what = format!("{service_account} {wanted:?} {}", why.reason);
        if !self.refusals.is_due(&what, Instant::now()) {
            return;
        }
        tracing::info!(
            service_account,
            pod = caller.pod.name,
            pod_uid = caller.pod.uid,
            %source,
            connection,
            binding,
            user,
            reason = %why.reason,
            "no credential was handed out"
        );
    }

    /// Published beside the answer: nobody waits for it.
    fn event(&self, caller: &Caller, connection: &Connection, now: Timestamp) {
        let account = format!("{}/{}", caller.namespace, caller.service_account);
        let key = format!("{}/{account}", connection.uid().unwrap_or_default());
        if !self.events.is_due(&key, Instant::now()) {
            return;
        }
        let event = event(caller, connection, (&key, &self.identity), now);
        let events: Api<Event> =
            Api::namespaced(self.client.clone(), &connection.namespace().unwrap_or_default());
        tokio::spawn(async move {
            match events.create(&PostParams::default(), &event).await {
                Ok(_) => {}
                // Another replica has told it.
                Err(kube::Error::Api(status)) if status.is_already_exists() => {}
                Err(error) => {
                    tracing::warn!(reason = %Reason::CredentialHandedOut, %error, "cannot publish an Event");
                }
            }
        });
    }
}

/// Through which binding, and for whom; quoted, because a user's name may be any text.
fn through(wanted: &Wanted) -> (Option<String>, Option<String>) {
    match wanted {
        Wanted::Connection { .. } => (None, None),
        Wanted::Binding { namespace, name, user } => {
            (Some(format!("{namespace}/{name}")), user.as_ref().map(|user| format!("{user:?}")))
        }
    }
}

/// The Event of an hour. Replicas call it the same, so that it is there once.
fn event(caller: &Caller, connection: &Connection, (key, identity): (&str, &str), now: Timestamp) -> Event {
    let hour = now.as_second().div_euclid(3600);
    let digest = digest::digest(&digest::SHA256, format!("{key}/{hour}").as_bytes());
    let suffix = digest.as_ref().iter().take(8).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{}.{suffix}", connection.name_any())),
            namespace: connection.namespace(),
            ..ObjectMeta::default()
        },
        type_: Some("Normal".to_owned()),
        reason: Some(Reason::CredentialHandedOut.to_string()),
        note: Some(Reason::CredentialHandedOut.note().to_owned()),
        action: Some("HandOut".to_owned()),
        event_time: Some(MicroTime(now)),
        regarding: Some(connection.object_ref(&())),
        related: Some(ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("ServiceAccount".to_owned()),
            namespace: Some(caller.namespace.clone()),
            name: Some(caller.service_account.clone()),
            ..ObjectReference::default()
        }),
        reporting_controller: Some("liaison".to_owned()),
        reporting_instance: Some(identity.chars().take(128).collect()),
        ..Event::default()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::authentication::v1::UserInfo;

    use super::*;
    use crate::api::ConnectionSpec;
    use crate::domain::hand_out::PodIdentity;

    #[test]
    fn the_same_is_told_once_in_a_while_and_something_else_at_once() {
        let seldom = Seldom::new(Duration::from_secs(10));
        let start = Instant::now();
        assert!(seldom.is_due("a", start));
        assert!(!seldom.is_due("a", start + Duration::from_millis(9_999)));
        assert!(seldom.is_due("b", start));
        assert!(seldom.is_due("a", start + Duration::from_secs(10)));
        assert!(!seldom.is_due("a", start + Duration::from_secs(19)));
    }

    #[test]
    fn what_was_told_does_not_fill_memory() {
        let seldom = Seldom::new(Duration::from_secs(10));
        let start = Instant::now();
        for number in 0..LIMIT {
            assert!(seldom.is_due(&number.to_string(), start));
        }
        assert!(!seldom.is_due("one more", start));
        assert!(seldom.is_due("one more", start + Duration::from_secs(10)));
        assert_eq!(seldom.told.lock().unwrap().len(), 1);
    }

    #[test]
    fn the_event_of_an_hour_has_one_name_whoever_publishes_it() {
        let caller = Caller {
            namespace: "team".to_owned(),
            service_account: "worker".to_owned(),
            pod: PodIdentity { name: "worker-1".to_owned(), uid: "f6b2".to_owned() },
            user: UserInfo::default(),
        };
        let mut connection = Connection::new("crm", ConnectionSpec::default());
        connection.metadata.namespace = Some("team".to_owned());
        let at = |second| Timestamp::from_second(second).unwrap();
        let name = |identity, key, second| {
            event(&caller, &connection, (key, identity), at(second)).metadata.name.unwrap()
        };
        assert_eq!(name("one", "uid/team/worker", 3_600), name("two", "uid/team/worker", 7_199));
        assert_ne!(name("one", "uid/team/worker", 3_600), name("one", "uid/team/worker", 7_200));
        assert_ne!(name("one", "uid/team/worker", 3_600), name("one", "uid/team/other", 3_600));
        let event = event(&caller, &connection, ("uid/team/worker", "one"), at(0));
        let related = event.related.unwrap();
        assert_eq!(
            (related.kind.as_deref(), related.name.as_deref()),
            (Some("ServiceAccount"), Some("worker"))
        );
        assert_eq!(event.note.as_deref(), Some(Reason::CredentialHandedOut.note()));
    }
}
