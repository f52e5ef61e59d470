//! What the tests of this binary share: one control plane, one operator, one real identity provider of each kind,
//! and a stock of scripted providers whose ports the operator was told.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::{Context as _, Result};

use crate::support::control_plane::ControlPlane;
use crate::support::free_port;
use crate::support::identity_provider::Zitadel;
use crate::support::installation::{AdmissionPort, TokenPort, apply_rendered, operator_rights};
use crate::support::oidc_provider::OidcProvider;
use crate::support::operator::{Operator, OperatorOptions, make_namespace};
use crate::support::strict_provider::StrictProvider;
use crate::support::waiting::blocking;

/// Lifetime of the certified provider's tokens in seconds: short enough to see refreshes happen.
pub(crate) const TOKEN_SECONDS: u32 = 6;

/// Scripted providers that tests may take.
const STOCK: usize = 160;

/// Scripted providers of attackers that tests may take.
const HOSTILE: usize = 12;

/// Connectors for people that tests may take: the identity providers know their redirect addresses.
const PEOPLE: usize = 99;

/// The Connection whose own redirect address the identity providers know.
pub(crate) const PER_CONNECTION: (&str, &str) = ("own-address", "crm");

pub(crate) struct World {
    pub control_plane: &'static ControlPlane,
    pub zitadel: Zitadel,
    pub oidc: OidcProvider,
    /// An identity provider at which nobody ever gets a token: each request for one is an attack that came through.
    pub untouched: Zitadel,
    /// Where the operator answers probes and metrics.
    pub internal_url: String,
    /// Where browsers reach the operator.
    pub public_url: String,
    /// Where workloads ask the operator.
    pub token_url: String,
    people: Mutex<Vec<String>>,
    stock: Mutex<Vec<TcpListener>>,
    hostile: Mutex<Vec<TcpListener>>,
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
            let settings = OperatorSettings {
                // An existing cluster's API server does not reach this machine's loopback.
                admission: if control_plane.is_own() { Some(AdmissionPort::take()?) } else { None },
                tokens: Some(TokenPort::take()?),
                ..OperatorSettings::new("world")?
            };
            let public_url = settings.public_url();
            let people: Vec<_> = (1..=PEOPLE).map(|number| format!("person-{number:02}")).collect();
            let redirect_uris = redirect_uris(&public_url, &people);
            let redirect_uris: Vec<_> = redirect_uris.iter().map(String::as_str).collect();
            let directory = control_plane.directory();
            let zitadel = Zitadel::start(directory, None, &redirect_uris).await?;
            let untouched = Zitadel::start(directory, None, &redirect_uris).await?;
            let oidc = OidcProvider::start_for_people(directory, TOKEN_SECONDS, &redirect_uris).await?;
            let (stock, hostile) = (listeners(STOCK)?, listeners(HOSTILE)?);
            let mut exceptions = vec![zitadel.authority(), untouched.authority(), oidc.authority()];
            for listener in &stock {
                exceptions.push(format!("localhost:{}", listener.local_addr()?.port()));
            }
            for listener in &hostile {
                let port = listener.local_addr()?.port();
                exceptions.extend([format!("localhost:{port}"), format!("127.0.0.1:{port}")]);
            }
            let settings = OperatorSettings { exceptions, ..settings };
            let operator = settings.start(control_plane).await?;
            apply_rendered(control_plane, "user-roles", &["--show-only=templates/user-roles.yaml"])?;
            Ok(Self {
                control_plane,
                zitadel,
                oidc,
                untouched,
                internal_url: settings.internal_url(),
                public_url,
                token_url: settings.tokens.context("a token endpoint")?.url(),
                people: Mutex::new(people),
                stock: Mutex::new(stock),
                hostile: Mutex::new(hostile),
                operator: Mutex::new(operator),
            })
        })
    }

    /// The name of a Connector whose redirect address the identity providers know.
    pub(crate) fn connector_for_people(&self) -> Result<String> {
        let name = self.people.lock().unwrap_or_else(PoisonError::into_inner).pop();
        name.context("no connector for people is left; raise PEOPLE")
    }

    /// A scripted provider that the operator may speak to.
    pub(crate) fn provider(&self) -> Result<StrictProvider> {
        let listener = self.stock.lock().unwrap_or_else(PoisonError::into_inner).pop();
        StrictProvider::serve(listener.context("no scripted provider is left; raise STOCK")?)
    }

    /// An attacker's scripted provider, which the operator may speak to under two names of its host.
    pub(crate) fn hostile_provider(&self) -> Result<StrictProvider> {
        let listener = self.hostile.lock().unwrap_or_else(PoisonError::into_inner).pop();
        StrictProvider::serve(listener.context("no hostile provider is left; raise HOSTILE")?)
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

fn listeners(count: usize) -> Result<Vec<TcpListener>> {
    Ok((0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<std::io::Result<_>>()?)
}

/// Every redirect address that tests use.
pub(crate) fn redirect_uris(public_url: &str, connectors: &[String]) -> Vec<String> {
    let (namespace, name) = PER_CONNECTION;
    let others = ["example-browser".to_owned(), format!("{namespace}/{name}")];
    let fixed = connectors.iter().chain(&others).map(|path| format!("{public_url}/callback/{path}"));
    fixed.chain([format!("{public_url}/callback")]).collect()
}

/// How an operator of a test runs.
pub(crate) struct OperatorSettings {
    pub identity: String,
    pub internal_port: u16,
    pub public_port: u16,
    /// The port that its public address names, if that is another replica's.
    pub replica_of: Option<u16>,
    /// Where the API server asks it, if it does.
    pub admission: Option<AdmissionPort>,
    /// Where workloads ask it, if they do.
    pub tokens: Option<TokenPort>,
    pub exceptions: Vec<String>,
    pub refresh_fraction: f64,
    pub lease_seconds: u64,
    /// A kubeconfig other than the control plane's, such as one that leads through a proxy.
    pub kubeconfig: Option<std::path::PathBuf>,
    pub more: Vec<String>,
}

impl OperatorSettings {
    pub(crate) fn new(identity: &str) -> Result<Self> {
        Ok(Self {
            identity: identity.to_owned(),
            internal_port: free_port()?,
            public_port: free_port()?,
            replica_of: None,
            admission: None,
            tokens: None,
            exceptions: Vec::new(),
            refresh_fraction: 0.5,
            lease_seconds: 15,
            kubeconfig: None,
            more: Vec::new(),
        })
    }

    pub(crate) fn public_url(&self) -> String {
        format!("http://localhost:{}", self.replica_of.unwrap_or(self.public_port))
    }

    pub(crate) fn internal_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.internal_port)
    }

    pub(crate) async fn start(&self, control_plane: &ControlPlane) -> Result<Operator> {
        let mut arguments = vec![
            format!("--identity={}", self.identity),
            format!("--public-address=127.0.0.1:{}", self.public_port),
            format!("--public-url={}", self.public_url()),
            format!("--internal-address=127.0.0.1:{}", self.internal_port),
            format!("--refresh-fraction={}", self.refresh_fraction),
            format!("--lease-seconds={}", self.lease_seconds),
            format!("--provider-timeout={}s", (self.lease_seconds / 2).clamp(1, 5)),
            format!("--egress-address={EGRESS_ADDRESS}"),
            // Everything that can be logged, so that a secret in a log line would be found.
            "--log=trace".to_owned(),
        ];
        arguments.extend(self.exceptions.iter().map(|exception| format!("--egress-exception={exception}")));
        arguments.extend(self.more.iter().cloned());
        if let Some(admission) = self.admission {
            make_namespace(control_plane).await?;
            admission.install(control_plane)?;
            arguments.extend(admission.arguments());
        }
        if let Some(tokens) = self.tokens {
            make_namespace(control_plane).await?;
            TokenPort::install(control_plane)?;
            arguments.extend(tokens.arguments());
        }
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
