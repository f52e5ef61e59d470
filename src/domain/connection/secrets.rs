//! The Secrets that a Connection means, its own or a policy's: whether they are there and complete.

use std::collections::BTreeMap;

use crate::api::names::{CLIENT_ID_KEY, CLIENT_SECRET_KEY, CREDENTIALS_LABEL};
use crate::catalogue::{Definition, Method};
use crate::domain::policy::{self, SecretChoice};
use crate::domain::reason::Reason;

use super::observed::{Observed, SecretState, digest_of};
use super::prepare::Blocked;

/// A digest of what the method takes from Secrets, once it is all there.
pub(super) fn credential(observed: &Observed, method: &Method) -> Result<String, Blocked> {
    let names = method.secret_names();
    let required = &names.required;
    let mut parts = Vec::new();
    let spec = &observed.connection.spec;
    let choice = policy::for_method(policy::credentials(spec, &observed.policy), !names.is_empty());
    if !required.is_empty() || choice.is_some() {
        let part = Part {
            field: "spec.credentials.secretRef",
            choice,
            observed,
            reason: Reason::CredentialsMissing,
        };
        let found = part.usable(&observed.credentials)?;
        part.require_keys(found, required, "")?;
        let values = names.required.iter().chain(&names.optional).filter_map(|name| found.1.get(name));
        parts.extend(values.map(String::as_str));
    }
    let choice = observed.oauth_app_choice();
    if policy::for_method(choice, method.auth_type().has_oauth_client()).is_some()
        && let SecretState::Found { fingerprints, .. } = &observed.oauth_app
    {
        parts.extend(fingerprints.values().map(String::as_str));
    }
    Ok(digest_of(&parts))
}

/// The id of the OAuth client, where the method has one and it is complete.
pub(super) fn oauth_client(
    observed: &Observed,
    definition: &Definition,
    method: &Method,
) -> Result<Option<String>, Blocked> {
    if !method.auth_type().has_oauth_client() {
        return Ok(None);
    }
    let hint = definition
        .documentation_url()
        .map(|url| format!("; how to register an OAuth app: {url}"))
        .unwrap_or_default();
    let choice = observed.oauth_app_choice();
    // A Secret that was read for somebody whom nobody lends it to is none.
    let app = if choice.is_some() { &observed.oauth_app } else { &SecretState::NotReferenced };
    let part =
        Part { field: "spec.oauthApp.secretRef", choice, observed, reason: Reason::ClientCredentialsMissing };
    let missing = |blocked: Blocked| Blocked { message: blocked.message + &hint, ..blocked };
    let found = part.usable(app).map_err(missing)?;
    let keys: &[&str] =
        if method.is_public_client() { &[CLIENT_ID_KEY] } else { &[CLIENT_ID_KEY, CLIENT_SECRET_KEY] };
    let keys: Vec<String> = keys.iter().map(|&key| key.to_owned()).collect();
    part.require_keys(found, &keys, &hint)?;
    match app {
        SecretState::Found { client_id, .. } => Ok(client_id.clone()),
        _ => Ok(None),
    }
}

type FoundSecret<'a> = (&'a str, &'a BTreeMap<String, String>);

/// A Secret that something has to come from.
struct Part<'a> {
    field: &'a str,
    choice: Option<SecretChoice>,
    observed: &'a Observed,
    reason: Reason,
}

impl Part<'_> {
    fn usable<'a>(&self, secret: &'a SecretState) -> Result<FoundSecret<'a>, Blocked> {
        let (field, namespace) = (self.field, self.observed.namespace());
        let message = match secret {
            SecretState::Found { name, fingerprints, .. } => return Ok((name, fingerprints)),
            SecretState::NotReferenced => format!(
                "{field} is not set; name a Secret of namespace \"{namespace}\" with the label {CREDENTIALS_LABEL}: \
                 \"true\"{}",
                self.or_by_policy()
            ),
            _ if let Some(by) = self.lent_by() => return Err(self.not_lent(by)),
            SecretState::NotFound(name) => format!(
                "{field}: secret \"{name}\" does not exist in namespace \"{namespace}\"; create it with the label \
                 {CREDENTIALS_LABEL}: \"true\""
            ),
            SecretState::NotLabelled(name) => format!(
                "{field}: secret \"{name}\" does not allow its use by connections; run `kubectl label secret {name} -n \
                 {namespace} {CREDENTIALS_LABEL}=true`"
            ),
        };
        Err(Blocked::because(self.reason, message))
    }

    fn require_keys(
        &self,
        (name, fingerprints): FoundSecret<'_>,
        required: &[String],
        hint: &str,
    ) -> Result<(), Blocked> {
        let missing: Vec<_> =
            required.iter().filter(|key| !fingerprints.contains_key(*key)).cloned().collect();
        if missing.is_empty() {
            return Ok(());
        }
        if let Some(by) = self.lent_by() {
            let blocked = self.not_lent(by);
            return Err(Blocked { message: blocked.message + hint, ..blocked });
        }
        Err(Blocked::because(
            self.reason,
            format!(
                "secret \"{name}\" in namespace \"{}\" lacks a value under the key {}; add it{hint}",
                self.observed.namespace(),
                missing.join(", "),
            ),
        ))
    }

    /// Who has no OAuth client need not register one where the organisation has.
    fn or_by_policy(&self) -> String {
        let observed = self.observed;
        let auth_type = observed.connector.auth_type_of(&observed.connection.spec);
        let Some(auth_type) = auth_type.filter(|auth_type| auth_type.can_be_lent_app()) else {
            return String::new();
        };
        if self.reason != Reason::ClientCredentialsMissing {
            return String::new();
        }
        match policy::withholds_app(auth_type, &observed.policy) {
            Some(by) => format!(
                "; policy \"{by}\" does not lend its OAuth app to authType \"{auth_type}\", which its administrator can \
                 change in authTypes of its default for this connector"
            ),
            None => ", or ask whether a ConnectionPolicy can lend the organisation's".to_owned(),
        }
    }

    fn lent_by(&self) -> Option<&str> {
        self.choice.as_ref()?.lent_by()
    }

    /// What a policy lends is its administrator's to mend, and nobody else's to know.
    fn not_lent(&self, by: &str) -> Blocked {
        let message = format!(
            "the Secret that policy \"{by}\" lends to connections on connector \"{}\" is missing or incomplete; ask its \
             administrator, or name one of your own in {}",
            self.observed.connection.spec.connector_ref.name, self.field
        );
        Blocked::because(self.reason, message)
    }
}
