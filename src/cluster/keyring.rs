//! The keyring's Secret in the operator's own namespace.

use std::collections::BTreeMap;

use aws_lc_rs::rand;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ListParams, ObjectMeta, PostParams};
use kube::{Api, Client};

use crate::api::names::TOKEN_LABEL;
use crate::domain::folder::Territory;
use crate::envelope::{Keyring, KeyringFault};

/// Name of the Secret.
pub const KEYRING_SECRET: &str = "liaison-keyring";

/// Why there is no keyring to work with.
#[derive(Debug, thiserror::Error)]
pub enum KeyringSetupFault {
    /// The API server refused or could not be reached.
    #[error("{action}: {source}")]
    Api {
        /// What was tried.
        action: &'static str,
        /// What it said.
        source: Box<kube::Error>,
    },
    /// The Secret does not hold a keyring.
    #[error("secret \"{KEYRING_SECRET}\" does not hold a keyring: {0}; restore it from a backup")]
    Invalid(#[from] KeyringFault),
    /// A new keyring would make the tokens that are there unreadable.
    #[error(
        "secret \"{KEYRING_SECRET}\" is missing, but there are token Secrets that only its keys can open; restore it \
         from a backup, or delete the token Secrets (label {TOKEN_LABEL}) to start anew"
    )]
    Lost,
    /// The system gave no randomness.
    #[error("the system gave no randomness for a new key")]
    Entropy,
}

fn api(action: &'static str) -> impl FnOnce(kube::Error) -> KeyringSetupFault {
    move |source| KeyringSetupFault::Api { action, source: Box::new(source) }
}

/// Reads the keyring. Makes one on the first start, and never while token records exist.
pub async fn load_or_create(client: &Client, territory: &Territory) -> Result<Keyring, KeyringSetupFault> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &territory.operator_namespace);
    if let Some(keyring) = load(&secrets).await? {
        return Ok(keyring);
    }
    let places: Vec<Api<Secret>> = match &territory.namespaces {
        None => vec![Api::all(client.clone())],
        Some(names) => names.iter().map(|name| Api::namespaced(client.clone(), name)).collect(),
    };
    for records in places {
        let one = ListParams::default().labels(TOKEN_LABEL).limit(1);
        let present = records.list_metadata(&one).await.map_err(api("look for token Secrets"))?;
        if !present.items.is_empty() {
            return Err(KeyringSetupFault::Lost);
        }
    }
    let mut entropy = [0_u8; 32];
    rand::fill(&mut entropy).map_err(|_| KeyringSetupFault::Entropy)?;
    let keyring = Keyring::new("1", entropy)?;
    let data: BTreeMap<_, _> =
        keyring.to_secret_data().into_iter().map(|(key, value)| (key, ByteString(value))).collect();
    let secret = Secret {
        metadata: ObjectMeta { name: Some(KEYRING_SECRET.to_owned()), ..ObjectMeta::default() },
        data: Some(data),
        ..Secret::default()
    };
    match secrets.create(&PostParams::default(), &secret).await {
        Ok(_) => Ok(keyring),
        // Another replica was faster; its keyring counts.
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            load(&secrets).await?.ok_or(KeyringSetupFault::Lost)
        }
        Err(error) => Err(api("create the keyring's Secret")(error)),
    }
}

async fn load(secrets: &Api<Secret>) -> Result<Option<Keyring>, KeyringSetupFault> {
    let secret = secrets.get_opt(KEYRING_SECRET).await.map_err(api("read the keyring's Secret"))?;
    let Some(secret) = secret else { return Ok(None) };
    let data = secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect();
    Ok(Some(Keyring::from_secret_data(&data)?))
}
