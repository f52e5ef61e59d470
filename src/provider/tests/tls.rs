use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::*;

/// A certificate for the names, its own authority, and a server that has it.
pub(super) struct Identity {
    pub(super) pem: Vec<u8>,
    acceptor: TlsAcceptor,
}

impl Identity {
    pub(super) fn new(name: &str, protocol: &str) -> Self {
        let issued = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(issued.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![issued.cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        Self { pem: issued.cert.pem().into_bytes(), acceptor: TlsAcceptor::from(Arc::new(config)) }
    }

    pub(super) async fn accept(&self, listener: &TcpListener) -> io::Result<TlsStream<TcpStream>> {
        let (stream, _) = listener.accept().await?;
        self.acceptor.accept(stream).await
    }
}

/// `idp.test` leads to loopback, and is an exception at this port.
pub(super) fn bench(host: &str, extra_ca_pem: Vec<u8>) -> (Bench, String) {
    let target = format!("idp.test:{}", host.rsplit_once(':').unwrap().1);
    let settings = ProviderSettings { extra_ca_pem, ..settings(&[&target]) };
    (Bench::new(settings, Names::default().with("idp.test", &["127.0.0.1"])), target)
}

#[tokio::test]
async fn an_authority_of_the_settings_is_trusted() {
    let (listener, host) = listener().await;
    let identity = Identity::new("idp.test", "http/1.1");
    let (bench, target) = bench(&host, identity.pem.clone());
    let server = async {
        let mut stream = identity.accept(&listener).await.unwrap();
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
    };
    let url = format!("https://{target}");
    let (outcome, ()) = tokio::join!(bench.send(&url), server);
    assert_eq!(outcome.unwrap().body.as_slice(), b"ok");
}

#[rstest::rstest]
#[case::unknown_authority("idp.test", false, "its certificate comes from an unknown authority")]
#[case::other_name("other.test", true, "its certificate is for another name")]
#[tokio::test]
async fn a_server_that_proves_nothing_is_untrusted(
    #[case] name: &str,
    #[case] trusted: bool,
    #[case] cause: &str,
) {
    let (listener, host) = listener().await;
    let identity = Identity::new(name, "http/1.1");
    let (bench, target) = bench(&host, if trusted { identity.pem.clone() } else { Vec::new() });
    let url = format!("https://{target}");
    let (outcome, accepted) = tokio::join!(bench.send(&url), identity.accept(&listener));
    let expected = SendFailure::Untrusted { host: target, cause: cause.to_owned() };
    assert_eq!(outcome.unwrap_err(), expected);
    assert_eq!(bench.last_class(), CallClass::Unreachable);
    assert!(accepted.is_err());
}

#[tokio::test]
async fn a_server_without_tls_is_untrusted() {
    let (listener, host) = listener().await;
    let (bench, target) = bench(&host, Vec::new());
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        stream.shutdown().await.unwrap();
    };
    let url = format!("https://{target}");
    let (outcome, ()) = tokio::join!(bench.send(&url), server);
    let expected = SendFailure::Untrusted { host: target, cause: "it does not speak TLS".to_owned() };
    assert_eq!(outcome.unwrap_err(), expected);
}

#[rstest::rstest]
#[case::no_pem(b"something else")]
#[case::empty_pem(b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n")]
#[case::key(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")]
fn authorities_that_are_none_are_refused(#[case] pem: &[u8]) {
    let settings = ProviderSettings { extra_ca_pem: pem.to_vec(), ..settings(&[]) };
    assert!(HttpProvider::new(settings, Arc::new(Observed::default())).is_err());
}
