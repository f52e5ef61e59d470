//! Asking an issuer for its metadata.

use std::time::Instant;

use crate::api::connector::IssuerMetadata;
use crate::cluster::Context;
use crate::domain::connection::Settings;
use crate::domain::connector::Outcome;
use crate::oauth::{self, Failure};
use crate::ports::{Clock, ProviderClient};

use super::deadline;

/// Asks while this replica leads. `None` where our own side holds it back for now.
pub(in crate::cluster) async fn fetch_metadata(context: &Context, issuer: &str) -> Option<Outcome> {
    let sender = Sender {
        provider: context.provider.as_ref(),
        clock: context.clock.as_ref(),
        settings: &context.settings,
        deadline: &|| deadline(context),
    };
    Some(match sender.fetch(issuer).await? {
        Ok(metadata) => Outcome::Fetched(metadata),
        Err(failure) => Outcome::NotFetched { retry_after: failure.retry_after(), message: failure.message },
    })
}

/// What a request is sent with.
struct Sender<'a> {
    provider: &'a dyn ProviderClient,
    clock: &'a dyn Clock,
    settings: &'a Settings,
    deadline: &'a (dyn Fn() -> Option<Instant> + Sync),
}

impl Sender<'_> {
    /// Asks at one address, and at the other one where there is nothing at the first.
    async fn fetch(&self, issuer: &str) -> Option<Result<IssuerMetadata, Failure>> {
        let http_allowed = |host: &str, port: u16| self.settings.http_allowed(host, port);
        let [first, second] = match oauth::metadata_requests(issuer, &http_allowed) {
            Ok(requests) => requests,
            Err(fault) => return Some(Err(fault.failure())),
        };
        let host = first.host_and_port();
        let mut sent = self.provider.send(first, Some((self.deadline)()?)).await;
        if sent.as_ref().is_ok_and(oauth::is_absent) {
            sent = self.provider.send(second, Some((self.deadline)()?)).await;
        }
        let now = self.clock.now();
        match sent {
            Ok(answer) => Some(oauth::parse_metadata(issuer, &host, &answer, &http_allowed, now)),
            Err(failure) if failure.is_postponed() => None,
            Err(failure) => Some(Err(Failure::from_send(&failure, &self.settings.egress_addresses))),
        }
    }
}

#[cfg(test)]
#[path = "tests/metadata.rs"]
mod tests;
