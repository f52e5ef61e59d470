//! Waiting for a condition with a deadline, never for a time to pass.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const BETWEEN_PROBES: Duration = Duration::from_millis(50);

/// A deadline that nothing healthy misses, even on a busy machine.
pub const SOON: Duration = Duration::from_secs(30);

/// Probes until the answer is `Some`; the error tells what the last probe said.
pub async fn eventually<T>(
    what: &str,
    deadline: Duration,
    mut probe: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let end = Instant::now() + deadline;
    loop {
        let last = match probe().await {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => "not yet".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        if Instant::now() >= end {
            bail!("{what}: not within {deadline:?}; last answer: {last}");
        }
        pause().await;
    }
}

/// Probes for that long; an error as soon as the answer is no. For what must not happen, where nothing tells that it
/// would have by now.
pub async fn holds_for(
    what: &str,
    period: Duration,
    mut probe: impl AsyncFnMut() -> Result<bool>,
) -> Result<()> {
    let end = Instant::now() + period;
    while Instant::now() < end {
        if !probe().await? {
            bail!("{what}: no longer so");
        }
        pause().await;
    }
    Ok(())
}

/// A fault, not a wait: what comes, comes later.
pub async fn late_by(lag: Duration) {
    if !lag.is_zero() {
        tokio::time::sleep(lag).await;
    }
}

/// The pause between two probes.
pub async fn pause() {
    tokio::time::sleep(BETWEEN_PROBES).await;
}

/// Runs asynchronous work to its end from synchronous code, also inside a test's
/// own runtime: what is shared between tests must not hang on one test's runtime.
pub fn blocking<T: Send>(work: impl AsyncFnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = scope
            .spawn(|| tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work()));
        thread.join().unwrap_or_else(|_| bail!("the work panicked"))
    })
}

/// Whether `GET url` answers with success.
pub async fn answers(url: &str) -> bool {
    super::install_cryptography();
    matches!(reqwest::get(url).await, Ok(response) if response.status().is_success())
}
