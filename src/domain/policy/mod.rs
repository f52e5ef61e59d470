//! What the `ConnectionPolicies` of the folder tree come to for one Connection.
//!
//! Policies stand at a depth: those for all folders at the very top, the others at the folders that they select, and a
//! policy with `subtree` above everything below them. From the top down
//!
//! - denials add up: of Connectors and auth types every allow-list has to have it and no list of denials may; every list
//!   of allowedHosts has to cover a host; the password grant needs one policy that allows it and none that denies it;
//! - of defaults for a Connector the nearest entry counts, as a whole;
//! - of enforcement, handOutStatic, accounts and consent the highest word counts, unless the policies that say it are
//!   `overridable`: then the next word below does. At one depth a denial wins, and of equal ones the first by name.
//!
//! docs/adr/0019 says why.

pub mod review;
mod rules;
mod selection;
mod sources;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::BTreeSet;

use url::Host;

use crate::api::connection::PolicyStatus;
use crate::api::connection_policy::{AuthTypeRules, ConnectorDefaults, Enforcement, PasswordGrant};
use crate::api::{AuthType, ConnectionPolicy};
use crate::catalogue::hosts;

pub use rules::{Violation, account_violation, consent_violation, violation};
pub use selection::{Ancestry, FARTHEST, FolderNode, ancestry, below, owner_of};
pub(in crate::domain) use sources::for_method;
pub use sources::{
    GivenParameters, SecretChoice, Whose, credentials, given_parameters, lends, names_own_secret, oauth_app,
    own_secrets, scopes, withholds_app,
};

/// Names of policies that a status lists, and hosts.
const LISTED: usize = 64;

/// Something that a policy says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said<T> {
    /// What.
    pub what: T,
    /// The policy's name.
    pub by: String,
}

/// The rules that govern one Connection. Without any policy it allows all but the password grant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EffectivePolicy {
    /// Names of the policies that govern the folder, from the root down.
    pub sources: Vec<String>,
    /// What a Connection on this Connector uses where it says nothing itself.
    pub default: Option<Said<ConnectorDefaults>>,
    /// `host:port` exempt from the egress guard, besides those of the operator's settings.
    pub egress_exceptions: BTreeSet<(String, u16)>,
    connector_denied_by: Option<String>,
    auth_types: Vec<Said<AuthTypeRules>>,
    host_lists: Vec<Said<Vec<String>>>,
    password_grant_allowed: bool,
    password_grant_denied_by: Option<String>,
    enforcement: Option<Said<Enforcement>>,
    hand_out_static: Option<Said<bool>>,
    code_entry: Option<Said<bool>>,
    accounts: Vec<Said<Vec<String>>>,
}

impl EffectivePolicy {
    /// What these policies come to for a Connection on this Connector in the folder of this ancestry. The order of the
    /// policies does not matter.
    pub fn of(policies: &[&ConnectionPolicy], ancestry: &Ancestry, connector: &str) -> Self {
        let levels = selection::levels(policies, ancestry);
        let mut governing: Vec<&ConnectionPolicy> = Vec::new();
        for policy in levels.iter().flatten() {
            if !governing.iter().any(|known| name(known) == name(policy)) {
                governing.push(policy);
            }
        }
        let said =
            |what: PasswordGrant| governing.iter().find(|policy| policy.spec.password_grant == Some(what));
        Self {
            sources: governing.iter().map(|policy| name(policy)).collect(),
            default: nearest_default(&levels, connector),
            egress_exceptions: governing
                .iter()
                .flat_map(|policy| &policy.spec.egress_exceptions)
                .filter_map(|text| host_and_port(text))
                .collect(),
            connector_denied_by: governing
                .iter()
                .find(|policy| denies(policy, connector))
                .map(|policy| name(policy)),
            auth_types: collected(&governing, |policy| policy.spec.auth_types.clone()),
            host_lists: collected(&governing, |policy| policy.spec.allowed_hosts.clone()),
            password_grant_allowed: said(PasswordGrant::Allowed).is_some(),
            password_grant_denied_by: said(PasswordGrant::Denied).map(|policy| name(policy)),
            enforcement: highest_word(&levels, |policy| policy.spec.enforcement),
            // Greater is what allows less.
            hand_out_static: highest_word(&levels, |policy| policy.spec.hand_out_static.map(Reverse))
                .map(plain),
            code_entry: highest_word(&levels, |policy| {
                policy.spec.consent.as_ref()?.allow_code_entry.map(Reverse)
            })
            .map(plain),
            accounts: accounts(&levels),
        }
    }

    /// What becomes of an authenticated Connection that is not allowed.
    pub fn enforcement(&self) -> Enforcement {
        self.enforcement.as_ref().map(|said| said.what).unwrap_or_default()
    }

    /// Whether static credentials are handed to processes; else the policy that says so.
    pub fn hands_out_static(&self) -> Result<(), &str> {
        match &self.hand_out_static {
            Some(said) if !said.what => Err(&said.by),
            _ => Ok(()),
        }
    }

    /// Whether a code may be entered by hand.
    pub fn allows_code_entry(&self) -> bool {
        self.code_entry.as_ref().is_some_and(|said| said.what)
    }

    /// The policy that allows only some accounts, if one does.
    pub fn restricts_accounts(&self) -> Option<&str> {
        self.accounts.first().map(|said| said.by.as_str())
    }

    /// Lists of hosts, each of which has to cover every host that credentials are sent to.
    pub fn host_lists(&self) -> impl Iterator<Item = &Said<Vec<String>>> {
        self.host_lists.iter()
    }

    /// What is shown of it; nothing where no policy governs the folder.
    pub fn to_status(&self) -> Option<PolicyStatus> {
        if self.sources.is_empty() {
            return None;
        }
        let enforcement = match &self.enforcement {
            Some(said) => format!("{:?}/{}", said.what, said.by),
            None => format!("{:?}", Enforcement::default()),
        };
        let lists: Vec<_> = self.host_lists.iter().map(|said| said.what.as_slice()).collect();
        let allowed_hosts = (!lists.is_empty()).then(|| hosts::common(&lists));
        Some(PolicyStatus {
            sources: self.sources.iter().take(LISTED).cloned().collect(),
            enforcement: Some(enforcement),
            defaults: self.default.as_ref().map(|said| said.by.clone()),
            allowed_hosts: allowed_hosts.map(|hosts| hosts.into_iter().take(LISTED).collect()),
            static_hand_out_denied_by: self.hands_out_static().err().map(ToOwned::to_owned),
        })
    }
}

fn name(policy: &ConnectionPolicy) -> String {
    policy.metadata.name.clone().unwrap_or_default()
}

/// Whether a policy does not allow a Connector.
fn denies(policy: &ConnectionPolicy, connector: &str) -> bool {
    let lists = |list: &[String]| list.iter().any(|listed| listed == connector);
    policy.spec.connectors.as_ref().is_some_and(|rules| {
        lists(&rules.deny) || rules.allow.as_ref().is_some_and(|allowed| !lists(allowed))
    })
}

/// What every policy that speaks says.
fn collected<T>(
    policies: &[&ConnectionPolicy],
    says: impl Fn(&ConnectionPolicy) -> Option<T>,
) -> Vec<Said<T>> {
    policies.iter().filter_map(|policy| Some(Said { what: says(policy)?, by: name(policy) })).collect()
}

/// The entry of the nearest folder; of several there the one of the first policy by name.
fn nearest_default(levels: &[Vec<&ConnectionPolicy>], connector: &str) -> Option<Said<ConnectorDefaults>> {
    let entry = |policy: &&ConnectionPolicy| {
        let entry = policy.spec.defaults.iter().find(|entry| entry.connector == connector)?;
        Some(Said { what: entry.clone(), by: name(policy) })
    };
    levels.iter().rev().find_map(|level| level.iter().find_map(entry))
}

/// The words of one depth that count: those of the highest depth at which anybody speaks, or of the next one below
/// where all who speak there let themselves be overridden.
fn words<T>(
    levels: &[Vec<&ConnectionPolicy>],
    says: impl Fn(&ConnectionPolicy) -> Option<T>,
) -> Vec<Said<T>> {
    let mut counting = Vec::new();
    for level in levels {
        let speaking = collected(level, &says);
        if speaking.is_empty() {
            continue;
        }
        counting = speaking;
        let is_final = level.iter().any(|policy| says(policy).is_some() && !policy.spec.overridable);
        if is_final {
            break;
        }
    }
    counting
}

/// The greatest of the words that count, which is the one that allows least.
fn highest_word<T: Ord>(
    levels: &[Vec<&ConnectionPolicy>],
    says: impl Fn(&ConnectionPolicy) -> Option<T>,
) -> Option<Said<T>> {
    words(levels, says)
        .into_iter()
        .max_by(|one, other| one.what.cmp(&other.what).then_with(|| other.by.cmp(&one.by)))
}

fn plain(said: Said<Reverse<bool>>) -> Said<bool> {
    Said { what: said.what.0, by: said.by }
}

/// Lists of accounts; at one depth an account has to be on all of them.
fn accounts(levels: &[Vec<&ConnectionPolicy>]) -> Vec<Said<Vec<String>>> {
    words(levels, |policy| policy.spec.accounts.clone())
}

/// A host as addresses write it, and a port.
pub(crate) fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    Some((Host::parse(host).ok()?.to_string(), port))
}

/// Whether a rule on auth types does not allow one.
fn denies_auth_type(rules: &AuthTypeRules, auth_type: AuthType) -> bool {
    rules.deny.contains(&auth_type)
        || rules.allow.as_ref().is_some_and(|allowed| !allowed.contains(&auth_type))
}
