//! What the tests of this binary share: one control plane, one operator, one real identity provider of each kind,
//! and a stock of scripted providers whose ports the operator was told.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::{Context as _, Result};

use crate::support::control_plane::ControlPlane;
use crate::support::free_port;
use crate::support::identity_provider::Zitadel;
use crate::support::installation::{AdmissionPort, operator_rights};
use crate::support::oidc_provider::OidcProvider;
use crate::support::operator::{Operator, OperatorOptions};
use crate::support::strict_provider::StrictProvider;
use crate::support::waiting::blocking;

/// Lifetime of the certified provider's tokens in seconds: short enough to see refreshes happen.
pub(crate) const TOKEN_SECONDS: u32 = 6;

/// Scripted providers that tests may take.
const STOCK: usize = 24;

pub(crate) struct World {
    pub control_plane: &'static ControlPlane,
    pub zitadel: Zitadel,
    pub oidc: OidcProvider,
    /// Where the operator answers probes and metrics.
    pub internal_url: String,
    stock: Mutex<Vec<TcpListener>>,
    operator: Mutex<Operator>,
}

/// Where tests' requests appear to come from, in messages to people.
pub(crate) const EGRESS_ADDRESS: &str = "203.0.113.7";

impl World {
    /// A world that cannot be set up fails every test that wants it.
    #[expect(clippy::unwrap_used, reason = "clippy does not see that a helper belongs to tests")]
    pub(crate) fn shared() -> &'static Self {
        static WORLD: OnceLock<World> = OnceLock::new();
        WORLD.get_or_init(|| Self::start().unwrap())
    }

    fn start() -> Result<Self> {
        let control_plane = ControlPlane::shared()?;
        blocking(async || {
            let zitadel = Zitadel::start(control_plane.directory(), None, &[]).await?;
            let oidc = OidcProvider::start(control_plane.directory(), TOKEN_SECONDS).await?;
            let stock: Vec<_> = (0..STOCK)
                .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
                .collect::<std::io::Result<_>>()?;
            let mut exceptions = vec![zitadel.authority(), oidc.authority()];
            for listener in &stock {
                exceptions.push(format!("localhost:{}", listener.local_addr()?.port()));
            }
            // An existing cluster's API server does not reach this machine's loopback.
            let admission = if control_plane.is_own() { Some(AdmissionPort::take()?) } else { None };
            if let Some(admission) = admission {
                admission.install(control_plane)?;
            }
            let settings = OperatorSettings { exceptions, admission, ..OperatorSettings::new("world")? };
            let operator = settings.start(control_plane).await?;
            Ok(Self {
                control_plane,
                zitadel,
                oidc,
                internal_url: settings.internal_url(),
                stock: Mutex::new(stock),
                operator: Mutex::new(operator),
            })
        })
    }

    /// A scripted provider that the operator may speak to.
    pub(crate) fn provider(&self) -> Result<StrictProvider> {
        let listener = self.stock.lock().unwrap_or_else(PoisonError::into_inner).pop();
        StrictProvider::serve(listener.context("no scripted provider is left; raise STOCK")?)
    }

    /// `host:port` of a provider that the operator may speak to, where nobody listens.
    pub(crate) fn provider_that_refuses(&self) -> Result<String> {
        let listener = self.stock.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let port = listener.context("no port is left; raise STOCK")?.local_addr()?.port();
        Ok(format!("localhost:{port}"))
    }

    /// Everything the operator has logged so far.
    pub(crate) fn operator_log(&self) -> Result<String> {
        let mut operator = self.operator.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::fs::read_to_string(operator.server().log())?)
    }
}

/// How an operator of a test runs.
pub(crate) struct OperatorSettings {
    pub identity: String,
    pub internal_port: u16,
    pub exceptions: Vec<String>,
    pub refresh_fraction: f64,
    pub lease_seconds: u64,
    /// A kubeconfig other than the control plane's, such as one that leads through a proxy.
    pub kubeconfig: Option<std::path::PathBuf>,
    /// Where the API server asks, if admission is installed.
    pub admission: Option<AdmissionPort>,
    pub more: Vec<String>,
}

impl OperatorSettings {
    pub(crate) fn new(identity: &str) -> Result<Self> {
        Ok(Self {
            identity: identity.to_owned(),
            internal_port: free_port()?,
            exceptions: Vec::new(),
            refresh_fraction: 0.5,
            lease_seconds: 15,
            kubeconfig: None,
            admission: None,
            more: Vec::new(),
        })
    }

    pub(crate) fn internal_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.internal_port)
    }

    pub(crate) async fn start(&self, control_plane: &ControlPlane) -> Result<Operator> {
        let mut arguments = vec![
            format!("--identity={}", self.identity),
            "--public-address=127.0.0.1:0".to_owned(),
            format!("--internal-address=127.0.0.1:{}", self.internal_port),
            format!("--refresh-fraction={}", self.refresh_fraction),
            format!("--lease-seconds={}", self.lease_seconds),
            format!("--provider-timeout={}s", (self.lease_seconds / 2).clamp(1, 5)),
            format!("--egress-address={EGRESS_ADDRESS}"),
            // Everything that can be logged, so that a secret in a log line would be found.
            "--log=trace".to_owned(),
        ];
        arguments.extend(self.exceptions.iter().map(|exception| format!("--egress-exception={exception}")));
        arguments.extend(self.admission.iter().flat_map(|admission| admission.arguments()));
        arguments.extend(self.more.iter().cloned());
        // Without another wish it has the rights that the chart gives, so that a missing one is noticed.
        let kubeconfig = match &self.kubeconfig {
            Some(kubeconfig) => kubeconfig.clone(),
            None => operator_rights(control_plane).await?,
        };
        let environment = [("KUBECONFIG", kubeconfig.display().to_string())];
        let options = OperatorOptions {
            program: Path::new(env!("CARGO_BIN_EXE_liaison")),
            arguments: &arguments,
            environment: &environment,
            ready_url: &format!("{}/readyz", self.internal_url()),
        };
        Operator::start(control_plane, &options).await
    }
}
