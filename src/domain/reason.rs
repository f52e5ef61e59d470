//! The vocabulary of reasons: what conditions, Events and failures say in one word, and who can mend it.

use std::fmt;

/// Who can mend a situation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fixer {
    /// Nobody has to: it is as it should be, or passes by itself.
    Nobody,
    /// Whoever owns the Connection or Folder.
    User,
    /// Whoever runs the cluster or the catalogue.
    Administrator,
    /// The application's owner.
    Provider,
    /// Whoever runs Liaison.
    Operator,
}

/// How a situation looks to tools that wait (kstatus).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Progress {
    /// Nothing more will happen without a person: neither Reconciling nor Stalled.
    Settled,
    /// It may become right by itself, or when something missing appears: Reconciling.
    Waiting,
    /// Only a change can help: Stalled.
    Stuck,
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident: $fixer:ident, $progress:ident, $note:literal;)+) => {
        /// Why something is as it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Reason {
            /// Every reason, for documentation and tests.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The word itself, CamelCase as API conventions ask.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),+ }
            }

            /// Who can mend it.
            pub fn fixer(self) -> Fixer {
                match self { $(Self::$name => Fixer::$fixer),+ }
            }

            /// How tools that wait are to take it.
            pub fn progress(self) -> Progress {
                match self { $(Self::$name => Progress::$progress),+ }
            }

            /// The fixed sentence of an Event of this reason. Detail stands in the condition.
            pub fn note(self) -> &'static str {
                match self { $(Self::$name => $note),+ }
            }
        }
    };
}

reasons! {
    /// The operator has not looked yet.
    Pending: Nobody, Waiting, "Waiting for the operator.";
    /// All is well.
    Ready: Nobody, Settled, "The object is ready.";

    /// The provider issued a token.
    TokenIssued: Nobody, Settled, "The provider issued a token.";
    /// The provider accepted the credential of a Secret.
    CredentialsVerified: Nobody, Settled, "The provider accepted the credential.";
    /// The connector declares no verification, so the credential is taken as it is.
    CredentialsUnverified: Nobody, Settled, "The connector declares no verification; the credential is taken as it is.";
    /// The connector needs no credential.
    NoCredentialsNeeded: Nobody, Settled, "The connector needs no credential.";
    /// A person has to authenticate.
    AwaitingAuthentication: User, Settled, "A person has to authenticate this connection.";
    /// The token's lifetime is over and no new one could be had yet.
    TokenExpired: Nobody, Waiting, "The token has expired; a new one is being asked for.";
    /// Somebody with the right to authenticate has to confirm that credentials may go to other addresses.
    ReauthenticationRequired: User, Stuck, "Where the credential would go has changed; authenticate again.";
    /// The consent is gone; a person has to authenticate again.
    ReconsentRequired: User, Stuck, "The provider no longer accepts the consent; authenticate again.";

    /// The person, or the provider for them, did not consent.
    ConsentDenied: User, Stuck, "Consent was not given.";
    /// Nobody finished the consent in time.
    SessionExpired: User, Settled, "Nobody finished the consent in time.";
    /// What the person agreed to has changed before their consent was used.
    ConsentOutdated: User, Settled, "What the person agreed to has changed meanwhile.";
    /// The connection's auth type needs no person.
    ConsentNotNeeded: User, Settled, "The connection authenticates without a person.";
    /// A person has too many open requests.
    TooManyConsents: User, Settled, "The person has too many open consent requests.";
    /// Without a browser on the same machine a code would have to be entered by hand, and no policy allows that.
    CodeEntryNotAllowed: Administrator, Settled, "No policy allows to enter a code by hand.";
    /// Nothing shows who made the request.
    RequesterNotStamped: Administrator, Settled, "The consent request did not pass Liaison's admission webhook.";
    /// The requester may not authenticate the connection any more.
    AuthenticateForbidden: Administrator, Settled, "The requester may not authenticate the connection.";
    /// The receipt is not the one that the browser was given.
    ReceiptMismatch: User, Settled, "The receipt is not the one that the browser was given.";
    /// The answer came from another issuer than the one that was asked.
    ResponseMismatch: Administrator, Settled, "The answer came from another issuer than the one that was asked.";
    /// The consent was given by another account than the one before.
    AccountChanged: User, Settled, "Another account than before has authenticated this connection.";
    /// The provider does not know the redirect address.
    RedirectURIMismatch: User, Stuck, "The redirect address is not registered at the provider.";

    /// The provider does not accept the OAuth client.
    ClientRejected: User, Stuck, "The provider rejected the OAuth client.";
    /// The provider does not accept the credential.
    CredentialsRejected: User, Stuck, "The provider rejected the credential.";
    /// The provider does not grant the scopes.
    ScopeRejected: User, Stuck, "The provider rejected the scopes.";
    /// The provider does not understand the request that the connector describes.
    RequestRejected: Administrator, Stuck, "The provider rejected the request that the connector describes.";
    /// The provider answers with errors, or too slowly.
    ProviderUnavailable: Provider, Waiting, "The provider is unavailable.";
    /// The provider asks for fewer requests.
    RateLimited: Provider, Waiting, "The provider asks for fewer requests.";
    /// The provider's answer cannot be understood.
    AnswerInvalid: Provider, Waiting, "The provider's answer cannot be understood.";
    /// The provider did not prove its identity by TLS.
    ProviderUntrusted: Administrator, Waiting, "The provider did not prove its identity.";
    /// The provider cannot be reached, or filters our addresses.
    EgressBlocked: Administrator, Waiting, "The provider cannot be reached from here.";
    /// Liaison's own guard refuses the address.
    EgressDenied: Administrator, Waiting, "Requests to that address are not allowed.";
    /// The token Secret cannot be written, so no token is asked for.
    TokenStoreBlocked: Administrator, Waiting, "The token Secret cannot be written.";
    /// The token record cannot be opened with the operator's keys.
    TokenUnreadable: Operator, Stuck, "The token record cannot be opened with the operator's keys.";
    /// The token record is older than the last one known.
    TokenRolledBack: Administrator, Stuck, "The token record is older than the last one known.";

    /// There is no connection of that name.
    ConnectionNotFound: User, Waiting, "The connection does not exist.";
    /// No connection is for that connector.
    NoConnectionForConnector: User, Waiting, "No connection is for that connector.";
    /// The connection is in somebody else's personal folder.
    InPersonalFolder: User, Stuck, "The connection is in somebody else's personal folder.";
    /// No such connector.
    ConnectorNotFound: User, Waiting, "The connector does not exist.";
    /// The connector's description has faults.
    ConnectorInvalid: Administrator, Waiting, "The connector's description has faults.";
    /// No folder owns the namespace.
    FolderNotFound: User, Waiting, "No folder owns the namespace.";
    /// The folder is not ready.
    FolderNotReady: User, Waiting, "The folder is not ready.";
    /// The namespace is going away.
    NamespaceTerminating: Nobody, Settled, "The namespace is being deleted.";
    /// The connector offers several auth types and the connection names none.
    AuthTypeRequired: User, Stuck, "The connection has to name an auth type.";
    /// The connector does not offer that auth type.
    AuthTypeNotSupported: User, Stuck, "The connector does not support the auth type.";
    /// This version of Liaison cannot authenticate that way.
    AuthTypeNotAvailable: Operator, Stuck, "This version cannot authenticate with the auth type.";
    /// A parameter is missing.
    ParametersMissing: User, Stuck, "Parameters are missing.";
    /// A parameter's value is not accepted, or the connector does not know it.
    ParametersInvalid: User, Stuck, "Parameters are not accepted.";
    /// The Secret with the credentials, its label or a key is missing.
    CredentialsMissing: User, Waiting, "The Secret with the credentials is missing or incomplete.";
    /// The OAuth client's Secret, its label or a key is missing.
    ClientCredentialsMissing: User, Waiting, "The Secret with the OAuth client is missing or incomplete.";
    /// The connection is suspended.
    Suspended: User, Settled, "The connection is suspended.";

    /// Attempts to authenticate have failed again and again.
    RepeatedAuthenticationFailures: User, Stuck, "Attempts to authenticate have failed again and again.";
    /// The last verification succeeded.
    Verified: Nobody, Settled, "The provider accepted the credential.";
    /// Nothing has been verified yet.
    NotVerified: Nobody, Settled, "Nothing has been verified yet.";
    /// The connector declares no verification.
    VerificationNotDeclared: Nobody, Settled, "The connector declares no verification.";
    /// No policy speaks against it.
    Allowed: Nobody, Settled, "No policy speaks against it.";
    /// All scopes are granted.
    ScopesGranted: Nobody, Settled, "All scopes are granted.";
    /// The provider granted fewer scopes than asked for.
    ScopesMissing: User, Stuck, "The provider granted fewer scopes than asked for.";
    /// Nothing is known about scopes before authentication.
    NotAuthenticated: Nobody, Settled, "The connection is not authenticated.";

    /// The connection is authenticated now.
    Authenticated: Nobody, Settled, "The connection is authenticated.";
    /// The token could not be revoked at the provider.
    RevocationFailed: User, Settled, "The token could not be revoked at the provider; it stays valid there until it expires.";

    /// The folder's namespace is there and belongs to it.
    NamespaceOwned: Nobody, Settled, "The namespace belongs to the folder.";
    /// The namespace is there, and the folder does not say that it takes it over.
    NamespaceExists: User, Stuck, "The namespace exists already and the folder does not adopt it.";
    /// Another folder owns the namespace.
    NamespaceTaken: User, Stuck, "Another folder owns the namespace.";
    /// The namespace to adopt is not there.
    NamespaceNotFound: User, Waiting, "The namespace to adopt does not exist.";
    /// The namespace belongs to the cluster or to the operator.
    NamespaceReserved: User, Stuck, "The namespace is reserved.";
    /// The parent folder is not there.
    ParentNotFound: User, Waiting, "The parent folder does not exist.";
    /// The folder would be above itself.
    FolderCycle: User, Stuck, "The folder would be its own ancestor.";
    /// More folders would be above the folder than are allowed.
    FolderTooDeep: User, Stuck, "The folder would be too deep in the tree.";
    /// The operator works in some namespaces only, and this is none of them.
    NamespaceNotServed: Administrator, Stuck, "Liaison does not work in the namespace.";
    /// The folder's owner has the role of owners in its namespace.
    OwnerBound: Nobody, Settled, "The owner has access to the folder.";
    /// The role that owners of Personal folders are given is not installed.
    OwnerRoleNotFound: Administrator, Waiting, "The role for owners of Personal folders is not installed.";
    /// The namespace was there before, and nobody has reviewed whether it may be given to the owner.
    AdoptionNotReviewed: Administrator, Settled, "Nobody has reviewed whether the adopted namespace may be the owner's.";
    /// The folder cannot go while it holds something.
    FolderNotEmpty: User, Waiting, "The folder still holds objects.";

    /// The connection is the folder's default for its connector.
    DefaultApplied: Nobody, Settled, "The connection is the default.";
    /// Another connection was made the default later.
    Superseded: User, Settled, "Another connection was made the default later.";
    /// A default needs at least two connections.
    OnlyConnection: User, Settled, "It is the only connection for its connector.";
    /// The default is gone and no other connection is marked as one.
    DefaultRemoved: User, Settled, "The default connection is gone and no other one takes its place.";
    /// The folder has several connections for the connector, and none of them is the default.
    NoDefaultConnection: User, Waiting, "No connection is the default.";

    /// An older connection of the folder bears the display name.
    DisplayNameTaken: User, Settled, "Another connection of the folder bears the display name.";

    /// A policy does not allow the connector.
    ConnectorDisabled: Administrator, Stuck, "A policy does not allow the connector.";
    /// A policy does not allow the auth type.
    AuthTypeDisabled: Administrator, Stuck, "A policy does not allow the auth type.";
    /// A policy does not allow to send credentials to a host.
    HostNotAllowed: Administrator, Stuck, "A policy does not allow to send credentials to that host.";
    /// A policy does not allow the account.
    AccountNotAllowed: Administrator, Stuck, "A policy does not allow the account.";
    /// No policy allows the password grant.
    PasswordGrantDenied: Administrator, Stuck, "No policy allows the password grant.";
    /// A policy does not allow to hand out static credentials.
    StaticHandOutDenied: Administrator, Stuck, "A policy does not allow to hand out static credentials.";
    /// The policy has no faults.
    PolicyValid: Nobody, Settled, "The policy has no faults.";
    /// The policy has faults, all listed.
    PolicyInvalid: Administrator, Waiting, "The policy has faults.";

    /// A process was handed the credential.
    CredentialHandedOut: Nobody, Settled, "A process was handed the credential; the Event names its service account.";
    /// The process has what it needs.
    Bound: Nobody, Settled, "The process has its connection.";
    /// Users have to choose a connection.
    AwaitingUserConfiguration: User, Settled, "Users have to choose a connection.";
    /// The process's ServiceAccount may not use the connection.
    PermissionDenied: Administrator, Waiting, "The service account may not use the connection.";
    /// The connection is not there, or may not be used.
    ConnectionNotAccessible: User, Waiting, "The connection was not found or is not accessible.";
    /// The connection is not ready.
    ConnectionNotReady: User, Waiting, "The connection is not ready.";
    /// The connection is for another connector.
    ConnectorMismatch: User, Stuck, "The connection is for another connector.";
    /// The API server does not let the Secret be written: quota, another policy, or finalizers on an immutable one.
    SecretWriteRefused: Administrator, Waiting, "The Secret cannot be written.";
    /// There is a Secret of that name that the binding did not make.
    SecretNameTaken: User, Stuck, "A Secret of that name exists already.";

    /// The connector's description has no faults.
    DescriptionValid: Nobody, Settled, "The description has no faults.";
    /// The issuer's metadata, which names the connector's endpoints, could not be had yet.
    IssuerMetadataUnavailable: Administrator, Waiting, "The metadata of the connector's issuer is not available.";
    /// The connector's description has faults, all listed.
    DescriptionInvalid: Administrator, Stuck, "The description has faults.";
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl std::str::FromStr for Reason {
    type Err = UnknownReason;

    fn from_str(text: &str) -> Result<Self, UnknownReason> {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == text).ok_or(UnknownReason)
    }
}

/// A word that is no reason of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a reason that this version knows")]
pub struct UnknownReason;
