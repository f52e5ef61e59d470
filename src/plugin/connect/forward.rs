//! Trials have no address for browsers: there the command forwards a port of this machine to the operator's Pod.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use url::{Host, Url};

/// Selects the operator's Pods.
const PODS: &str = "app.kubernetes.io/part-of=liaison,app.kubernetes.io/component=operator";

/// The operator's public port in its Pod.
const PUBLIC_PORT: u16 = 8400;

/// How long a listener of this machine may take to answer.
const ANSWERS: Duration = Duration::from_secs(2);

/// Forwards as long as it lives.
pub(super) struct Forwarded(JoinHandle<()>);

impl Drop for Forwarded {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Forwards the link's port, where the link leads to this machine and nobody answers there.
pub(super) async fn where_needed(client: &Client, link: &str) -> anyhow::Result<Option<Forwarded>> {
    let Some(port) = port_of_this_machine(link)? else { return Ok(None) };
    if is_answered(port).await {
        return Ok(None);
    }
    let pod = operator_pod(client).await?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))?;
    Ok(Some(Forwarded(tokio::spawn(forward(client.clone(), pod, listener)))))
}

/// The port that a link leads to, where it leads to this machine.
fn port_of_this_machine(link: &str) -> anyhow::Result<Option<u16>> {
    let url = Url::parse(link).context("read the link")?;
    let is_here = match url.host() {
        Some(Host::Domain(domain)) => domain == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    Ok(url.port_or_known_default().filter(|_| is_here))
}

async fn is_answered(port: u16) -> bool {
    let connected = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
    matches!(tokio::time::timeout(ANSWERS, connected).await, Ok(Ok(_)))
}

async fn operator_pod(client: &Client) -> anyhow::Result<Pod> {
    let pods: Api<Pod> = Api::all(client.clone());
    let hint = "the operator's public address is this machine's (publicURL in the chart's values), which works for \
                trials by a caller who may list Pods and forward ports; set publicURL for everybody else";
    let found = pods.list(&ListParams::default().labels(PODS)).await.context(hint)?;
    let running =
        |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running");
    found.items.into_iter().find(running).context("no Pod of the operator is running").context(hint)
}

async fn forward(client: Client, pod: Pod, listener: TcpListener) {
    let pods: Api<Pod> = Api::namespaced(client, &pod.namespace().unwrap_or_default());
    let name = pod.name_any();
    while let Ok((mut browser, _)) = listener.accept().await {
        let (pods, name) = (pods.clone(), name.clone());
        tokio::spawn(async move {
            let Ok(mut forwarder) = pods.portforward(&name, &[PUBLIC_PORT]).await else { return };
            let Some(mut stream) = forwarder.take_stream(PUBLIC_PORT) else { return };
            let _ = tokio::io::copy_bidirectional(&mut browser, &mut stream).await;
        });
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("http://localhost:8400/consent/a/b", Some(8400))]
    #[case("http://127.0.0.1:8400/", Some(8400))]
    #[case("http://[::1]:8400/", Some(8400))]
    #[case("http://localhost/", Some(80))]
    #[case("https://liaison.example.com/", None)]
    #[case("https://localhost.example.com:8400/", None)]
    #[case("http://192.0.2.1:8400/", None)]
    fn only_a_link_to_this_machine_may_need_a_forwarded_port(#[case] link: &str, #[case] port: Option<u16>) {
        assert_eq!(port_of_this_machine(link).unwrap(), port);
    }

    #[tokio::test]
    async fn a_port_that_somebody_answers_is_not_forwarded() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(is_answered(port).await);
        drop(listener);
        assert!(!is_answered(port).await);
    }
}
