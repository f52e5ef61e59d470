//! The kinds of the API group `liaison.dev`: plain data with its schema, no decisions.

pub mod connection;
pub mod connection_policy;
mod connection_status;
pub mod connector;
pub mod consent_request;
pub mod crds;
pub mod folder;
pub mod names;
pub mod oauth2;
pub mod process_binding;
pub mod schema;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use connection::{Connection, ConnectionSpec, ConnectionStatus};
pub use connection_policy::{ConnectionPolicy, ConnectionPolicySpec, ConnectionPolicyStatus};
pub use connector::{Connector, ConnectorSpec, ConnectorStatus};
pub use consent_request::{ConsentRequest, ConsentRequestSpec, ConsentRequestStatus};
pub use folder::{Folder, FolderSpec, FolderStatus};
pub use process_binding::{ProcessBinding, ProcessBindingSpec, ProcessBindingStatus};

/// The ways to authenticate that Liaison knows.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum AuthType {
    /// A person consents in the browser (RFC 6749, section 4.1).
    OAuth2AuthorizationCode,
    /// The same, with the folder's own OAuth app.
    OAuth2BringYourOwnApp,
    /// User name and password at the token endpoint (RFC 6749, section 4.3). Refused without a policy.
    OAuth2Password,
    /// The client acts for itself (RFC 6749, section 4.4).
    OAuth2ClientCredentials,
    /// A token that a person made at the provider.
    #[default]
    PersonalAccessToken,
    /// A key that the provider issued.
    APIKey,
    /// User name and password on each request (RFC 7617).
    Basic,
    /// A TLS client certificate.
    ClientCertificate,
    /// A signed assertion for a token (RFC 7523).
    JWTBearer,
    /// Credentials are posted for a session token.
    SessionLogin,
    /// Requests signed with an AWS access key.
    AWSSignatureV4,
    /// No credentials.
    None,
}

impl AuthType {
    /// Types whose credential is read from its Secret at each use, without a token of our own.
    pub fn is_static(self) -> bool {
        matches!(self, Self::PersonalAccessToken | Self::APIKey | Self::Basic)
    }

    /// Types with an OAuth client, which is read from spec.oauthApp.secretRef.
    pub fn has_oauth_client(self) -> bool {
        matches!(
            self,
            Self::OAuth2AuthorizationCode
                | Self::OAuth2BringYourOwnApp
                | Self::OAuth2Password
                | Self::OAuth2ClientCredentials
        )
    }

    /// Types whose OAuth client may be somebody else's.
    pub fn can_be_lent_app(self) -> bool {
        self.has_oauth_client() && self != Self::OAuth2BringYourOwnApp
    }

    /// Types whose OAuth client gets nothing without a person's consent or password.
    pub fn speaks_for_person(self) -> bool {
        self.needs_person() || self == Self::OAuth2Password
    }

    /// Types that only a person in a browser can authenticate.
    pub fn needs_person(self) -> bool {
        matches!(self, Self::OAuth2AuthorizationCode | Self::OAuth2BringYourOwnApp)
    }
}

impl std::fmt::Display for AuthType {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The variants' names are the API's words.
        std::fmt::Debug::fmt(self, formatter)
    }
}
