//! Whether a Connection's credential may be handed out to a process that may use it, and until when.
//!
//! What is judged is the Connection as the operator last recorded it, and what holds without the operator: that it is
//! suspended, or goes.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::api::connection::{ConnectionStatus, PolicyStatus, TokenStatus};
use crate::api::{AuthType, Connection, ConnectionSpec};

use super::conditions::{self, ConditionType, Status};
use super::connection::Blocked;
use super::policy::{self, EffectivePolicy, SecretChoice};
use super::reason::{Fixer, Reason};

mod binding;
mod caller;
mod wanted;

#[cfg(test)]
mod tests;

pub use binding::{BindingFault, Bound, bound_connection, fits};
pub use caller::{Caller, PodIdentity, Unacceptable, caller};
pub use wanted::{Wanted, wanted};

/// What is left of a token that is handed out, at least.
const LEAST: SignedDuration = SignedDuration::from_secs(1);

/// What may be handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// What kind of credential it is.
    pub form: Form,
    /// The auth type in effect.
    pub auth_type: AuthType,
    /// Where API requests start.
    pub base_url: Option<String>,
    /// The account at the provider.
    pub account: Option<String>,
}

/// What kind of credential a Connection has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// An access token: the one that the record holds under this number.
    Token {
        /// The number that was last recorded.
        sequence: i64,
    },
    /// The values of its Secret. They have no short-lived form: to use them is to read them.
    Static,
    /// The application needs none.
    Nothing,
}

/// Whether static credentials may be handed out, as the policies of the Connection's folder say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StaticHandOut {
    /// No policy speaks against it.
    #[default]
    Allowed,
    /// The policy of this name does not allow it.
    DeniedBy(String),
    /// The credential is the organisation's, which the policy of this name lends to the operator and to nobody else.
    LentBy(String),
}

impl StaticHandOut {
    /// What holds for a Connection under the policies that govern it.
    pub fn of(spec: &ConnectionSpec, policy: &EffectivePolicy) -> Self {
        if let Some(lender) = policy::credentials(spec, policy).as_ref().and_then(SecretChoice::lent_by) {
            return Self::LentBy(lender.to_owned());
        }
        policy.hands_out_static().map_or_else(|by| Self::DeniedBy(by.to_owned()), |()| Self::Allowed)
    }
}

impl StaticHandOut {
    /// What was last recorded of the policies that govern a Connection.
    pub fn recorded(connection: &Connection) -> Self {
        let source = connection.status.as_ref().and_then(|status| status.credential_source.as_deref());
        if let Some(lender) = source.and_then(|source| source.strip_prefix("Policy/")) {
            return Self::LentBy(lender.to_owned());
        }
        let policy = connection.status.as_ref().and_then(|status| status.policy.as_ref());
        let denied_by = policy.and_then(|policy| policy.static_hand_out_denied_by.clone());
        denied_by.map_or(Self::Allowed, Self::DeniedBy)
    }
}

/// Why nothing is handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// For now: nobody has taken anything back. What was handed out before stays good for as long as it lasts.
    Waits(Blocked),
    /// What was handed out before is to be taken away as well.
    Withdrawn(Blocked),
}

impl Refusal {
    /// The reason, and what is said of it.
    pub fn blocked(&self) -> &Blocked {
        match self {
            Self::Waits(blocked) | Self::Withdrawn(blocked) => blocked,
        }
    }

    fn waits(reason: Reason, message: String) -> Self {
        Self::Waits(Blocked { reason, message })
    }

    fn withdrawn(reason: Reason, message: String) -> Self {
        Self::Withdrawn(Blocked { reason, message })
    }
}

/// What the token record says of the token that is about to be handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordedToken {
    /// Its number.
    pub sequence: i64,
    /// When it stops being valid; absent where it does not.
    pub expires_at: Option<Timestamp>,
}

/// Leaves of a Connection what a judgement looks at, and its name in Events, so that many of them need little memory.
pub fn reduce(connection: &mut Connection) {
    let metadata = &mut connection.metadata;
    (metadata.annotations, metadata.labels, metadata.owner_references) = (None, None, None);
    let spec = &connection.spec;
    connection.spec = ConnectionSpec {
        connector_ref: spec.connector_ref.clone(),
        credentials: spec.credentials.clone(),
        suspend: spec.suspend,
        ..ConnectionSpec::default()
    };
    let Some(status) = connection.status.take() else { return };
    let ready = |condition: &Condition| condition.type_ == ConditionType::Ready.as_str();
    connection.status = Some(ConnectionStatus {
        auth_type: status.auth_type,
        account: status.account,
        authentication: status.authentication,
        base_url: status.base_url,
        credential_source: status.credential_source,
        policy: status.policy.map(|policy| PolicyStatus {
            static_hand_out_denied_by: policy.static_hand_out_denied_by,
            ..PolicyStatus::default()
        }),
        token: status.token.map(|token| TokenStatus { sequence: token.sequence, ..TokenStatus::default() }),
        conditions: status.conditions.into_iter().filter(ready).collect(),
        ..ConnectionStatus::default()
    });
}

/// Judges a Connection by what is recorded of it.
pub fn judge(connection: &Connection, policy: &StaticHandOut) -> Result<Offer, Refusal> {
    let name = connection.metadata.name.as_deref().unwrap_or_default();
    if connection.metadata.deletion_timestamp.is_some() {
        let message = format!("connection \"{name}\" is being deleted");
        return Err(Refusal::withdrawn(Reason::ConnectionNotAccessible, message));
    }
    if connection.spec.suspend {
        return Err(Refusal::withdrawn(Reason::Suspended, format!("connection \"{name}\" is suspended")));
    }
    let Some(status) = &connection.status else { return Err(not_looked_at(name)) };
    if status.auth_type.is_some_and(AuthType::is_static) {
        // What a policy takes back it takes back from who waits as well: a static credential has no end.
        static_form(name, policy)?;
    }
    ready(name, status)?;
    let Some(auth_type) = status.auth_type else { return Err(not_looked_at(name)) };
    let form = match auth_type {
        AuthType::None => Form::Nothing,
        auth_type if auth_type.is_static() => static_form(name, policy)?,
        _ => {
            let Some(token) = &status.token else { return Err(not_looked_at(name)) };
            Form::Token { sequence: token.sequence }
        }
    };
    Ok(Offer { form, auth_type, base_url: status.base_url.clone(), account: status.account.clone() })
}

/// Judges the record of a token that may be handed out. Its number is compared with the one that was judged: a newer
/// one is another account's, perhaps, or has other scopes; an older one was put back from elsewhere.
pub fn judge_record(name: &str, judged: i64, record: RecordedToken, now: Timestamp) -> Result<(), Refusal> {
    if record.sequence < judged {
        return Err(Refusal::withdrawn(
            Reason::TokenRolledBack,
            format!("the token record of connection \"{name}\" is older than the last one known"),
        ));
    }
    if record.sequence > judged {
        return Err(Refusal::waits(
            Reason::Pending,
            format!("connection \"{name}\" has a new token that has not been looked at yet"),
        ));
    }
    lasting(name, record.expires_at, now)
}

/// Whether a token lasts for long enough to be of use: expiries are told in whole seconds.
pub fn lasting(name: &str, expires_at: Option<Timestamp>, now: Timestamp) -> Result<(), Refusal> {
    if expires_at.is_some_and(|expires_at| expires_at.duration_since(now) < LEAST) {
        return Err(Refusal::waits(
            Reason::TokenExpired,
            format!("the token of connection \"{name}\" has expired; a new one is being asked for"),
        ));
    }
    Ok(())
}

/// The record is not there, although a token was recorded.
pub fn record_missing(name: &str) -> Refusal {
    let message = format!("the token record of connection \"{name}\" is not there");
    Refusal::withdrawn(Reason::AwaitingAuthentication, message)
}

/// The record cannot be opened. What is said does not repeat why: whoever asks cannot mend it.
pub fn record_unreadable(name: &str) -> Refusal {
    let message =
        format!("the token record of connection \"{name}\" cannot be opened; ask who runs the operator");
    Refusal::withdrawn(Reason::TokenUnreadable, message)
}

/// The Secret of a static credential, its label or a key is not there any more.
pub fn values_missing(name: &str) -> Refusal {
    let message =
        format!("the Secret with the credentials of connection \"{name}\" is missing or incomplete");
    Refusal::withdrawn(Reason::CredentialsMissing, message)
}

/// The Connector, which says what the Secret's keys are, cannot be used.
pub fn connector_unusable(name: &str) -> Refusal {
    let message = format!("the connector of connection \"{name}\" cannot be used");
    Refusal::waits(Reason::ConnectorInvalid, message)
}

/// The right to use the Connection is missing; said where whoever reads it knows of the Connection anyway.
pub fn lacks_use(service_account: &str, folder: &str) -> Blocked {
    Blocked {
        reason: Reason::PermissionDenied,
        message: format!(
            "service account \"{service_account}\" lacks use on connections in folder \"{folder}\""
        ),
    }
}

/// What is said to whoever may not use a Connection, whether or not it exists.
pub fn not_accessible(namespace: &str, name: &str) -> Blocked {
    Blocked {
        reason: Reason::ConnectionNotAccessible,
        message: format!("connection \"{namespace}/{name}\" not found or not accessible"),
    }
}

fn not_looked_at(name: &str) -> Refusal {
    Refusal::waits(Reason::Pending, format!("connection \"{name}\" has not been looked at yet"))
}

fn static_form(name: &str, policy: &StaticHandOut) -> Result<Form, Refusal> {
    match policy {
        StaticHandOut::Allowed => Ok(Form::Static),
        StaticHandOut::DeniedBy(policy) => Err(Refusal::withdrawn(
            Reason::StaticHandOutDenied,
            format!("policy \"{policy}\" does not allow to hand out the credential of connection \"{name}\""),
        )),
        StaticHandOut::LentBy(policy) => Err(Refusal::withdrawn(
            Reason::StaticHandOutDenied,
            format!(
                "the credential of connection \"{name}\" is lent by policy \"{policy}\" and not handed to processes; give \
                 the connection one of its own in spec.credentials.secretRef"
            ),
        )),
    }
}

fn ready(name: &str, status: &ConnectionStatus) -> Result<(), Refusal> {
    let Some(ready) = conditions::find(&status.conditions, ConditionType::Ready) else {
        return Err(not_looked_at(name));
    };
    if ready.status == Status::True.as_str() {
        return Ok(());
    }
    if ready.status != Status::False.as_str() {
        return Err(not_looked_at(name));
    }
    let reason = ready.reason.parse().unwrap_or(Reason::ConnectionNotReady);
    if let Some(url) = status.authentication.as_ref().and_then(|authentication| authentication.url.as_ref()) {
        return Err(Refusal::withdrawn(
            reason,
            format!("connection \"{name}\" awaits authentication: {url}"),
        ));
    }
    let message = format!("connection \"{name}\" is not ready: {}", ready.message);
    // Without a page for a person it is the provider who is being asked.
    let asking = reason == Reason::AwaitingAuthentication && status.authentication.is_none();
    if asking || passes(reason) {
        return Err(Refusal::waits(reason, message));
    }
    Err(Refusal::withdrawn(reason, message))
}

/// Whether a reason takes nothing back: it passes by itself, or whoever runs the provider, the catalogue or the cluster
/// mends it, and the token that is there is as good as before.
fn passes(reason: Reason) -> bool {
    let nobody = matches!(reason.fixer(), Fixer::Nobody | Fixer::Provider);
    let theirs = matches!(
        reason,
        Reason::ConnectorInvalid
            | Reason::EgressBlocked
            | Reason::FolderNotReady
            | Reason::ProviderUntrusted
            | Reason::TokenStoreBlocked
    );
    (nobody || theirs) && reason != Reason::NamespaceTerminating
}
