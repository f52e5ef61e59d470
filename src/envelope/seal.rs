//! The envelope of a token record: AES-256-GCM-SIV (RFC 8452) with a nonce made by the library.
//!
//! ```text
//! version (1 byte, 1) | length, key id | sequence (8 bytes, big endian) | length, consent id | nonce (12) | ciphertext, tag (16)
//! ```
//! Lengths are one byte. The associated data holds all of the header and the owner (namespace, name, uid), so that
//! an envelope opens only where it was sealed for, and only unchanged.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use zeroize::Zeroizing;

use super::encoding::Fields;
use super::keyring::{KeyUse, Keyring, MAXIMUM_KEY_ID_LENGTH, check_id};
use super::record::TokenRecord;

/// Longest consent id in bytes.
pub const MAXIMUM_CONSENT_ID_LENGTH: usize = 64;

const VERSION: u8 = 1;
const TAG_LENGTH: usize = 16;
const ASSOCIATED_DATA_LABEL: &str = "liaison.dev/token-record";

/// Whose record it is: the Connection that owns it.
#[derive(Clone, Copy, Debug)]
pub struct RecordContext<'a> {
    /// Namespace of the Connection.
    pub namespace: &'a str,
    /// Name of the Connection.
    pub name: &'a str,
    /// Uid of the Connection.
    pub uid: &'a str,
}

/// A record that was opened, with what its header says; all of it is authenticated.
#[derive(Debug)]
pub struct OpenedRecord {
    /// Rises with each write; the caller compares it with the floor that it keeps elsewhere.
    pub sequence: u64,
    /// The consent that the tokens come from; empty where there was none.
    pub consent_id: String,
    /// The key that sealed it.
    pub key_id: String,
    /// The tokens.
    pub record: TokenRecord,
}

/// Why a record cannot be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealFault {
    /// The consent id does not fit the header.
    #[error("a consent id has at most {MAXIMUM_CONSENT_ID_LENGTH} bytes")]
    ConsentIdTooLong,
    /// The cryptographic library refused.
    #[error("the token record could not be encrypted")]
    Encrypt,
}

/// Why an envelope does not open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenFault {
    /// It ends too early.
    #[error("the token record is cut off")]
    Truncated,
    /// A format that this version does not know.
    #[error("the token record has the unknown format {version}")]
    UnknownVersion {
        /// First byte of the envelope.
        version: u8,
    },
    /// The key that it names is not in the keyring.
    #[error("the token record was sealed with the key \"{id}\", which the keyring does not have")]
    UnknownKey {
        /// Id of the key; checked to be a possible one.
        id: String,
    },
    /// Its bytes were changed, or it belongs to another object.
    #[error("the token record was changed, or belongs to another object")]
    Tampered,
    /// Its header or its content is not what this version writes.
    #[error("the token record has an unexpected form")]
    Malformed,
}

impl Keyring {
    /// Seals a record with the current key, for one owner and one place in the order of writes.
    pub fn seal(
        &self,
        owner: RecordContext<'_>,
        sequence: u64,
        consent_id: &str,
        record: &TokenRecord,
    ) -> Result<Vec<u8>, SealFault> {
        if consent_id.len() > MAXIMUM_CONSENT_ID_LENGTH {
            return Err(SealFault::ConsentIdTooLong);
        }
        let header = Header { key_id: self.current_key_id(), sequence, consent_id };
        let key = self.record_key(header.key_id).ok_or(SealFault::Encrypt)?;
        let mut content = record.to_stored().ok_or(SealFault::Encrypt)?;
        content.reserve(TAG_LENGTH);
        let nonce = key
            .seal_in_place_append_tag(Aad::from(header.associated_data(owner)), &mut *content)
            .map_err(|_| SealFault::Encrypt)?;
        let mut envelope = header.encoded();
        envelope.extend_from_slice(nonce.as_ref());
        envelope.extend_from_slice(&content);
        Ok(envelope)
    }

    /// Opens an envelope that was sealed for this owner, with whichever key of the keyring it names. Whether its
    /// sequence is recent enough is for the caller to say.
    pub fn open(&self, owner: RecordContext<'_>, envelope: &[u8]) -> Result<OpenedRecord, OpenFault> {
        let mut rest = Reader(envelope);
        let header = Header::read(&mut rest)?;
        let nonce = Nonce::assume_unique_for_key(rest.array::<NONCE_LEN>()?);
        if rest.0.len() < TAG_LENGTH {
            return Err(OpenFault::Truncated);
        }
        let key = self
            .record_key(header.key_id)
            .ok_or_else(|| OpenFault::UnknownKey { id: header.key_id.to_owned() })?;
        let mut content = Zeroizing::new(rest.0.to_vec());
        let plain = key
            .open_in_place(nonce, Aad::from(header.associated_data(owner)), &mut content)
            .map_err(|_| OpenFault::Tampered)?;
        Ok(OpenedRecord {
            sequence: header.sequence,
            consent_id: header.consent_id.to_owned(),
            key_id: header.key_id.to_owned(),
            record: TokenRecord::from_stored(plain).ok_or(OpenFault::Malformed)?,
        })
    }

    fn record_key(&self, id: &str) -> Option<RandomizedNonceKey> {
        let key = self.derived(id, KeyUse::Records)?.ok()?;
        RandomizedNonceKey::new(&AES_256_GCM_SIV, key.as_slice()).ok()
    }
}

/// What stands readable before the ciphertext.
struct Header<'a> {
    key_id: &'a str,
    sequence: u64,
    consent_id: &'a str,
}

impl<'a> Header<'a> {
    fn read(rest: &mut Reader<'a>) -> Result<Self, OpenFault> {
        let [version] = rest.array()?;
        if version != VERSION {
            return Err(OpenFault::UnknownVersion { version });
        }
        let key_id = rest.text(MAXIMUM_KEY_ID_LENGTH)?;
        check_id(key_id).map_err(|_| OpenFault::Malformed)?;
        let sequence = u64::from_be_bytes(rest.array()?);
        let consent_id = rest.text(MAXIMUM_CONSENT_ID_LENGTH)?;
        Ok(Self { key_id, sequence, consent_id })
    }

    fn encoded(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        push_text(&mut bytes, self.key_id);
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        push_text(&mut bytes, self.consent_id);
        bytes
    }

    fn associated_data(&self, owner: RecordContext<'_>) -> Fields {
        Fields::new(ASSOCIATED_DATA_LABEL)
            .with(&[VERSION])
            .with(owner.namespace.as_bytes())
            .with(owner.name.as_bytes())
            .with(owner.uid.as_bytes())
            .with(self.key_id.as_bytes())
            .with(&self.sequence.to_be_bytes())
            .with(self.consent_id.as_bytes())
    }
}

/// Both texts are checked to be far shorter than what one byte can count.
fn push_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    bytes.extend_from_slice(text.as_bytes());
}

/// The part of an envelope that was not read yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH], OpenFault> {
        let (first, rest) = self.0.split_first_chunk().ok_or(OpenFault::Truncated)?;
        self.0 = rest;
        Ok(*first)
    }

    fn text(&mut self, maximum: usize) -> Result<&'a str, OpenFault> {
        let [length] = self.array()?;
        let length = usize::from(length);
        if length > maximum {
            return Err(OpenFault::Malformed);
        }
        let (text, rest) = self.0.split_at_checked(length).ok_or(OpenFault::Truncated)?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| OpenFault::Malformed)
    }
}
