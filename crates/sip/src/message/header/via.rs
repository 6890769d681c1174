//! Via: RFC 3261 §18.1.1, §18.2.1, §20.42; RFC 3581 §4.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::Text;
use crate::message::grammar::{List, is_token, slice, split_off, split_once, trim};
use crate::message::header::Malformed;
use crate::message::params::Params;
use crate::message::uri::host_and_port;

/// What a branch of RFC 3261 starts with (RFC 3261 §8.1.1.7).
pub const MAGIC_COOKIE: &str = "z9hG4bK";

/// One hop of a request's way (RFC 3261 §20.42).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Via {
    /// The transport as sent: `UDP`, `TCP`, …
    pub transport: Text,
    /// The host the sender gives for itself; an IPv6 address keeps its brackets.
    pub sent_by_host: Text,
    /// Its port, if said.
    pub port: Option<u16>,
    /// The parameters.
    pub params: Params,
}

impl Via {
    /// Reads one value: the part of a header line up to a comma.
    pub fn parse(value: &Text) -> Result<Self, Malformed> {
        let (name, rest) = split_once(value, b'/').ok_or(Malformed)?;
        let (version, rest) = split_once(rest, b'/').ok_or(Malformed)?;
        if !trim(name).eq_ignore_ascii_case("SIP") || trim(version) != "2.0" {
            return Err(Malformed);
        }
        let rest = trim(rest);
        let blank = memchr::memchr2(b' ', b'\t', rest.as_bytes()).ok_or(Malformed)?;
        let (transport, rest) = split_off(rest, blank).ok_or(Malformed)?;
        let (sent_by, params) = match memchr::memchr(b';', rest.as_bytes()) {
            Some(at) => split_off(rest, at).ok_or(Malformed)?,
            None => (rest, ""),
        };
        let (host, port) = host_and_port(trim(sent_by)).ok_or(Malformed)?;
        if !is_token(transport) || port == Some(0) {
            return Err(Malformed);
        }
        Ok(Self {
            transport: slice(value, transport),
            sent_by_host: slice(value, host),
            port,
            params: Params::parse(slice(value, params)).ok_or(Malformed)?,
        })
    }

    /// Reads the first value of a header line.
    pub fn parse_top(line: &Text) -> Result<Self, Malformed> {
        let top = List::new(line).next().unwrap_or_default();
        Self::parse(&slice(line, top))
    }

    /// Gives the branch.
    pub fn branch(&self) -> Option<Text> {
        self.params
            .get("branch")
            .filter(|branch| !branch.is_empty())
    }

    /// Tells whether the branch is one of RFC 3261, unique by itself (RFC 3261 §17.2.3). The bare cookie is not
    /// (RFC 4475 §3.1.2.19 leaves the choice).
    pub fn has_magic_branch(&self) -> bool {
        self.branch().is_some_and(|branch| {
            let (cookie, rest) = branch
                .split_at_checked(MAGIC_COOKIE.len())
                .unwrap_or_default();
            cookie.eq_ignore_ascii_case(MAGIC_COOKIE) && !rest.is_empty()
        })
    }

    /// Gives `rport`: `None` not there, `Some(None)` asked for, `Some(Some(port))` filled in (RFC 3581 §3).
    pub fn rport(&self) -> Option<Option<u16>> {
        Some(self.params.get("rport")?.parse().ok())
    }

    /// Gives the address in `received`.
    pub fn received(&self) -> Option<IpAddr> {
        let received = self.params.get("received")?;
        let bare = received.trim_start_matches('[').trim_end_matches(']');
        bare.parse().ok()
    }

    /// Gives the port that answers go to over a datagram transport without `rport`: the one said, or 5060.
    pub fn port_or_default(&self) -> u16 {
        self.port
            .unwrap_or(if self.transport.eq_ignore_ascii_case("TLS") {
                5061
            } else {
                5060
            })
    }

    /// Notes where the request came from: `received` when it differs from sent-by or when `rport` is asked for, and
    /// `rport` then (RFC 3261 §18.2.1, RFC 3581 §4). Tells whether anything changed.
    pub fn set_received(&mut self, source: SocketAddr) -> bool {
        let asked = self.rport().is_some();
        let address = source.ip().to_canonical();
        let said = self
            .sent_by_host
            .trim_start_matches('[')
            .trim_end_matches(']');
        let claimed = self.params.has("received");
        if !asked && !claimed && said.parse::<IpAddr>().is_ok_and(|said| said == address) {
            return false;
        }
        let params = std::mem::take(&mut self.params);
        self.params = params.with_source(address, asked.then_some(source.port()));
        true
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SIP/2.0/")?;
        f.write_str(&self.transport)?;
        f.write_str(" ")?;
        f.write_str(&self.sent_by_host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        fmt::Display::fmt(&self.params, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn via(text: &str) -> Result<Via, Malformed> {
        Via::parse(&text.into())
    }

    #[test]
    fn blanks_around_the_slashes_are_taken() {
        let via = via("SIP  / 2.0  / TCP     spindle.example.com   ; branch  =   z9hG4bK9ikj8")
            .expect("parses");
        assert_eq!(
            via.to_string(),
            "SIP/2.0/TCP spindle.example.com; branch  =   z9hG4bK9ikj8"
        );
        assert_eq!(via.branch().as_deref(), Some("z9hG4bK9ikj8"));
        assert!(via.has_magic_branch());
    }

    #[test]
    fn hosts_of_every_kind_read_back() {
        for text in [
            "SIP/2.0/UDP [2001:db8::9:1]:5070;branch=z9hG4bKas3",
            "SIP/2.0/WSS df7jal23ls0d.invalid;branch=z9hG4bK56;rport",
            "SIP/2.0/UDP 192.0.2.1",
        ] {
            assert_eq!(via(text).expect(text).to_string(), text);
        }
    }

    #[test]
    fn what_is_no_via_is_refused() {
        for bad in [
            "",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP ",
            "SIP/7.0/UDP a",
            "SIP/2.0/UDP a:99999",
            "SIP/2.0/UDP a:0",
            "SIP/2.0/UDP a b",
            "SIP/2.0/UDP 192.0.2.15;;,;,,",
            "SIP/2.0/U,P a",
            "SIP/2.0/UDP [::1",
        ] {
            assert_eq!(via(bad), Err(Malformed), "{bad}");
        }
    }

    #[test]
    fn the_bare_cookie_is_no_branch_of_rfc_3261() {
        assert!(
            !via("SIP/2.0/UDP a;branch=z9hG4bK")
                .expect("parses")
                .has_magic_branch()
        );
        assert!(
            via("SIP/2.0/UDP a;branch=Z9HG4BKx")
                .expect("parses")
                .has_magic_branch()
        );
    }

    #[test]
    fn the_source_is_noted_when_it_differs_or_rport_asks() {
        let source: SocketAddr = "192.0.2.9:1024".parse().expect("address");
        let noted = |text: &str| {
            let mut via = via(text).expect("parses");
            via.set_received(source);
            via.to_string()
        };
        assert_eq!(
            noted("SIP/2.0/UDP 192.0.2.9;branch=1"),
            "SIP/2.0/UDP 192.0.2.9;branch=1"
        );
        assert_eq!(
            noted("SIP/2.0/UDP 192.0.2.9;received=203.0.113.1;branch=1"),
            "SIP/2.0/UDP 192.0.2.9;received=192.0.2.9;branch=1"
        );
        assert_eq!(
            noted("SIP/2.0/UDP a.example.com;branch=1"),
            "SIP/2.0/UDP a.example.com;branch=1;received=192.0.2.9"
        );
        assert_eq!(
            noted("SIP/2.0/UDP 10.0.0.1:5060;rport;branch=1"),
            "SIP/2.0/UDP 10.0.0.1:5060;rport=1024;branch=1;received=192.0.2.9"
        );
    }
}
