//! What the decisions need from the outside world, as the few traits that adapters implement.

use std::time::Instant;

use async_trait::async_trait;

use crate::oauth::message::{Request, Response, SendFailure};

/// Sends a request to a provider, within limits of time, size and rate, and only where egress is allowed.
#[async_trait]
pub trait ProviderClient: Send + Sync {
    /// Sends once, never follows a redirect, never retries. `deadline` is checked just before bytes are written:
    /// past it nothing is sent and the answer is [`SendFailure::DeadlinePassed`].
    async fn send(&self, request: Request, deadline: Option<Instant>) -> Result<Response, SendFailure>;
}
