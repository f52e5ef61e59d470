//! Fingerprints: whether settings or secrets are still the ones of before, without storing them.

use std::fmt::Write as _;

use aws_lc_rs::{constant_time, hmac};

use super::encoding::Fields;
use super::keyring::{KeyUse, Keyring};

const FINGERPRINT_LABEL: &str = "liaison.dev/fingerprint/v1";
/// 128 bits: enough against guessing, short enough for a status field.
const FINGERPRINT_BYTES: usize = 16;

impl Keyring {
    /// Fingerprint of named values under the current key: HMAC-SHA256 (RFC 2104) cut to 128 bits, as 32 characters
    /// of hexadecimal. Who does not have the keyring can neither guess a value from it nor compare two of them by
    /// making their own.
    ///
    /// It changes with a rotation; [`Keyring::fingerprint_matches`] still knows the ones made before. The order of
    /// the parts counts.
    pub fn fingerprint(&self, parts: &[(&str, &[u8])]) -> String {
        self.fingerprint_under(self.current_key_id(), parts).unwrap_or_default()
    }

    /// Whether `fingerprint` was made of these parts under any key of the keyring. Compares in constant time.
    pub fn fingerprint_matches(&self, parts: &[(&str, &[u8])], fingerprint: &str) -> bool {
        self.key_ids().fold(false, |found, id| {
            let equal = self.fingerprint_under(id, parts).is_some_and(|expected| {
                constant_time::verify_slices_are_equal(expected.as_bytes(), fingerprint.as_bytes()).is_ok()
            });
            found | equal
        })
    }

    fn fingerprint_under(&self, id: &str, parts: &[(&str, &[u8])]) -> Option<String> {
        let key = self.derived(id, KeyUse::Fingerprints)?.ok()?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_slice());
        let message = parts.iter().fold(Fields::new(FINGERPRINT_LABEL), |fields, (name, value)| {
            fields.with(name.as_bytes()).with(value)
        });
        let tag = hmac::sign(&key, message.as_ref());
        Some(tag.as_ref().iter().take(FINGERPRINT_BYTES).fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        }))
    }
}
