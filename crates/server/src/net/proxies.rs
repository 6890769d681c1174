//! The real address of a client behind a load balancer: the PROXY protocol, version 2, in its binary form, and
//! `X-Forwarded-For`. Both are believed from configured networks only; from anybody else the first is an error, like any
//! other bytes that are not SIP, and the second is not looked at.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The first twelve octets of a header.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family, length.
const FIXED: usize = 16;

/// The longest rest of a header: addresses and what a proxy may add to them.
const LONGEST: usize = 4096;

const FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Whose word about a client's address is taken.
#[derive(Clone, Default, Debug)]
pub struct Proxies {
    /// Connections from these networks begin with a PROXY header.
    pub announcing: Vec<IpNet>,
    /// The `X-Forwarded-For` of these networks is believed.
    pub forwarding: Vec<IpNet>,
}

impl Proxies {
    /// Whether a connection from here has to begin with a PROXY header.
    pub fn announces(&self, address: IpAddr) -> bool {
        holds(&self.announcing, address)
    }

    /// Whether connections from here stand for many clients.
    pub fn is_shared(&self, address: IpAddr) -> bool {
        self.announces(address) || holds(&self.forwarding, address)
    }

    /// The client of an HTTP request that came from this address. Each proxy adds its own client at the end, so the list
    /// is read from there, as long as the words are those of trusted ones.
    pub fn client(&self, remote: SocketAddr, headers: &HeaderMap) -> SocketAddr {
        let mut known = remote;
        let values: Vec<&str> = headers
            .get_all(FORWARDED)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .collect();
        for value in values.into_iter().rev() {
            if !holds(&self.forwarding, known.ip()) {
                break;
            }
            let Some(next) = forwarded(value.trim()) else {
                break;
            };
            known = next;
        }
        known
    }
}

fn holds(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(&address))
}

/// An address, with or without a port.
fn forwarded(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(SocketAddr::new(address.ip().to_canonical(), address.port()));
    }
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse::<IpAddr>().ok()?;
    Some(SocketAddr::new(address.to_canonical(), 0))
}

/// Reads a PROXY header, and not one octet more. The client's address, or none when the proxy speaks for itself, as it does
/// to see whether we are well.
pub async fn read_header(
    stream: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<(SocketAddr, SocketAddr)>> {
    let mut fixed = [0; FIXED];
    stream.read_exact(&mut fixed).await?;
    let [.., version, family, high, low] = fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if !fixed.starts_with(SIGNATURE) || version >> 4 != 2 || length > LONGEST {
        return Err(wrong("no PROXY header of version 2"));
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await?;
    match (version & 15, family) {
        (0, _) => Ok(None),
        (1, 0x11) => match rest.get(..12) {
            Some(&[a, b, c, d, e, f, g, h, from_high, from_low, to_high, to_low]) => {
                let from = Ipv4Addr::new(a, b, c, d);
                let to = Ipv4Addr::new(e, f, g, h);
                Ok(Some((
                    SocketAddr::new(from.into(), u16::from_be_bytes([from_high, from_low])),
                    SocketAddr::new(to.into(), u16::from_be_bytes([to_high, to_low])),
                )))
            }
            _ => Err(wrong("a PROXY header that is too short")),
        },
        (1, 0x21) => {
            let read = |at: usize, port: usize| {
                let octets: [u8; 16] = rest.get(at..at + 16)?.try_into().ok()?;
                let port: [u8; 2] = rest.get(port..port + 2)?.try_into().ok()?;
                let address = IpAddr::from(Ipv6Addr::from(octets)).to_canonical();
                Some(SocketAddr::new(address, u16::from_be_bytes(port)))
            };
            match (read(0, 32), read(16, 34)) {
                (Some(from), Some(to)) => Ok(Some((from, to))),
                _ => Err(wrong("a PROXY header that is too short")),
            }
        }
        _ => Err(wrong("a PROXY header of another kind than TCP")),
    }
}

fn wrong(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::{FORWARDED, Proxies, SIGNATURE, SocketAddr, read_header};

    fn header(version: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut out = SIGNATURE.to_vec();
        out.extend([version, family]);
        out.extend((rest.len() as u16).to_be_bytes());
        out.extend(rest);
        out
    }

    const V4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 1, 0x13, 0xc4, 0x13, 0xc5];

    #[tokio::test]
    async fn a_header_names_the_client_and_leaves_what_follows() {
        let mut rest = V4.to_vec();
        rest.extend([4, 0, 1, 7]);
        let mut bytes = header(0x21, 0x11, &rest);
        bytes.extend(*b"REGISTER");
        let mut stream = &bytes[..];
        let (from, to) = read_header(&mut stream).await.unwrap().unwrap();
        assert_eq!(from, "192.0.2.1:5060".parse().unwrap());
        assert_eq!(to, "198.51.100.1:5061".parse().unwrap());
        assert_eq!(stream, b"REGISTER");
        let mut v6 = [0; 36];
        v6[15] = 1;
        v6[31] = 2;
        v6[33] = 9;
        let (from, _) = read_header(&mut &header(0x21, 0x21, &v6)[..])
            .await
            .unwrap()
            .unwrap();
        assert_eq!(from, "[::1]:9".parse().unwrap());
        let local = header(0x20, 0, &[]);
        assert_eq!(read_header(&mut &local[..]).await.unwrap(), None);
    }

    #[tokio::test]
    async fn other_versions_kinds_and_lengths_are_errors() {
        let text = b"PROXY TCP4 192.0.2.1 198.51.100.1 5060 5061\r\n".to_vec();
        let bad = [
            text,
            header(0x11, 0x11, &V4),
            header(0x22, 0x11, &V4),
            header(0x21, 0x12, &V4),
            header(0x21, 0x31, &[0; 216]),
            header(0x21, 0x11, &V4[..11]),
            header(0x21, 0x21, &V4),
            header(0x21, 0x11, &[0; 4097]),
            header(0x21, 0x11, &V4)[..20].to_vec(),
        ];
        for (number, bytes) in bad.iter().enumerate() {
            assert!(read_header(&mut &bytes[..]).await.is_err(), "{number}");
        }
    }

    #[test]
    fn a_forwarded_address_is_believed_as_far_as_trusted_words_reach() {
        let proxies = Proxies {
            announcing: Vec::new(),
            forwarding: vec!["10.0.0.0/8".parse().unwrap()],
        };
        let client = |remote: &str, values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(FORWARDED, value.parse().unwrap());
            }
            let remote: SocketAddr = remote.parse().unwrap();
            proxies.client(remote, &headers).to_string()
        };
        assert_eq!(client("192.0.2.9:1", &["203.0.113.7"]), "192.0.2.9:1");
        assert_eq!(client("10.0.0.1:1", &["203.0.113.7"]), "203.0.113.7:0");
        // What the client itself wrote stands before what the proxy saw.
        assert_eq!(
            client("10.0.0.1:1", &["1.1.1.1, 203.0.113.7:99"]),
            "203.0.113.7:99"
        );
        assert_eq!(
            client("10.0.0.1:1", &["203.0.113.7", "10.0.0.2"]),
            "203.0.113.7:0"
        );
        assert_eq!(
            client("[::ffff:10.0.0.1]:1", &["2001:db8::1"]),
            "[2001:db8::1]:0"
        );
        assert_eq!(client("10.0.0.1:1", &["nonsense"]), "10.0.0.1:1");
        assert_eq!(client("10.0.0.1:1", &[]), "10.0.0.1:1");
    }
}
