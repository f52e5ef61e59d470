//! Addresses of the demo, and the operator's flags.

use anyhow::Result;

use crate::support::control_plane::ControlPlane;
use crate::support::free_port;
use crate::support::identity_provider::Zitadel;
use crate::support::installation::AdmissionPort;

/// The port that the manifests in examples/ name.
pub(crate) const IDENTITY_PROVIDER_PORT: u16 = 9998;

const PUBLIC_URL: &str = "http://localhost:8400";

/// Where a person's browser returns after the consent.
pub(crate) const REDIRECT_URI: &str = "http://localhost:8400/callback/example-browser";

pub(crate) struct OperatorSettings {
    pub arguments: Vec<String>,
    /// Where the API server asks before it stores what people write.
    pub admission: AdmissionPort,
    pub ready_url: String,
}

/// Outbound requests to loopback are denied unless a setting says otherwise.
pub(crate) fn operator(zitadel: &Zitadel) -> Result<OperatorSettings> {
    let internal = format!("127.0.0.1:{}", free_port()?);
    let admission = AdmissionPort::take()?;
    let mut arguments = vec![
        "--identity=demo".to_owned(),
        "--public-address=127.0.0.1:8400".to_owned(),
        format!("--public-url={PUBLIC_URL}"),
        format!("--internal-address={internal}"),
        format!("--egress-exception={}", zitadel.authority()),
        "--log=info,liaison=debug".to_owned(),
    ];
    if ControlPlane::will_be_own() {
        arguments.extend(admission.arguments());
    }
    Ok(OperatorSettings { arguments, admission, ready_url: format!("http://{internal}/readyz") })
}
