//! What counts as one source.

use std::net::{IpAddr, Ipv6Addr};

/// One customer of a provider has an IPv6 network of at least 64 bits; an IPv4 address counts by itself.
pub(crate) fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) => {
            let mask = u128::MAX << 64;
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
        source => source,
    }
}
