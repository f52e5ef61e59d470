//! A Kubernetes API to test against: our own processes, or an existing cluster.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result};
use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};

use super::audit_log::AuditLog;
use super::guarded::Guarded;
use super::own_servers::OwnServers;
use super::run_directory::RunDirectory;
use super::{binaries, environment, install_cryptography, repository, waiting};

/// Names an existing cluster to use instead of processes of our own.
const EXISTING_CLUSTER: &str = "LIAISON_TEST_KUBECONFIG";

#[derive(Default)]
pub struct Options {
    /// Further flags of kube-apiserver, for example for OIDC users.
    pub api_server_arguments: Vec<String>,
    /// Files or folders applied before kube-controller-manager starts. The garbage
    /// collector looks for new kinds only every 30 seconds, so CRDs belong here.
    pub manifests: Vec<PathBuf>,
    /// Further controllers of kube-controller-manager, for example for nodes.
    pub controllers: &'static [&'static str],
}

impl Options {
    /// With the CRDs of this repository, as far as they exist.
    pub fn with_crds() -> Self {
        let crds = repository().join("crds");
        Self { manifests: if crds.is_dir() { vec![crds] } else { Vec::new() }, ..Self::default() }
    }
}

pub struct ControlPlane {
    own: Option<OwnServers>,
    kubeconfig: PathBuf,
    kubectl: PathBuf,
    url: String,
    // Last: released only after everything that writes there has ended.
    directory: RunDirectory,
}

impl ControlPlane {
    /// Starts one in `directory`, ready for use, in some three seconds. With
    /// `LIAISON_TEST_KUBECONFIG` set, uses that cluster and applies the manifests.
    pub async fn start(directory: RunDirectory, options: &Options) -> Result<Self> {
        install_cryptography();
        let Some(existing) = environment(EXISTING_CLUSTER) else {
            let own = OwnServers::start(directory.path(), options).await?;
            let kubectl = binaries::find("kubectl")?;
            return Self::new(Some(own), kubectl, directory);
        };
        let kubeconfig = directory.path().join("kubeconfig");
        std::fs::copy(&existing, &kubeconfig)
            .with_context(|| format!("{EXISTING_CLUSTER}=`{}`", Path::new(&existing).display()))?;
        let this = Self::new(None, binaries::find_client("kubectl")?, directory)?;
        for manifest in &options.manifests {
            this.run_kubectl(&["apply", "--server-side", "--filename", &manifest.to_string_lossy()])?;
        }
        Ok(this)
    }

    /// The one control plane of this test binary, with our CRDs installed. It ends with
    /// the process; each test takes namespaces of its own.
    pub fn shared() -> Result<&'static Self> {
        static SHARED: OnceLock<std::result::Result<ControlPlane, String>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| {
            waiting::blocking(async || Self::start(RunDirectory::take("tests")?, &Options::with_crds()).await)
                .map_err(|error| format!("{error:#}"))
        });
        shared.as_ref().map_err(|error| anyhow::anyhow!("{error}"))
    }

    /// Whether the next one will be processes of ours, or the cluster of the environment.
    pub fn will_be_own() -> bool {
        environment(EXISTING_CLUSTER).is_none()
    }

    /// Whether the processes are ours. On an existing cluster there is no audit log and
    /// no etcd to look into.
    pub fn is_own(&self) -> bool {
        self.own.is_some()
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn audit_log(&self) -> Option<AuditLog> {
        self.own.as_ref().map(|own| AuditLog::new(own.audit_log.clone()))
    }

    pub fn etcd_directory(&self) -> Option<&Path> {
        self.own.as_ref().map(|own| own.etcd_directory.as_path())
    }

    /// For faults: freeze (`STOP`, `CONT`) or end the API server.
    pub fn api_server(&mut self) -> Option<&mut Guarded> {
        self.own.as_mut().map(|own| &mut own.api_server)
    }

    /// A fault: the API server ends without ceremony and is started again at the same address.
    pub async fn restart_api_server(&mut self) -> Result<()> {
        self.own.as_mut().context("only our own API server can be restarted")?.restart_api_server().await
    }

    /// A client of the administrator. Each test makes its own: a client lives in the
    /// runtime of the test that made it.
    pub async fn client(&self) -> Result<Client> {
        self.client_with(|_| {}).await
    }

    /// A client that acts as somebody else, with exactly these groups (the API server
    /// adds `system:authenticated`).
    pub async fn client_as(&self, user: &str, groups: &[&str]) -> Result<Client> {
        self.client_with(|config| {
            config.auth_info.impersonate = Some(user.to_owned());
            config.auth_info.impersonate_groups = Some(groups.iter().map(ToString::to_string).collect());
        })
        .await
    }

    /// A client with a changed configuration, for example a user agent in `headers`.
    pub async fn client_with(&self, change: impl FnOnce(&mut Config)) -> Result<Client> {
        client_of(&self.kubeconfig, change).await
    }

    /// `kubectl` for this cluster, the administrator's rights.
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(&self.kubectl);
        self.direct(&mut command);
        command
    }

    /// Directs kubectl or Helm to this cluster, the administrator's rights.
    pub fn direct<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        direct(command, &self.kubeconfig, self.directory())
    }

    /// Runs kubectl and returns what it printed; an error quotes what it complained about.
    pub fn run_kubectl(&self, arguments: &[&str]) -> Result<String> {
        output_of(self.kubectl().args(arguments))
    }

    fn new(own: Option<OwnServers>, kubectl: PathBuf, directory: RunDirectory) -> Result<Self> {
        let kubeconfig = directory.path().join("kubeconfig");
        let clusters = Kubeconfig::read_from(&kubeconfig)?.clusters;
        let cluster = clusters.into_iter().find_map(|named| named.cluster);
        let url = cluster.and_then(|cluster| cluster.server).context("server in the kubeconfig")?;
        Ok(Self { own, kubeconfig, kubectl, url, directory })
    }
}

/// What kubectl and Helm remember of a cluster goes into the run's directory: they know clusters by their address, and
/// the next run's may be at this one's.
pub(super) fn direct<'a>(command: &'a mut Command, kubeconfig: &Path, directory: &Path) -> &'a mut Command {
    command.env("KUBECONFIG", kubeconfig).env("KUBECACHEDIR", directory.join("kube-cache"))
}

/// Runs a command to its end; an error quotes its standard error.
pub fn output_of(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("run {command:?}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{command:?}: {}: {}", output.status, complaint.trim());
    Ok(String::from_utf8(output.stdout)?)
}

pub(super) async fn client_of(kubeconfig: &Path, change: impl FnOnce(&mut Config)) -> Result<Client> {
    install_cryptography();
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    change(&mut config);
    Ok(Client::try_from(config)?)
}
