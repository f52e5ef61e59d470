//! What a sealed token record holds, and its stored form.

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

const STORED_VERSION: u8 = 1;

/// Everything that is known of an issued token. It can only be written to storage sealed, and prints without its
/// tokens.
#[derive(Clone, Debug)]
pub struct TokenRecord {
    /// What workloads get.
    pub access_token: SecretString,
    /// What only the operator uses; absent where the provider gives none.
    pub refresh_token: Option<SecretString>,
    /// When the provider issued the access token, by our clock.
    pub issued_at: Timestamp,
    /// When the access token ends; absent where it does not end, or the provider does not say.
    pub expires_at: Option<Timestamp>,
    /// When the refresh token ends, where the provider says so.
    pub refresh_token_expires_at: Option<Timestamp>,
    /// What the provider granted (RFC 6749, 3.3).
    pub granted_scopes: Vec<String>,
    /// What was asked for.
    pub requested_scopes: Vec<String>,
    /// The client that the tokens belong to; they are useless to another one.
    pub client_id: String,
    /// The authentication type of the Connector at that time.
    pub auth_type: String,
    /// Purpose, scheme, host and port of each kind of request that these credentials may go to; nowhere else.
    pub targets: Vec<String>,
    /// The cluster's user who consented; absent where nobody had to.
    pub authenticated_by: Option<String>,
    /// The account that the ID token named, where the Connector says which claim does.
    pub account: Option<String>,
    /// The request to authenticate anew (an annotation's value) that this consent answered.
    pub answers: Option<String>,
}

/// The record as JSON inside the envelope. Unknown fields are refused: a newer version's record must not lose a
/// field by being written back by an older one.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct StoredRecord {
    version: u8,
    #[serde(serialize_with = "expose", deserialize_with = "conceal")]
    access_token: SecretString,
    #[serde(serialize_with = "expose_optional", deserialize_with = "conceal_optional")]
    refresh_token: Option<SecretString>,
    issued_at: Timestamp,
    expires_at: Option<Timestamp>,
    refresh_token_expires_at: Option<Timestamp>,
    granted_scopes: Vec<String>,
    requested_scopes: Vec<String>,
    client_id: String,
    auth_type: String,
    targets: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    authenticated_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answers: Option<String>,
}

impl TokenRecord {
    /// The stored form, in a buffer that is wiped. `None` only if JSON cannot be written, which no record causes.
    pub(super) fn to_stored(&self) -> Option<Zeroizing<Vec<u8>>> {
        let stored = StoredRecord::from(self.clone());
        // Room for the worst case of escaping, because a growing buffer leaves copies behind that nobody wipes.
        let mut bytes = Zeroizing::new(Vec::with_capacity(6 * self.text_length() + 1024));
        serde_json::to_writer(&mut *bytes, &stored).ok()?;
        Some(bytes)
    }

    /// Reads the stored form. `None` says nothing about the cause, because a parser's message quotes its input.
    pub(super) fn from_stored(bytes: &[u8]) -> Option<Self> {
        let stored: StoredRecord = serde_json::from_slice(bytes).ok()?;
        (stored.version == STORED_VERSION).then(|| stored.into())
    }

    fn text_length(&self) -> usize {
        let lists = [&self.granted_scopes, &self.requested_scopes, &self.targets];
        let tokens = std::iter::once(&self.access_token).chain(self.refresh_token.as_ref());
        let texts = [&self.authenticated_by, &self.account, &self.answers];
        tokens.map(|token| token.expose_secret().len()).sum::<usize>()
            + lists.into_iter().flatten().map(|text| text.len() + 1).sum::<usize>()
            + texts.into_iter().flatten().map(String::len).sum::<usize>()
            + self.client_id.len()
            + self.auth_type.len()
    }
}

impl From<TokenRecord> for StoredRecord {
    fn from(record: TokenRecord) -> Self {
        let TokenRecord {
            access_token,
            refresh_token,
            issued_at,
            expires_at,
            refresh_token_expires_at,
            granted_scopes,
            requested_scopes,
            client_id,
            auth_type,
            targets,
            authenticated_by,
            account,
            answers,
        } = record;
        Self {
            version: STORED_VERSION,
            access_token,
            refresh_token,
            issued_at,
            expires_at,
            refresh_token_expires_at,
            granted_scopes,
            requested_scopes,
            client_id,
            auth_type,
            targets,
            authenticated_by,
            account,
            answers,
        }
    }
}

impl From<StoredRecord> for TokenRecord {
    fn from(stored: StoredRecord) -> Self {
        let StoredRecord {
            version: _,
            access_token,
            refresh_token,
            issued_at,
            expires_at,
            refresh_token_expires_at,
            granted_scopes,
            requested_scopes,
            client_id,
            auth_type,
            targets,
            authenticated_by,
            account,
            answers,
        } = stored;
        Self {
            access_token,
            refresh_token,
            issued_at,
            expires_at,
            refresh_token_expires_at,
            granted_scopes,
            requested_scopes,
            client_id,
            auth_type,
            targets,
            authenticated_by,
            account,
            answers,
        }
    }
}

pub(super) fn expose<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

#[expect(clippy::ref_option, reason = "serde passes the field by reference")]
pub(super) fn expose_optional<S: Serializer>(
    secret: &Option<SecretString>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(ExposeSecret::expose_secret).serialize(serializer)
}

pub(super) fn conceal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
    String::deserialize(deserializer).map(SecretString::from)
}

pub(super) fn conceal_optional<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SecretString>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(SecretString::from))
}
