//! Where requests to customers' URLs may go: nowhere private, checked on the address itself after resolution, so that no
//! name, redirect or number format leads around it (hard case X01, "SSRF").

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::settings::Egress;

/// Why a URL is not asked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// It cannot be read.
    #[error("not a URL")]
    NotUrl,
    /// It is neither http nor https.
    #[error("neither http nor https")]
    Scheme,
    /// Its address is not public and the operator does not allow it.
    #[error("the address is not public")]
    Address,
}

/// Reads a URL and checks what can be checked without DNS: scheme, and an address in the place of the host.
pub fn check_url(egress: &Egress, url: &str) -> Result<Url, Refused> {
    let url = Url::parse(url.trim()).map_err(|_| Refused::NotUrl)?;
    check(egress, &url)?;
    Ok(url)
}

/// Checks a URL that is read already.
pub(crate) fn check(egress: &Egress, url: &Url) -> Result<(), Refused> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Refused::Scheme);
    }
    // The URL parser has turned decimal, octal and hexadecimal forms into addresses.
    let address = match url.host() {
        None => return Err(Refused::NotUrl),
        Some(Host::Domain(_)) => return Ok(()),
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
    };
    match may_reach(egress, address) {
        true => Ok(()),
        false => Err(Refused::Address),
    }
}

/// Tells whether an address may be connected to.
pub(crate) fn may_reach(egress: &Egress, address: IpAddr) -> bool {
    let address = innermost(address);
    // Metadata services hand out credentials of the machine: no allowance opens them.
    if is_metadata(address) {
        return false;
    }
    is_public(address) || egress.allow.iter().any(|net| net.contains(&address))
}

/// The IPv4 address that an IPv6 address leads to, where it does: RFC 4291 §2.5.5, RFC 6052 §2.1, RFC 3056 §2.
fn innermost(address: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = address else {
        return address;
    };
    let four = |high: u16, low: u16| {
        let bits = (u32::from(high) << 16) | u32::from(low);
        IpAddr::V4(Ipv4Addr::from_bits(bits))
    };
    match six.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => address,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => four(high, low),
        [0, 0, 0, 0, 0xffff, 0, high, low] => four(high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => four(high, low),
        [0x2002, high, low, ..] => four(high, low),
        _ => address,
    }
}

fn is_metadata(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => matches!(
            four.octets(),
            [169, 254, 169, 254 | 253]
                | [169, 254, 170, 2 | 23]
                | [100, 100, 100, 200]
                | [192, 0, 0, 192]
        ),
        IpAddr::V6(six) => six == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    }
}

/// The special-purpose registries of IANA (RFC 6890) hold everything that is not.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => !matches!(
            four.octets(),
            [0 | 10 | 127, ..]
                | [100, 64..=127, ..]
                | [169, 254, ..]
                | [172, 16..=31, ..]
                | [192, 0, 0 | 2, _]
                | [192, 88, 99, _]
                | [192, 168, ..]
                | [198, 18 | 19, ..]
                | [198, 51, 100, _]
                | [203, 0, 113, _]
                | [224..=255, ..]
        ),
        // 2000::/3 is what is given out; of it not the documentation, benchmarking and Teredo networks.
        IpAddr::V6(six) => match six.segments() {
            [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
            [first, ..] => first & 0xe000 == 0x2000,
        },
    }
}

/// Resolves names and keeps only addresses that may be reached.
#[derive(Clone, Debug)]
pub(crate) struct Resolver(pub(crate) Arc<Egress>);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let egress = Arc::clone(&self.0);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found
                .filter(|address| may_reach(&egress, address.ip()))
                .collect();
            if allowed.is_empty() {
                return Err(Refused::Address.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}
