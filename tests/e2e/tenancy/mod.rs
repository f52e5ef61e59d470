//! Confused deputies: what an attacker who may do much in one folder tries against another one, and against the
//! organisation, with the operator as her tool. One file for each family of attempts.
//!
//! Red is the team that is attacked. Eve may do everything in blue, with Secrets, ServiceAccounts and Pods, and nothing
//! in red; she has a provider of her own. Mallory writes Connectors for the whole cluster, Paula makes Folders. Whatever
//! is tried, each family asks the same at its end: [`Family::end`].

mod annotations;
mod attempt;
mod bindings;
mod folders;
mod outage;
mod outputs;
mod people;
mod policies;
mod processes;
mod references;
mod retargeting;
mod rights;
mod snapshot;
mod stage;
mod statuses;
mod token_endpoint;

use std::collections::BTreeSet;
use std::io::Write as _;

use anyhow::{Context as _, Result, ensure};

use attempt::Attempt;
use snapshot::Snapshot;
use stage::Stage;

/// How many attempts each family makes at least.
const FAMILIES: [(&str, usize); 9] = [
    ("references", 25),
    ("retargeting", 22),
    ("statuses", 19),
    ("folders", 38),
    ("annotations", 18),
    ("bindings", 26),
    ("outputs", 11),
    ("policies", 43),
    ("token-endpoint", 23),
];

/// The attempts of one family, on a stage of its own.
struct Family {
    name: &'static str,
    stage: Stage,
    before: Snapshot,
    made: BTreeSet<String>,
    succeeded: Vec<String>,
}

impl Family {
    async fn new(name: &'static str) -> Result<Self> {
        let stage = Stage::new(name).await?;
        let before = Snapshot::of(&stage.red.client, &stage.red.namespace).await?;
        Ok(Self { name, stage, before, made: BTreeSet::new(), succeeded: Vec::new() })
    }

    /// Makes each attempt of a table, whatever comes of those before it.
    async fn make(&mut self, attempts: Vec<Attempt>) -> Result<()> {
        for attempt in attempts {
            let outcome = attempt.run(&self.stage.red.client).await;
            self.count(&attempt.name, outcome)?;
        }
        Ok(())
    }

    /// Counts an attempt that takes more than one request.
    fn count(&mut self, name: &str, outcome: Result<()>) -> Result<()> {
        ensure!(self.made.insert(name.to_owned()), "{name} is there twice");
        if let Err(error) = outcome {
            let found = format!("{name}: {error:#}");
            // At once: a test that cannot go on does not get to its end.
            let _ = writeln!(std::io::stderr(), "tenancy: {}: {found}", self.name);
            self.succeeded.push(found);
        }
        Ok(())
    }

    /// No attempt has succeeded, as many as promised were made, and nothing of red, of the organisation or of the
    /// operator has changed or come to light.
    async fn end(self) -> Result<()> {
        let Self { name, stage, before, made, succeeded } = self;
        let minimum = FAMILIES.iter().find(|(family, _)| *family == name).context("a family of the table")?.1;
        let _ = writeln!(
            std::io::stderr(),
            "tenancy: {name}: {} attempts, {} succeeded",
            made.len(),
            succeeded.len()
        );
        ensure!(succeeded.is_empty(), "{name}: {} succeeded:\n{}", succeeded.len(), succeeded.join("\n"));
        ensure!(made.len() >= minimum, "{name}: only {} attempts", made.len());
        before.still_holds(&Snapshot::of(&stage.red.client, &stage.red.namespace).await?)?;
        stage.nothing_came_to_light().await
    }
}

/// Attempts in all.
#[test]
fn the_families_amount_to_at_least_sixty_attempts() {
    let attempts: usize = FAMILIES.iter().map(|(_, attempts)| attempts).sum();
    assert!(attempts >= 60, "{attempts}");
}
