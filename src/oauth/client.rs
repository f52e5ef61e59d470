//! The OAuth client that asks for tokens.

use secrecy::SecretString;

/// An OAuth client (RFC 6749, section 2). It prints without its secret.
#[derive(Clone, Debug)]
pub struct ClientCredentials {
    /// Client identifier; not a secret (RFC 6749, section 2.2).
    pub id: String,
    /// Client secret; a public client has none.
    pub secret: Option<SecretString>,
}
