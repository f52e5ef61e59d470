//! Reads the API server's audit log: the proof of who wrote what, and how often.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Deserialize;

const WRITES: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];

/// Bookkeeping of any client, not changes of state.
const BOOKKEEPING: [&str; 2] = ["events", "leases"];

pub struct AuditLog {
    path: PathBuf,
}

/// One request, as the API server saw it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AuditEvent {
    #[serde(rename = "auditID")]
    pub audit_id: String,
    pub verb: String,
    pub user: User,
    pub impersonated_user: Option<User>,
    pub user_agent: String,
    #[serde(rename = "requestURI")]
    pub request_uri: String,
    pub object_ref: ObjectRef,
    pub response_status: ResponseStatus,
    pub request_received_timestamp: String,
    /// The answer, where the audit policy keeps it.
    pub response_object: ResponseObject,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ResponseObject {
    pub kind: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct User {
    pub username: String,
    pub groups: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectRef {
    pub api_group: String,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ResponseStatus {
    pub code: u16,
}

impl AuditEvent {
    /// A write that changed, or tried to change, the state of the cluster.
    pub fn is_write(&self) -> bool {
        WRITES.contains(&self.verb.as_str())
            && !BOOKKEEPING.contains(&self.object_ref.resource.as_str())
            && !self.is_dry_run()
            && !self.is_review()
    }

    pub fn is_dry_run(&self) -> bool {
        self.request_uri.contains("dryRun=All")
    }

    /// A question that has the form of a create, like SubjectAccessReview.
    pub fn is_review(&self) -> bool {
        self.object_ref.resource.ends_with("reviews") || self.object_ref.subresource == "token"
    }

    pub fn succeeded(&self) -> bool {
        (200..300).contains(&self.response_status.code)
    }

    /// `connections/status`, as RBAC spells it.
    pub fn resource(&self) -> String {
        let ObjectRef { resource, subresource, .. } = &self.object_ref;
        if subresource.is_empty() { resource.clone() } else { format!("{resource}/{subresource}") }
    }
}

/// A place in the log, to count from.
#[derive(Clone, Copy, Debug)]
pub struct Mark(usize);

impl AuditLog {
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The end of the log now. A request is written down when it is done, which for a
    /// large answer can be just after the client has seen it: wait for what must come.
    pub fn mark(&self) -> Result<Mark> {
        Ok(Mark(fs::read(&self.path)?.len()))
    }

    pub fn events(&self) -> Result<Vec<AuditEvent>> {
        self.since(Mark(0))
    }

    /// Each request once, also where a watch has two lines (start and end).
    pub fn since(&self, mark: Mark) -> Result<Vec<AuditEvent>> {
        let text = fs::read(&self.path).context("read the audit log")?;
        let text = text.get(mark.0..).unwrap_or_default();
        // The last line may be half written.
        let complete = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let mut requests: BTreeMap<String, AuditEvent> = BTreeMap::new();
        let mut order = Vec::new();
        for line in text[..complete].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let event: AuditEvent = serde_json::from_slice(line).context("parse the audit log")?;
            let id = event.audit_id.clone();
            if requests.insert(id.clone(), event).is_none() {
                order.push(id);
            }
        }
        Ok(order.iter().filter_map(|id| requests.remove(id)).collect())
    }

    /// Writes of the clients whose user agent starts so, since the mark.
    pub fn writes(&self, user_agent: &str, mark: Mark) -> Result<Vec<AuditEvent>> {
        let by_agent = |event: &AuditEvent| event.user_agent.starts_with(user_agent) && event.is_write();
        Ok(self.since(mark)?.into_iter().filter(by_agent).collect())
    }

    /// How often each `verb resource` was asked for, for a readable assertion.
    pub fn count(events: &[AuditEvent]) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for event in events {
            *counts.entry(format!("{} {}", event.verb, event.resource())).or_default() += 1;
        }
        counts
    }
}
