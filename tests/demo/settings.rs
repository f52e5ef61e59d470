//! Addresses of the demo, and the operator's flags.

use anyhow::Result;

use crate::support::free_port;
use crate::support::identity_provider::Zitadel;

/// The port that the manifests in examples/ name.
pub(crate) const IDENTITY_PROVIDER_PORT: u16 = 9998;

const PUBLIC_URL: &str = "http://localhost:8400";

/// Where a person's browser returns after the consent.
pub(crate) const REDIRECT_URI: &str = "http://localhost:8400/callback/example-browser";

pub(crate) struct OperatorSettings {
    pub arguments: Vec<String>,
    pub ready_url: String,
    pub admission_url: String,
}

/// Outbound requests to loopback are denied unless a setting says otherwise.
pub(crate) fn operator(zitadel: &Zitadel) -> Result<OperatorSettings> {
    let admission = format!("127.0.0.1:{}", free_port()?);
    let internal = format!("127.0.0.1:{}", free_port()?);
    let arguments = vec![
        "--identity=demo".to_owned(),
        "--public-address=127.0.0.1:8400".to_owned(),
        format!("--public-url={PUBLIC_URL}"),
        format!("--internal-address={internal}"),
        format!("--admission-address={admission}"),
        "--admission-configuration=liaison".to_owned(),
        "--admission-host=127.0.0.1".to_owned(),
        format!("--egress-exception={}", zitadel.authority()),
        "--log=info,liaison=debug".to_owned(),
    ];
    Ok(OperatorSettings {
        arguments,
        ready_url: format!("http://{internal}/readyz"),
        admission_url: format!("https://{admission}"),
    })
}
