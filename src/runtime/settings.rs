//! The operator's settings: flags, each with an environment variable of the same meaning.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::domain::folder::Territory;
use crate::provider::HostAndPort;

/// Settings of `liaison run`.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// The operator's own namespace: its lease and its keyring are there
    #[arg(long, env = "LIAISON_NAMESPACE", default_value = "liaison-system")]
    pub namespace: String,

    /// Name of this replica in the lease; the Pod's name in a cluster
    #[arg(long, env = "LIAISON_IDENTITY")]
    pub identity: String,

    /// Where browsers reach the public listener
    #[arg(long, env = "LIAISON_PUBLIC_URL", default_value = "http://localhost:8400", value_parser = public_url)]
    pub public_url: url::Url,

    /// Listener for browsers
    #[arg(long, env = "LIAISON_PUBLIC_ADDRESS", default_value = "0.0.0.0:8400")]
    pub public_address: SocketAddr,

    /// Listener for probes and metrics
    #[arg(long, env = "LIAISON_INTERNAL_ADDRESS", default_value = "0.0.0.0:8401")]
    pub internal_address: SocketAddr,

    /// Listener for the API server, which asks there before it stores what people write
    #[arg(long, env = "LIAISON_ADMISSION_ADDRESS", default_value = "0.0.0.0:8443")]
    pub admission_address: SocketAddr,

    /// Name of the webhook configurations that lead to that listener. Without it there is no admission
    #[arg(long, env = "LIAISON_ADMISSION_CONFIGURATION", default_value = "")]
    pub admission_configuration: String,

    /// Name or address under which the API server reaches that listener; may be repeated. Default: the Service
    /// CONFIGURATION-admission of the operator's namespace
    #[arg(long = "admission-host", env = "LIAISON_ADMISSION_HOSTS", value_delimiter = ',')]
    pub admission_hosts: Vec<String>,

    /// Listener for workloads that ask for a credential
    #[arg(long, env = "LIAISON_TOKEN_ADDRESS", default_value = "0.0.0.0:8444")]
    pub token_address: SocketAddr,

    /// Name or address under which workloads reach that listener; may be repeated. Without one there is no token endpoint
    #[arg(long = "token-host", env = "LIAISON_TOKEN_HOSTS", value_delimiter = ',')]
    pub token_hosts: Vec<String>,

    /// Audience that a workload's `ServiceAccount` token has to be made for
    #[arg(long, env = "LIAISON_TOKEN_AUDIENCE", default_value = "liaison.dev", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub token_audience: String,

    /// Provider exempt from the egress guard, as host:port; may be repeated. Only these may be spoken to without TLS
    #[arg(long = "egress-exception", env = "LIAISON_EGRESS_EXCEPTIONS", value_delimiter = ',')]
    pub egress_exceptions: Vec<HostAndPort>,

    /// Network that is never a provider, such as the cluster's Pod and Service ranges; may be repeated
    #[arg(long = "egress-denied-network", env = "LIAISON_EGRESS_DENIED_NETWORKS", value_delimiter = ',')]
    pub egress_denied_networks: Vec<ipnet::IpNet>,

    /// Address that provider requests come from, for messages to people whose provider filters addresses
    #[arg(long = "egress-address", env = "LIAISON_EGRESS_ADDRESSES", value_delimiter = ',')]
    pub egress_addresses: Vec<String>,

    /// PEM file of certificate authorities to trust at providers beside the system's
    #[arg(long, env = "LIAISON_PROVIDER_CA_FILE")]
    pub provider_ca_file: Option<PathBuf>,

    /// Time for one whole provider request. Must be shorter than the lease
    #[arg(long, env = "LIAISON_PROVIDER_TIMEOUT", default_value = "8s", value_parser = humantime::parse_duration)]
    pub provider_timeout: Duration,

    /// Requests to one provider host at the same time
    #[arg(long, env = "LIAISON_PROVIDER_CONCURRENCY", default_value_t = 8)]
    pub provider_concurrency: usize,

    /// Requests to one provider host in a second
    #[arg(long, env = "LIAISON_PROVIDER_RATE", default_value_t = 20)]
    pub provider_rate: u32,

    /// Share of a token's lifetime after which it is refreshed
    #[arg(long, env = "LIAISON_REFRESH_FRACTION", default_value_t = 0.8, value_parser = fraction)]
    pub refresh_fraction: f64,

    /// Time between two verifications that nobody asked for
    #[arg(long, env = "LIAISON_VERIFY_INTERVAL", default_value = "1h", value_parser = humantime::parse_duration)]
    pub verify_interval: Duration,

    /// Objects of one kind that are worked on at the same time
    #[arg(long, env = "LIAISON_CONCURRENCY", default_value_t = 16)]
    pub concurrency: u16,

    /// How long another replica waits after the leader's last sign of life, in seconds
    #[arg(long, env = "LIAISON_LEASE_SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(3..=300))]
    pub lease_seconds: u64,

    /// Whether log lines are JSON
    #[arg(long, env = "LIAISON_LOG_JSON")]
    pub log_json: bool,

    /// What is logged, as tracing's filter directives
    #[arg(long, env = "LIAISON_LOG", default_value = "info")]
    pub log: String,
}

impl Settings {
    /// Which namespaces folders may have.
    pub(super) fn territory(&self) -> Territory {
        Territory { operator_namespace: self.namespace.clone(), namespaces: None }
    }

    /// What the certificate of the listener for admission is made for.
    pub(super) fn admission_hosts(&self) -> Vec<String> {
        if !self.admission_hosts.is_empty() {
            return self.admission_hosts.clone();
        }
        vec![format!("{}-admission.{}.svc", self.admission_configuration, self.namespace)]
    }
}

/// The address that browsers are sent to. Sessions travel there, so that it is https, or this very machine.
fn public_url(text: &str) -> Result<url::Url, String> {
    let url: url::Url =
        text.parse().map_err(|_| "must be an address such as https://liaison.example.com".to_owned())?;
    let is_here = match url.host() {
        Some(url::Host::Domain(domain)) => domain == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    if url.scheme() != "https" && !(url.scheme() == "http" && is_here) {
        return Err("must be https; http is only for trials on localhost".to_owned());
    }
    let is_plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if !is_plain || url.fragment().is_some() {
        return Err("must have no user name, query or fragment".to_owned());
    }
    Ok(url)
}

fn fraction(text: &str) -> Result<f64, String> {
    let fraction: f64 = text.parse().map_err(|_| "must be a number".to_owned())?;
    if (0.02..=0.95).contains(&fraction) {
        Ok(fraction)
    } else {
        Err("must be between 0.02 and 0.95".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://liaison.example.com", true)]
    #[case("https://example.com/liaison/", true)]
    #[case("http://localhost:8400", true)]
    #[case("http://127.0.0.1:8400", true)]
    #[case("http://[::1]:8400", true)]
    #[case("http://liaison.example.com", false)]
    #[case("http://localhost.example.com", false)]
    #[case("ftp://localhost", false)]
    #[case("https://user@example.com", false)]
    #[case("https://example.com/?next=x", false)]
    #[case("https://example.com/#x", false)]
    #[case("liaison.example.com", false)]
    fn browsers_are_sent_to_https_or_to_this_very_machine(#[case] text: &str, #[case] taken: bool) {
        assert_eq!(public_url(text).is_ok(), taken);
    }
}
