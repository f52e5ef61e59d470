//! A workload without a Secret, as a Pod of the example: it has a token that the kubelet binds to the Pod, and asks the
//! operator for the credential with it.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::release::{NAMESPACE, TEAM};
use crate::support::control_plane::ControlPlane;

/// The image in place of the example's, with the programs that it uses beside the shell.
pub(crate) const IMAGE: &str = "localhost/curl:test";
pub(crate) const PROGRAMS: [&str; 3] = ["cat", "curl", "sed"];

const EXAMPLE: &str = include_str!("../../examples/06-workload.yaml");
const HOST: &str = "liaison-token.liaison-system.svc";

/// Applies the example and waits until its Pod has succeeded.
pub(crate) fn asks_without_a_secret_and_calls_the_application(control_plane: &ControlPlane) -> Result<()> {
    let path = control_plane.directory().join("workload.yaml");
    std::fs::write(&path, example_here(control_plane)?)?;
    let kubectl =
        |arguments: &[&str]| control_plane.run_kubectl(&[arguments, &["--namespace", TEAM]].concat());
    kubectl(&["apply", "--server-side", "--filename", &path.to_string_lossy()])?;
    let done = kubectl(&["wait", "pod/worker", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=1m"]);
    let log = kubectl(&["logs", "worker"]);
    done.map(drop).with_context(|| format!("{log:?}"))?;

    let person: Value = serde_json::from_str(&log?).context("what the application answered")?;
    let account = kubectl(&["get", "connection", "first", "--output=jsonpath={.status.account}"])?;
    ensure!(!account.is_empty() && person["email"] == account.as_str(), "{person} is not {account}");
    let secrets = "--output=jsonpath={.spec.volumes[*].secret}{.spec.volumes[*].projected.sources[*].secret}";
    let secrets = kubectl(&["get", "pod", "worker", secrets])?;
    ensure!(secrets.is_empty(), "{secrets}");
    Ok(())
}

/// The example for this team and its connection. What it looks up has no names here, but for those that the kubelet writes
/// into the Pod's own list.
fn example_here(control_plane: &ControlPlane) -> Result<String> {
    let names = [
        ("kubernetes.default.svc", address_of(control_plane, "kubernetes", "default")?),
        (HOST, address_of(control_plane, "liaison-token", NAMESPACE)?),
    ];
    let names =
        names.map(|(name, address)| format!("    - {{ip: {address}, hostnames: [{name}]}}\n")).concat();
    let pod = "spec:\n  serviceAccountName: worker\n";
    let replaced = [
        (pod, format!("{pod}  hostAliases:\n{names}")),
        ("image: curlimages/curl\n", format!("image: {IMAGE}\n")),
        ("team-examples", TEAM.to_owned()),
        ("client-credentials", "first".to_owned()),
    ];
    replaced.into_iter().try_fold(EXAMPLE.to_owned(), |text, (from, to)| {
        ensure!(text.contains(from), "the example lacks {from:?}");
        Ok(text.replace(from, &to))
    })
}

fn address_of(control_plane: &ControlPlane, service: &str, namespace: &str) -> Result<String> {
    let address = "--output=jsonpath={.spec.clusterIP}";
    control_plane.run_kubectl(&["get", "service", service, "--namespace", namespace, address])
}

/// It was the binding that counted: the same ServiceAccount, with its right, by the same Service.
pub(crate) async fn is_refused_with_a_token_that_is_bound_to_no_pod(
    control_plane: &ControlPlane,
) -> Result<()> {
    let audience = "--audience=liaison.dev";
    let token = control_plane.run_kubectl(&["create", "token", "worker", audience, "--namespace", TEAM])?;
    let authority = "--output=jsonpath={.data.ca\\.crt}";
    let authority = ["get", "configmap", "liaison-token-ca", "--namespace", NAMESPACE, authority];
    let authority = control_plane.run_kubectl(&authority)?;
    let address = address_of(control_plane, "liaison-token", NAMESPACE)?;
    let http = reqwest::Client::builder()
        .tls_certs_only(reqwest::Certificate::from_pem_bundle(authority.as_bytes())?)
        .resolve(HOST, SocketAddr::new(address.parse()?, 443))
        .build()?;
    let connection = [("connection", format!("{TEAM}/first"))];
    let question = http.post(format!("https://{HOST}/token")).bearer_auth(token.trim()).form(&connection);
    let answer = question.send().await?;
    let (status, body) = (answer.status(), answer.text().await?);
    ensure!(status == 401 && body.contains("the token is bound to no pod"), "{status}: {body}");
    Ok(())
}
