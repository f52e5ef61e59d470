//! What is in the Secret of a binding, besides the credential itself.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::api::Connection;
use crate::api::names::ACCOUNT_BEFORE_AUTHENTICATION;
use crate::domain::connection::digest_of;
use crate::domain::hand_out::{Form, Offer};

use super::observed::{Found, Observed};

/// Keys of the Secret (Service Binding specification 1.1: the first two are its own, the others are ours).
pub mod keys {
    /// The application: the Connector's name.
    pub const TYPE: &str = "type";
    /// Who provides the binding.
    pub const PROVIDER: &str = "provider";
    /// Where API requests start.
    pub const BASE_URL: &str = "base-url";
    /// The account at the provider.
    pub const ACCOUNT: &str = "account";
    /// Scopes that the provider granted, separated by spaces.
    pub const SCOPES: &str = "scopes";
    /// The access token.
    pub const ACCESS_TOKEN: &str = "access-token";
    /// How the access token is presented (RFC 6749, section 7.1).
    pub const TOKEN_TYPE: &str = "token-type";
    /// When the access token ends.
    pub const EXPIRES_AT: &str = "expires-at";
}

/// The value of `provider`.
pub const PROVIDER: &str = "liaison";

/// What a Secret without a credential is filled from.
const NOTHING: &str = "nothing";

/// The Secret as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// Its name.
    pub name: String,
    /// Its type, which never changes: neither does the binding's Connector.
    pub secret_type: String,
    /// What is in it besides the credential.
    pub plain: BTreeMap<String, String>,
    /// Whose credential is in it: namespace, name and uid; nobody's where it is withheld.
    pub credential: Option<Whose>,
    /// What it is made from: the Connection's uid and a digest of everything.
    pub filled_from: String,
    /// When the credential ends.
    pub expires_at: Option<Timestamp>,
    /// A digest of account, scopes and base URL.
    pub hash: Option<String>,
}

/// The Connection whose credential is handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whose {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid: another one of that name is not meant.
    pub uid: String,
}

impl Content {
    /// The Secret with a Connection's credential.
    pub(super) fn filled(observed: &Observed, name: &str, found: &Found, offer: &Offer) -> Self {
        let connection = &found.connection;
        let mut plain = bare(observed);
        plain.extend(described(connection));
        let (version, expires_at) = match offer.form {
            Form::Token { sequence } => (sequence.to_string(), token_expires_at(connection)),
            Form::Static => (found.fingerprint.clone(), None),
            Form::Nothing => (String::new(), None),
        };
        let uid = connection.metadata.uid.clone().unwrap_or_default();
        let digest = digest_of(&[&format!("{plain:?}"), &version, &format!("{expires_at:?}")]);
        Self {
            name: name.to_owned(),
            secret_type: secret_type(observed),
            hash: Some(hash(connection)),
            credential: Some(Whose {
                namespace: connection.metadata.namespace.clone().unwrap_or_default(),
                name: connection.metadata.name.clone().unwrap_or_default(),
                uid: uid.clone(),
            }),
            filled_from: format!("{uid}/{digest}"),
            expires_at,
            plain,
        }
    }

    /// The Secret without a credential: what the specification asks for, so that what mounts it can still start.
    pub(super) fn emptied(observed: &Observed, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            secret_type: secret_type(observed),
            plain: bare(observed),
            credential: None,
            filled_from: NOTHING.to_owned(),
            expires_at: None,
            hash: None,
        }
    }
}

/// Whether a Secret that says so holds a credential.
pub(super) fn holds_credential(filled_from: &str) -> bool {
    filled_from != NOTHING
}

/// Whether a Secret that says so holds a credential of the Connection with this uid.
pub(super) fn is_from(filled_from: &str, uid: &str) -> bool {
    filled_from.split_once('/').is_some_and(|(whose, _)| whose == uid)
}

/// When the token that was last recorded ends.
pub(super) fn token_expires_at(connection: &Connection) -> Option<Timestamp> {
    let token = connection.status.as_ref().and_then(|status| status.token.as_ref())?;
    token.expires_at.as_ref().map(|expires_at| expires_at.0)
}

fn secret_type(observed: &Observed) -> String {
    format!("servicebinding.io/{}", observed.binding.spec.connector_ref.name)
}

fn bare(observed: &Observed) -> BTreeMap<String, String> {
    let connector = observed.binding.spec.connector_ref.name.clone();
    BTreeMap::from([(keys::TYPE.to_owned(), connector), (keys::PROVIDER.to_owned(), PROVIDER.to_owned())])
}

/// What is known of the Connection and is no secret.
fn described(connection: &Connection) -> BTreeMap<String, String> {
    let status = connection.status.clone().unwrap_or_default();
    let account = status.account.filter(|account| account != ACCOUNT_BEFORE_AUTHENTICATION);
    let scopes = status.token.map(|token| token.granted_scopes.join(" ")).filter(|scopes| !scopes.is_empty());
    [(keys::BASE_URL, status.base_url), (keys::ACCOUNT, account), (keys::SCOPES, scopes)]
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)))
        .collect()
}

fn hash(connection: &Connection) -> String {
    let described = described(connection);
    digest_of(&[&format!("{described:?}")])
}
