//! ProcessBindings: one pass is observe → decide → act.

mod output;
mod removal;
mod reviews;

use std::sync::Arc;
use std::time::Instant;

use k8s_openapi::api::core::v1::Secret;
use kube::api::PartialObjectMeta;
use kube::runtime::controller::Action;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Resource, ResourceExt};

use crate::api::{Connection, ProcessBinding, ProcessBindingStatus};
use crate::domain::binding::{
    Access, Content, Effect, Found, Observed, Outcome, SecretState as BindingSecret, Target, Tried, Whose,
    decide, elder_with_same_secret, learn, references,
};
use crate::domain::connection::{Blocked, SecretState};
use crate::domain::decision::Decision;
use crate::domain::hand_out::{Refusal, StaticHandOut};
use crate::domain::lookup;
use crate::domain::policy::credentials;
use crate::domain::reason::Reason;
use crate::ports::{Credential, HandedOut};

use super::record::Recorded;
use super::{Calls, Context, Error, Guarded, OwnWrites, again_at, hand_out, policy, record};
use output::{Seen, Write};
use reviews::{Account, Reviews};

const FIELD_MANAGER: &str = "liaison-binding";

/// More than can follow one from another: a write that finds the Secret immutable, its deletion, the credential withdrawn
/// when it is read, a Secret without it, and the former Secret's deletion.
const EFFECTS_IN_A_PASS: usize = 6;

/// What passes over ProcessBindings share.
pub struct Shared {
    /// Secrets that bindings made, as metadata.
    outputs: Store<PartialObjectMeta<Secret>>,
    /// Bindings as this process left them, until the watch shows it.
    written: OwnWrites<ProcessBinding>,
    /// The same for their Secrets.
    written_outputs: OwnWrites<PartialObjectMeta<Secret>>,
    /// What processes may use.
    pub(super) reviews: Reviews,
    /// Who is to be looked at.
    pub calls: Calls<ProcessBinding>,
}

impl Shared {
    /// Nothing is known yet; the store holds metadata of Secrets that bindings made.
    pub fn new(outputs: Store<PartialObjectMeta<Secret>>) -> Self {
        Self {
            outputs,
            written: OwnWrites::default(),
            written_outputs: OwnWrites::default(),
            reviews: Reviews::default(),
            calls: Calls::default(),
        }
    }
}

/// One pass over a ProcessBinding.
pub async fn reconcile(
    binding: Arc<Guarded<ProcessBinding>>,
    context: Arc<Context>,
) -> Result<Action, Error> {
    let binding = binding.0.as_ref().map_err(|fault| Error::Malformed(fault.error.clone()))?;
    let binding = context.binding.written.apply(binding);
    if binding.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let (observed, seen) = observe(&binding, &context).await?; // reads
    let decision = decide(&observed, context.clock.now()); // pure
    act(&context, observed, seen, decision).await // writes
}

/// Gathers all that a decision depends on. Reads only.
async fn observe(binding: &ProcessBinding, context: &Context) -> Result<(Observed, Seen), Error> {
    let namespace = binding.namespace().unwrap_or_default();
    let own = |(there, name): (&str, &str)| (there.to_owned(), name.to_owned());
    let (named, no_default) = if binding.spec.default {
        match default_of(context, &namespace, &binding.spec.connector_ref.name) {
            Ok(name) => (vec![(namespace.clone(), name)], None),
            Err(blocked) => (Vec::new(), Some(blocked)),
        }
    } else {
        (references(binding).into_iter().map(own).collect(), None)
    };
    let account = Account { namespace: namespace.clone(), name: binding.spec.service_account_name.clone() };
    let mut targets = Vec::with_capacity(named.len());
    for (there, name) in named {
        targets.push(target(context, &account, there, name).await?);
    }
    let seen = output::observe(context, binding).await?;
    let observed = Observed {
        folder: policy::governing(context, &namespace, &binding.spec.connector_ref.name).0,
        targets,
        no_default,
        secret: secret_state(context, binding, &seen),
        outdated: seen.outdated(),
        tried: Tried::default(),
        binding: binding.clone(),
    };
    Ok((observed, seen))
}

fn default_of(context: &Context, namespace: &str, connector: &str) -> Result<String, Blocked> {
    let connections = context.connections.state();
    let connections = connections.iter().filter_map(|object| object.0.as_ref().ok());
    Ok(lookup::the_default(namespace, connector, connections)?.name_any())
}

/// What a process may see of a Connection. Its right is reviewed before anything is looked up.
async fn target(
    context: &Context,
    account: &Account,
    namespace: String,
    name: String,
) -> Result<Target, Error> {
    if !context.territory.serves(&namespace) {
        let reviewed_at = context.clock.now();
        return Ok(Target { namespace, name, access: Access::NotServed, reviewed_at });
    }
    let right = context.binding.reviews.may_use(&context.client, account, &namespace, &name).await?;
    let now = context.clock.now();
    let reviewed_at = now.checked_sub(right.age).unwrap_or(now);
    let access = if right.allowed { look_up(context, &namespace, &name).await? } else { Access::Forbidden };
    Ok(Target { namespace, name, access, reviewed_at })
}

/// A Connection, for a process that may use it.
async fn look_up(context: &Context, namespace: &str, name: &str) -> Result<Access, Error> {
    let Some(connection) = connection_of(context, namespace, name) else { return Ok(Access::NotFound) };
    let (_, policy) = policy::governing(context, namespace, &connection.spec.connector_ref.name);
    let static_hand_out = StaticHandOut::of(&connection.spec, &policy);
    let auth_type = connection.status.as_ref().and_then(|status| status.auth_type);
    let fingerprint = if auth_type.is_some_and(crate::api::AuthType::is_static) {
        let source = credentials(&connection.spec, &policy);
        match context.secrets.state_of(namespace, source.as_ref(), &context.keyring).await? {
            SecretState::Found { fingerprints, .. } => format!("{fingerprints:?}"),
            _ => String::new(),
        }
    } else {
        String::new()
    };
    Ok(Access::Found(Found { connection, fingerprint, static_hand_out }))
}

/// The Connection as it is, as far as this process knows.
fn connection_of(context: &Context, namespace: &str, name: &str) -> Option<Connection> {
    let stored = context.connections.get(&ObjectRef::new(name).within(namespace))?;
    Some(context.written.apply(stored.0.as_ref().ok()?))
}

/// Where there is no Secret of that name, it is the elder binding's to make.
fn secret_state(context: &Context, binding: &ProcessBinding, seen: &Seen) -> BindingSecret {
    let state = seen.state(binding);
    if state != BindingSecret::None {
        return state;
    }
    let bindings = context.bindings.state();
    let others = bindings.iter().filter_map(|object| object.0.as_ref().ok());
    elder_with_same_secret(binding, others).map_or(state, BindingSecret::AskedForBy)
}

/// Does what was decided, and what is decided after that. What did not come about is known within a pass alone, so that
/// no effect is left to the next one; then the status is written once, where it differs.
async fn act(
    context: &Context,
    mut observed: Observed,
    mut seen: Seen,
    mut decision: Decision<ProcessBindingStatus, Effect>,
) -> Result<Action, Error> {
    for _ in 0..EFFECTS_IN_A_PASS {
        let Some(effect) = &decision.effect else {
            return recorded(context, &observed.binding, &decision).await;
        };
        let outcome = match effect {
            Effect::Write(wanted) => write(context, &observed, &mut seen, wanted).await?,
            Effect::Discard(_) => removal::discard(context, &mut seen).await?,
            Effect::Remove(_) => removal::remove(context, &mut seen).await?,
        };
        let Some(outcome) = outcome else { break };
        learn(&mut observed, outcome);
        decision = decide(&observed, context.clock.now());
    }
    Ok(Action::requeue(record::LOOK_AGAIN))
}

/// Writes the Secret, with the credential where one is to be in it. `None`: something has changed meanwhile.
async fn write(
    context: &Context,
    observed: &Observed,
    seen: &mut Seen,
    wanted: &Content,
) -> Result<Option<Outcome>, Error> {
    let credential = match &wanted.credential {
        None => Credential::Nothing,
        Some(whose) => match credential_of(context, observed, whose).await? {
            Some(Ok(handed_out)) => handed_out.credential,
            // What was judged is not what is there: the Connection's next status tells.
            None | Some(Err(Refusal::Waits(_))) => return Ok(None),
            Some(Err(Refusal::Withdrawn(why))) => return Ok(Some(Outcome::Withdrawn(why))),
        },
    };
    Ok(match output::write(context, &observed.binding, seen, wanted, credential).await? {
        Write::Done(own) => Some(Outcome::Written(own)),
        Write::Immutable => Some(Outcome::Immutable),
        Write::Refused(message) => {
            let message = format!("secret \"{}\" cannot be written: {message}", wanted.name);
            Some(Outcome::Hindered(Blocked { reason: Reason::SecretWriteRefused, message }))
        }
        Write::Superseded => None,
    })
}

/// The credential of a Connection that was judged before; `None` where another one is there now.
async fn credential_of(
    context: &Context,
    observed: &Observed,
    whose: &Whose,
) -> Result<Option<Result<HandedOut, Refusal>>, Error> {
    let found = observed.targets.iter().find_map(|target| match &target.access {
        Access::Found(found) if found.connection.metadata.uid.as_ref() == Some(&whose.uid) => Some(found),
        _ => None,
    });
    let Some(found) = found else { return Ok(None) };
    let source = hand_out::Source::from(context);
    let now = context.clock.now();
    Ok(Some(hand_out::hand_out(&source, &found.connection, &found.static_hand_out, now).await?))
}

async fn recorded(
    context: &Context,
    binding: &ProcessBinding,
    decision: &Decision<ProcessBindingStatus, Effect>,
) -> Result<Action, Error> {
    let api: Api<ProcessBinding> =
        Api::namespaced(context.client.clone(), &binding.namespace().unwrap_or_default());
    match record::status(&api, binding, &decision.status, FIELD_MANAGER).await? {
        Recorded::Unchanged => {}
        Recorded::Written(written) => {
            context.binding.written.note(binding, *written, Instant::now());
            record::events(&context.recorder, &binding.object_ref(&()), &decision.events).await;
        }
        Recorded::Superseded => return Ok(Action::requeue(record::LOOK_AGAIN)),
    }
    Ok(again_at(context.clock.now(), decision.next))
}
