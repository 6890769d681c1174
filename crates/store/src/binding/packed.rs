//! A binding as one piece of memory; the journal holds the same octets.
//!
//! ```text
//! flags 1 | transport 1 | q 2 | CSeq 4 | expires 8 | logged in 8 | local | remote | [flow 8] | [reg-id 4]
//! contact | Call-ID | User-Agent | [key] | [path] | [instance]
//! ```
//!
//! Numbers are little endian, times microseconds since 1970. An address is 4 or 16 octets (with 4 of scope) and 2 of port;
//! a text has its length before it in groups of seven bits. The key is left out where it is the contact.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use jiff::Timestamp;

use super::{Binding, Transport};
use crate::Id;

/// The flow can carry requests: of this process, or of datagrams. It says nothing on disk.
const REACHABLE: u8 = 1;
const KEY: u8 = 1 << 1;
const LOCAL_V6: u8 = 1 << 2;
const REMOTE_V6: u8 = 1 << 3;
const FLOW: u8 = 1 << 4;
const REGISTRATION: u8 = 1 << 5;
const PATH: u8 = 1 << 6;
const INSTANCE: u8 = 1 << 7;

const EXPIRES: usize = 8;
/// Where the addresses begin.
const FIXED: usize = 24;

const TRANSPORTS: [Transport; 5] = [
    Transport::Udp,
    Transport::Tcp,
    Transport::Tls,
    Transport::Ws,
    Transport::Wss,
];

/// One binding in memory: about a hundred octets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packed(Box<[u8]>);

/// What a [`Packed`] holds, read in place; the fields are those of [`Binding`].
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct View<'a> {
    /// What tells it from the endpoint's others.
    pub key: &'a str,
    /// The contact's URI as it was sent.
    pub contact: &'a str,
    /// Of the REGISTER that made or refreshed it.
    pub call_id: &'a str,
    /// Of the same.
    pub cseq: u32,
    /// When it lapses, in microseconds since 1970.
    pub expires_at: i64,
    /// When it was made, in microseconds since 1970.
    pub logged_in: i64,
    /// What carries its messages.
    pub transport: Transport,
    /// Our address on that flow.
    pub local: SocketAddr,
    /// The phone's address as we see it.
    pub remote: SocketAddr,
    /// The number of the stream connection; 0 for datagrams.
    pub flow: u64,
    /// RFC 3327 §5.3.
    pub path: Option<&'a str>,
    /// As the phone calls itself.
    pub user_agent: &'a str,
    /// Preference in thousandths.
    pub q: u16,
    /// RFC 5626 §4.1.
    pub instance: Option<&'a str>,
    /// RFC 5626 §4.2.
    pub reg_id: Option<u32>,
}

impl Packed {
    /// Packs a binding; `reachable`: its flow can carry requests.
    pub fn new(view: &View<'_>, reachable: bool) -> Self {
        let key = (view.key != view.contact).then_some(view.key);
        let texts = [
            Some(view.contact),
            Some(view.call_id),
            Some(view.user_agent),
            key,
            view.path,
            view.instance,
        ];
        let texts = texts.into_iter().flatten();
        let addresses = address_length(view.local) + address_length(view.remote);
        let length: usize = texts
            .clone()
            .map(|text| text.len() + length_of(text.len()))
            .sum::<usize>()
            + FIXED
            + addresses
            + if view.flow != 0 { 8 } else { 0 }
            + if view.reg_id.is_some() { 4 } else { 0 };
        let flag = |on: bool, flag: u8| if on { flag } else { 0 };
        let flags = flag(reachable, REACHABLE)
            | flag(key.is_some(), KEY)
            | flag(view.local.is_ipv6(), LOCAL_V6)
            | flag(view.remote.is_ipv6(), REMOTE_V6)
            | flag(view.flow != 0, FLOW)
            | flag(view.reg_id.is_some(), REGISTRATION)
            | flag(view.path.is_some(), PATH)
            | flag(view.instance.is_some(), INSTANCE);
        let mut bytes = Vec::with_capacity(length);
        bytes.push(flags);
        bytes.push(match view.transport {
            Transport::Udp => 0,
            Transport::Tcp => 1,
            Transport::Tls => 2,
            Transport::Ws => 3,
            Transport::Wss => 4,
        });
        bytes.extend_from_slice(&view.q.to_le_bytes());
        bytes.extend_from_slice(&view.cseq.to_le_bytes());
        bytes.extend_from_slice(&view.expires_at.to_le_bytes());
        bytes.extend_from_slice(&view.logged_in.to_le_bytes());
        push_address(&mut bytes, view.local);
        push_address(&mut bytes, view.remote);
        if view.flow != 0 {
            bytes.extend_from_slice(&view.flow.to_le_bytes());
        }
        if let Some(registration) = view.reg_id {
            bytes.extend_from_slice(&registration.to_le_bytes());
        }
        for text in texts {
            push_length(&mut bytes, text.len());
            bytes.extend_from_slice(text.as_bytes());
        }
        Packed(bytes.into_boxed_slice())
    }

    /// Takes octets of the journal; none when they are not what [`Packed::new`] makes.
    pub(crate) fn from_disk(bytes: &[u8]) -> Option<Self> {
        let mut packed = Packed(bytes.into());
        let datagrams = packed.checked()?.transport == Transport::Udp;
        packed.set_reachable(datagrams);
        Some(packed)
    }

    /// The octets; those of the journal are the same but for the first one.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether the journal's octets are of this binding.
    pub(crate) fn is(&self, disk: &[u8]) -> bool {
        match (self.0.split_first(), disk.split_first()) {
            (Some((ours, rest)), Some((theirs, other))) => {
                ours | REACHABLE == theirs | REACHABLE && *rest == *other
            }
            _ => false,
        }
    }

    /// When it lapses, in microseconds since 1970.
    pub fn expires_at(&self) -> i64 {
        let bytes = self.0.get(EXPIRES..).and_then(|rest| rest.first_chunk());
        bytes.map_or(0, |bytes| i64::from_le_bytes(*bytes))
    }

    /// Whether its flow can carry a request.
    pub fn is_reachable(&self) -> bool {
        self.0.first().is_some_and(|flags| flags & REACHABLE != 0)
    }

    pub(crate) fn set_reachable(&mut self, reachable: bool) {
        if let Some(flags) = self.0.first_mut() {
            *flags = *flags & !REACHABLE | u8::from(reachable);
        }
    }

    /// Reads it.
    pub fn view(&self) -> View<'_> {
        // What is held was packed here, or checked when it was read.
        self.checked().unwrap_or(View {
            key: "",
            contact: "",
            call_id: "",
            cseq: 0,
            expires_at: 0,
            logged_in: 0,
            transport: Transport::Udp,
            local: SocketAddr::from(([0; 4], 0)),
            remote: SocketAddr::from(([0; 4], 0)),
            flow: 0,
            path: None,
            user_agent: "",
            q: 0,
            instance: None,
            reg_id: None,
        })
    }

    fn checked(&self) -> Option<View<'_>> {
        let mut rest = Reader(&self.0);
        let [flags, transport] = rest.array()?;
        let has = |flag: u8| flags & flag != 0;
        let transport = *TRANSPORTS.get(usize::from(transport))?;
        let q = u16::from_le_bytes(rest.array()?);
        let cseq = u32::from_le_bytes(rest.array()?);
        let expires_at = i64::from_le_bytes(rest.array()?);
        let logged_in = i64::from_le_bytes(rest.array()?);
        let local = rest.address(has(LOCAL_V6))?;
        let remote = rest.address(has(REMOTE_V6))?;
        let flow = if has(FLOW) {
            u64::from_le_bytes(rest.array()?)
        } else {
            0
        };
        let reg_id = if has(REGISTRATION) {
            Some(u32::from_le_bytes(rest.array()?))
        } else {
            None
        };
        let contact = rest.text()?;
        let call_id = rest.text()?;
        let user_agent = rest.text()?;
        let key = if has(KEY) { rest.text()? } else { contact };
        let path = if has(PATH) { Some(rest.text()?) } else { None };
        let instance = if has(INSTANCE) {
            Some(rest.text()?)
        } else {
            None
        };
        rest.0.is_empty().then_some(View {
            key,
            contact,
            call_id,
            cseq,
            expires_at,
            logged_in,
            transport,
            local,
            remote,
            flow,
            path,
            user_agent,
            q,
            instance,
            reg_id,
        })
    }
}

impl View<'_> {
    /// Makes the binding of an endpoint of it.
    pub fn binding(&self, endpoint: Id) -> Binding {
        let time = |micros| Timestamp::from_microsecond(micros).unwrap_or(Timestamp::UNIX_EPOCH);
        Binding {
            endpoint,
            key: self.key.to_owned(),
            contact: self.contact.to_owned(),
            call_id: self.call_id.to_owned(),
            cseq: self.cseq,
            expires_at: time(self.expires_at),
            logged_in: time(self.logged_in),
            transport: self.transport,
            local: self.local,
            remote: self.remote,
            flow: self.flow,
            path: self.path.map(str::to_owned),
            user_agent: self.user_agent.to_owned(),
            q: self.q,
            instance: self.instance.map(str::to_owned),
            reg_id: self.reg_id,
        }
    }
}

impl Binding {
    /// The same, borrowed.
    pub fn view(&self) -> View<'_> {
        View {
            key: &self.key,
            contact: &self.contact,
            call_id: &self.call_id,
            cseq: self.cseq,
            expires_at: self.expires_at.as_microsecond(),
            logged_in: self.logged_in.as_microsecond(),
            transport: self.transport,
            local: self.local,
            remote: self.remote,
            flow: self.flow,
            path: self.path.as_deref(),
            user_agent: &self.user_agent,
            q: self.q,
            instance: self.instance.as_deref(),
            reg_id: self.reg_id,
        }
    }
}

/// Octets that are read from the front.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(crate) fn take(&mut self) -> Option<&'a [u8]> {
        let length = self.length()?;
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn length(&mut self) -> Option<usize> {
        let mut length = 0;
        for group in 0..5 {
            let [octet] = self.array()?;
            length |= usize::from(octet & 0x7f) << (7 * group);
            if octet & 0x80 == 0 {
                return Some(length);
            }
        }
        None
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.take()?).ok()
    }

    fn address(&mut self, v6: bool) -> Option<SocketAddr> {
        if v6 {
            let address = Ipv6Addr::from(self.array::<16>()?);
            let scope = u32::from_le_bytes(self.array()?);
            let port = u16::from_le_bytes(self.array()?);
            return Some(SocketAddrV6::new(address, port, 0, scope).into());
        }
        let address = Ipv4Addr::from(self.array::<4>()?);
        Some((address, u16::from_le_bytes(self.array()?)).into())
    }
}

fn address_length(address: SocketAddr) -> usize {
    if address.is_ipv6() { 22 } else { 6 }
}

fn push_address(bytes: &mut Vec<u8>, address: SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => bytes.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => bytes.extend_from_slice(&ip.octets()),
    }
    if let SocketAddr::V6(address) = address {
        bytes.extend_from_slice(&address.scope_id().to_le_bytes());
    }
    bytes.extend_from_slice(&address.port().to_le_bytes());
}

/// Octets that a length takes.
fn length_of(length: usize) -> usize {
    let bits = usize::BITS - (length | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

pub(crate) fn push_length(bytes: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding() -> Binding {
        let time = |second| Timestamp::from_second(second).expect("a time");
        Binding {
            endpoint: 7,
            key: "<urn:uuid:1>#1".into(),
            contact: "sip:alice@192.0.2.1".into(),
            call_id: "c".repeat(300),
            cseq: u32::MAX,
            expires_at: time(2_000_000_000),
            logged_in: time(1_900_000_000),
            transport: Transport::Wss,
            local: "[fe80::1%3]:5061".parse().expect("an address"),
            remote: "192.0.2.1:5060".parse().expect("an address"),
            flow: u64::MAX,
            path: Some("<sip:edge.example.net;lr>".into()),
            user_agent: "t\u{e9}l\u{e9}phone".into(),
            q: 700,
            instance: Some("<urn:uuid:1>".into()),
            reg_id: Some(1),
        }
    }

    #[test]
    fn what_is_packed_is_read_again_whole() {
        let whole = binding();
        let plain = Binding {
            key: whole.contact.clone(),
            transport: Transport::Udp,
            local: "192.0.2.9:5060".parse().expect("an address"),
            flow: 0,
            path: None,
            instance: None,
            reg_id: None,
            ..whole.clone()
        };
        for one in [whole, plain] {
            let packed = Packed::new(&one.view(), true);
            assert_eq!(packed.view().binding(7), one);
            assert_eq!(packed.bytes().len(), packed.0.len());
            let read = Packed::from_disk(packed.bytes()).expect("what was packed");
            assert_eq!(read.view().binding(7), one);
            assert_eq!(read.is_reachable(), one.transport == Transport::Udp);
            assert!(read.is(packed.bytes()) && packed.is(read.bytes()));
        }
    }

    #[test]
    fn octets_that_are_cut_or_of_another_version_are_refused() {
        let packed = Packed::new(&binding().view(), true);
        let bytes = packed.bytes();
        for length in 0..bytes.len() {
            assert_eq!(Packed::from_disk(&bytes[..length]), None, "{length}");
        }
        let mut longer = bytes.to_vec();
        longer.push(0);
        assert_eq!(Packed::from_disk(&longer), None);
        let mut strange = bytes.to_vec();
        strange[1] = 9;
        assert_eq!(Packed::from_disk(&strange), None);
    }
}
