use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::any;
use futures::future::join_all;
use tokio::io::AsyncWriteExt;
use tokio::sync::{Semaphore, watch};

use super::*;

const MEBIBYTE: usize = 1024 * 1024;

fn with_timeout(host: &str, request_timeout: Duration) -> Bench {
    Bench::new(ProviderSettings { request_timeout, ..settings(&[host]) }, Names::default())
}

#[tokio::test]
async fn a_request_arrives_as_it_was_built() {
    let (listener, host) = listener().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = read_request(&mut stream).await;
        let answer = "HTTP/1.1 201 Created\r\nContent-Length: 4\r\nX-One: a\r\nx-one: b\r\n\r\nbody";
        stream.write_all(answer.as_bytes()).await.unwrap();
        request
    });
    let bench = Bench::allowing(&[&host]);
    let response = bench.send(&format!("http://{host}/token")).await.unwrap();
    let request = server.await.unwrap();

    assert_eq!((response.status, response.body.as_slice()), (201, b"body".as_slice()));
    assert_eq!(response.headers["x-one"], "a");
    assert!(request.starts_with(&format!("POST /token/{MARKER}?key={MARKER} HTTP/1.1\r\n")), "{request}");
    assert!(request.contains(&format!("authorization: Bearer {MARKER}\r\n")), "{request}");
    assert!(request.contains(&format!("user-agent: liaison/{}\r\n", env!("CARGO_PKG_VERSION"))), "{request}");
    assert!(request.contains("content-length: 39\r\n"), "{request}");
    assert!(!request.contains("transfer-encoding"), "{request}");
    assert!(request.ends_with(&format!("\r\n\r\nrefresh_token={MARKER}")), "{request}");
    assert_eq!(*bench.observed.0.lock().unwrap(), [(Purpose::Token, host, CallClass::Success)]);
}

#[tokio::test]
async fn s44_a_request_goes_to_no_host_that_its_policies_do_not_cover() {
    let (listener, host) = listener().await;
    let bench = Bench::allowing(&[&host]);
    let bounded = |lists: &[&[&str]]| {
        let host_lists =
            lists.iter().map(|list| list.iter().map(|host| (*host).to_owned()).collect()).collect();
        let reach = Reach { host_lists, ..Reach::default() };
        Request { reach, ..request(&format!("http://{host}/token")) }
    };
    let another_port = ["127.0.0.1", "127.0.0.1:1"];
    let unlike = ["login.example.com", "*.0.0.1"];
    for lists in [&[&unlike[..]][..], &[&another_port], &[&[host.as_str()], &[]]] {
        let sent = bench.provider.send(bounded(lists), None).await;
        assert!(matches!(sent, Err(SendFailure::Denied { .. })), "{lists:?}");
        assert_eq!(bench.last_class(), CallClass::Refused);
    }
    assert!(!was_reached(listener));
}

#[tokio::test]
async fn an_exception_of_a_policy_is_for_its_own_requests_alone() {
    let (listener, host) = listener().await;
    let serving = tokio::spawn(axum::serve(listener, Router::new()).into_future());
    let bench = Bench::allowing(&[]);
    let (name, port) = host.rsplit_once(':').unwrap();
    let exceptions = [(name.to_owned(), port.parse().unwrap())].into();
    let reach = Reach { exceptions, ..Reach::default() };
    let url = format!("http://{host}/token");
    let sent = bench.provider.send(Request { reach, ..request(&url) }, None).await;
    assert_eq!(sent.map(|response| response.status), Ok(404));
    assert!(matches!(bench.send(&url).await, Err(SendFailure::Denied { .. })));
    serving.abort();
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (target, target_host) = listener().await;
    let (listener, host) = listener().await;
    let location = format!("http://{target_host}/elsewhere");
    let router = Router::new().fallback(any(|| async move { (StatusCode::FOUND, [("location", location)]) }));
    let serving = tokio::spawn(axum::serve(listener, router).into_future());

    let bench = Bench::allowing(&[&host, &target_host]);
    let response = bench.send(&format!("http://{host}")).await.unwrap();
    assert_eq!(response.status, 302);
    assert_eq!(bench.last_class(), CallClass::ClientError);
    assert!(!was_reached(target));
    serving.abort();
}

/// Answers with an endless body after `head`; gives the number of bytes that could be written.
async fn pour(listener: TcpListener, head: &'static str) -> usize {
    let (mut stream, _) = listener.accept().await.unwrap();
    read_request(&mut stream).await;
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = [b"1000\r\n".as_slice(), &[0; 0x1000], b"\r\n"].concat();
    let mut written = 0;
    while written < 1024 * MEBIBYTE && stream.write_all(&chunk).await.is_ok() {
        written += chunk.len();
    }
    written
}

#[rstest::rstest]
#[case::announced("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")]
#[case::chunked("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")]
#[case::until_closed("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")]
#[tokio::test]
async fn a_body_of_a_gigabyte_is_stopped_at_the_limit(#[case] head: &'static str) {
    let (listener, host) = listener().await;
    let server = tokio::spawn(pour(listener, head));
    let bench = Bench::allowing(&[&host]);
    let failure = bench.send(&format!("http://{host}")).await.unwrap_err();

    assert_eq!(failure, SendFailure::TooLarge { host, limit: MEBIBYTE });
    assert_eq!(bench.last_class(), CallClass::ServerError);
    // What the sockets of both sides may hold beside the limit.
    assert!(server.await.unwrap() < 32 * MEBIBYTE);
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_read() {
    let (listener, host) = listener().await;
    let router = Router::new().fallback(any(|| async { vec![7_u8; 1000] }));
    let serving = tokio::spawn(axum::serve(listener, router).into_future());
    for (body_limit, fits) in [(1000, true), (999, false)] {
        let bench = Bench::new(ProviderSettings { body_limit, ..settings(&[&host]) }, Names::default());
        assert_eq!(bench.send(&format!("http://{host}")).await.is_ok(), fits);
    }
    serving.abort();
}

#[rstest::rstest]
#[case::in_the_body("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")]
#[case::in_the_head("HTTP/1.1 200 OK\r\nX-Drip: ")]
#[tokio::test]
async fn an_answer_that_drips_ends_in_time(#[case] head: &'static str) {
    let (listener, host) = listener().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut drip = tokio::time::interval(Duration::from_millis(20));
        while stream.write_all(b"x").await.is_ok() {
            drip.tick().await;
        }
    });
    let limit = Duration::from_secs(1);
    let bench = with_timeout(&host, limit);
    let started = Instant::now();
    let failure = bench.send(&format!("http://{host}")).await.unwrap_err();

    assert_eq!(failure, SendFailure::TimedOut { host, limit });
    assert_eq!(bench.last_class(), CallClass::TimedOut);
    assert!(started.elapsed() < Duration::from_secs(5));
    server.await.unwrap();
}

#[tokio::test]
async fn a_refused_port_is_unreachable() {
    let (listener, host) = listener().await;
    drop(listener);
    let bench = Bench::allowing(&[&host]);
    let failure = bench.send(&format!("http://{host}")).await.unwrap_err();
    assert_eq!(failure, SendFailure::Unreachable { host, cause: "connection refused".to_owned() });
    assert_eq!(bench.last_class(), CallClass::Unreachable);
}

#[tokio::test]
async fn an_unknown_name_is_unreachable() {
    let failure = Bench::allowing(&[]).send("https://nobody.test").await.unwrap_err();
    let cause = "its name cannot be resolved".to_owned();
    assert_eq!(failure, SendFailure::Unreachable { host: "nobody.test:443".to_owned(), cause });
}

#[rstest::rstest]
#[case::before_the_answer("")]
#[case::within_the_body("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx")]
#[case::no_http("220 smtp.example.com\r\n")]
#[tokio::test]
async fn a_connection_that_breaks_is_unreachable(#[case] answer: &'static str) {
    let (listener, host) = listener().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        stream.write_all(answer.as_bytes()).await.unwrap();
        drop(stream);
        // A second connection would be a retry.
        listener
    });
    let failure = Bench::allowing(&[&host]).send(&format!("http://{host}")).await.unwrap_err();
    let cause = "the connection broke before the answer was complete".to_owned();
    assert_eq!(failure, SendFailure::Unreachable { host, cause });
    assert!(!was_reached(server.await.unwrap()));
}

#[tokio::test]
async fn a_deadline_in_the_past_sends_nothing() {
    let (listener, host) = listener().await;
    let bench = Bench::allowing(&[&host]);
    let outcome = bench.send_before(&format!("http://{host}"), Some(Instant::now())).await;
    assert_eq!(outcome.unwrap_err(), SendFailure::DeadlinePassed);
    assert_eq!(bench.last_class(), CallClass::Refused);
    assert!(!was_reached(listener));
}

/// Answers only when the deadline is over.
struct LateNames(Instant);

#[async_trait]
impl NameLookup for LateNames {
    async fn addresses(&self, _name: &str) -> io::Result<Vec<IpAddr>> {
        tokio::time::sleep_until(self.0.into()).await;
        Ok(vec![IpAddr::from([127, 0, 0, 1])])
    }
}

#[tokio::test]
async fn a_deadline_that_passes_while_connecting_keeps_the_body_back() {
    let (listener, host) = listener().await;
    let url = format!("http://idp.test:{}", host.rsplit_once(':').unwrap().1);
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await
    });
    let exception = url.trim_start_matches("http://");
    // Far enough away that a busy machine, too, is connecting when it passes.
    let deadline = Instant::now() + Duration::from_secs(2);
    let bench = Bench::new(settings(&[exception]), LateNames(deadline));
    let outcome = bench.send_before(&url, Some(deadline)).await;

    assert_eq!(outcome.unwrap_err(), SendFailure::DeadlinePassed);
    let read = tokio::time::timeout(Duration::from_secs(10), server).await.expect("a connection was made");
    assert!(!read.unwrap().contains("refresh_token"));
}

#[tokio::test]
async fn no_more_requests_than_allowed_are_under_way_at_one_host() {
    const ALLOWED: usize = 3;
    let (listener, host) = listener().await;
    let (under_way, mut watched) = watch::channel(0_usize);
    let most = Arc::new(AtomicUsize::new(0));
    let answers = Arc::new(Semaphore::new(0));
    let handler = {
        let (most, answers) = (Arc::clone(&most), Arc::clone(&answers));
        move || async move {
            under_way.send_modify(|count| {
                *count += 1;
                most.fetch_max(*count, Ordering::SeqCst);
            });
            answers.acquire().await.unwrap().forget();
            under_way.send_modify(|count| *count -= 1);
        }
    };
    let serving = tokio::spawn(axum::serve(listener, Router::new().fallback(any(handler))).into_future());
    let limited = ProviderSettings { per_host_concurrency: ALLOWED, ..settings(&[&host]) };
    let bench = Bench::new(limited, Names::default());
    let url = format!("http://{host}");

    let all = join_all((0..12).map(|_| bench.send(&url)));
    let release = async {
        watched.wait_for(|count| *count >= ALLOWED).await.unwrap();
        answers.add_permits(12);
    };
    let (outcomes, ()) = tokio::join!(all, release);
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(most.load(Ordering::SeqCst), ALLOWED);
    serving.abort();
}

#[tokio::test]
async fn a_rate_that_is_used_up_refuses_without_connecting() {
    let (listener, host) = listener().await;
    let limited = ProviderSettings {
        per_host_rate: 1,
        request_timeout: Duration::from_millis(400),
        ..settings(&[&host])
    };
    let bench = Bench::new(limited, Names::default());
    let url = format!("http://{host}");
    let first = bench.send(&url).await.unwrap_err();
    assert!(matches!(first, SendFailure::TimedOut { .. }), "{first:?}");
    let second = bench.send(&url).await.unwrap_err();
    assert_eq!(second, SendFailure::Crowded { host: host.clone() });
    assert_eq!(bench.last_class(), CallClass::Refused);
    let deadline = Some(Instant::now() + Duration::from_millis(100));
    assert_eq!(bench.send_before(&url, deadline).await.unwrap_err(), SendFailure::DeadlinePassed);
    let _first = listener.accept().await.unwrap();
    assert!(!was_reached(listener));
}

#[tokio::test]
async fn a_header_that_would_split_the_request_is_refused() {
    let (listener, host) = listener().await;
    let bench = Bench::allowing(&[&host]);
    let mut request = request(&format!("http://{host}"));
    request.headers[0].1 = format!("{MARKER}\r\nHost: other").into();
    let failure = bench.provider.send(request, None).await.unwrap_err();
    assert!(matches!(failure, SendFailure::Denied { .. }), "{failure:?}");
    assert!(!format!("{failure} {failure:?}").contains(MARKER));
    assert!(!was_reached(listener));
}

#[tokio::test]
async fn a_provider_keeps_no_cookies() {
    let (listener, host) = listener().await;
    let handler = |headers: HeaderMap| async move {
        ([("set-cookie", "session=1")], headers.contains_key("cookie").to_string())
    };
    let serving = tokio::spawn(axum::serve(listener, Router::new().fallback(any(handler))).into_future());
    let bench = Bench::allowing(&[&host]);
    for _ in 0..2 {
        assert_eq!(bench.send(&format!("http://{host}")).await.unwrap().body.as_slice(), b"false");
    }
    serving.abort();
}

#[tokio::test]
async fn proxy_settings_of_the_environment_are_ignored() {
    let (proxy, proxy_host) = listener().await;
    let mut child = tokio::task::spawn_blocking(move || {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "provider::tests::exchange::a_request_arrives_as_it_was_built"]);
        for variable in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
            child.env(variable, format!("http://{proxy_host}"));
        }
        child.env_remove("no_proxy").env_remove("NO_PROXY").output()
    });
    let output = (&mut child).await.unwrap().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && printed.contains("1 passed"), "{printed}");
    assert!(!was_reached(proxy));
}

#[test]
fn settings_that_let_nothing_through_are_refused() {
    let fault = |settings| HttpProvider::new(settings, Arc::new(Observed::default())).err();
    let none = ProviderSettings { per_host_rate: 0, ..settings(&[]) };
    assert!(matches!(fault(none), Some(ProviderSetupFault::ZeroLimit { .. })));
    let none = ProviderSettings { per_host_concurrency: 0, ..settings(&[]) };
    assert!(matches!(fault(none), Some(ProviderSetupFault::ZeroLimit { .. })));
}
