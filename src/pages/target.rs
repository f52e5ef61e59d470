//! Addresses that a page may move a browser to.

use std::fmt;

use url::{Host, Url};

/// An https address, or an http one on this very machine: whatever travels there, nobody on the way can read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target(Url);

impl Target {
    /// None for every other address, scripts and such with a user name in them included.
    pub fn of(address: &str) -> Option<Self> {
        let target = Self::checked(address)?;
        let url = &target.0;
        let is_here = match url.host()? {
            Host::Domain(domain) => domain == "localhost",
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address.is_loopback(),
        };
        (url.scheme() == "https" || is_here).then_some(target)
    }

    /// An address that was held against the egress exceptions already: http is for hosts that an administrator names.
    pub fn checked(address: &str) -> Option<Self> {
        let url = Url::parse(address).ok()?;
        let is_web = matches!(url.scheme(), "https" | "http") && url.has_host();
        let anonymous = url.username().is_empty() && url.password().is_none();
        (is_web && anonymous).then_some(Self(url))
    }

    /// Host and port, as a person reads them.
    pub(super) fn authority(&self) -> String {
        self.0.authority().to_owned()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.as_str())
    }
}
