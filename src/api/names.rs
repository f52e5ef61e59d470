//! Names that are part of the API: labels, annotations, Secret keys and types.

/// The API group.
pub const GROUP: &str = "liaison.dev";

/// Label of a Secret whose owner allows connections of its namespace to use it; its value is `true`.
pub const CREDENTIALS_LABEL: &str = "liaison.dev/credentials";

/// Label of a Namespace that names the Folder it belongs to.
pub const FOLDER_LABEL: &str = "liaison.dev/folder";

/// `ClusterRole` of the owner of a Personal folder, and name of the `RoleBinding` that gives it to them.
pub const FOLDER_OWNER_ROLE: &str = "liaison-folder-owner";

/// Label of a Secret that holds a token record; its value is the Connection's uid.
pub const TOKEN_LABEL: &str = "liaison.dev/token-of";

/// Label of a Secret that a ProcessBinding filled; its value is the binding's uid.
pub const BINDING_LABEL: &str = "liaison.dev/bound-by";

/// Annotation of a Secret that a ProcessBinding filled: whose credential is in it, and a digest of all that it was made
/// from.
pub const FILLED_FROM_ANNOTATION: &str = "liaison.dev/filled-from";

/// Annotation of a Secret that a ProcessBinding filled: when the credential in it ends; absent where it does not.
pub const CREDENTIAL_EXPIRES_AT_ANNOTATION: &str = "liaison.dev/credential-expires-at";

/// Annotation of a Secret that a ProcessBinding filled: a digest of account, scopes and base URL, not of the token. A
/// change of it is worth a new rollout of what uses the Secret.
pub const CONNECTION_HASH_ANNOTATION: &str = "liaison.dev/connection-hash";

/// Annotation of a Namespace that a Folder made: the Folder's uid. An adopted namespace does not have it.
pub const CREATED_BY_ANNOTATION: &str = "liaison.dev/created-by-folder";

/// Annotation of a Namespace that belongs to a Folder: its own name as the value lets it be deleted.
pub const CONFIRM_DELETE_ANNOTATION: &str = "liaison.dev/confirm-delete";

/// Annotation of a Connection: a new value asks for one verification.
pub const VERIFY_AT_ANNOTATION: &str = "liaison.dev/verify-at";

/// Annotation of a Connection: a new value asks to authenticate anew.
pub const REAUTHENTICATE_AT_ANNOTATION: &str = "liaison.dev/reauthenticate-at";

/// Finalizer of a Connection whose token is to be revoked at its provider.
pub const REVOKE_FINALIZER: &str = "liaison.dev/revoke-token";

/// Finalizer of a Folder, which goes after what it holds.
pub const FOLDER_FINALIZER: &str = "liaison.dev/folder";

/// Type of the Secret that holds a token record.
pub const TOKEN_SECRET_TYPE: &str = "liaison.dev/token";

/// Key of a token Secret under which the sealed record lies.
pub const TOKEN_RECORD_KEY: &str = "record";

/// Keys of an OAuth app's Secret.
pub const CLIENT_ID_KEY: &str = "clientId";
/// The client's secret.
pub const CLIENT_SECRET_KEY: &str = "clientSecret";

/// What `status.account` says before anybody has authenticated.
pub const ACCOUNT_BEFORE_AUTHENTICATION: &str = "System";

/// Name of the Secret that holds a Connection's token record.
pub fn token_secret(connection_uid: &str) -> String {
    format!("liaison-token-{connection_uid}")
}
