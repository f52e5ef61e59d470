//! Hands out the credential of a Connection to who may use it: the access token without its refresh token, or the values
//! of its Secret. Whether they may is not asked here.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, ResourceExt};
use secrecy::SecretString;

use crate::api::{Connection, Connector};
use crate::domain::connection::ConnectorState;
use crate::domain::hand_out::{self, Form, Offer, RecordedToken, Refusal, StaticHandOut};
use crate::envelope::{Keyring, TokenRecord};
use crate::ports::{Credential, HandedOut};

use super::{Context, Error, Guarded, connector, secrets, token_store};

/// What credentials are read with.
pub(super) struct Source<'a> {
    pub client: &'a Client,
    pub keyring: &'a Keyring,
    pub connectors: &'a Store<Guarded<Connector>>,
    pub definitions: &'a connector::Definitions,
}

impl<'a> From<&'a Context> for Source<'a> {
    fn from(context: &'a Context) -> Self {
        Self {
            client: &context.client,
            keyring: &context.keyring,
            connectors: &context.connectors,
            definitions: &context.definitions,
        }
    }
}

/// Judges a Connection as a store shows it, and reads its credential by name where it may be handed out.
pub(super) async fn hand_out(
    source: &Source<'_>,
    connection: &Connection,
    policy: &StaticHandOut,
    now: Timestamp,
) -> Result<Result<HandedOut, Refusal>, Error> {
    match hand_out::judge(connection, policy) {
        Ok(offer) => {
            let credential = credential(source, connection, &offer, now).await?;
            Ok(credential.map(|credential| HandedOut::of(offer, credential)))
        }
        Err(refusal) => Ok(Err(refusal)),
    }
}

/// Reads the credential that was judged to be on offer.
pub(super) async fn credential(
    source: &Source<'_>,
    connection: &Connection,
    offer: &Offer,
    now: Timestamp,
) -> Result<Result<Credential, Refusal>, Error> {
    match offer.form {
        Form::Token { sequence } => token(source, connection, sequence, now).await,
        Form::Static => values(source, connection, offer).await,
        Form::Nothing => Ok(Ok(Credential::Nothing)),
    }
}

impl HandedOut {
    /// A credential with what was judged besides.
    pub(super) fn of(offer: Offer, credential: Credential) -> Self {
        let Offer { form: _, auth_type, base_url, account } = offer;
        Self { credential, auth_type, base_url, account }
    }
}

async fn token(
    source: &Source<'_>,
    connection: &Connection,
    judged: i64,
    now: Timestamp,
) -> Result<Result<Credential, Refusal>, Error> {
    let name = connection.name_any();
    let Some(stored) = token_store::stored(source.client, source.keyring, connection).await? else {
        return Ok(Err(hand_out::record_missing(&name)));
    };
    let (sequence, _, record) = match stored.opened {
        Ok(opened) => opened,
        Err(cause) => {
            tracing::warn!(
                connection = name,
                namespace = connection.namespace(),
                cause,
                "a token is not handed out"
            );
            return Ok(Err(hand_out::record_unreadable(&name)));
        }
    };
    let recorded = RecordedToken { sequence, expires_at: record.expires_at };
    if let Err(refusal) = hand_out::judge_record(&name, judged, recorded, now) {
        return Ok(Err(refusal));
    }
    let TokenRecord { access_token, expires_at, granted_scopes, .. } = record;
    Ok(Ok(Credential::Token { access_token, expires_at, granted_scopes }))
}

/// The values of exactly those keys that the Connector declares: a Secret may hold others.
async fn values(
    source: &Source<'_>,
    connection: &Connection,
    offer: &Offer,
) -> Result<Result<Credential, Refusal>, Error> {
    let name = connection.name_any();
    let shown = source.connectors.get(&ObjectRef::new(&connection.spec.connector_ref.name));
    let state = match shown.as_deref().map(|object| &object.0) {
        Some(Ok(connector)) => source.definitions.state_of(connector),
        Some(Err(_)) | None => ConnectorState::NotFound,
    };
    let ConnectorState::Valid { definition, .. } = state else {
        return Ok(Err(hand_out::connector_unusable(&name)));
    };
    let Some(method) = definition.method(offer.auth_type) else {
        return Ok(Err(hand_out::connector_unusable(&name)));
    };
    let namespace = connection.namespace().unwrap_or_default();
    let secret = connection.spec.credentials.as_ref();
    let mut all = match secret {
        Some(secret) => secrets::values_of(source.client, &namespace, &secret.secret_ref.name).await?,
        None => BTreeMap::new(),
    };
    let names = method.secret_names();
    let required: Option<BTreeMap<String, SecretString>> =
        names.required.into_iter().map(|key| all.remove_entry(&key)).collect();
    let Some(mut values) = required else { return Ok(Err(hand_out::values_missing(&name))) };
    values.extend(names.optional.into_iter().filter_map(|key| all.remove_entry(&key)));
    Ok(Ok(Credential::Static(values)))
}
