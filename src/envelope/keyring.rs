//! The keys: which there are, which is current, and how they stand in a Secret.

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::{error::Unspecified, hkdf};
use zeroize::Zeroizing;

/// Longest key id in bytes.
pub const MAXIMUM_KEY_ID_LENGTH: usize = 32;
/// Length of every key in bytes.
pub(super) const KEY_LENGTH: usize = 32;

const CURRENT_ENTRY: &str = "current";
const KEY_ENTRY_PREFIX: &str = "key.";
const DERIVATION_SALT: &[u8] = b"liaison.dev/keyring/v1";

/// What a derived key is used for; each has its own `info` of HKDF.
#[derive(Clone, Copy)]
pub(super) enum KeyUse {
    /// Token records.
    Records,
    /// Fingerprints of settings and secrets.
    Fingerprints,
    /// What a browser carries through a consent.
    ConsentSessions,
    /// What a browser brought back from it.
    ConsentResults,
    /// Seals on stamps of who made a request.
    RequesterStamps,
}

impl KeyUse {
    fn info(self) -> &'static [u8] {
        match self {
            Self::Records => b"liaison.dev/token-record",
            Self::Fingerprints => b"liaison.dev/fingerprint",
            Self::ConsentSessions => b"liaison.dev/consent-session",
            Self::ConsentResults => b"liaison.dev/consent-result",
            Self::RequesterStamps => b"liaison.dev/requester-stamp",
        }
    }
}

/// Keys by id, of which one is current: the current one seals, all of them open. The bytes are wiped when it is
/// dropped and are never printed.
pub struct Keyring {
    current: String,
    keys: BTreeMap<String, Zeroizing<[u8; KEY_LENGTH]>>,
}

/// Why a keyring cannot be made from what is there. The texts name ids and lengths, never bytes of a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyringFault {
    /// No entry says which key is current.
    #[error("the keyring has no entry \"current\"")]
    MissingCurrent,
    /// The entry `current` holds something that cannot be a key id.
    #[error("the entry \"current\" of the keyring does not hold a key id")]
    InvalidCurrent,
    /// The current key, or one asked for, is not there.
    #[error("the keyring has no key \"{id}\"")]
    UnknownId {
        /// The id asked for.
        id: String,
    },
    /// An id that is empty, too long, or has characters that a Secret's entry cannot have.
    #[error("a key id has 1 to {MAXIMUM_KEY_ID_LENGTH} letters, digits, \"-\", \"_\" or \".\"")]
    InvalidId,
    /// A key of the wrong length.
    #[error("the key \"{id}\" has {length} bytes where {KEY_LENGTH} are needed")]
    WrongLength {
        /// The id of the key.
        id: String,
        /// Its length in bytes.
        length: usize,
    },
    /// A rotation to an id that exists already.
    #[error("the keyring already has a key \"{id}\"")]
    DuplicateId {
        /// The id.
        id: String,
    },
}

impl Keyring {
    /// A keyring of one key, which is current. `entropy` comes from a cryptographic random source.
    pub fn new(id: &str, entropy: [u8; KEY_LENGTH]) -> Result<Self, KeyringFault> {
        let key = Zeroizing::new(entropy);
        check_id(id)?;
        Ok(Self { current: id.to_owned(), keys: BTreeMap::from([(id.to_owned(), key)]) })
    }

    /// Reads the entries of a Secret: `current` holds the id of the current key, `key.<id>` the 32 bytes of each.
    /// Other entries are left alone.
    pub fn from_secret_data(data: &BTreeMap<String, Vec<u8>>) -> Result<Self, KeyringFault> {
        let current = data.get(CURRENT_ENTRY).ok_or(KeyringFault::MissingCurrent)?;
        let current = std::str::from_utf8(current).map_err(|_| KeyringFault::InvalidCurrent)?;
        check_id(current).map_err(|_| KeyringFault::InvalidCurrent)?;
        let mut keys = BTreeMap::new();
        for (entry, bytes) in data {
            let Some(id) = entry.strip_prefix(KEY_ENTRY_PREFIX) else { continue };
            check_id(id)?;
            let key = <[u8; KEY_LENGTH]>::try_from(bytes.as_slice())
                .map_err(|_| KeyringFault::WrongLength { id: id.to_owned(), length: bytes.len() })?;
            keys.insert(id.to_owned(), Zeroizing::new(key));
        }
        if !keys.contains_key(current) {
            return Err(KeyringFault::UnknownId { id: current.to_owned() });
        }
        Ok(Self { current: current.to_owned(), keys })
    }

    /// The entries of a Secret, as [`Keyring::from_secret_data`] reads them. They hold the keys: only for writing
    /// that Secret.
    pub fn to_secret_data(&self) -> BTreeMap<String, Vec<u8>> {
        let mut data = BTreeMap::from([(CURRENT_ENTRY.to_owned(), self.current.clone().into_bytes())]);
        data.extend(self.keys.iter().map(|(id, key)| (format!("{KEY_ENTRY_PREFIX}{id}"), key.to_vec())));
        data
    }

    /// Adds a key and makes it current. Records of older keys still open. `entropy` as for [`Keyring::new`].
    ///
    /// Where several replicas share the keyring, all of them must have the key before one seals with it: write it
    /// with the old one current ([`Keyring::with_current`]) first.
    pub fn rotate(&mut self, id: &str, entropy: [u8; KEY_LENGTH]) -> Result<(), KeyringFault> {
        let key = Zeroizing::new(entropy);
        check_id(id)?;
        if self.keys.contains_key(id) {
            return Err(KeyringFault::DuplicateId { id: id.to_owned() });
        }
        self.keys.insert(id.to_owned(), key);
        id.clone_into(&mut self.current);
        Ok(())
    }

    /// The same keys with another one of them current.
    pub fn with_current(mut self, id: &str) -> Result<Self, KeyringFault> {
        if !self.keys.contains_key(id) {
            return Err(KeyringFault::UnknownId { id: id.to_owned() });
        }
        id.clone_into(&mut self.current);
        Ok(self)
    }

    /// Id of the key that seals. A record that names another one is due for sealing anew.
    pub fn current_key_id(&self) -> &str {
        &self.current
    }

    /// Ids of all keys, in the order of the alphabet.
    pub fn key_ids(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// The key that is derived from the key `id` for one use; `None` where there is no such key.
    pub(super) fn derived(
        &self,
        id: &str,
        key_use: KeyUse,
    ) -> Option<Result<Zeroizing<[u8; KEY_LENGTH]>, Unspecified>> {
        self.keys.get(id).map(|key| derive(key, key_use))
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Keyring")
            .field("current", &self.current)
            .field("ids", &self.keys.keys())
            .finish_non_exhaustive()
    }
}

fn derive(key: &[u8; KEY_LENGTH], key_use: KeyUse) -> Result<Zeroizing<[u8; KEY_LENGTH]>, Unspecified> {
    let pseudo_random_key = hkdf::Salt::new(hkdf::HKDF_SHA256, DERIVATION_SALT).extract(key);
    let mut derived = Zeroizing::new([0; KEY_LENGTH]);
    pseudo_random_key.expand(&[key_use.info()], hkdf::HKDF_SHA256)?.fill(derived.as_mut_slice())?;
    Ok(derived)
}

/// Whether the id fits the envelope's header, an entry name of a Secret, and a message to a person.
pub(super) fn check_id(id: &str) -> Result<(), KeyringFault> {
    let fits = (1..=MAXIMUM_KEY_ID_LENGTH).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if fits { Ok(()) } else { Err(KeyringFault::InvalidId) }
}
