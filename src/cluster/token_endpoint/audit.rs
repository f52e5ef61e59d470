//! Who was handed what, and when: a line of the log for each, and an Event about the Connection now and then.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
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

/// Pairs of Connection and `ServiceAccount` that are remembered for it.
const LIMIT: usize = 50_000;

/// Writes down what was handed out.
pub(super) struct Audit {
    pub client: Client,
    /// This replica.
    pub identity: String,
    pub told: Arc<Mutex<HashMap<String, Instant>>>,
}

impl Audit {
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
            pod = caller.pod,
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

    /// Published beside the answer: nobody waits for it.
    fn event(&self, caller: &Caller, connection: &Connection, now: Timestamp) {
        let account = format!("{}/{}", caller.namespace, caller.service_account);
        let key = format!("{}/{account}", connection.uid().unwrap_or_default());
        if !self.is_due(&key, Instant::now()) {
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

    fn is_due(&self, key: &str, now: Instant) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.get(key).is_some_and(|last| now.duration_since(*last) < EVENT_GAP) {
            return false;
        }
        if told.len() >= LIMIT {
            told.retain(|_, last| now.duration_since(*last) < EVENT_GAP);
            if told.len() >= LIMIT {
                return false;
            }
        }
        told.insert(key.to_owned(), now);
        true
    }
}

/// Nothing was handed out to somebody who is known.
pub(super) fn refused((caller, source): (&Caller, IpAddr), wanted: &Wanted, why: &Blocked) {
    let (binding, user) = through(wanted);
    let connection = match wanted {
        Wanted::Connection { namespace, name } => Some(format!("{namespace}/{name}")),
        Wanted::Binding { .. } => None,
    };
    tracing::info!(
        service_account = format!("{}/{}", caller.namespace, caller.service_account),
        pod = caller.pod,
        %source,
        connection,
        binding,
        user,
        reason = %why.reason,
        "no credential was handed out"
    );
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
