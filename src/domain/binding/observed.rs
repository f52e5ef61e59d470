//! What a decision about a `ProcessBinding` is made from. No field holds a secret.

use jiff::Timestamp;

use crate::api::{Connection, ProcessBinding, ProcessBindingStatus};
use crate::domain::connection::{Blocked, FolderState};
use crate::domain::hand_out::StaticHandOut;

/// A snapshot of one `ProcessBinding` and all that it depends on.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The binding, with the status that was last recorded.
    pub binding: ProcessBinding,
    /// The Folder that owns its namespace, if one does: a process may live outside of all folders.
    pub folder: FolderState,
    /// What the spec refers to, in the order of [`references`]; the folder's default, or nothing, for `default: true`.
    pub targets: Vec<Target>,
    /// Why the folder has no default, where `default: true` asks for one that is not there.
    pub no_default: Option<Blocked>,
    /// The Secret of `spec.secretName`.
    pub secret: SecretState,
    /// A Secret under another name that this binding made before.
    pub outdated: Option<OwnSecret>,
    /// What was just tried and did not come about.
    pub tried: Tried,
}

/// What did not come about in this pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// The credential that was to be handed out turned out to be withdrawn when it was read: why.
    pub withdrawn: Option<Blocked>,
    /// Why the Secret could not be written, or not be deleted to be made again.
    pub write: Option<Blocked>,
    /// Why the Secret that is no longer named could not be deleted.
    pub removal: Option<Blocked>,
}

impl Tried {
    /// Whether nothing tells when it may come about.
    pub(super) fn is_hindered(&self) -> bool {
        let Self { withdrawn, write, removal } = self;
        withdrawn.is_some() || write.is_some() || removal.is_some()
    }
}

/// A Connection that a binding refers to, as its process may see it.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What is there. Nothing is looked up before the process's right to use it is known.
    pub access: Access,
    /// When that right was reviewed: the answer may have been kept since.
    pub reviewed_at: Timestamp,
}

/// What a process may see of a Connection.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all of them are of the large variant")]
pub enum Access {
    /// The process's ServiceAccount may not use a Connection of that name there; whether there is one is not known.
    Forbidden,
    /// There is none.
    NotFound,
    /// The operator does not work in that namespace, and sees nothing of it.
    NotServed,
    /// It is there, and the process may use it.
    Found(Found),
}

/// A Connection that a process may use.
#[derive(Clone, Debug)]
pub struct Found {
    /// The Connection, as last recorded.
    pub connection: Connection,
    /// A keyed digest of the values of its Secret, where that is the credential.
    pub fingerprint: String,
    /// What the policies that govern the Connection say about handing out static credentials.
    pub static_hand_out: StaticHandOut,
}

/// The Secret that a binding is to fill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretState {
    /// The binding names none.
    NotWanted,
    /// There is none of that name.
    None,
    /// There is none, and this elder binding asks for one of that name too.
    AskedForBy(String),
    /// Somebody else's, which is left alone.
    Foreign,
    /// One that this binding made.
    Own(OwnSecret),
    /// One that this binding made and that nobody can change any more, as a write has found.
    Immutable(OwnSecret),
    /// This binding has just deleted its own, to make it again.
    Discarded,
}

impl SecretState {
    /// The Secret that this binding made, where it is there.
    pub(super) fn own(&self) -> Option<&OwnSecret> {
        match self {
            Self::Own(own) | Self::Immutable(own) => Some(own),
            Self::NotWanted | Self::None | Self::AskedForBy(_) | Self::Foreign | Self::Discarded => None,
        }
    }
}

/// A Secret that a binding made, as its annotations tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnSecret {
    /// Its name.
    pub name: String,
    /// What it was made from, as [`super::Content::filled_from`].
    pub filled_from: String,
    /// When the credential in it ends.
    pub expires_at: Option<Timestamp>,
}

impl Observed {
    /// The recorded status; that of a new object where there is none.
    pub fn status(&self) -> ProcessBindingStatus {
        self.binding.status.clone().unwrap_or_default()
    }

    /// The binding's namespace.
    pub fn namespace(&self) -> &str {
        self.binding.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// The binding's uid.
    pub fn uid(&self) -> &str {
        self.binding.metadata.uid.as_deref().unwrap_or_default()
    }
}

/// The elder binding of the same namespace that asks for a Secret of the same name. The younger one yields: else whoever
/// asks for the name of another's Secret would have it as soon as that one is made anew.
pub fn elder_with_same_secret<'a>(
    binding: &ProcessBinding,
    others: impl IntoIterator<Item = &'a ProcessBinding>,
) -> Option<String> {
    let age = |binding: &ProcessBinding| {
        let metadata = &binding.metadata;
        (metadata.creation_timestamp.as_ref().map(|time| time.0), metadata.uid.clone())
    };
    let asks_too = |other: &&ProcessBinding| {
        other.metadata.namespace == binding.metadata.namespace
            && other.metadata.uid != binding.metadata.uid
            && other.metadata.deletion_timestamp.is_none()
            && other.spec.secret_name.is_some()
            && other.spec.secret_name == binding.spec.secret_name
    };
    let elder = others.into_iter().filter(asks_too).filter(|other| age(other) < age(binding));
    elder.min_by_key(|other| age(other))?.metadata.name.clone()
}

/// The Connections that a binding names itself: one, or each user's.
pub fn references(binding: &ProcessBinding) -> Vec<(&str, &str)> {
    let own = binding.metadata.namespace.as_deref().unwrap_or_default();
    let spec = &binding.spec;
    let chosen =
        spec.choices.iter().map(|choice| &choice.connection_ref).filter(|_| spec.configurable_by_users);
    let all = spec.connection_ref.iter().chain(chosen);
    all.map(|reference| (reference.namespace.as_deref().unwrap_or(own), reference.name.as_str())).collect()
}

/// The Connection that a user has chosen for their own runs. Nobody else's choice, and no default, takes its place.
pub fn choice_of<'a>(binding: &'a ProcessBinding, user: &str) -> Option<(&'a str, &'a str)> {
    let own = binding.metadata.namespace.as_deref().unwrap_or_default();
    let chosen = binding.spec.choices.iter().filter(|_| binding.spec.configurable_by_users);
    let reference = &chosen.into_iter().find(|choice| choice.user == user)?.connection_ref;
    Some((reference.namespace.as_deref().unwrap_or(own), &reference.name))
}

/// Whether a change of that Connection may concern a binding.
pub fn concerns(binding: &ProcessBinding, connection: &Connection) -> bool {
    let namespace = connection.metadata.namespace.as_deref().unwrap_or_default();
    let name = connection.metadata.name.as_deref().unwrap_or_default();
    let by_default = binding.spec.default
        && binding.metadata.namespace.as_deref() == Some(namespace)
        && binding.spec.connector_ref.name == connection.spec.connector_ref.name;
    by_default || references(binding).contains(&(namespace, name))
}

/// Whether a change of rights in that namespace may concern a binding.
pub fn reaches_into(binding: &ProcessBinding, namespace: &str) -> bool {
    let by_default = binding.spec.default && binding.metadata.namespace.as_deref() == Some(namespace);
    by_default || references(binding).iter().any(|(there, _)| *there == namespace)
}
