//! The OAuth client that asks for tokens.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};

use crate::api::names::{CLIENT_ID_KEY, CLIENT_SECRET_KEY};

/// An OAuth client (RFC 6749, section 2). It prints without its secret.
#[derive(Clone, Debug)]
pub struct ClientCredentials {
    /// Client identifier; not a secret (RFC 6749, section 2.2).
    pub id: String,
    /// Client secret; a public client has none.
    pub secret: Option<SecretString>,
}

impl ClientCredentials {
    /// The client that a Secret with the keys `clientId` and `clientSecret` holds, if it names one.
    pub fn from_secret(values: &BTreeMap<String, SecretString>) -> Option<Self> {
        let id = values.get(CLIENT_ID_KEY)?.expose_secret().to_owned();
        Some(Self { id, secret: values.get(CLIENT_SECRET_KEY).cloned() })
    }
}
