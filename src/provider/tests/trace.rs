use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;

use super::tls::{Identity, bench};
use super::*;

/// One answer over HTTP/1.1 and one over HTTP/2, with the marker in all their parts, logged to the end.
#[tokio::test]
#[ignore = "sets the log of the whole process; the other test starts it alone"]
async fn exchanges_with_everything_logged() {
    tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false).init();

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
}

async fn serve_http2(identity: &Identity, listener: &TcpListener) {
    let mut connection = h2::server::handshake(identity.accept(listener).await.unwrap()).await.unwrap();
    while let Some(Ok((_request, mut respond))) = connection.accept().await {
        let answer = http::Response::builder().header("x-answer", MARKER).body(()).unwrap();
        let mut stream = respond.send_response(answer, false).unwrap();
        stream.send_data(Bytes::from_static(MARKER.as_bytes()), true).unwrap();
    }
}

#[test]
fn no_log_at_any_level_shows_a_request_or_an_answer() {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--nocapture",
            "--exact",
            "provider::tests::trace::exchanges_with_everything_logged",
        ])
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && log.contains("1 passed"), "{log}");
    assert!(log.contains("TRACE"), "nothing was logged: {log}");
    let shown: Vec<_> = log.lines().filter(|line| line.contains(MARKER)).collect();
    assert!(shown.is_empty(), "{shown:#?}");
}
