//! Which addresses are not public, and why (IANA special-purpose registries, RFC 6890).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// Why an address is not reached without an exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeniedRange {
    /// A cloud's metadata or agent service, which hands out credentials. No exception lifts this.
    CloudMetadata,
    /// This host itself.
    Loopback,
    /// No address, or "this network".
    Unspecified,
    /// Valid on one link only.
    LinkLocal,
    /// Private use, unique local and site local.
    Private,
    /// Shared by carriers and often by clusters (RFC 6598).
    Shared,
    /// An IPv6 address that carries an IPv4 address: mapped, compatible, NAT64, 6to4, Teredo.
    Translated,
    /// Multicast or broadcast.
    Multicast,
    /// Reserved for documentation.
    Documentation,
    /// Reserved for other uses, or not assigned as global unicast.
    Reserved,
    /// A Pod, Service or other network that the settings name.
    Configured,
}

impl fmt::Display for DeniedRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::CloudMetadata => "a cloud metadata service",
            Self::Loopback => "loopback",
            Self::Unspecified => "unspecified",
            Self::LinkLocal => "link-local",
            Self::Private => "private",
            Self::Shared => "shared (100.64.0.0/10)",
            Self::Translated => "an IPv4 address within an IPv6 address",
            Self::Multicast => "multicast or broadcast",
            Self::Documentation => "reserved for documentation",
            Self::Reserved => "reserved",
            Self::Configured => "in a network that the operator's settings deny",
        })
    }
}

/// The first range that has the address; `None` for a public one.
pub(super) fn denied_range(address: IpAddr) -> Option<DeniedRange> {
    metadata(address).or_else(|| match address {
        IpAddr::V4(address) => first(V4, |network| network.contains(&address)),
        IpAddr::V6(address) => first(V6, |network| network.contains(&address))
            .or_else(|| (!GLOBAL_UNICAST.contains(&address)).then_some(DeniedRange::Reserved)),
    })
}

/// The metadata services that are known by a fixed address, also in their mapped form.
pub(super) fn metadata(address: IpAddr) -> Option<DeniedRange> {
    METADATA.contains(&address.to_canonical()).then_some(DeniedRange::CloudMetadata)
}

fn first<Network>(
    table: &[(Network, DeniedRange)],
    has_address: impl Fn(&Network) -> bool,
) -> Option<DeniedRange> {
    table.iter().find(|(network, _)| has_address(network)).map(|(_, range)| *range)
}

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn v6(start: [u16; 6], length: u8) -> Ipv6Net {
    let address = Ipv6Addr::new(start[0], start[1], start[2], start[3], start[4], start[5], 0, 0);
    Ipv6Net::new_assert(address, length)
}

const METADATA: &[IpAddr] = &[
    // AWS, Google, Azure, DigitalOcean, Hetzner, OpenStack and others; AWS tasks; AWS time.
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    // AWS pod identity.
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
    // AWS and Google over IPv6.
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    // Alibaba, Oracle, and the agent service of Azure, whose address is a public one.
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
];

const V4: &[(Ipv4Net, DeniedRange)] = &[
    (v4(0, 0, 0, 0, 8), DeniedRange::Unspecified),
    (v4(10, 0, 0, 0, 8), DeniedRange::Private),
    (v4(100, 64, 0, 0, 10), DeniedRange::Shared),
    (v4(127, 0, 0, 0, 8), DeniedRange::Loopback),
    (v4(169, 254, 0, 0, 16), DeniedRange::LinkLocal),
    (v4(172, 16, 0, 0, 12), DeniedRange::Private),
    (v4(192, 0, 0, 0, 24), DeniedRange::Reserved),
    (v4(192, 0, 2, 0, 24), DeniedRange::Documentation),
    (v4(192, 88, 99, 0, 24), DeniedRange::Reserved),
    (v4(192, 168, 0, 0, 16), DeniedRange::Private),
    (v4(198, 18, 0, 0, 15), DeniedRange::Reserved),
    (v4(198, 51, 100, 0, 24), DeniedRange::Documentation),
    (v4(203, 0, 113, 0, 24), DeniedRange::Documentation),
    (v4(224, 0, 0, 0, 4), DeniedRange::Multicast),
    (v4(255, 255, 255, 255, 32), DeniedRange::Multicast),
    (v4(240, 0, 0, 0, 4), DeniedRange::Reserved),
];

/// Whatever is outside of it is not the public internet (RFC 4291, 2.4).
const GLOBAL_UNICAST: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0], 3);

const UNSPECIFIED: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 128);
const LOOPBACK: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128);

const V6: &[(Ipv6Net, DeniedRange)] = &[
    (UNSPECIFIED, DeniedRange::Unspecified),
    (LOOPBACK, DeniedRange::Loopback),
    (v6([0, 0, 0, 0, 0, 0], 96), DeniedRange::Translated),
    (v6([0, 0, 0, 0, 0, 0xffff], 96), DeniedRange::Translated),
    (v6([0, 0, 0, 0, 0xffff, 0], 96), DeniedRange::Translated),
    (v6([0x64, 0xff9b, 0, 0, 0, 0], 96), DeniedRange::Translated),
    (v6([0x64, 0xff9b, 1, 0, 0, 0], 48), DeniedRange::Translated),
    (v6([0x2001, 0, 0, 0, 0, 0], 32), DeniedRange::Translated),
    (v6([0x2001, 0, 0, 0, 0, 0], 23), DeniedRange::Reserved),
    (v6([0x2001, 0xdb8, 0, 0, 0, 0], 32), DeniedRange::Documentation),
    (v6([0x2002, 0, 0, 0, 0, 0], 16), DeniedRange::Translated),
    (v6([0x3fff, 0, 0, 0, 0, 0], 20), DeniedRange::Documentation),
    (v6([0xfc00, 0, 0, 0, 0, 0], 7), DeniedRange::Private),
    (v6([0xfe80, 0, 0, 0, 0, 0], 10), DeniedRange::LinkLocal),
    (v6([0xfec0, 0, 0, 0, 0, 0], 10), DeniedRange::Private),
    (v6([0xff00, 0, 0, 0, 0, 0], 8), DeniedRange::Multicast),
];
