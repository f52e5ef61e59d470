//! ConsentRequests: who made one, and how many a person may have.

use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::UserInfo;

use crate::api::consent_request::{Phase, Requester};
use crate::api::{ConsentRequest, ConsentRequestSpec};

use super::Ruling;
use crate::domain::consent::expires_at;

/// Requests that one person may have under way.
pub const OPEN_LIMIT: usize = 5;

/// Bounds of the stamp, as the schema has them.
const LONGEST_TEXT: usize = 1024;
const LONGEST_UID: usize = 256;
const MOST_GROUPS: usize = 256;
const MOST_FACTS: usize = 64;

/// Judges a new request by what is written in it and by how many its requester has under way.
pub fn consent_request(spec: &ConsentRequestSpec, open: usize) -> Ruling {
    if spec.receipt.is_some() {
        return Ruling::Refuse(
            "spec.receipt is set after the browser has returned, not when the request is made".to_owned(),
        );
    }
    if open >= OPEN_LIMIT {
        return Ruling::Refuse(too_many(open));
    }
    Ruling::Pass
}

/// What is said to a person who has too many requests under way.
pub fn too_many(open: usize) -> String {
    format!(
        "you have {open} consent requests under way, and may have {OPEN_LIMIT}; finish or delete one of them (`kubectl \
         get consentrequests -A` lists them), or wait until they expire, ten minutes after they were made"
    )
}

/// Whether a request is this person's and still under way.
pub fn is_open(request: &ConsentRequest, username: &str, now: Timestamp) -> bool {
    let theirs = request.spec.requester.as_ref().is_some_and(|requester| requester.username == username);
    let phase = request.status.as_ref().and_then(|status| status.phase);
    let in_time = now < expires_at(request);
    theirs && in_time && request.metadata.deletion_timestamp.is_none() && !phase.is_some_and(Phase::is_final)
}

/// The stamp of a person as the API server knows them, not sealed yet. Whoever does not fit its bounds is told so:
/// cut off, it would be somebody with other rights.
pub fn requester(user: &UserInfo) -> Result<Requester, String> {
    let stamp = Requester {
        username: user.username.clone().unwrap_or_default(),
        uid: user.uid.clone().unwrap_or_default(),
        groups: user.groups.clone().unwrap_or_default(),
        extra: user.extra.clone().unwrap_or_default(),
        seal: String::new(),
    };
    let fits = |texts: &[String]| texts.iter().all(|text| text.chars().count() <= LONGEST_TEXT);
    if stamp.username.is_empty() || stamp.username.chars().count() > LONGEST_TEXT {
        return Err(format!("a requester has a user name of at most {LONGEST_TEXT} characters"));
    }
    if stamp.uid.chars().count() > LONGEST_UID {
        return Err(format!("a requester's uid has at most {LONGEST_UID} characters"));
    }
    if stamp.groups.len() > MOST_GROUPS || !fits(&stamp.groups) {
        return Err(format!(
            "you are in {} groups; a request can carry {MOST_GROUPS}, of at most {LONGEST_TEXT} characters each",
            stamp.groups.len()
        ));
    }
    let facts = stamp.extra.iter().all(|(_, values)| values.len() <= MOST_FACTS && fits(values));
    if stamp.extra.len() > MOST_FACTS || !facts {
        return Err(format!(
            "what your authenticator adds about you is too much: a request can carry {MOST_FACTS} facts of {MOST_FACTS} \
             texts of at most {LONGEST_TEXT} characters each"
        ));
    }
    Ok(stamp)
}
