//! Sends requests to providers: TLS, egress guard, limits of time, size and rate, no redirects, no retries.
//!
//! What may be reached is checked three times, because each check alone has a way around it: the address before
//! anything is resolved ([`EgressPolicy::check_url`], the only one that sees IP literals and ports), the addresses
//! that a name resolves to (the only ones that are connected to, so a name cannot change its mind in between), and
//! the peer of the connection before its answer is used.

mod body;
mod client;
mod egress;
mod failure;
mod limits;
mod ranges;
mod resolver;
#[cfg(test)]
mod tests;

pub use client::{HttpProvider, ProviderSettings, ProviderSetupFault};
pub use egress::{EgressDenial, EgressPolicy, HostAndPort, InvalidHostAndPort, Route};
pub use ranges::DeniedRange;
