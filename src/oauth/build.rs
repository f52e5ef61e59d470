//! What all requests are built with: why one cannot be built, and how their parts are put together.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderName;
use secrecy::SecretString;
use url::form_urlencoded;
use zeroize::Zeroizing;

use super::failure::Failure;
use super::message::Purpose;
use crate::api::oauth2::ClientAuthentication;
use crate::catalogue::address::{AddressFault, TargetPurpose};
use crate::catalogue::template::RenderFault;
use crate::domain::reason::Reason;

/// Why a request cannot be built. The texts hold no secret and no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildFault {
    /// The finished address is refused.
    #[error("the address of the {purpose} request is refused: {fault}")]
    Address {
        /// What the request is for.
        purpose: Purpose,
        /// Why it is refused.
        fault: AddressFault,
    },
    /// A parameter's value cannot stand where the connector puts it.
    #[error("{0}")]
    Value(RenderFault),
    /// The Secret with the credentials lacks a value.
    #[error(
        "the credential \"{0}\" is missing or empty; put it into the Secret named in spec.credentials.secretRef"
    )]
    CredentialMissing(String),
    /// A value of the Secret with the credentials cannot stand where the connector puts it.
    #[error("the credential cannot be sent: {0}; look for a line feed at its end")]
    CredentialUnfit(RenderFault),
    /// A user name that would be read as user name and password (RFC 7617, section 2).
    #[error("the user name must have no colon and, like the password, no control characters")]
    UserNameUnfit,
    /// The client has to prove itself and has no secret.
    #[error("the client secret is missing; put it into the Secret named in spec.oauthApp.secretRef")]
    ClientSecretMissing,
    /// The client's id or secret has characters that they cannot have (RFC 6749, appendix A).
    #[error(
        "clientId and clientSecret must not be empty and have no control characters; look for a line feed at the end"
    )]
    ClientUnfit,
    /// This version cannot prove a client that way.
    #[error("this version cannot authenticate a client by {0:?}")]
    ClientAuthenticationNotAvailable(ClientAuthentication),
    /// The connector names no such endpoint.
    #[error("the connector declares no address for {0} requests")]
    NoEndpoint(Purpose),
}

impl BuildFault {
    /// The same as a failure: nothing was sent, and only a change can help.
    pub fn failure(&self) -> Failure {
        let reason = match self {
            Self::Address { fault: AddressFault::PlainHttp { .. }, .. } => Reason::EgressDenied,
            Self::Address { .. } | Self::Value(_) => Reason::ParametersInvalid,
            Self::CredentialMissing(_) | Self::CredentialUnfit(_) | Self::UserNameUnfit => {
                Reason::CredentialsMissing
            }
            Self::ClientSecretMissing | Self::ClientUnfit => Reason::ClientCredentialsMissing,
            Self::ClientAuthenticationNotAvailable(_) | Self::NoEndpoint(_) => Reason::AuthTypeNotAvailable,
        };
        Failure::permanent(reason, self.to_string())
    }
}

impl From<Purpose> for TargetPurpose {
    fn from(purpose: Purpose) -> Self {
        match purpose {
            Purpose::Authorize => Self::Authorize,
            Purpose::Token => Self::Token,
            Purpose::Revoke => Self::Revoke,
            Purpose::Verify => Self::Verify,
            Purpose::Account => Self::Account,
            Purpose::Metadata => Self::Metadata,
        }
    }
}

/// Named values that travel as a form, a JSON object or a query. Memory is wiped when they go.
#[derive(Default)]
pub(super) struct Pairs(Vec<(String, Zeroizing<String>)>);

impl Pairs {
    /// Sets a value; one that is there already keeps its position.
    pub(super) fn set(&mut self, name: &str, value: impl Into<String>) {
        let value = Zeroizing::new(value.into());
        match self.0.iter_mut().find(|(other, _)| other == name) {
            Some(pair) => pair.1 = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// All pairs in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// As application/x-www-form-urlencoded.
    pub(super) fn to_form(&self) -> SecretString {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(self.iter());
        SecretString::from(form.finish())
    }

    /// As a JSON object of strings, in order.
    pub(super) fn to_json(&self) -> SecretString {
        let text = |value: &str| serde_json::Value::from(value).to_string();
        let members: Vec<String> =
            self.iter().map(|(name, value)| format!("{}:{}", text(name), text(value))).collect();
        SecretString::from(format!("{{{}}}", members.join(",")))
    }
}

/// `Basic` credentials of a user name and a password that are encoded already (RFC 7617, section 2).
pub(super) fn basic(name: &str, password: &str) -> SecretString {
    let pair = Zeroizing::new(format!("{name}:{password}"));
    let encoded = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
    SecretString::from(format!("Basic {}", encoded.as_str()))
}

/// One header.
pub(super) fn header(name: HeaderName, value: &str) -> (HeaderName, SecretString) {
    (name, SecretString::from(value))
}

/// Whether a text can be a client's id or secret.
pub(super) fn is_client_text(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_control)
}
