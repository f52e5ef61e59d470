//! The life of a `ProcessBinding`: which Connection its process uses, whether it may, and what its Secret holds.

mod content;
mod observed;
mod verdicts;

#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;

use crate::api::ProcessBindingStatus;
use crate::api::process_binding::{BindingStatus, BoundConnection, Requirement};

use super::conditions::{self, ConditionType, Verdict, whole_seconds};
use super::connection::schedule::{later, share};
use super::connection::{Blocked, FolderState};
use super::decision::{Decision, Event, sooner};
use super::hand_out::Offer;
use super::reason::{Fixer, Reason};

pub use content::{Content, PROVIDER, Whose, keys};
pub use observed::{
    Access, Found, Observed, OwnSecret, SecretState, Target, Tried, choice_of, concerns,
    elder_with_same_secret, reaches_into, references,
};

/// A review of rights is made again after this, for authorizers whose changes no watch tells, and up to a tenth later, so
/// that not all are made at once: no answer is believed for longer than an hour.
pub const REVIEW_AGAIN: Duration = Duration::from_mins(54);

/// What no watch tells of, such as a Secret that is not ours, is looked at again after this.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// One thing to do outside for a `ProcessBinding`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Write the Secret, all of it at once.
    Write(Content),
    /// Delete the binding's own Secret of this name, which nobody can change any more, so that it can be made again.
    Discard(String),
    /// Delete a Secret that this binding made and that it no longer names.
    Remove(String),
}

/// What became of an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The Secret is written.
    Written(OwnSecret),
    /// The Secret is marked immutable, and nothing was written.
    Immutable,
    /// The credential that was to be written turned out to be withdrawn: why.
    Withdrawn(Blocked),
    /// The binding's own Secret is gone.
    Discarded,
    /// The binding's own Secret is as it was: why.
    Hindered(Blocked),
    /// The Secret that is no longer named is gone.
    Removed,
    /// The Secret that is no longer named is still there: why.
    Kept(Blocked),
}

/// What a binding's process gets.
enum Claim<'a> {
    /// The credential.
    HandOut(&'a Found, Offer),
    /// What it has got already, for as long as that is good; nothing new.
    Keep(Verdict, &'a Found),
    /// Nothing.
    Withhold(Verdict, Option<&'a Found>),
}

/// Decides about a `ProcessBinding`: what its status should be, and what to do next.
pub fn decide(observed: &Observed, now: Timestamp) -> Decision<ProcessBindingStatus, Effect> {
    let going = observed.binding.metadata.deletion_timestamp.is_some();
    if going || observed.folder == FolderState::Terminating {
        // The Secret goes with its owner; writing into a namespace that is being deleted only delays it.
        return Decision { status: observed.status(), events: Vec::new(), effect: None, next: None };
    }
    let claim = if observed.binding.spec.configurable_by_users {
        Claim::Withhold(verdicts::of_choices(observed, now), None)
    } else {
        verdicts::claim(observed, now)
    };
    let (verdict, effect) = with_secret(observed, &claim, now);
    let verdict = verdicts::with_leftover(observed, verdict);
    let status = status(observed, &claim, verdict, now);
    let events = events(&observed.status(), &status);
    let effect = effect.filter(|_| observed.tried.write.is_none()).or_else(|| removal(observed));
    let next = next(observed, now);
    Decision { status, events, effect, next }
}

/// What an effect came to becomes a fact, from which the next decision is made.
pub fn learn(observed: &mut Observed, outcome: Outcome) {
    match outcome {
        Outcome::Written(secret) => observed.secret = SecretState::Own(secret),
        Outcome::Immutable => {
            if let SecretState::Own(own) = observed.secret.clone() {
                observed.secret = SecretState::Immutable(own);
            }
        }
        Outcome::Withdrawn(why) => observed.tried.withdrawn = Some(why),
        Outcome::Discarded => observed.secret = SecretState::Discarded,
        Outcome::Hindered(why) => observed.tried.write = Some(why),
        Outcome::Removed => observed.outdated = None,
        Outcome::Kept(why) => observed.tried.removal = Some(why),
    }
}

/// The former Secret goes when the new one is there, so that what uses it finds one of them; and also where the new one
/// cannot be written, because nobody would take the credential out of it.
fn removal(observed: &Observed) -> Option<Effect> {
    let outdated = observed.outdated.as_ref().filter(|_| observed.tried.removal.is_none())?;
    Some(Effect::Remove(outdated.name.clone()))
}

/// What becomes of the Secret, and what that does to the verdict.
fn with_secret(observed: &Observed, claim: &Claim<'_>, now: Timestamp) -> (Verdict, Option<Effect>) {
    let bound = || Verdict::yes(Reason::Bound, "");
    let hindered = |hindrance: &Blocked| Verdict::no(hindrance.reason, &hindrance.message);
    let name = observed.binding.spec.secret_name.as_deref().unwrap_or_default();
    match (claim, &observed.secret) {
        (Claim::HandOut(..), SecretState::NotWanted) => (bound(), None),
        (Claim::HandOut(..), SecretState::Foreign) => (verdicts::taken(observed, name), None),
        (Claim::HandOut(..), SecretState::AskedForBy(elder)) => {
            (verdicts::asked_for(observed, name, elder), None)
        }
        (Claim::HandOut(found, offer), secret) => {
            let content = Content::filled(observed, name, found, offer);
            if secret.own().is_some_and(|own| own.filled_from == content.filled_from) {
                return (bound(), None);
            }
            let verdict = observed.tried.write.as_ref().map_or_else(bound, hindered);
            (verdict, Some(written(secret, content)))
        }
        (Claim::Keep(verdict, found), SecretState::Own(own) | SecretState::Immutable(own)) => {
            let uid = found.connection.metadata.uid.as_deref().unwrap_or_default();
            let good = content::is_from(&own.filled_from, uid)
                && own.expires_at.is_none_or(|expires_at| now < expires_at);
            if good { (verdict.clone(), None) } else { emptied(observed, own, verdict) }
        }
        (Claim::Withhold(verdict, _), SecretState::Own(own) | SecretState::Immutable(own)) => {
            emptied(observed, own, verdict)
        }
        // What mounts it can start.
        (Claim::Keep(verdict, _) | Claim::Withhold(verdict, _), SecretState::Discarded) => {
            (verdict.clone(), Some(Effect::Write(Content::emptied(observed, name))))
        }
        (Claim::Keep(verdict, _) | Claim::Withhold(verdict, _), _) => (verdict.clone(), None),
    }
}

/// A Secret that cannot be changed is made again instead.
fn written(secret: &SecretState, content: Content) -> Effect {
    match secret {
        SecretState::Immutable(own) => Effect::Discard(own.name.clone()),
        _ => Effect::Write(content),
    }
}

/// Takes the credential out, if there is one.
fn emptied(observed: &Observed, own: &OwnSecret, verdict: &Verdict) -> (Verdict, Option<Effect>) {
    if !content::holds_credential(&own.filled_from) {
        return (verdict.clone(), None);
    }
    let verdict = observed.tried.write.as_ref().map_or_else(
        || verdict.clone(),
        |hindrance| {
            let message = format!(
                "the credential has to leave secret \"{}\", because {}; {}",
                own.name, verdict.message, hindrance.message
            );
            Verdict::no(hindrance.reason, message)
        },
    );
    (verdict, Some(written(&observed.secret, Content::emptied(observed, &own.name))))
}

fn status(observed: &Observed, claim: &Claim<'_>, verdict: Verdict, now: Timestamp) -> ProcessBindingStatus {
    let mut status = observed.status();
    let generation = observed.binding.metadata.generation;
    status.observed_generation = generation;
    status.requirement = Some(requirement(observed, claim, &verdict));
    let found = match claim {
        Claim::HandOut(found, _) | Claim::Keep(_, found) | Claim::Withhold(_, Some(found)) => Some(*found),
        Claim::Withhold(_, None) => None,
    };
    status.connection = found.map(|found| BoundConnection {
        namespace: found.connection.metadata.namespace.clone().unwrap_or_default(),
        name: found.connection.metadata.name.clone().unwrap_or_default(),
        uid: found.connection.metadata.uid.clone().unwrap_or_default(),
    });
    let own = observed.secret.own();
    status.binding = own.map(|own| BindingStatus { name: own.name.clone() });
    status.expires_at = own.and_then(|own| own.expires_at).map(whole_seconds);
    let progress = conditions::progress_of(&verdict);
    let verdicts = std::iter::once((ConditionType::Ready, verdict)).chain(progress);
    status.conditions = conditions::merge(&status.conditions, verdicts, generation, now);
    status
}

fn requirement(observed: &Observed, claim: &Claim<'_>, verdict: &Verdict) -> Requirement {
    let unknown = observed.binding.spec.configurable_by_users
        || matches!(claim, Claim::Keep(_, found) if verdicts::is_pending(&found.connection));
    match (unknown, verdict.holds()) {
        (true, _) => Requirement::Unknown,
        (false, true) => Requirement::Available,
        (false, false) => Requirement::Missing,
    }
}

/// When to look again: before rights are too old, when the credential in the Secret ends, and at what no watch tells of.
fn next(observed: &Observed, now: Timestamp) -> Option<Timestamp> {
    let spread = REVIEW_AGAIN.mul_f64(0.1 * share(observed.uid(), "review"));
    let oldest = observed.targets.iter().map(|target| target.reviewed_at).min();
    let review = oldest.map(|reviewed_at| later(reviewed_at, REVIEW_AGAIN + spread));
    let ends = observed.secret.own().and_then(|own| own.expires_at).filter(|expires_at| now < *expires_at);
    let yields = matches!(observed.secret, SecretState::Foreign | SecretState::AskedForBy(_));
    let unwatched = yields || observed.tried.is_hindered();
    let again = unwatched.then(|| later(now, LOOK_AGAIN));
    sooner(sooner(review, ends), again)
}

/// An Event where a person should know: on becoming bound, and on a new cause of not being so.
fn events(old: &ProcessBindingStatus, new: &ProcessBindingStatus) -> Vec<Event> {
    let ready = |status: &ProcessBindingStatus| {
        let ready = conditions::find(&status.conditions, ConditionType::Ready);
        ready.map(|ready| (ready.status.clone(), ready.reason.clone())).unwrap_or_default()
    };
    let (before, after) = (ready(old), ready(new));
    if before == after {
        return Vec::new();
    }
    match after.1.parse::<Reason>() {
        Ok(reason) if after.0 == "True" => vec![Event::normal(reason)],
        Ok(reason @ Reason::AwaitingUserConfiguration) => vec![Event::normal(reason)],
        Ok(reason) if reason.fixer() != Fixer::Nobody => vec![Event::warning(reason)],
        _ => Vec::new(),
    }
}
