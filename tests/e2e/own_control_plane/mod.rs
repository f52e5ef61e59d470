//! What needs servers of its own: faults, counts from the audit log, and a look into etcd's files. Each test has a
//! control plane to itself, and they take turns.

mod binding_counts;
mod canaries;
mod canary;
mod consent_canaries;
mod consent_counts;
mod consent_crashes;
mod consent_refusals;
mod consenting;
mod counts;
mod crashes;
mod findings;
mod leaky_people;
mod leaky_provider;
mod operator;
mod plugin_run;
mod replicas;
mod rotating_provider;
mod scenarios;
mod territory;
mod token_endpoint;
mod token_flood;

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::sync::{Mutex, MutexGuard};

use crate::fixtures::Ground;
use crate::support::boundaries::Boundaries;
use crate::support::control_plane::{ControlPlane, Options};
use crate::support::fault_proxy::FaultProxy;
use crate::support::installation::{AdmissionPort, operator_rights_in};
use crate::support::run_directory::RunDirectory;
use crate::support::strict_provider::{Answer, Received, StrictProvider};
use crate::support::waiting::eventually;
use crate::world::OperatorSettings;

/// How long anything may take to become right again after a fault.
const RECOVERS: Duration = Duration::from_mins(1);

/// Where the scripted provider asks people.
const AUTHORIZE: &str = "/authorize";

/// A control plane, a proxy before it, a scripted provider, and the settings of an operator that uses both.
struct Stage {
    control_plane: ControlPlane,
    boundaries: Arc<Boundaries>,
    proxy: FaultProxy,
    provider: StrictProvider,
    settings: OperatorSettings,
    _turn: MutexGuard<'static, ()>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        // The proxy's thread keeps the boundaries alive; the operator must not outlive the test.
        self.boundaries.kill();
    }
}

impl Stage {
    async fn new(name: &str) -> Result<Self> {
        Self::in_namespaces(name, &[]).await
    }

    /// For an operator that works in these namespaces only, which are made; in all where none is named.
    async fn in_namespaces(name: &str, namespaces: &[&str]) -> Result<Self> {
        static TURN: Mutex<()> = Mutex::const_new(());
        let turn = TURN.lock().await;
        let control_plane = ControlPlane::start(RunDirectory::take(name)?, &Options::with_crds()).await?;
        let boundaries = Arc::new(Boundaries::default());
        let directory = control_plane.directory();
        for namespace in namespaces {
            control_plane.run_kubectl(&["create", "namespace", namespace])?;
        }
        let rights = operator_rights_in(&control_plane, namespaces).await?;
        let admission = AdmissionPort::take()?;
        admission.install(&control_plane)?;
        let proxy = FaultProxy::start(&rights, directory, Arc::clone(&boundaries))?;
        let provider = StrictProvider::start()?;
        let settings = OperatorSettings {
            exceptions: vec![provider.authority()],
            kubeconfig: Some(proxy.kubeconfig.clone()),
            admission: Some(admission),
            // The same identity takes its own lease up again without a wait.
            lease_seconds: 3,
            more: namespaces.iter().map(|namespace| format!("--namespaces={namespace}")).collect(),
            ..OperatorSettings::new(name)?
        };
        Ok(Self { control_plane, boundaries, proxy, provider, settings, _turn: turn })
    }

    /// Starts the operator if none is running.
    async fn operate(&self) -> Result<()> {
        if !self.boundaries.has_operator() {
            let operator = self.settings.start(&self.control_plane).await?;
            self.boundaries.watch_over(operator);
        }
        Ok(())
    }

    async fn ground(&self, name: &str) -> Result<Ground> {
        self.operate().await?;
        Ground::new(self.control_plane.client().await?, name).await
    }

    /// Waits like [`eventually`], and starts the operator again whenever it was killed.
    async fn recovers<T>(&self, what: &str, mut probe: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
        eventually(what, RECOVERS, async || {
            self.operate().await?;
            probe().await
        })
        .await
    }

    /// Answers from now on; each request of the operator is a boundary. What a person's browser asks for is none.
    fn script(&self, script: impl Fn(&Received) -> Option<Answer> + Send + Sync + 'static) {
        let boundaries = Arc::clone(&self.boundaries);
        self.provider.script(move |request| {
            let what = format!("{} {} at the provider", request.method, request.path);
            let of_operator = !request.path.starts_with(AUTHORIZE);
            let passage = of_operator.then(|| boundaries.arrives(&what)).flatten();
            if passage.as_ref().is_some_and(|passage| passage.cut) {
                return None;
            }
            let answer = script(request);
            if let Some(passage) = passage {
                boundaries.leaves(&passage);
            }
            answer
        });
    }

    /// Writes the operator has made since the mark that concern one of these words.
    fn writes_about(&self, mark: usize, words: &[&str]) -> Vec<String> {
        let forwarded = self.proxy.forwarded();
        let writes = forwarded[mark..].iter().filter(|request| request.changes_state());
        let concerned = writes.filter(|request| words.iter().any(|word| request.path.contains(word)));
        concerned
            .map(|request| format!("{} {} -> {}", request.method, request.path, request.status))
            .collect()
    }
}

/// A line for people, also where a test's output is captured.
fn report(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
