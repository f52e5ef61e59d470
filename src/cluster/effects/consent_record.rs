//! The write that keeps what a consent brought.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};

use crate::api::Connection;
use crate::cluster::token_store::{self, Write};
use crate::cluster::{Context, Error};
use crate::domain::connection::TokenState;
use crate::envelope::TokenRecord;

/// What became of it.
pub(in crate::cluster) enum StoredConsent {
    Done,
    Refused(String),
}

/// Whether a token could be stored now; if not, what stands against it.
pub(in crate::cluster) async fn rehearse_consent(
    context: &Context,
    connection: &Connection,
) -> Result<Result<(), String>, Error> {
    let seen = token_store::read(context, connection).await?;
    Ok(match token_store::rehearse(context, connection, &seen).await? {
        None => Ok(()),
        Some(Write::Refused(cause)) => Err(cause),
        Some(_) => Err("the token Secret is being changed by somebody else".to_owned()),
    })
}

/// Stores a record over whatever is there: a new consent wins over a refresh that runs beside it.
pub(in crate::cluster) async fn store_consent(
    context: &Context,
    connection: &Connection,
    record: &TokenRecord,
    consent_id: &str,
) -> Result<StoredConsent, Error> {
    let attempt = || store_once(context, connection, record, consent_id);
    let pauses = ExponentialBuilder::default().with_min_delay(Duration::from_millis(50)).with_max_times(8);
    match attempt.retry(pauses).await {
        Ok(stored) => Ok(stored),
        Err(error) => Ok(StoredConsent::Refused(error.to_string())),
    }
}

async fn store_once(
    context: &Context,
    connection: &Connection,
    record: &TokenRecord,
    consent_id: &str,
) -> Result<StoredConsent, Error> {
    let seen = token_store::read(context, connection).await?;
    let present = match &seen.state {
        TokenState::Present(facts) => facts.sequence,
        TokenState::Missing | TokenState::Unreadable(_) => 0,
    };
    let known = connection.status.as_ref().and_then(|status| status.token.as_ref());
    let sequence = present.max(known.map_or(0, |token| token.sequence)) + 1;
    match token_store::write(context, connection, &seen, (sequence, consent_id), record).await? {
        Write::Done(_) => Ok(StoredConsent::Done),
        Write::Refused(cause) => Ok(StoredConsent::Refused(cause)),
        Write::Superseded => Err(Error::Contended),
    }
}
