//! Certificates of our own for listeners inside of the cluster: an authority in a Secret, leaves from it, and its
//! certificate published to whoever has to trust it.

mod authority;
mod config_map;
mod keeper;
mod webhooks;

use async_trait::async_trait;
use futures::stream::BoxStream;

pub use config_map::{TOKEN_AUTHORITY_CONFIG_MAP, TrustedConfigMap};
pub use keeper::{Keeper, Standing};
pub use webhooks::TrustedWebhooks;

/// Why certificates are not as they should be.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The API server refused or could not be reached.
    #[error("{0}: {1}")]
    Api(&'static str, Box<kube::Error>),
    /// Another replica has written what this one was about to.
    #[error("another replica was faster")]
    Overtaken,
    /// A certificate could not be made.
    #[error("make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The authorities could not be written as text.
    #[error("write the authorities down: {0}")]
    Encoding(#[from] serde_json::Error),
    /// The listener does not take the certificate.
    #[error("show a certificate: {0}")]
    Hold(String),
    /// What the authorities' certificates are written into is not there.
    #[error("waiting for {0}; the chart makes it, or `liaison manifests` prints it")]
    Missing(String),
}

fn api(action: &'static str) -> impl FnOnce(kube::Error) -> Fault {
    move |error| Fault::Api(action, Box::new(error))
}

/// Where the authorities' certificates are published.
#[async_trait]
pub trait Publication: Send + Sync {
    /// Whenever somebody may have changed it.
    fn changes(&self) -> BoxStream<'static, ()>;
    /// Writes the certificates, in PEM, where they differ.
    async fn publish(&self, bundle: &str) -> Result<(), Fault>;
}

/// A listener that is shown to be ours.
#[derive(Clone, Copy, Debug)]
pub struct Listener {
    /// What it is for; its certificates are named after it.
    pub purpose: &'static str,
    /// The Secret that holds its authorities.
    pub secret: &'static str,
}

/// The listener for admission, which the API server trusts.
pub const ADMISSION: Listener = Listener { purpose: "admission", secret: "liaison-admission-ca" };

/// The token endpoint, which workloads trust.
pub const TOKENS: Listener = Listener { purpose: "token", secret: "liaison-token-ca" };
