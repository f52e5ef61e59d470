//! Serves by TLS with a certificate that is replaced while it serves.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_util::sync::CancellationToken;

use crate::ports::{CertificateHolder, Leaf};

/// How long a connection may take to begin with a request.
const FIRST_REQUEST: Duration = Duration::from_secs(10);

/// How long requests under way may take when the process ends.
const GRACE: Duration = Duration::from_secs(5);

/// The certificate that is shown to whoever connects. Until there is one, no connection comes about.
#[derive(Default)]
pub struct ServingCertificate(RwLock<Option<Arc<CertifiedKey>>>);

impl CertificateHolder for ServingCertificate {
    fn hold(&self, leaf: Leaf) -> Result<(), String> {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(leaf.key.as_slice()).clone_key());
        let chain = vec![CertificateDer::from(leaf.certificate)];
        let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider());
        let certified = certified.map_err(|fault| fault.to_string())?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(certified));
        Ok(())
    }
}

impl std::fmt::Debug for ServingCertificate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("ServingCertificate")
    }
}

impl ResolvesServerCert for ServingCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Serves until `stop`.
pub async fn serve(
    address: SocketAddr,
    router: Router,
    certificate: Arc<ServingCertificate>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(std::io::Error::other)?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let handle = Handle::new();
    tokio::spawn({
        let handle = handle.clone();
        async move {
            stop.cancelled().await;
            handle.graceful_shutdown(Some(GRACE));
        }
    });
    axum_server::bind_rustls(address, RustlsConfig::from_config(Arc::new(config)))
        .http1_only()
        .first_request_timeout(FIRST_REQUEST)
        .handle(handle)
        .serve(router.into_make_service_with_connect_info::<SocketAddr>())
        .await
}
