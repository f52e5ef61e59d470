//! Token records: sealed, in a Secret beside their Connection, replaced only by who has seen the last one.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Client, Resource, ResourceExt};

use crate::api::Connection;
use crate::api::names::{TOKEN_LABEL, TOKEN_RECORD_KEY, TOKEN_SECRET_TYPE, token_secret};
use crate::domain::connection::{TokenFacts, TokenState};
use crate::envelope::{Keyring, OpenedRecord, RecordContext, TokenRecord};

use super::{Context, Error};

const FIELD_MANAGER: &str = "liaison-token";

/// Facts about records, by the Secret's uid and resourceVersion, so that an unchanged one is not opened again.
#[derive(Default)]
pub struct KnownRecords(Mutex<HashMap<String, (String, TokenState)>>);

impl KnownRecords {
    fn get(&self, uid: &str, version: &str) -> Option<TokenState> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(uid).filter(|(known, _)| known == version).map(|(_, state)| state.clone())
    }

    fn insert(&self, uid: String, version: String, state: TokenState) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(uid, (version, state));
    }

    /// Forgets a Secret that is gone.
    pub fn forget(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

/// The record as it was seen: what a write has to find unchanged.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// uid and resourceVersion of the Secret; `None` where there is none.
    version: Option<(String, String)>,
    /// What it says.
    pub(super) state: TokenState,
}

/// What became of a write.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time, and mostly of the large variant")]
pub(super) enum Write {
    /// It is stored.
    Done(TokenFacts),
    /// Somebody else has changed the Secret since it was seen.
    Superseded,
    /// The API server refuses: why.
    Refused(String),
}

fn record_context(connection: &Connection) -> RecordContext<'_> {
    RecordContext {
        namespace: connection.metadata.namespace.as_deref().unwrap_or_default(),
        name: connection.metadata.name.as_deref().unwrap_or_default(),
        uid: connection.metadata.uid.as_deref().unwrap_or_default(),
    }
}

/// What the record says now. The watch is trusted for what it shows; a Connection that has had a token is looked up
/// by name where the watch shows none, or an older one.
pub(super) async fn observe(context: &Context, connection: &Connection) -> Result<Seen, Error> {
    let name = token_secret(&connection.uid().unwrap_or_default());
    let namespace = connection.namespace().unwrap_or_default();
    let sequence =
        connection.status.as_ref().and_then(|status| status.token.as_ref()).map(|token| token.sequence);
    let shown = context.secrets.tokens.get(&ObjectRef::new(&name).within(&namespace));
    match (shown, sequence) {
        (None, None) => Ok(Seen { version: None, state: TokenState::Missing }),
        (Some(metadata), _) => {
            let (uid, version) =
                (metadata.uid().unwrap_or_default(), metadata.resource_version().unwrap_or_default());
            let known = context.records.get(&uid, &version);
            let current = known.filter(|state| match state {
                TokenState::Present(facts) => sequence.is_none_or(|sequence| facts.sequence >= sequence),
                _ => true,
            });
            match current {
                Some(state) => Ok(Seen { version: Some((uid, version)), state }),
                None => read(context, connection).await,
            }
        }
        (None, Some(_)) => read(context, connection).await,
    }
}

/// Reads and opens the record.
pub(super) async fn read(context: &Context, connection: &Connection) -> Result<Seen, Error> {
    let Some((seen, _)) = open(context, connection).await? else {
        return Ok(Seen { version: None, state: TokenState::Missing });
    };
    Ok(seen)
}

/// What is said of a Secret that stands where the record would and does not carry its label: it is not ours, no watch
/// shows it, and it is not written over.
pub(super) async fn in_the_way(context: &Context, connection: &Connection) -> Result<Option<String>, Error> {
    let name = token_secret(&connection.uid().unwrap_or_default());
    let api = context.secrets.api(&connection.namespace().unwrap_or_default());
    let found = api.get_metadata_opt(&name).await.map_err(Error::api("look up the token Secret"))?;
    Ok(found.filter(|secret| !secret.labels().contains_key(TOKEN_LABEL)).map(|_| {
        format!(
            "secret \"{name}\" is there without the label {TOKEN_LABEL}; delete it if nothing else needs it"
        )
    }))
}

/// Which consent the record comes from; `None` where there is no record that can be opened.
pub(super) async fn consent_of(context: &Context, connection: &Connection) -> Result<Option<String>, Error> {
    Ok(match read(context, connection).await?.state {
        TokenState::Present(facts) => Some(facts.consent_id),
        TokenState::Missing | TokenState::Unreadable(_) => None,
    })
}

/// The record with its tokens, for one use.
pub(super) async fn tokens(context: &Context, connection: &Connection) -> Result<Option<TokenRecord>, Error> {
    Ok(open(context, connection).await?.and_then(|(_, record)| record))
}

/// The record with its tokens, if it is still the one that was seen.
pub(super) async fn tokens_as_seen(
    context: &Context,
    connection: &Connection,
    seen: &Seen,
) -> Result<Option<TokenRecord>, Error> {
    let opened = open(context, connection).await?;
    Ok(opened.filter(|(now, _)| now.version == seen.version).and_then(|(_, record)| record))
}

/// Whether the record is another one than was seen, read by name because the watch may be late.
pub(super) async fn has_changed(
    context: &Context,
    connection: &Connection,
    seen: &Seen,
) -> Result<bool, Error> {
    Ok(read(context, connection).await?.version != seen.version)
}

async fn open(
    context: &Context,
    connection: &Connection,
) -> Result<Option<(Seen, Option<TokenRecord>)>, Error> {
    let stored = stored(&context.client, &context.keyring, connection).await?;
    let Some(Stored { version: (uid, version), opened }) = stored else { return Ok(None) };
    let (state, record) = match opened {
        Ok((sequence, consent_id, record)) => {
            let facts = facts_of(sequence, &consent_id, &record);
            (TokenState::Present(facts), Some(record))
        }
        Err(cause) => (TokenState::Unreadable(cause), None),
    };
    context.records.insert(uid.clone(), version.clone(), state.clone());
    Ok(Some((Seen { version: Some((uid, version)), state }, record)))
}

/// A record as it is stored now.
pub(super) struct Stored {
    /// uid and resourceVersion of the Secret.
    version: (String, String),
    /// Its number, the consent that it comes from, and what is in it; or why it cannot be opened.
    pub(super) opened: Result<(i64, String, TokenRecord), String>,
}

/// Reads the record by name and opens it.
pub(super) async fn stored(
    client: &Client,
    keyring: &Keyring,
    connection: &Connection,
) -> Result<Option<Stored>, Error> {
    let name = token_secret(&connection.uid().unwrap_or_default());
    let api: Api<Secret> = Api::namespaced(client.clone(), &connection.namespace().unwrap_or_default());
    let secret = api.get_opt(&name).await.map_err(Error::api("read the token Secret"))?;
    let Some(secret) = secret else { return Ok(None) };
    let version = (secret.uid().unwrap_or_default(), secret.resource_version().unwrap_or_default());
    let envelope = secret.data.as_ref().and_then(|data| data.get(TOKEN_RECORD_KEY));
    let opened = match envelope {
        None => Err(format!("secret \"{name}\" lacks the key {TOKEN_RECORD_KEY}")),
        Some(envelope) => {
            let opened = keyring.open(record_context(connection), &envelope.0);
            // A number beyond what the API can hold has not been counted by us; it is the highest there is.
            let numbered = |opened: OpenedRecord| {
                let sequence = i64::try_from(opened.sequence).unwrap_or(i64::MAX);
                (sequence, opened.consent_id, opened.record)
            };
            opened.map(numbered).map_err(|fault| format!("secret \"{name}\": {fault}"))
        }
    };
    Ok(Some(Stored { version, opened }))
}

fn facts_of(sequence: i64, consent_id: &str, record: &TokenRecord) -> TokenFacts {
    TokenFacts {
        sequence,
        consent_id: consent_id.to_owned(),
        issued_at: record.issued_at,
        expires_at: record.expires_at,
        refreshable: record.refresh_token.is_some(),
        refresh_token_expires_at: record.refresh_token_expires_at,
        requested_scopes: record.requested_scopes.clone(),
        granted_scopes: record.granted_scopes.clone(),
        client_id: record.client_id.clone(),
        targets: record.targets.clone(),
        authenticated_by: record.authenticated_by.clone(),
        account: record.account.clone(),
        answers: record.answers.clone(),
    }
}

/// Asks the API server whether a record could be stored now, without storing one; what stands against it, if
/// anything does.
pub(super) async fn rehearse(
    context: &Context,
    connection: &Connection,
    seen: &Seen,
) -> Result<Option<Write>, Error> {
    Ok(write_envelope(context, connection, seen, Vec::new(), true).await?.err())
}

/// Seals and stores a record under the next number, if the Secret is still the one that was seen.
pub(super) async fn write(
    context: &Context,
    connection: &Connection,
    seen: &Seen,
    (sequence, consent_id): (i64, &str),
    record: &TokenRecord,
) -> Result<Write, Error> {
    let number = u64::try_from(sequence).unwrap_or_default();
    let envelope = context.keyring.seal(record_context(connection), number, consent_id, record)?;
    let secret = match write_envelope(context, connection, seen, envelope, false).await? {
        Ok(secret) => secret,
        Err(refused) => return Ok(refused),
    };
    let facts = facts_of(sequence, consent_id, record);
    let version = secret.resource_version().unwrap_or_default();
    context.records.insert(secret.uid().unwrap_or_default(), version, TokenState::Present(facts.clone()));
    Ok(Write::Done(facts))
}

async fn write_envelope(
    context: &Context,
    connection: &Connection,
    seen: &Seen,
    envelope: Vec<u8>,
    dry_run: bool,
) -> Result<Result<Secret, Write>, Error> {
    let api = context.secrets.api(&connection.namespace().unwrap_or_default());
    let secret = secret_of(connection, seen, envelope);
    let result = if seen.version.is_some() {
        let parameters = PatchParams { dry_run, ..PatchParams::apply(FIELD_MANAGER).force() };
        api.patch(&secret.name_any(), &parameters, &Patch::Apply(&secret)).await
    } else {
        let parameters = PostParams { dry_run, field_manager: Some(FIELD_MANAGER.to_owned()) };
        api.create(&parameters, &secret).await
    };
    match result {
        Ok(secret) => Ok(Ok(secret)),
        Err(kube::Error::Api(status))
            if status.is_conflict() || status.is_already_exists() || status.is_not_found() =>
        {
            Ok(Err(Write::Superseded))
        }
        // Quota, admission, rights: what a person has to mend.
        Err(kube::Error::Api(status)) if status.is_forbidden() || status.is_invalid() => {
            Ok(Err(Write::Refused(status.message.clone())))
        }
        Err(error) => Err(Error::api("write the token Secret")(error)),
    }
}

fn secret_of(connection: &Connection, seen: &Seen, envelope: Vec<u8>) -> Secret {
    let uid = connection.uid().unwrap_or_default();
    let (secret_uid, resource_version) = seen.version.clone().unzip();
    Secret {
        metadata: ObjectMeta {
            name: Some(token_secret(&uid)),
            namespace: connection.namespace(),
            uid: secret_uid,
            resource_version,
            labels: Some(BTreeMap::from([(TOKEN_LABEL.to_owned(), uid)])),
            owner_references: connection.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        type_: Some(TOKEN_SECRET_TYPE.to_owned()),
        data: Some(BTreeMap::from([(TOKEN_RECORD_KEY.to_owned(), ByteString(envelope))])),
        ..Secret::default()
    }
}
