//! Secrets that connections refer to. They are watched as metadata; a body is read by name, turned into keyed
//! digests, and let go.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use k8s_openapi::api::core::v1::Secret;
use kube::api::PartialObjectMeta;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Client, ResourceExt};
use secrecy::SecretString;
use zeroize::Zeroize;

use crate::api::names::{CLIENT_ID_KEY, CREDENTIALS_LABEL};
use crate::domain::connection::SecretState;
use crate::domain::policy::SecretChoice;
use crate::envelope::Keyring;

use super::Error;

/// Reads Secrets that connections refer to.
pub struct Secrets {
    client: Client,
    operator_namespace: String,
    credentials: Store<PartialObjectMeta<Secret>>,
    pub(super) tokens: Store<PartialObjectMeta<Secret>>,
    digests: Mutex<HashMap<String, Digests>>,
}

/// Keyed digests of one version of one Secret.
#[derive(Clone)]
struct Digests {
    resource_version: String,
    fingerprints: BTreeMap<String, String>,
    client_id: Option<String>,
}

impl Digests {
    fn of(secret: Secret, keyring: &Keyring) -> Self {
        let resource_version = secret.resource_version().unwrap_or_default();
        let mut data = secret.data.unwrap_or_default();
        data.retain(|_, value| !value.0.is_empty());
        let digests = Self {
            resource_version,
            fingerprints: data
                .iter()
                .map(|(key, value)| (key.clone(), keyring.fingerprint(&[(key.as_str(), value.0.as_slice())])))
                .collect(),
            client_id: data
                .get(CLIENT_ID_KEY)
                .and_then(|value| String::from_utf8(value.0.clone()).ok())
                .map(|text| trimmed(&text)),
        };
        for value in data.values_mut() {
            value.0.zeroize();
        }
        digests
    }
}

impl Secrets {
    /// Reads through this client; what policies lend lies in the operator's namespace; the stores hold metadata of labelled Secrets and of token Secrets.
    pub fn new(
        client: Client,
        operator_namespace: &str,
        credentials: Store<PartialObjectMeta<Secret>>,
        tokens: Store<PartialObjectMeta<Secret>>,
    ) -> Self {
        let operator_namespace = operator_namespace.to_owned();
        Self { client, operator_namespace, credentials, tokens, digests: Mutex::default() }
    }

    /// What a Connection of this namespace may know of the Secret that is meant.
    pub(super) async fn state_of(
        &self,
        namespace: &str,
        choice: Option<&SecretChoice>,
        keyring: &Keyring,
    ) -> Result<SecretState, Error> {
        let Some(choice) = choice else { return Ok(SecretState::NotReferenced) };
        let namespace = choice.namespace(namespace, &self.operator_namespace);
        let name = choice.secret.clone();
        let reference = ObjectRef::new(&name).within(namespace);
        let known = self.credentials.get(&reference);
        let Some(metadata) = known else { return self.unlabelled(namespace, name).await };
        let uid = metadata.uid().unwrap_or_default();
        let version = metadata.resource_version().unwrap_or_default();
        let digests = match self.remembered(&uid, &version) {
            Some(digests) => digests,
            None => match self.read(namespace, &name).await? {
                Some(secret) => self.remember(&uid, secret, keyring),
                None => return Ok(SecretState::NotFound(name)),
            },
        };
        Ok(SecretState::Found { name, fingerprints: digests.fingerprints, client_id: digests.client_id })
    }

    /// A Secret that the watch does not show: it is missing, or lacks the label. The watch tells when that changes.
    async fn unlabelled(&self, namespace: &str, name: String) -> Result<SecretState, Error> {
        let found = self.api(namespace).get_metadata_opt(&name).await;
        let found = found.map_err(Error::api("look up a Secret"))?;
        Ok(if found.is_some() { SecretState::NotLabelled(name) } else { SecretState::NotFound(name) })
    }

    /// The values of the Secret that a Connection of this namespace means, if it carries the label, for one use.
    pub(super) async fn values(
        &self,
        namespace: &str,
        choice: Option<&SecretChoice>,
    ) -> Result<BTreeMap<String, SecretString>, Error> {
        let Some(choice) = choice else { return Ok(BTreeMap::new()) };
        let namespace = choice.namespace(namespace, &self.operator_namespace);
        values_of(&self.client, namespace, &choice.secret).await
    }

    async fn read(&self, namespace: &str, name: &str) -> Result<Option<Secret>, Error> {
        self.api(namespace).get_opt(name).await.map_err(Error::api("read a Secret"))
    }

    pub(super) fn api(&self, namespace: &str) -> Api<Secret> {
        Api::namespaced(self.client.clone(), namespace)
    }

    fn remembered(&self, uid: &str, version: &str) -> Option<Digests> {
        let digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        digests.get(uid).filter(|digests| digests.resource_version == version).cloned()
    }

    fn remember(&self, uid: &str, secret: Secret, keyring: &Keyring) -> Digests {
        let digests = Digests::of(secret, keyring);
        let mut all = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(uid.to_owned(), digests.clone());
        digests
    }

    /// Forgets a Secret that is gone.
    pub fn forget(&self, uid: &str) {
        self.digests.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

/// The values of a Secret that carries the label, for one use; none where it is not there, or does not carry it.
pub(super) async fn values_of(
    client: &Client,
    namespace: &str,
    name: &str,
) -> Result<BTreeMap<String, SecretString>, Error> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let secret = api.get_opt(name).await.map_err(Error::api("read a Secret"))?;
    let secret =
        secret.filter(|secret| secret.labels().get(CREDENTIALS_LABEL).is_some_and(|value| value == "true"));
    Ok(secret.map(texts).unwrap_or_default())
}

/// The same as [`Secrets::state_of`] by one read, for who cannot wait for a watch.
pub(super) async fn fresh_state(
    client: &Client,
    keyring: &Keyring,
    (namespace, operator_namespace): (&str, &str),
    choice: Option<&SecretChoice>,
) -> Result<SecretState, Error> {
    let Some(choice) = choice else { return Ok(SecretState::NotReferenced) };
    let namespace = choice.namespace(namespace, operator_namespace);
    let name = choice.secret.clone();
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let found = api.get_opt(&name).await.map_err(Error::api("read a Secret"))?;
    let Some(secret) = found else { return Ok(SecretState::NotFound(name)) };
    if secret.labels().get(CREDENTIALS_LABEL).is_none_or(|value| value != "true") {
        return Ok(SecretState::NotLabelled(name));
    }
    let Digests { fingerprints, client_id, .. } = Digests::of(secret, keyring);
    Ok(SecretState::Found { name, fingerprints, client_id })
}

/// A value without the line break that editors and shells leave at the end.
fn trimmed(text: &str) -> String {
    text.trim_end_matches(['\n', '\r']).to_owned()
}

fn texts(secret: Secret) -> BTreeMap<String, SecretString> {
    let data = secret.data.unwrap_or_default();
    data.into_iter()
        .filter_map(|(key, value)| {
            let text = String::from_utf8(value.0).ok()?;
            Some((key, SecretString::from(trimmed(&text))))
        })
        .collect()
}
