//! Whether a process has its Connection, and what to say where it has not.

use jiff::Timestamp;

use crate::api::Connection;
use crate::domain::conditions::{self, ConditionType, Verdict};
use crate::domain::connection::{Blocked, FolderState};
use crate::domain::folder::not_served;
use crate::domain::hand_out::{self, Form, Offer, Refusal};
use crate::domain::reason::Reason;

use super::observed::{Access, Observed, Target};
use super::{Claim, content};

/// The ClusterRole of the chart that lets a process use connections, and nothing else.
const WORKLOAD_ROLE: &str = "liaison-connection-use";

/// What the process of a binding with one Connection gets.
pub(super) fn claim(observed: &Observed, now: Timestamp) -> Claim<'_> {
    match (observed.targets.first(), &observed.no_default) {
        (Some(target), _) => claim_on(observed, target, now),
        (None, Some(blocked)) => Claim::Withhold(Verdict::no(blocked.reason, &blocked.message), None),
        (None, None) => {
            Claim::Withhold(Verdict::no(Reason::NoDefaultConnection, "no connection is the default"), None)
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
        Access::NotServed => {
            let message = format!(
                "connection \"{}\" is out of reach: {}",
                shown(observed, target),
                not_served(&target.namespace)
            );
            return Claim::Withhold(Verdict::no(Reason::NamespaceNotServed, message), None);
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
    let judged = hand_out::judge(connection, &found.static_hand_out).and_then(|offer| {
        // What was found when the credential was read is newer than what is recorded.
        let withdrawn = observed.tried.withdrawn.clone().map(Refusal::Withdrawn);
        withdrawn.map_or(Ok(offer), Err)
    });
    match judged {
        Ok(offer) if has_ended(&offer, connection, now) => {
            let message = format!("the token of connection \"{}\" has expired", shown(observed, target));
            Claim::Keep(Verdict::no(Reason::ConnectionNotReady, message), found)
        }
        Ok(offer) => Claim::HandOut(found, offer),
        Err(Refusal::Waits(blocked)) => Claim::Keep(refused(observed, target, connection, &blocked), found),
        Err(Refusal::Withdrawn(blocked)) => {
            Claim::Withhold(refused(observed, target, connection, &blocked), Some(found))
        }
    }
}

/// A Connection is looked at anew when its token ends; until it is, its status says what was true before.
fn has_ended(offer: &Offer, connection: &Connection, now: Timestamp) -> bool {
    let of_token = matches!(offer.form, Form::Token { .. });
    of_token && content::token_expires_at(connection).is_some_and(|expires_at| expires_at <= now)
}

/// Why nothing is handed out. Of another folder's Connection no more is told than the word and where a person goes.
fn refused(observed: &Observed, target: &Target, connection: &Connection, blocked: &Blocked) -> Verdict {
    if blocked.reason == Reason::StaticHandOutDenied {
        return Verdict::no(blocked.reason, &blocked.message);
    }
    let authentication = connection.status.as_ref().and_then(|status| status.authentication.as_ref());
    let awaits_person = authentication.is_some_and(|authentication| authentication.url.is_some());
    let message = if target.namespace == observed.namespace() || awaits_person {
        blocked.message.clone()
    } else {
        format!("connection \"{}\" is not ready: {}", shown(observed, target), blocked.reason)
    };
    Verdict::no(Reason::ConnectionNotReady, message)
}

/// Whether the operator has not looked at a Connection yet.
pub(super) fn is_pending(connection: &Connection) -> bool {
    let status = connection.status.clone().unwrap_or_default();
    conditions::find(&status.conditions, ConditionType::Ready)
        .is_none_or(|ready| ready.status == "Unknown" || ready.reason == Reason::Pending.as_str())
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

fn permission_denied(observed: &Observed) -> Verdict {
    let namespace = observed.namespace();
    let account = &observed.binding.spec.service_account_name;
    let folder = match &observed.folder {
        FolderState::Ready(name) | FolderState::NotReady(name, _) => name,
        FolderState::NotFound | FolderState::Settling | FolderState::Terminating => namespace,
    };
    let lacks = hand_out::lacks_use(account, folder);
    let message = format!(
        "{}; who may give it runs `kubectl create rolebinding {account}-uses-connections -n {namespace} \
         --clusterrole={WORKLOAD_ROLE} --serviceaccount={namespace}:{account}`",
        lacks.message
    );
    Verdict::no(lacks.reason, message)
}

fn not_accessible(observed: &Observed, target: &Target) -> Verdict {
    let hidden = hand_out::not_accessible(&target.namespace, &target.name);
    let message = format!(
        "{}; service account \"{}\" of namespace \"{}\" needs use on it",
        hidden.message,
        observed.binding.spec.service_account_name,
        observed.namespace()
    );
    Verdict::no(hidden.reason, message)
}

pub(super) fn taken(observed: &Observed, name: &str) -> Verdict {
    let message = format!(
        "secret \"{name}\" exists in namespace \"{}\" and was not made by this binding; nothing was changed. Choose another \
         spec.secretName, or delete that Secret if nothing else needs it",
        observed.namespace()
    );
    Verdict::no(Reason::SecretNameTaken, message)
}

/// An elder binding asks for a Secret of the same name.
pub(super) fn asked_for(observed: &Observed, name: &str, elder: &str) -> Verdict {
    let message = format!(
        "secret \"{name}\" in namespace \"{}\" is the one that process binding \"{elder}\" asks for, which was there before; \
         choose another spec.secretName",
        observed.namespace()
    );
    Verdict::no(Reason::SecretNameTaken, message)
}

/// A former Secret that could not be deleted keeps its credential, and whoever reads the status should know.
pub(super) fn with_leftover(observed: &Observed, verdict: Verdict) -> Verdict {
    let (Some(outdated), Some(why)) = (&observed.outdated, &observed.tried.removal) else { return verdict };
    let leftover = format!(
        "secret \"{}\", which this binding made before, is still there: {}",
        outdated.name, why.message
    );
    let message =
        if verdict.message.is_empty() { leftover } else { format!("{}; {leftover}", verdict.message) };
    Verdict { message, ..verdict }
}

fn shown(observed: &Observed, target: &Target) -> String {
    if target.namespace == observed.namespace() {
        return target.name.clone();
    }
    format!("{}/{}", target.namespace, target.name)
}
