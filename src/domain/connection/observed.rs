//! What a decision about a Connection is made from. No field holds a secret.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use jiff::Timestamp;

use crate::api::names::{REAUTHENTICATE_AT_ANNOTATION, REVOKE_FINALIZER, VERIFY_AT_ANNOTATION};
use crate::api::{AuthType, Connection, ConnectionSpec, ConnectionStatus};
use crate::catalogue::{Definition, Method};
use crate::domain::consent::addresses;
use crate::domain::neighbours::Neighbours;
use crate::domain::policy::{self, EffectivePolicy, SecretChoice};
use crate::domain::reason::Reason;

use super::prepare::method;

/// Longest value of an annotation that is recorded as it is, in bytes. A longer one is recorded as its digest.
const REQUEST_LIMIT: usize = 64;

/// A snapshot of one Connection and all that it depends on.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The Connection, with the status that was last recorded.
    pub connection: Connection,
    /// Its Connector.
    pub connector: ConnectorState,
    /// The Folder that owns its namespace.
    pub folder: FolderState,
    /// What the policies of the folder tree come to for it.
    pub policy: Arc<EffectivePolicy>,
    /// The Secret with its credentials: the one of spec.credentials, or a policy's.
    pub credentials: SecretState,
    /// The Secret with its OAuth client: the one of spec.oauthApp, or a policy's.
    pub oauth_app: SecretState,
    /// Its token record.
    pub token: TokenState,
    /// The latest consent that came to nothing, as long as its ConsentRequest is there.
    pub consent: Option<FailedConsent>,
    /// What the objects around it mean for it.
    pub neighbours: Neighbours,
    /// The operator's settings.
    pub settings: Arc<Settings>,
}

/// Settings that decisions depend on.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Share of a token's lifetime after which it is refreshed, between 0 and 1.
    pub refresh_fraction: f64,
    /// Time between two verifications that nobody asked for.
    pub verify_interval: Duration,
    /// `host:port` exempt from the egress guard; only these may be spoken to without TLS.
    pub egress_exceptions: BTreeSet<(String, u16)>,
    /// Addresses that requests come from, for messages to people whose provider filters addresses.
    pub egress_addresses: Vec<String>,
    /// Where browsers reach us.
    pub public_url: String,
}

impl Settings {
    /// Whether requests to this host may go without TLS.
    pub fn http_allowed(&self, host: &str, port: u16) -> bool {
        self.egress_exceptions.contains(&(host.to_owned(), port))
    }
}

/// A Connector as a Connection sees it.
#[derive(Clone, Debug)]
pub enum ConnectorState {
    /// There is none of that name.
    NotFound,
    /// Its description has faults: a line each.
    Invalid(Vec<String>),
    /// Its description has no faults, and what its issuer has to say is missing: why, and the next step.
    Unavailable(String),
    /// It can be used.
    Valid {
        /// The checked description, with the endpoints that its issuer names.
        definition: Arc<Definition>,
        /// Identity of this very text: uid, generation, and a digest of the endpoints that its issuer names.
        identity: String,
    },
}

impl ConnectorState {
    /// How a Connection on this Connector authenticates, as far as that is known.
    pub fn auth_type_of(&self, spec: &ConnectionSpec) -> Option<AuthType> {
        let Self::Valid { definition, .. } = self else { return None };
        method(spec, definition).ok().map(Method::auth_type)
    }
}

/// The Folder that owns a namespace, as a Connection in it sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FolderState {
    /// No folder owns the namespace.
    NotFound,
    /// The folder has not taken the namespace yet, or cannot: its name, and its condition's message.
    NotReady(String, String),
    /// The folder asks for the namespace and has not been looked at yet, as when both are applied at once.
    Settling,
    /// The namespace or the folder is being deleted.
    Terminating,
    /// All is well: the folder's name.
    Ready(String),
}

/// A referenced Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretState {
    /// Neither the Connection nor a policy names one.
    NotReferenced,
    /// There is none of that name.
    NotFound(String),
    /// It does not carry the label by which its owner allows its use.
    NotLabelled(String),
    /// It can be read.
    Found {
        /// Its name.
        name: String,
        /// For each key, a keyed digest of its value; empty values are left out.
        fingerprints: BTreeMap<String, String>,
        /// The value of `clientId`, which is no secret.
        client_id: Option<String>,
    },
}

/// The token record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly all of those that are kept are of the large variant")]
pub enum TokenState {
    /// There is none.
    Missing,
    /// It cannot be opened: why.
    Unreadable(String),
    /// What is in it, without the tokens.
    Present(TokenFacts),
}

/// A person's consent that came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedConsent {
    /// Uid of its ConsentRequest.
    pub id: String,
    /// When it ended.
    pub at: Timestamp,
    /// Why, in one word.
    pub reason: Reason,
    /// For people.
    pub message: String,
}

/// Facts about a token record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFacts {
    /// Counts the tokens of this Connection.
    pub sequence: i64,
    /// Which consent or, for a client that acts for itself, request to authenticate anew it came from; empty for none.
    pub consent_id: String,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it stops being valid.
    pub expires_at: Option<Timestamp>,
    /// Whether there is a refresh token. A refresh may replace it, so that a lost answer loses the grant.
    pub refreshable: bool,
    /// When the refresh token stops being valid, where the provider says so.
    pub refresh_token_expires_at: Option<Timestamp>,
    /// Scopes that were asked for.
    pub requested_scopes: Vec<String>,
    /// Scopes that were granted.
    pub granted_scopes: Vec<String>,
    /// The OAuth client it belongs to.
    pub client_id: String,
    /// Scheme, host and port of every kind of request that may carry it.
    pub targets: Vec<String>,
    /// The cluster's user who consented; absent where nobody had to.
    pub authenticated_by: Option<String>,
    /// The account that the ID token named.
    pub account: Option<String>,
    /// The value of the annotation liaison.dev/reauthenticate-at that the consent answered.
    pub answers: Option<String>,
}

impl TokenFacts {
    /// Whether the access token is valid at that time.
    pub fn valid_at(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|expires_at| now < expires_at)
    }
}

/// An unkeyed digest of texts that hold no secret (secrets enter as keyed digests), as 32 hex characters.
pub(in crate::domain) fn digest_of(parts: &[&str]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    hexadecimal(context.finish().as_ref().get(..16).unwrap_or_default())
}

/// Bytes as text.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Observed {
    /// The recorded status; that of a new object where there is none.
    pub fn status(&self) -> ConnectionStatus {
        self.connection.status.clone().unwrap_or_default()
    }

    /// The Connection's name.
    pub fn name(&self) -> &str {
        self.connection.metadata.name.as_deref().unwrap_or_default()
    }

    /// The Connection's namespace.
    pub fn namespace(&self) -> &str {
        self.connection.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// The Connection's uid.
    pub fn uid(&self) -> &str {
        self.connection.metadata.uid.as_deref().unwrap_or_default()
    }

    /// The address to which the provider of this Connector sends a person back: the one that is shown, sent and redeemed.
    pub fn redirect_uri(&self, definition: &Definition) -> String {
        addresses::redirect_uri(
            &self.settings.public_url,
            definition.redirect(),
            &self.connection.spec.connector_ref.name,
            self.namespace(),
            self.name(),
        )
    }

    /// The Secret with the OAuth client, its own or a policy's.
    pub fn oauth_app_choice(&self) -> Option<SecretChoice> {
        let spec = &self.connection.spec;
        policy::oauth_app(spec, self.connector.auth_type_of(spec), &self.policy)
    }

    /// Whether requests to this host may go without TLS: where the operator's settings or a policy name it.
    pub fn http_allowed(&self, host: &str, port: u16) -> bool {
        self.settings.http_allowed(host, port)
            || self.policy.egress_exceptions.contains(&(host.to_owned(), port))
    }

    /// Whether the Connection is being deleted.
    pub fn deleting(&self) -> bool {
        self.connection.metadata.deletion_timestamp.is_some()
    }

    /// Whether the Connection waits for its token's revocation before it goes.
    pub fn held_for_revocation(&self) -> bool {
        self.connection.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == REVOKE_FINALIZER)
    }

    /// Which verification the annotation asks for, as it is recorded once it was made.
    pub fn verify_at(&self) -> Option<String> {
        self.request(VERIFY_AT_ANNOTATION)
    }

    /// Which authentication the annotation asks for, as it is recorded once it was made.
    pub fn reauthenticate_at(&self) -> Option<String> {
        self.request(REAUTHENTICATE_AT_ANNOTATION)
    }

    /// An annotation may be as long as a manifest; what is recorded of it may not.
    fn request(&self, annotation: &str) -> Option<String> {
        let value = self.connection.metadata.annotations.as_ref()?.get(annotation)?;
        match value.len() {
            0 => None,
            1..=REQUEST_LIMIT => Some(value.clone()),
            _ => Some(hexadecimal(digest::digest(&digest::SHA256, value.as_bytes()).as_ref())),
        }
    }
}
