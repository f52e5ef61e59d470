//! Resolves names to those of their addresses that may be reached.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::egress::{EgressPolicy, Route};

/// How many addresses of one name are tried; a hostile name server must not turn one request into a port scan.
const MAXIMUM_ADDRESSES: usize = 16;

/// Looks names up.
#[async_trait]
pub(super) trait NameLookup: Send + Sync {
    /// All addresses of a name.
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The system's resolver.
pub(super) struct SystemNames;

#[async_trait]
impl NameLookup for SystemNames {
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect())
    }
}

/// Gives a connection only addresses that its route allows. Where none is left the first refusal is the error.
pub(super) struct GuardedResolver {
    pub(super) route: Route,
    pub(super) policy: Arc<EgressPolicy>,
    pub(super) names: Arc<dyn NameLookup>,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (route, policy, names) = (self.route, Arc::clone(&self.policy), Arc::clone(&self.names));
        Box::pin(async move {
            let addresses = names.addresses(name.as_str()).await?;
            let mut allowed = Vec::new();
            let mut denial = None;
            for address in addresses {
                match route.check_address(&policy, address) {
                    Ok(()) => allowed.push(SocketAddr::new(address, 0)),
                    Err(refused) => denial = denial.or(Some(refused)),
                }
            }
            match denial {
                Some(denial) if allowed.is_empty() => Err(denial.into()),
                _ => Ok(Box::new(allowed.into_iter().take(MAXIMUM_ADDRESSES)) as Addrs),
            }
        })
    }
}
