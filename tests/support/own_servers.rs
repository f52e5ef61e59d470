//! etcd, kube-apiserver and kube-controller-manager of one control plane, as processes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::certificates::Certificates;
use super::control_plane::Options;
use super::guarded::Guarded;
use super::{binaries, free_port, waiting};

/// Cold caches on a busy machine; a usual start takes three seconds.
const START: Duration = Duration::from_secs(90);

const AUDIT_POLICY: &str = include_str!("audit-policy.yaml");

/// Who may do everything.
pub const ADMINISTRATOR: &str = "administrator";

/// What a cluster without nodes needs; the rest would only cost time.
const CONTROLLERS: &str = "garbage-collector-controller,namespace-controller,serviceaccount-controller,\
     root-ca-certificate-publisher-controller,clusterrole-aggregation-controller,\
     validatingadmissionpolicy-status-controller,job-controller,ttl-after-finished-controller";

/// Fields are dropped, and so stopped, in this order.
pub struct OwnServers {
    pub controller_manager: Guarded,
    pub api_server: Guarded,
    pub etcd: Guarded,
    pub kubeconfig: PathBuf,
    pub audit_log: PathBuf,
    pub etcd_directory: PathBuf,
    directory: PathBuf,
    api_server_command: Command,
}

impl OwnServers {
    /// Ends kube-apiserver without ceremony and starts it again at the same address.
    pub async fn restart_api_server(&mut self) -> Result<()> {
        self.api_server.kill_now()?;
        self.api_server = Guarded::spawn("kube-apiserver", &self.api_server_command, &self.directory)?;
        self.etcd.outlive(&self.api_server)?;
        until_ready(&mut self.api_server, &super::control_plane::client_of(&self.kubeconfig, |_| {}).await?)
            .await
    }

    pub async fn start(directory: &Path, options: &Options) -> Result<Self> {
        let certificates = Certificates::write(directory)?;
        let administrator = random_token()?;
        let controllers = random_token()?;
        let users = format!(
            "{administrator},{ADMINISTRATOR},{ADMINISTRATOR},\"system:masters\"\n\
             {controllers},system:kube-controller-manager,controllers,\"system:masters\"\n"
        );
        fs::write(directory.join("users.csv"), users)?;

        let etcd_directory = directory.join("etcd");
        let (mut etcd, etcd_url) = start_etcd(directory, &etcd_directory).await?;

        let url = format!("https://127.0.0.1:{}", free_port()?);
        let kubeconfig = write_kubeconfig(directory, "kubeconfig", &url, &certificates, &administrator)?;
        let audit_log = directory.join("audit.log");
        let command = api_server_command(directory, &url, &etcd_url, &certificates, &audit_log, options)?;
        let mut api_server = Guarded::spawn("kube-apiserver", &command, directory)?;
        // Without etcd, kube-apiserver would hang on until it is killed.
        etcd.outlive(&api_server)?;
        let client = super::control_plane::client_of(&kubeconfig, |_| {}).await?;
        until_ready(&mut api_server, &client).await?;
        let api_server_command = command;

        for manifest in &options.manifests {
            apply(directory, &kubeconfig, manifest)?;
        }
        let command = controller_manager_command(directory, &url, &certificates, &controllers, options)?;
        let mut controller_manager = Guarded::spawn("kube-controller-manager", &command, directory)?;
        // It is at work once it has given the first namespace its service account.
        let accounts: kube::Api<k8s_openapi::api::core::v1::ServiceAccount> =
            kube::Api::namespaced(client, "default");
        let at_work = async || accounts.get("default").await.is_ok();
        controller_manager.wait_ready(START, at_work).await?;
        let directory = directory.to_owned();
        Ok(Self {
            controller_manager,
            api_server,
            etcd,
            kubeconfig,
            audit_log,
            etcd_directory,
            directory,
            api_server_command,
        })
    }
}

async fn until_ready(api_server: &mut Guarded, client: &kube::Client) -> Result<()> {
    let ready = async || {
        let request = http::Request::get("/readyz").body(Vec::new());
        match request {
            Ok(request) => client.request_text(request).await.is_ok(),
            Err(_) => false,
        }
    };
    api_server.wait_ready(START, ready).await
}

async fn start_etcd(directory: &Path, data: &Path) -> Result<(Guarded, String)> {
    let url = format!("http://127.0.0.1:{}", free_port()?);
    let mut command = Command::new(binaries::find("etcd")?);
    command
        .args(["--unsafe-no-fsync", "--log-level=warn", "--listen-peer-urls=http://127.0.0.1:0"])
        .arg(format!("--data-dir={}", data.display()))
        .arg(format!("--listen-client-urls={url}"))
        .arg(format!("--advertise-client-urls={url}"));
    let mut etcd = Guarded::spawn("etcd", &command, directory)?;
    let health = format!("{url}/health");
    etcd.wait_ready(START, async || waiting::answers(&health).await).await?;
    Ok((etcd, url))
}

fn api_server_command(
    directory: &Path,
    url: &str,
    etcd_url: &str,
    certificates: &Certificates,
    audit_log: &Path,
    options: &Options,
) -> Result<Command> {
    let policy = directory.join("audit-policy.yaml");
    fs::write(&policy, AUDIT_POLICY)?;
    let port = url.rsplit(':').next().context("port of the API server")?;
    let mut command = Command::new(binaries::find("kube-apiserver")?);
    command
        .args([
            "--bind-address=127.0.0.1",
            "--external-hostname=localhost",
            "--endpoint-reconciler-type=none",
        ])
        .args(["--authorization-mode=RBAC", "--service-cluster-ip-range=10.96.0.0/16"])
        .args(["--service-account-issuer=https://kubernetes.default.svc", "--audit-log-mode=blocking"])
        .arg(format!("--secure-port={port}"))
        .arg(format!("--etcd-servers={etcd_url}"))
        .arg(format!("--tls-cert-file={}", certificates.server_certificate.display()))
        .arg(format!("--tls-private-key-file={}", certificates.server_key.display()))
        .arg(format!("--service-account-key-file={}", certificates.service_account_public_key.display()))
        .arg(format!("--service-account-signing-key-file={}", certificates.service_account_key.display()))
        .arg(format!("--token-auth-file={}", directory.join("users.csv").display()))
        .arg(format!("--audit-policy-file={}", policy.display()))
        .arg(format!("--audit-log-path={}", audit_log.display()))
        .args(&options.api_server_arguments);
    Ok(command)
}

fn controller_manager_command(
    directory: &Path,
    url: &str,
    certificates: &Certificates,
    token: &str,
    options: &Options,
) -> Result<Command> {
    let kubeconfig = write_kubeconfig(directory, "controllers.kubeconfig", url, certificates, token)?;
    let mut command = Command::new(binaries::find("kube-controller-manager")?);
    command
        .args(["--leader-elect=false", "--secure-port=0", "--use-service-account-credentials=false"])
        .arg(format!("--controllers={}", [&[CONTROLLERS], options.controllers].concat().join(",")))
        .arg(format!("--kubeconfig={}", kubeconfig.display()))
        .arg(format!("--root-ca-file={}", certificates.authority.display()))
        .arg(format!("--service-account-private-key-file={}", certificates.service_account_key.display()));
    Ok(command)
}

fn random_token() -> Result<String> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| anyhow::anyhow!("no randomness"))?;
    Ok(bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}")))
}

fn write_kubeconfig(
    directory: &Path,
    name: &str,
    url: &str,
    certificates: &Certificates,
    token: &str,
) -> Result<PathBuf> {
    use base64::Engine as _;
    let authority = base64::engine::general_purpose::STANDARD.encode(&certificates.authority_pem);
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": url, "certificate-authority-data": authority}}],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    });
    let path = directory.join(name);
    fs::write(&path, serde_yaml::to_string(&kubeconfig)?)?;
    Ok(path)
}

fn apply(directory: &Path, kubeconfig: &Path, manifest: &Path) -> Result<()> {
    let mut command = Command::new(binaries::find("kubectl")?);
    command.args(["apply", "--server-side", "--filename"]).arg(manifest);
    let output = super::control_plane::direct(&mut command, kubeconfig, directory).output()?;
    if !output.status.success() {
        bail!("apply `{}`: {}", manifest.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
