//! Log lines: text for people or JSON for machines, on standard error.

use std::io::IsTerminal;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::Directive;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Libraries below HTTP and TLS, which at their lowest levels speak of bytes and peers. They stay at `info` whatever
/// the filter says, so that no log level can ever show what travels.
const QUIET: [&str; 6] =
    ["h2=info", "rustls=info", "hyper=info", "hyper_util=info", "reqwest=info", "tower=info"];

/// Starts logging. `directives` are tracing's filter directives, such as `info,liaison=debug`.
pub fn start(directives: &str, json: bool) -> anyhow::Result<()> {
    let mut filter: EnvFilter = directives.parse().context("the log filter cannot be understood")?;
    for quiet in QUIET {
        filter = filter
            .add_directive(quiet.parse::<Directive>().context("a quiet directive cannot be understood")?);
    }
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    if json {
        registry.with(layer.json()).init();
    } else {
        registry.with(layer).init();
    }
    Ok(())
}
