//! Whether a process has its Connection, and what to say where it has not.

use jiff::Timestamp;

use crate::api::{AuthType, Connection};
use crate::domain::conditions::{self, ConditionType, Verdict};
use crate::domain::connection::FolderState;
use crate::domain::reason::{Progress, Reason};

use super::Claim;
use super::observed::{Access, CredentialState, Observed, StaticHandOut, Target};

/// The ClusterRole of the chart that lets a process use connections, and nothing else.
const WORKLOAD_ROLE: &str = "liaison-connection-workload";

/// What the process of a binding with one Connection gets.
pub(super) fn claim(observed: &Observed, now: Timestamp) -> Claim<'_> {
    match observed.targets.first() {
        Some(target) => claim_on(observed, target, now),
        None => {
            Claim::Withhold(no_default(observed.namespace(), &observed.binding.spec.connector_ref.name), None)
        }
    }
}

fn claim_on<'a>(observed: &Observed, target: &'a Target, now: Timestamp) -> Claim<'a> {
    let found = match &target.access {
        Access::Forbidden if target.namespace == observed.namespace() => {
            return Claim::Withhold(permission_denied(observed), None);
        }
        // Whether there is one is nobody's to know who may not use it.
        Access::Forbidden | Access::NotFound => {
            return Claim::Withhold(not_accessible(observed, target), None);
        }
        Access::Found(found) => found,
    };
    let connection = &found.connection;
    let needed = &observed.binding.spec.connector_ref.name;
    let connector = &connection.spec.connector_ref.name;
    if connector != needed {
        let message = format!(
            "connection \"{}/{}\" is for connector \"{connector}\", this needs \"{needed}\"",
            target.namespace, target.name
        );
        return Claim::Withhold(Verdict::no(Reason::ConnectorMismatch, message), None);
    }
    let is_static = auth_type(connection).is_some_and(AuthType::is_static);
    if let (true, StaticHandOut::DeniedBy(policy)) = (is_static, &found.static_hand_out) {
        let message = format!(
            "policy \"{policy}\" does not allow to hand out static credentials, such as that of connection \"{}\"",
            shown(observed, target)
        );
        return Claim::Withhold(Verdict::no(Reason::StaticHandOutDenied, message), Some(found));
    }
    let not_ready = || Verdict::no(Reason::ConnectionNotReady, not_ready(observed, target, connection));
    match standing(connection) {
        Standing::Ready if is_usable(&found.credential, now) => Claim::HandOut(found),
        Standing::Ready | Standing::Transient => Claim::Keep(not_ready(), found),
        Standing::Lost => Claim::Withhold(not_ready(), Some(found)),
    }
}

/// How a Connection stands, for those who use it.
enum Standing {
    Ready,
    /// It may become right by itself.
    Transient,
    /// Only a person can help.
    Lost,
}

fn standing(connection: &Connection) -> Standing {
    if connection.spec.suspend || connection.metadata.deletion_timestamp.is_some() {
        return Standing::Lost;
    }
    let status = connection.status.clone().unwrap_or_default();
    let Some(ready) = conditions::find(&status.conditions, ConditionType::Ready) else {
        return Standing::Transient;
    };
    let reason = ready.reason.parse::<Reason>();
    match (ready.status.as_str(), reason) {
        ("True", _) => Standing::Ready,
        // The provider is being asked about a static credential.
        (_, Ok(Reason::AwaitingAuthentication))
            if auth_type(connection).is_some_and(|auth_type| !auth_type.needs_person()) =>
        {
            Standing::Transient
        }
        (_, Ok(reason)) if reason.progress() == Progress::Waiting => Standing::Transient,
        // A word of another version says nothing.
        (_, Err(_)) => Standing::Transient,
        _ => Standing::Lost,
    }
}

/// Whether the operator has not looked at a Connection yet.
pub(super) fn is_pending(connection: &Connection) -> bool {
    let status = connection.status.clone().unwrap_or_default();
    conditions::find(&status.conditions, ConditionType::Ready)
        .is_none_or(|ready| ready.status == "Unknown" || ready.reason == Reason::Pending.as_str())
}

fn auth_type(connection: &Connection) -> Option<AuthType> {
    connection.status.as_ref().and_then(|status| status.auth_type).or(connection.spec.auth_type)
}

fn is_usable(credential: &CredentialState, now: Timestamp) -> bool {
    match credential {
        CredentialState::Missing => false,
        CredentialState::NotNeeded | CredentialState::Static(_) => true,
        CredentialState::Token { expires_at, .. } => expires_at.is_none_or(|expires_at| now < expires_at),
    }
}

/// What is said of a binding that leaves the choice to users: each choice stands for itself.
pub(super) fn of_choices(observed: &Observed, now: Timestamp) -> Verdict {
    let choices = &observed.binding.spec.choices;
    if choices.is_empty() {
        let message = "no user has chosen a connection yet; each sets their own entry of spec.choices, with a connection \
                       that they may use. Until then nothing is used, also where the folder has a default";
        return Verdict::no(Reason::AwaitingUserConfiguration, message);
    }
    let judged = choices.iter().zip(&observed.targets).map(|(choice, target)| {
        let claim = claim_on(observed, target, now);
        (
            choice,
            if let Claim::Keep(verdict, _) | Claim::Withhold(verdict, _) = claim {
                Some(verdict)
            } else {
                None
            },
        )
    });
    let faults: Vec<String> = judged
        .filter_map(|(choice, verdict)| {
            Some(format!(
                "user \"{}\": {}: {}",
                choice.user,
                verdict.as_ref()?.reason,
                verdict.as_ref()?.message
            ))
        })
        .collect();
    let usable = choices.len() - faults.len();
    let summary =
        format!("{usable} of {} users' choices can be used, each for that user's own runs", choices.len());
    let message = std::iter::once(summary).chain(faults).collect::<Vec<_>>().join("; ");
    if usable == 0 {
        return Verdict::no(Reason::AwaitingUserConfiguration, message);
    }
    Verdict::yes(Reason::Bound, message)
}

/// The folder has no default for the application.
pub fn no_default(namespace: &str, connector: &str) -> Verdict {
    let message = format!(
        "no connection of namespace \"{namespace}\" is the default for connector \"{connector}\"; `kubectl liaison list \
         -n {namespace}` shows what there is, and spec.default: true makes one the default"
    );
    Verdict::no(Reason::NoDefaultConnection, message)
}

fn permission_denied(observed: &Observed) -> Verdict {
    let namespace = observed.namespace();
    let account = &observed.binding.spec.service_account_name;
    let folder = match &observed.folder {
        FolderState::Ready(name) | FolderState::NotReady(name, _) => name,
        FolderState::NotFound | FolderState::Settling | FolderState::Terminating => namespace,
    };
    let message = format!(
        "service account \"{account}\" lacks use on connections in folder \"{folder}\"; who may give it runs `kubectl \
         create rolebinding {account}-uses-connections -n {namespace} --clusterrole={WORKLOAD_ROLE} \
         --serviceaccount={namespace}:{account}`"
    );
    Verdict::no(Reason::PermissionDenied, message)
}

fn not_accessible(observed: &Observed, target: &Target) -> Verdict {
    let message = format!(
        "connection \"{}/{}\" not found or not accessible; service account \"{}\" of namespace \"{}\" needs use on it",
        target.namespace,
        target.name,
        observed.binding.spec.service_account_name,
        observed.namespace()
    );
    Verdict::no(Reason::ConnectionNotAccessible, message)
}

pub(super) fn taken(observed: &Observed, name: &str) -> Verdict {
    let message = format!(
        "secret \"{name}\" exists in namespace \"{}\" and was not made by this binding; nothing was changed. Choose another \
         spec.secretName, or delete that Secret if nothing else needs it",
        observed.namespace()
    );
    Verdict::no(Reason::SecretNameTaken, message)
}

fn shown(observed: &Observed, target: &Target) -> String {
    if target.namespace == observed.namespace() {
        return target.name.clone();
    }
    format!("{}/{}", target.namespace, target.name)
}

/// Why a Connection cannot be used now. Of another folder's no more is told than the word and where a person goes.
fn not_ready(observed: &Observed, target: &Target, connection: &Connection) -> String {
    let name = shown(observed, target);
    let status = connection.status.clone().unwrap_or_default();
    let url = status.authentication.as_ref().and_then(|authentication| authentication.url.as_ref());
    if let Some(url) = url {
        return format!("connection \"{name}\" awaits authentication: {url}");
    }
    let ready =
        conditions::find(&status.conditions, ConditionType::Ready).filter(|ready| ready.status != "True");
    match ready {
        _ if connection.metadata.deletion_timestamp.is_some() => {
            format!("connection \"{name}\" is being deleted")
        }
        Some(ready) if ready.message.is_empty() || target.namespace != observed.namespace() => {
            format!("connection \"{name}\" is not ready: {}", ready.reason)
        }
        Some(ready) => format!("connection \"{name}\" is not ready: {}: {}", ready.reason, ready.message),
        None if connection.spec.suspend => format!("connection \"{name}\" is suspended"),
        None => format!("connection \"{name}\" is ready, and its credential has not been read yet"),
    }
}
