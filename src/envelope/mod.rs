//! Seals and opens token records, and keeps the keys for it. No storage, no clock, no waiting.
//!
//! A [`Keyring`] holds one or more keys by id, of which one is current. Records are sealed with the current key and
//! opened with the one that they name. For each use (records, fingerprints, stamps) a key of its own is derived from the
//! key of the keyring by HKDF-SHA256 (RFC 5869), so that a weakness in one use says nothing about another.

mod consent;
mod encoding;
mod fingerprint;
mod keyring;
mod plain;
mod record;
mod seal;
mod stamp;
#[cfg(test)]
mod tests;

pub use consent::{ConsentResult, ConsentSession, s256};
pub use keyring::{Keyring, KeyringFault, MAXIMUM_KEY_ID_LENGTH};
pub use plain::secret_value;
pub use record::TokenRecord;
pub use seal::{MAXIMUM_CONSENT_ID_LENGTH, OpenFault, OpenedRecord, RecordContext, SealFault};
pub use stamp::RequesterStamp;
