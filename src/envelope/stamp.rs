//! Seals on the stamp that says who made a ConsentRequest: proof that the operator wrote it, whatever became of the
//! webhook since.

use std::fmt::Write as _;

use aws_lc_rs::{constant_time, hmac};

use super::encoding::Fields;
use super::keyring::{KeyUse, Keyring};
use crate::api::ConsentRequestSpec;
use crate::api::consent_request::Requester;

const STAMP_LABEL: &str = "liaison.dev/requester-stamp/v1";

/// What a seal covers: who asked, and for what. Another request cannot carry it.
#[derive(Clone, Copy, Debug)]
pub struct RequesterStamp<'a> {
    /// Namespace of the request and of its Connection.
    pub namespace: &'a str,
    /// The request's spec, of which the Connection and the challenge are covered.
    pub spec: &'a ConsentRequestSpec,
    /// Who made it. What stands in `seal` is not covered.
    pub requester: &'a Requester,
}

impl RequesterStamp<'_> {
    fn message(&self) -> Fields {
        let Requester { username, uid, groups, extra, seal: _ } = self.requester;
        let fields = Fields::new(STAMP_LABEL)
            .with(self.namespace.as_bytes())
            .with(self.spec.connection_ref.name.as_bytes())
            .with(self.spec.connection_ref.uid.as_bytes())
            .with(self.spec.challenge.as_bytes())
            .with(username.as_bytes())
            .with(uid.as_bytes());
        let fields = with_list(fields, groups);
        let fields = fields.with(&(extra.len() as u64).to_be_bytes());
        extra.iter().fold(fields, |fields, (fact, values)| with_list(fields.with(fact.as_bytes()), values))
    }
}

/// A list with its length before it, so that texts cannot move from one list to the next.
fn with_list(fields: Fields, texts: &[String]) -> Fields {
    let fields = fields.with(&(texts.len() as u64).to_be_bytes());
    texts.iter().fold(fields, |fields, text| fields.with(text.as_bytes()))
}

impl Keyring {
    /// The seal on a stamp under the current key: HMAC-SHA256 (RFC 2104), as 64 characters of hexadecimal.
    pub fn seal_requester(&self, stamp: RequesterStamp<'_>) -> String {
        self.requester_seal_under(self.current_key_id(), stamp).unwrap_or_default()
    }

    /// Whether a seal was made on this very stamp with any key of the keyring. Compares in constant time; an empty
    /// seal never matches.
    pub fn requester_seal_matches(&self, stamp: RequesterStamp<'_>, seal: &str) -> bool {
        self.key_ids().fold(false, |found, id| {
            let equal = self.requester_seal_under(id, stamp).is_some_and(|expected| {
                constant_time::verify_slices_are_equal(expected.as_bytes(), seal.as_bytes()).is_ok()
            });
            found | equal
        })
    }

    fn requester_seal_under(&self, id: &str, stamp: RequesterStamp<'_>) -> Option<String> {
        let key = self.derived(id, KeyUse::RequesterStamps)?.ok()?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_slice());
        let tag = hmac::sign(&key, stamp.message().as_ref());
        Some(tag.as_ref().iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::api::consent_request::ConnectionIdentity;

    fn keyring() -> Keyring {
        Keyring::new("1", [7; 32]).unwrap()
    }

    fn spec() -> ConsentRequestSpec {
        ConsentRequestSpec {
            connection_ref: ConnectionIdentity { name: "crm".to_owned(), uid: "1-2".to_owned() },
            challenge: "c".repeat(43),
            ..ConsentRequestSpec::default()
        }
    }

    fn requester() -> Requester {
        Requester {
            username: "ada".to_owned(),
            uid: "17".to_owned(),
            groups: vec!["a".to_owned(), "b".to_owned()],
            extra: BTreeMap::from([("scopes".to_owned(), vec!["x".to_owned()])]),
            seal: String::new(),
        }
    }

    #[test]
    fn a_seal_fits_its_own_stamp_also_after_a_rotation() {
        let (spec, requester) = (spec(), requester());
        let stamp = RequesterStamp { namespace: "team", spec: &spec, requester: &requester };
        let mut keyring = keyring();
        let seal = keyring.seal_requester(stamp);
        assert_eq!(seal.len(), 64);
        keyring.rotate("2", [8; 32]).unwrap();
        assert!(keyring.requester_seal_matches(stamp, &seal));
        assert_ne!(keyring.seal_requester(stamp), seal);
        assert!(!Keyring::new("1", [9; 32]).unwrap().requester_seal_matches(stamp, &seal));
        assert!(!keyring.requester_seal_matches(stamp, ""));
    }

    #[test]
    fn a_seal_does_not_fit_when_anything_that_it_covers_differs() {
        let (spec, requester) = (spec(), requester());
        let keyring = keyring();
        let seal =
            keyring.seal_requester(RequesterStamp { namespace: "team", spec: &spec, requester: &requester });
        let other_spec = |change: &dyn Fn(&mut ConsentRequestSpec)| {
            let mut spec = spec.clone();
            change(&mut spec);
            let stamp = RequesterStamp { namespace: "team", spec: &spec, requester: &requester };
            keyring.requester_seal_matches(stamp, &seal)
        };
        assert!(other_spec(&|spec| spec.receipt = Some("r".repeat(43))), "set later");
        assert!(!other_spec(&|spec| "erp".clone_into(&mut spec.connection_ref.name)));
        assert!(!other_spec(&|spec| "9".clone_into(&mut spec.connection_ref.uid)));
        assert!(!other_spec(&|spec| spec.challenge = "d".repeat(43)));

        let other = |change: &dyn Fn(&mut Requester)| {
            let mut requester = requester.clone();
            change(&mut requester);
            let stamp = RequesterStamp { namespace: "team", spec: &spec, requester: &requester };
            keyring.requester_seal_matches(stamp, &seal)
        };
        assert!(other(&|requester| "s".clone_into(&mut requester.seal)), "not covered by itself");
        assert!(!other(&|requester| "eve".clone_into(&mut requester.username)));
        assert!(!other(&|requester| requester.uid.clear()));
        assert!(!other(&|requester| requester.groups.push("system:masters".to_owned())));
        assert!(!other(&|requester| requester.groups = vec!["a\0b".to_owned()]));
        assert!(!other(&|requester| requester.extra.clear()));
        assert!(!other(&|requester| {
            requester.groups.pop();
            requester.extra.insert("b".to_owned(), Vec::new());
        }));
        let stamp = RequesterStamp { namespace: "other", spec: &spec, requester: &requester };
        assert!(!keyring.requester_seal_matches(stamp, &seal));
    }
}
