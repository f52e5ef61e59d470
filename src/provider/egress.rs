//! What may be reached: public addresses over https, and the exceptions that an administrator names one by one.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use url::{Host, Url};

use super::ranges::{self, DeniedRange};

/// Names that lead to a cloud's metadata service, whatever they resolve to here.
const METADATA_NAMES: &[&str] =
    &["metadata.google.internal", "metadata.goog", "metadata", "instance-data", "instance-data.ec2.internal"];

/// One host and one port. Names compare without case; IP literals in their usual form, IPv6 in brackets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostAndPort {
    host: Host<String>,
    port: u16,
}

/// A text that is not exactly one host and one port, like `login.example.com:8443`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected one host and one port, like \"login.example.com:8443\", without wildcard or range")]
pub struct InvalidHostAndPort;

impl HostAndPort {
    /// Host and port of an address, the port as given or by its scheme.
    pub fn of(url: &Url) -> Option<Self> {
        Some(Self { host: url.host()?.to_owned(), port: url.port_or_known_default()? })
    }

    /// The host as addresses write it, and the port.
    pub fn parts(&self) -> (String, u16) {
        (self.host.to_string(), self.port)
    }
}

impl FromStr for HostAndPort {
    type Err = InvalidHostAndPort;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (host, port) = text.rsplit_once(':').ok_or(InvalidHostAndPort)?;
        let host = Host::parse(host).map_err(|_| InvalidHostAndPort)?;
        let is_plain =
            |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if matches!(&host, Host::Domain(name) if !is_plain(name)) {
            return Err(InvalidHostAndPort);
        }
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(InvalidHostAndPort)?;
        Ok(Self { host, port })
    }
}

impl fmt::Display for HostAndPort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.host, self.port)
    }
}

/// Why the guard refuses. The texts never repeat the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EgressDenial {
    /// Neither https, nor http to an exception.
    #[error("only https is allowed (http only where host and port are an exception)")]
    Scheme,
    /// The address carries a user name or a password.
    #[error("the address carries a user name or a password")]
    UserInfo,
    /// The address has no host.
    #[error("the address has no host")]
    NoHost,
    /// A name of a metadata service.
    #[error("the name belongs to a cloud metadata service")]
    MetadataName,
    /// An address, given or resolved, in a range that is not public.
    #[error("the address is {0}")]
    Address(DeniedRange),
    /// The connection does not say whom it reached.
    #[error("the address of the connected peer is not known")]
    UnknownPeer,
}

/// By which rules a request goes; each has its own connections, so that what is an exception for one port never
/// serves another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Only to public addresses.
    Guarded,
    /// To an exception: to any address but those of metadata services.
    Exempted,
}

impl Route {
    /// Whether an address, resolved or connected, may be used on this route.
    pub(super) fn check_address(self, policy: &EgressPolicy, address: IpAddr) -> Result<(), EgressDenial> {
        match self {
            Self::Guarded => policy.check_address(address),
            Self::Exempted => {
                ranges::metadata(address).map_or(Ok(()), |range| Err(EgressDenial::Address(range)))
            }
        }
    }
}

/// What may be reached. By default public addresses over https only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EgressPolicy {
    /// What may be reached although it is not public, or over http. Never metadata services.
    pub exceptions: Vec<HostAndPort>,
    /// What is denied although it is public, usually the networks of Pods and Services.
    pub denied_networks: Vec<IpNet>,
}

impl EgressPolicy {
    /// Whether plain http may be spoken to this host and port: only to an exception. An IPv6 literal is in brackets.
    pub fn http_allowed(&self, host: &str, port: u16) -> bool {
        Host::parse(host).is_ok_and(|host| self.is_exception(&HostAndPort { host, port }))
    }

    /// Whether a request to this address may be sent, and by which route. Names are not resolved here.
    pub fn check_url(&self, url: &Url) -> Result<Route, EgressDenial> {
        self.check_url_with(url, &BTreeSet::new())
    }

    /// The same with further exceptions, which are for this request alone.
    pub fn check_url_with(
        &self,
        url: &Url,
        further: &BTreeSet<(String, u16)>,
    ) -> Result<Route, EgressDenial> {
        if !url.username().is_empty() || url.password().is_some() {
            return Err(EgressDenial::UserInfo);
        }
        let target = HostAndPort::of(url).ok_or(EgressDenial::NoHost)?;
        let is_exception = self.is_exception(&target) || further.contains(&target.parts());
        let route = if is_exception { Route::Exempted } else { Route::Guarded };
        match (url.scheme(), route) {
            ("https", _) | ("http", Route::Exempted) => {}
            _ => return Err(EgressDenial::Scheme),
        }
        match target.host {
            Host::Domain(name) => check_name(&name)?,
            Host::Ipv4(address) => route.check_address(self, address.into())?,
            Host::Ipv6(address) => route.check_address(self, address.into())?,
        }
        Ok(route)
    }

    /// Whether an address is public and not in a denied network.
    pub fn check_address(&self, address: IpAddr) -> Result<(), EgressDenial> {
        let configured = || {
            let denied = self.denied_networks.iter().any(|network| network.contains(&address));
            denied.then_some(DeniedRange::Configured)
        };
        let range = ranges::denied_range(address).or_else(configured);
        range.map_or(Ok(()), |range| Err(EgressDenial::Address(range)))
    }

    fn is_exception(&self, target: &HostAndPort) -> bool {
        self.exceptions.contains(target)
    }
}

fn check_name(name: &str) -> Result<(), EgressDenial> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if METADATA_NAMES.contains(&name) { Err(EgressDenial::MetadataName) } else { Ok(()) }
}
