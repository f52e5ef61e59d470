//! What makes a machine a node: containerd, kubelet, the scheduler and kube-proxy.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::support::binaries::printed_folder;
use crate::support::control_plane::{ControlPlane, Options, output_of};
use crate::support::guarded::Guarded;
use crate::support::{environment, repository};
use crate::{process, workload};

/// Address of the machine's bridge, which Pods reach too.
pub(crate) const ADDRESS: &str = "10.250.0.1";
/// What nobody shall find afterwards: gone with the machine's mounts.
const STATE: &str = "/run/liaison-node";
const PODS: &str = "10.244.0.0/24";
const PAUSE: &str = "localhost/pause:test";
/// The image of the chart's defaults.
const IMAGE: &str = concat!("localhost/liaison:", env!("CARGO_PKG_VERSION"));

const START: Duration = Duration::from_mins(1);

/// Fields are dropped, and so stopped, in this order.
pub(crate) struct Node {
    _kube_proxy: Guarded,
    _scheduler: Guarded,
    _kubelet: Guarded,
    _containerd: Guarded,
}

impl Node {
    /// How the control plane differs from one without nodes.
    pub(crate) fn options() -> Options {
        Options {
            api_server_arguments: [
                // The Service `kubernetes` leads Pods here.
                "--bind-address=0.0.0.0".to_owned(),
                format!("--advertise-address={ADDRESS}"),
                "--endpoint-reconciler-type=lease".to_owned(),
                "--kubelet-preferred-address-types=InternalIP".to_owned(),
            ]
            .into(),
            manifests: Vec::new(),
            controllers: &[
                "deployment-controller",
                "replicaset-controller",
                "endpointslice-controller",
                "node-lifecycle-controller",
                "disruption-controller",
            ],
        }
    }

    /// Starts one with the images of the operator and of a workload, and waits until it is ready for Pods.
    pub(crate) async fn start(control_plane: &ControlPlane) -> Result<Self> {
        let programs = printed_folder(&repository().join("tests/node/build"))?;
        let directory = control_plane.directory();
        let kubeconfig = control_plane.kubeconfig();
        fs::create_dir_all(STATE)?;
        let containerd = start_containerd(directory).await?;
        import(directory, &[], PAUSE, &programs.join("pause"), &[])?;
        import(directory, &[], IMAGE, Path::new(env!("CARGO_BIN_EXE_liaison")), &["run"])?;
        let process = ["--ignored", "--exact", "what_a_workload_does", "--nocapture"];
        import(directory, &[], process::IMAGE, &std::env::current_exe()?, &process)?;
        import(directory, &workload::PROGRAMS, workload::IMAGE, Path::new("/bin/sh"), &[])?;

        let spawn = |name: &str, arguments: Vec<String>| {
            let mut command = Command::new(programs.join(name));
            Guarded::spawn(name, command.args(arguments), directory)
        };
        let mut kubelet = spawn("kubelet", kubelet_arguments(directory, kubeconfig)?)?;
        let connection = format!("--kubeconfig={}", kubeconfig.display());
        let scheduler = spawn(
            "kube-scheduler",
            vec![connection, "--leader-elect=false".into(), "--secure-port=0".into()],
        )?;
        let kube_proxy = spawn("kube-proxy", vec![kube_proxy_configuration(directory, kubeconfig)?])?;
        let ready = [
            "get",
            "node",
            "node",
            "--output=jsonpath={.status.conditions[?(@.type=='Ready')].status}{.spec.taints}",
        ];
        kubelet
            .wait_ready(START, async || control_plane.run_kubectl(&ready).is_ok_and(|it| it == "True"))
            .await?;
        Ok(Self {
            _kube_proxy: kube_proxy,
            _scheduler: scheduler,
            _kubelet: kubelet,
            _containerd: containerd,
        })
    }
}

fn state(name: &str) -> String {
    format!("{STATE}/{name}")
}

/// Writes a configuration; JSON is YAML too.
fn write(directory: &Path, name: &str, configuration: &Value) -> Result<PathBuf> {
    let path = directory.join(name);
    fs::write(&path, serde_json::to_vec_pretty(configuration)?)?;
    Ok(path)
}

/// `ctr` of our containerd, with the images that kubelet sees.
fn ctr(arguments: &[&str]) -> Result<String> {
    let socket = state("containerd.sock");
    output_of(Command::new("ctr").args(["--address", &socket, "--namespace", "k8s.io"]).args(arguments))
}

async fn start_containerd(directory: &Path) -> Result<Guarded> {
    let plugins = ["/usr/lib/cni", "/opt/cni/bin"].into_iter().find(|folder| Path::new(folder).is_dir());
    let configuration = include_str!("containerd.toml")
        .replace("STATE", STATE)
        .replace("PAUSE", PAUSE)
        .replace("PLUGINS", plugins.context("network plugins")?);
    let path = directory.join("containerd.toml");
    fs::write(&path, configuration)?;
    let networks = Path::new(STATE).join("networks");
    fs::create_dir_all(&networks)?;
    let network = json!({
        "cniVersion": "0.4.0", "name": "pods", "plugins": [{
            "type": "bridge", "bridge": "pods0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
            "ipam": {
                "type": "host-local", "dataDir": state("addresses"),
                "ranges": [[{ "subnet": PODS }]], "routes": [{ "dst": "0.0.0.0/0" }],
            },
        }],
    });
    write(&networks, "pods.conflist", &network)?;
    let mut command = Command::new("containerd");
    let mut containerd = Guarded::spawn("containerd", command.arg("--config").arg(path), directory)?;
    containerd.wait_ready(START, async || ctr(&["version"]).is_ok()).await?;
    Ok(containerd)
}

/// Makes an image of a program and of others that it finds beside it, and gives it to the node.
fn import(directory: &Path, beside: &[&str], name: &str, program: &Path, arguments: &[&str]) -> Result<()> {
    let archive = directory.join("image.tar");
    let mut image = Command::new(repository().join("tests/node/image"));
    image.args(beside.iter().flat_map(|program| ["--beside", program]));
    output_of(image.arg(&archive).arg(name).arg(program).args(arguments))?;
    ctr(&["images", "import", &archive.to_string_lossy()])?;
    Ok(fs::remove_file(archive)?)
}

fn kubelet_arguments(directory: &Path, kubeconfig: &Path) -> Result<Vec<String>> {
    // Addresses and names come from the Service and from nowhere else.
    fs::write(directory.join("resolv.conf"), "")?;
    let group =
        environment("LIAISON_NODE_CGROUP").context("this test runs on a machine that `enter` makes")?;
    let configuration = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        // Only the API server of this machine reaches it.
        "authentication": { "anonymous": { "enabled": true }, "webhook": { "enabled": false } },
        "authorization": { "mode": "AlwaysAllow" },
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", group.display()),
        "containerRuntimeEndpoint": format!("unix://{}", state("containerd.sock")),
        "enforceNodeAllocatable": [],
        // How full this machine is must not decide about a test.
        "evictionHard": { "memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%" },
        "failCgroupV1": false,
        "failSwapOn": false,
        "imageGCHighThresholdPercent": 100,
        "podLogsDir": directory.join("pods"),
        "protectKernelDefaults": true,
        "resolvConf": directory.join("resolv.conf"),
        "volumePluginDir": state("volume-plugins"),
    });
    let configuration = write(directory, "kubelet.json", &configuration)?;
    Ok(vec![
        format!("--config={}", configuration.display()),
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--root-dir={}", state("kubelet")),
        format!("--node-ip={ADDRESS}"),
        "--hostname-override=node".to_owned(),
    ])
}

fn kube_proxy_configuration(directory: &Path, kubeconfig: &Path) -> Result<String> {
    let configuration = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": { "kubeconfig": kubeconfig },
        "clusterCIDR": PODS,
        // These are settings of the whole machine.
        "conntrack": { "maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s" },
        "hostnameOverride": "node",
        "mode": "iptables",
    });
    Ok(format!("--config={}", write(directory, "kube-proxy.json", &configuration)?.display()))
}
