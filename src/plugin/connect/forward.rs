//! Trials have no address for browsers: there the command forwards a port of this machine to the operator's Pod.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Portforwarder};
use kube::{Api, Client, ResourceExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use url::{Host, Url};

/// Selects the operator's Pods.
const PODS: &str = "app.kubernetes.io/part-of=liaison,app.kubernetes.io/component=operator";

/// The operator's public port in its Pod.
const PUBLIC_PORT: u16 = 8400;

/// How long a listener of this machine may take to answer.
const ANSWERS: Duration = Duration::from_secs(5);

const HINT: &str = "the operator's public address is this machine's (publicURL in the chart's values), which works for \
                    trials by a caller who may list Pods and forward ports; set publicURL for everybody else";

/// Forwards as long as it lives.
pub(super) struct Forwarded(JoinHandle<()>);

impl Drop for Forwarded {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Who answers on this machine, where a link leads.
#[derive(Debug, PartialEq, Eq)]
enum Answers {
    Nobody,
    Liaison,
    SomethingElse,
}

/// Forwards the link's port, where the link leads to this machine and nobody answers there.
pub(super) async fn where_needed(
    client: &Client,
    namespace: &str,
    link: &str,
) -> anyhow::Result<Option<Forwarded>> {
    let url = Url::parse(link).context("read the link")?;
    let Some(port) = port_of_this_machine(&url) else { return Ok(None) };
    match who_answers(&url).await? {
        Answers::Nobody => {}
        Answers::Liaison => return Ok(None),
        Answers::SomethingElse => anyhow::bail!(
            "something on this machine answers at {}, where the link leads, and it is not Liaison; end it and run this \
             command again",
            url.authority()
        ),
    }
    // Whoever may not forward learns it here, and not in the browser.
    let (forwarder, _) = to_operator(client, namespace).await.context(HINT)?;
    forwarder.abort();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))?;
    Ok(Some(Forwarded(tokio::spawn(forward(client.clone(), namespace.to_owned(), listener)))))
}

/// The port, where an address leads to this machine and to what the operator speaks itself.
fn port_of_this_machine(url: &Url) -> Option<u16> {
    let is_here = match url.host()? {
        Host::Domain(domain) => domain == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    };
    (is_here && url.scheme() == "http").then(|| url.port_or_known_default()).flatten()
}

/// Asks for the page without what the link adds to it, which changes nothing.
async fn who_answers(url: &Url) -> anyhow::Result<Answers> {
    let mut url = url.clone();
    url.set_query(None);
    let browser = reqwest::Client::builder().no_proxy().timeout(ANSWERS).build()?;
    let body = match browser.get(url).send().await {
        Ok(answer) => answer.text().await.unwrap_or_default(),
        Err(error) if error.is_connect() => return Ok(Answers::Nobody),
        Err(_) => String::new(),
    };
    Ok(if body.contains("Liaison") { Answers::Liaison } else { Answers::SomethingElse })
}

/// A Pod of the operator that serves, and goes on to.
async fn operator_pod(client: &Client, namespace: &str) -> anyhow::Result<Pod> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let found =
        pods.list(&ListParams::default().labels(PODS)).await.context("look for the operator's Pods")?;
    found.items.into_iter().find(serves).context("no Pod of the operator is ready")
}

fn serves(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let ready = conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    ready && pod.metadata.deletion_timestamp.is_none()
}

/// A connection to the operator. Pods come and go, so each connection looks for one.
async fn to_operator(
    client: &Client,
    namespace: &str,
) -> anyhow::Result<(Portforwarder, impl AsyncRead + AsyncWrite + Unpin + use<>)> {
    let name = operator_pod(client, namespace).await?.name_any();
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let forwarder = pods.portforward(&name, &[PUBLIC_PORT]).await;
    let mut forwarder = forwarder.with_context(|| format!("forward a port to Pod {namespace}/{name}"))?;
    let stream = forwarder.take_stream(PUBLIC_PORT).context("the forwarded port has no stream")?;
    Ok((forwarder, stream))
}

async fn forward(client: Client, namespace: String, listener: TcpListener) {
    while let Ok((mut browser, _)) = listener.accept().await {
        let (client, namespace) = (client.clone(), namespace.clone());
        tokio::spawn(async move {
            match to_operator(&client, &namespace).await {
                Ok((_forwarder, mut operator)) => {
                    let _ = tokio::io::copy_bidirectional(&mut browser, &mut operator).await;
                }
                Err(error) => apologize(browser, &error).await,
            }
        });
    }
}

/// Says in the browser why there is no page; whoever has left by now need not know.
async fn apologize(mut browser: TcpStream, error: &anyhow::Error) {
    // An answer to a request that nobody has read gets lost.
    let _ = browser.read(&mut [0; 4096]).await;
    let apology = format!(
        "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n\
         kubectl liaison does not reach the operator: {error:#}.\nReload this page to try again.\n"
    );
    let _ = browser.write_all(apology.as_bytes()).await;
    let _ = browser.shutdown().await;
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::Uri;
    use axum::response::Html;
    use serde_json::json;

    use super::*;
    use crate::pages::{self, Language};

    /// A link to a listener of this machine that shows this to everybody who does not show it the secret.
    async fn link_to(body: String) -> Url {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let page = async move |uri: Uri| Html(if uri.query().is_none() { body } else { String::new() });
        let router = Router::new().fallback(page);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Url::parse(&format!("http://localhost:{port}/consent/team/crm?start=secret")).unwrap()
    }

    #[tokio::test]
    async fn nobody_answers_where_nobody_listens() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = Url::parse(&format!("http://{}/consent/a/b", listener.local_addr().unwrap())).unwrap();
        drop(listener);
        assert_eq!(who_answers(&url).await.unwrap(), Answers::Nobody);
    }

    #[tokio::test]
    async fn liaison_is_known_by_its_pages_and_is_not_shown_the_secret() {
        for language in ["en", "de"] {
            let page = pages::not_valid(Language::of_accept_language(language));
            assert_eq!(who_answers(&link_to(page.html).await).await.unwrap(), Answers::Liaison, "{language}");
        }
    }

    #[tokio::test]
    async fn another_program_at_the_port_is_told_apart() {
        assert_eq!(
            who_answers(&link_to("It works!".to_owned()).await).await.unwrap(),
            Answers::SomethingElse
        );
    }

    #[tokio::test]
    async fn a_program_at_the_port_that_closes_or_speaks_nothing_we_know_is_something_else() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = Url::parse(&format!("http://{}/consent/a/b", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(async move { while listener.accept().await.is_ok() {} });
        assert_eq!(who_answers(&url).await.unwrap(), Answers::SomethingElse);
    }

    #[test]
    fn only_plain_addresses_of_this_machine_are_forwarded() {
        let port = |address: &str| port_of_this_machine(&Url::parse(address).unwrap());
        assert_eq!(port("http://localhost:8400/consent/a/b"), Some(8400));
        assert_eq!(port("http://127.0.0.1/consent/a/b"), Some(80));
        assert_eq!(port("http://[::1]:9/consent/a/b"), Some(9));
        for elsewhere in
            ["https://localhost:8443", "https://liaison.example.com", "http://localhost.example.com"]
        {
            assert_eq!(port(elsewhere), None, "{elsewhere}");
        }
    }

    #[test]
    fn a_pod_serves_that_is_ready_and_stays() {
        let pod = |ready: &str, deleted: Option<&str>| -> Pod {
            let pod = json!({
                "metadata": { "name": "liaison-1", "deletionTimestamp": deleted },
                "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": ready }] },
            });
            serde_json::from_value(pod).unwrap()
        };
        assert!(serves(&pod("True", None)));
        assert!(!serves(&pod("False", None)));
        assert!(!serves(&pod("True", Some("2026-01-01T00:00:00Z"))));
        assert!(!serves(&Pod::default()));
    }

    #[tokio::test]
    async fn a_browser_is_told_why_there_is_no_page() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (browser, _) = listener.accept().await.unwrap();
            apologize(browser, &anyhow::anyhow!("no Pod of the operator is ready")).await;
        });
        let answer = reqwest::get(format!("http://{address}/")).await.unwrap();
        assert_eq!(answer.status(), 502);
        assert!(answer.text().await.unwrap().contains("no Pod of the operator is ready"));
    }
}
