use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;
use tracing_subscriber::util::SubscriberInitExt;

use super::tls::{Identity, bench};
use super::*;

/// One answer over HTTP/1.1 and one over HTTP/2, with the marker in all their parts, and everything logged that this
/// thread does; the runtime has no other.
#[tokio::test]
async fn no_log_at_any_level_shows_a_request_or_an_answer() {
    let log = Log::default();
    let writer = log.clone();
    let logging = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish()
        .set_default();

    let (plain, host) = listener().await;
    let server = async {
        let (mut stream, _) = plain.accept().await.unwrap();
        read_request(&mut stream).await;
        let answer = format!("HTTP/1.1 200 OK\r\nX-Answer: {MARKER}\r\nContent-Length: 25\r\n\r\n{MARKER}");
        stream.write_all(answer.as_bytes()).await.unwrap();
    };
    let bench_of_plain = Bench::allowing(&[&host]);
    let url = format!("http://{host}");
    let (outcome, ()) = tokio::join!(bench_of_plain.send(&url), server);
    assert_eq!(outcome.unwrap().body.as_slice(), MARKER.as_bytes());

    let (listener, host) = listener().await;
    let identity = Identity::new("idp.test", "h2");
    let (bench, target) = bench(&host, identity.pem.clone());
    // The server's own log is not ours.
    let server = async move { serve_http2(&identity, &listener).await };
    let server = tokio::spawn(server.with_subscriber(NoSubscriber::default()));
    let outcome = bench.send(&format!("https://{target}")).await;
    assert_eq!(outcome.unwrap().body.as_slice(), MARKER.as_bytes());
    server.abort();
    drop(logging);

    let log = log.text();
    // Each of them speaks: ours through `tracing`, the HTTP library through `log`.
    for target in ["TRACE", "hyper_util::", "h2::", "reqwest::connect"] {
        assert!(log.contains(target), "nothing of {target} was logged: {log}");
    }
    let shown: Vec<_> = log.lines().filter(|line| line.contains(MARKER)).collect();
    assert!(shown.is_empty(), "{shown:#?}");
}

/// Log lines, kept to be read.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn serve_http2(identity: &Identity, listener: &TcpListener) {
    let mut connection = h2::server::handshake(identity.accept(listener).await.unwrap()).await.unwrap();
    while let Some(Ok((_request, mut respond))) = connection.accept().await {
        let answer = http::Response::builder().header("x-answer", MARKER).body(()).unwrap();
        let mut stream = respond.send_response(answer, false).unwrap();
        stream.send_data(Bytes::from_static(MARKER.as_bytes()), true).unwrap();
    }
}
