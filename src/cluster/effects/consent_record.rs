//! The record that a person's consent brings about. It wins over whatever is there, also over a refresh that is made at
//! the same time: the person has just said what they want.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};

use crate::api::Connection;
use crate::cluster::token_store::{self, Seen, Write};
use crate::cluster::{Context, Error};
use crate::domain::connection::{TokenFacts, TokenState};
use crate::envelope::TokenRecord;

/// A write is tried again after this, then after twice as long each time: half a minute in all.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const RETRIES: usize = 7;

/// What became of a consent's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cluster) enum StoredConsent {
    /// It is the Connection's record now.
    Stored(Box<TokenFacts>),
    /// The API server refuses it: why.
    Refused(String),
}

/// Stores the record of a consent over whatever is there, under the next number. The provider has answered already, so
/// conflicts and passing faults of the API server are met with more tries.
pub(in crate::cluster) async fn store_consent(
    context: &Context,
    connection: &Connection,
    record: &TokenRecord,
    consent_id: &str,
) -> Result<StoredConsent, Error> {
    let write = || write_once(context, connection, record, consent_id);
    let pauses = ExponentialBuilder::default().with_min_delay(FIRST_PAUSE).with_max_times(RETRIES);
    write.retry(pauses).when(|error| !matches!(error, Error::Seal(_))).await
}

/// Asks the API server whether a consent's record could be stored now; what stands against it, if anything does.
pub(in crate::cluster) async fn rehearse_consent(
    context: &Context,
    connection: &Connection,
) -> Result<Option<String>, Error> {
    if let Some(cause) = token_store::in_the_way(context, connection).await? {
        return Ok(Some(cause));
    }
    let seen = token_store::read(context, connection).await?;
    match token_store::rehearse(context, connection, &seen).await? {
        None => Ok(None),
        Some(Write::Refused(cause)) => Ok(Some(cause)),
        Some(_) => Err(Error::Contended),
    }
}

async fn write_once(
    context: &Context,
    connection: &Connection,
    record: &TokenRecord,
    consent_id: &str,
) -> Result<StoredConsent, Error> {
    if let Some(cause) = token_store::in_the_way(context, connection).await? {
        return Ok(StoredConsent::Refused(cause));
    }
    let seen = token_store::read(context, connection).await?;
    let number = next_number(connection, &seen);
    match token_store::write(context, connection, &seen, (number, consent_id), record).await? {
        Write::Done(facts) => Ok(StoredConsent::Stored(Box::new(facts))),
        Write::Refused(cause) => Ok(StoredConsent::Refused(cause)),
        Write::Superseded => Err(Error::Contended),
    }
}

/// Above the record's number, and above the last one known, which a record that was put back falls short of.
fn next_number(connection: &Connection, seen: &Seen) -> i64 {
    let present = match &seen.state {
        TokenState::Present(facts) => facts.sequence,
        TokenState::Missing | TokenState::Unreadable(_) => 0,
    };
    let known = connection.status.as_ref().and_then(|status| status.token.as_ref());
    present.max(known.map_or(0, |token| token.sequence)).saturating_add(1)
}
