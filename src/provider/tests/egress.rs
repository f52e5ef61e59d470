use std::str::FromStr;

use reqwest::dns::Resolve;
use rstest::rstest;

use super::*;
use crate::provider::resolver::GuardedResolver;

fn hostile_names() -> Names {
    Names::default()
        .with("rebound.test", &["127.0.0.1"])
        .with("rebound6.test", &["::1"])
        .with("mapped.test", &["::ffff:127.0.0.1"])
        .with("inside.test", &["10.0.0.1", "192.168.3.4", "fd00::1"])
        .with("linklocal.test", &["169.254.169.254"])
        .with("cluster.test", &["44.1.2.3"])
        .with("localhost", &["127.0.0.1", "::1"])
}

/// `PORT` is where somebody listens on loopback.
const FORMS: &[&str] = &[
    // Loopback in all its writings.
    "https://127.0.0.1:PORT",
    "https://127.1:PORT",
    "https://127.255.255.254:PORT",
    "https://2130706433:PORT",
    "https://0x7f000001:PORT",
    "https://0x7f.0.0.1:PORT",
    "https://0177.0.0.1:PORT",
    "https://017700000001:PORT",
    "https://127.0.0.1.:PORT",
    "https://%31%32%37.0.0.1:PORT",
    "https://①②⑦.⓪.⓪.①:PORT",
    "https://localhost:PORT",
    "https://LOCALHOST:PORT",
    "https://[::1]:PORT",
    "https://[0:0:0:0:0:0:0:1]:PORT",
    "https://[::ffff:127.0.0.1]:PORT",
    "https://[::ffff:7f00:1]:PORT",
    "https://[::127.0.0.1]:PORT",
    "https://[::ffff:0:127.0.0.1]:PORT",
    "https://[64:ff9b::127.0.0.1]:PORT",
    "https://[64:ff9b:1::7f00:1]:PORT",
    "https://[2002:7f00:1::]:PORT",
    "https://[2001:0:7f00:1::]:PORT",
    "https://0.0.0.0:PORT",
    "https://0:PORT",
    "https://[::]:PORT",
    // Names that resolve to where they should not.
    "https://rebound.test:PORT",
    "https://rebound6.test:PORT",
    "https://mapped.test:PORT",
    "https://inside.test",
    "https://linklocal.test",
    "https://cluster.test",
    // Metadata services.
    "https://169.254.169.254",
    "https://2852039166",
    "https://0xa9fea9fe",
    "https://[::ffff:169.254.169.254]",
    "https://[fd00:ec2::254]",
    "https://168.63.129.16",
    "https://100.100.100.200",
    "https://metadata.google.internal",
    "https://METADATA.google.internal.",
    // Other ranges that are not public.
    "https://10.1.2.3",
    "https://172.16.0.1",
    "https://172.31.255.255",
    "https://192.168.1.1",
    "https://100.64.0.1",
    "https://169.254.1.1",
    "https://198.18.0.1",
    "https://192.0.2.1",
    "https://224.0.0.1",
    "https://240.0.0.1",
    "https://255.255.255.255",
    "https://[fc00::1]",
    "https://[fd12:3456::1]",
    "https://[fe80::1]",
    "https://[fec0::1]",
    "https://[ff02::1]",
    "https://[2001:db8::1]",
    "https://[100::1]",
    "https://[4000::1]",
    "https://44.1.2.3",
    // Other schemes, and user information that hides the host.
    "http://example.com",
    "http://127.0.0.1:PORT",
    "ftp://example.com",
    "https://example.com@127.0.0.1:PORT",
    "https://user:password@example.com",
    "https://:password@example.com",
];

#[tokio::test]
async fn no_form_of_a_forbidden_address_is_connected_to() {
    let (listener, host) = listener().await;
    let port = host.rsplit_once(':').unwrap().1;
    let mut settings = settings(&[]);
    settings.egress.denied_networks.push("44.0.0.0/8".parse().unwrap());
    let bench = Bench::new(settings, hostile_names());
    assert!(FORMS.len() >= 30);
    for form in FORMS {
        let url = form.replace("PORT", port);
        let outcome = bench.send(&url).await;
        assert!(matches!(outcome, Err(SendFailure::Denied { .. })), "{url}: {outcome:?}");
        assert_eq!(bench.last_class(), CallClass::Refused);
    }
    assert!(!was_reached(listener));
}

#[tokio::test]
async fn an_exception_allows_exactly_one_host_and_port() {
    let (one, allowed) = listener().await;
    let (other, refused) = listener().await;
    let port = allowed.rsplit_once(':').unwrap().1.to_owned();
    let names = Names::default().with("idp.test", &["127.0.0.1"]).with("other.test", &["127.0.0.1"]);
    let bench = Bench::new(settings(&[&allowed, &format!("idp.test:{port}")]), names);
    let serving = tokio::spawn(axum::serve(one, axum::Router::new()).into_future());

    assert_eq!(bench.send(&format!("http://{allowed}")).await.unwrap().status, 404);
    assert_eq!(bench.send(&format!("http://IDP.test:{port}")).await.unwrap().status, 404);
    let refused_port = refused.rsplit_once(':').unwrap().1;
    for url in [
        format!("http://{refused}"),
        format!("https://{refused}"),
        format!("https://idp.test:{refused_port}"),
        format!("http://idp.test:{refused_port}"),
        format!("http://idp.test.:{port}"),
        format!("https://other.test:{port}"),
        format!("http://[::ffff:127.0.0.1]:{port}"),
        format!("http://127.0.0.2:{port}"),
    ] {
        let outcome = bench.send(&url).await;
        assert!(matches!(outcome, Err(SendFailure::Denied { .. })), "{url}: {outcome:?}");
    }
    assert!(!was_reached(other));
    serving.abort();
}

#[tokio::test]
async fn an_exception_never_leads_to_a_metadata_service() {
    let names = Names::default().with("idp.test", &["169.254.169.254", "fd00:ec2::254"]);
    let exceptions = ["idp.test:80", "169.254.169.254:80", "metadata.google.internal:80"];
    let bench = Bench::new(settings(&exceptions), names);
    for exception in exceptions {
        let outcome = bench.send(&format!("http://{exception}")).await;
        assert!(matches!(outcome, Err(SendFailure::Denied { .. })), "{exception}: {outcome:?}");
    }
}

#[tokio::test]
async fn of_a_name_only_the_allowed_addresses_are_given_to_the_connection() {
    let resolver = GuardedResolver {
        route: Route::Guarded,
        policy: Arc::default(),
        names: Arc::new(
            Names::default().with("mixed.test", &["127.0.0.1", "1.1.1.1", "fd00::1", "2606:4700::1"]),
        ),
    };
    let addresses = resolver.resolve("mixed.test".parse().unwrap()).await.unwrap();
    let addresses: Vec<_> = addresses.map(|address| address.ip().to_string()).collect();
    assert_eq!(addresses, ["1.1.1.1", "2606:4700::1"]);
}

#[rstest]
#[case::guarded(Route::Guarded, "127.0.0.1", false)]
#[case::guarded_public(Route::Guarded, "1.1.1.1", true)]
#[case::exempted(Route::Exempted, "127.0.0.1", true)]
#[case::exempted_metadata(Route::Exempted, "169.254.169.254", false)]
fn a_peer_is_checked_by_the_rules_of_its_route(
    #[case] route: Route,
    #[case] peer: &str,
    #[case] allowed: bool,
) {
    let checked = route.check_address(&EgressPolicy::default(), peer.parse().unwrap());
    assert_eq!(checked.is_ok(), allowed, "{checked:?}");
}

#[rstest]
#[case("8.8.8.8")]
#[case("172.15.255.255")]
#[case("172.32.0.0")]
#[case("100.63.255.255")]
#[case("100.128.0.0")]
#[case("169.253.255.255")]
#[case("223.255.255.255")]
#[case("2606:4700::1")]
#[case("2a00::1")]
#[case("2001:4860::8888")]
fn a_public_address_is_allowed(#[case] address: &str) {
    assert_eq!(EgressPolicy::default().check_address(address.parse().unwrap()), Ok(()));
}

#[rstest]
#[case("login.example.com:443", "login.example.com:443")]
#[case("Login.EXAMPLE.com:8443", "login.example.com:8443")]
#[case("127.1:80", "127.0.0.1:80")]
#[case("[0:0::1]:80", "[::1]:80")]
#[case("my_idp.svc:80", "my_idp.svc:80")]
fn an_exception_is_read_in_its_usual_form(#[case] text: &str, #[case] shown: &str) {
    assert_eq!(HostAndPort::from_str(text).unwrap().to_string(), shown);
}

#[rstest]
#[case("")]
#[case("example.com")]
#[case("example.com:")]
#[case("example.com:0")]
#[case("example.com:65536")]
#[case("example.com:80-90")]
#[case(":80")]
#[case("*.example.com:443")]
#[case("*:443")]
#[case("10.0.0.0/8:443")]
#[case("::1:80")]
#[case("https://example.com:443")]
#[case("user@example.com:443")]
fn an_exception_that_is_not_one_host_and_port_is_refused(#[case] text: &str) {
    assert_eq!(HostAndPort::from_str(text), Err(InvalidHostAndPort));
}

#[test]
fn http_is_allowed_only_to_an_exception() {
    let policy = settings(&["idp.svc:8080", "[::1]:80"]).egress;
    assert!(policy.http_allowed("idp.svc", 8080));
    assert!(policy.http_allowed("IDP.svc", 8080));
    assert!(policy.http_allowed("[::1]", 80));
    assert!(!policy.http_allowed("idp.svc", 80));
    assert!(!policy.http_allowed("example.com", 8080));
    assert!(!policy.http_allowed("", 8080));
}
