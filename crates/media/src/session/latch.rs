//! Whose packets are taken, and where ours go. The first valid packet decides, if it comes from the signalled address or, for
//! a phone behind NAT, from the address of its signalling; everyone else is a stranger for as long as that holds.

use std::net::{IpAddr, SocketAddr};

/// The source of one port's packets.
#[derive(Copy, Clone, Default, Debug)]
pub(crate) struct Latch {
    aim: Aim,
    locked: Option<SocketAddr>,
}

#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
struct Aim {
    /// What the description names.
    signalled: Option<SocketAddr>,
    /// Where the phone's NAT is: any port of it will do.
    nat: Option<IpAddr>,
}

impl Latch {
    /// Takes over what a description says; a source that was locked for another one is let go.
    pub(crate) fn aim(&mut self, signalled: Option<SocketAddr>, near: Option<IpAddr>) {
        let near = near.map(|near| near.to_canonical());
        let nat = near.filter(|near| signalled.is_none_or(|signalled| signalled.ip() != *near));
        let aim = Aim { signalled, nat };
        if aim != self.aim {
            *self = Self { aim, locked: None };
        }
    }

    /// Lets go of the source that is locked: the phone has moved.
    pub(crate) fn let_go(&mut self) {
        self.locked = None;
    }

    /// Says whether a valid packet from `from` is taken; the first that is locks.
    pub(crate) fn admit(&mut self, from: SocketAddr) -> bool {
        if let Some(locked) = self.locked {
            return locked == from;
        }
        let expected = self.aim.signalled == Some(from)
            || (self.aim.nat == Some(from.ip()) && from.port() >= 1024);
        if expected {
            self.locked = Some(from);
        }
        expected
    }

    /// Says whether this is the source that is locked.
    pub(crate) fn is_locked_to(&self, from: SocketAddr) -> bool {
        self.locked == Some(from)
    }

    /// Where to send: to the source that is locked, else to what was signalled. A private address of a phone that is seen under
    /// a public one names some host of ours, so its packet is awaited first.
    pub(crate) fn destination(&self) -> Option<SocketAddr> {
        self.locked.or_else(|| {
            let misleading = |signalled: &SocketAddr| {
                is_private(signalled.ip()) && self.aim.nat.is_some_and(|nat| !is_private(nat))
            };
            self.aim
                .signalled
                .filter(|signalled| !misleading(signalled))
        })
    }
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            // RFC 6598 §7: 100.64.0.0/10 is carrier-grade NAT.
            let shared = matches!(ip.octets(), [100, 64..=127, _, _]);
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || shared
        }
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_loopback() || ip.is_unicast_link_local(),
    }
}

/// The port numbers that are bound here: nothing is ever sent to one of them, or taken from one.
#[derive(Clone, Debug)]
pub(crate) struct OwnPorts {
    address: IpAddr,
    bound: Box<[u64]>,
}

impl OwnPorts {
    pub(crate) fn new(address: IpAddr) -> Self {
        Self {
            address: address.to_canonical(),
            bound: vec![0; 1024].into_boxed_slice(),
        }
    }

    pub(crate) fn add(&mut self, port: u16) {
        if let Some(word) = self.bound.get_mut(usize::from(port >> 6)) {
            *word |= 1 << (port & 63);
        }
    }

    pub(crate) fn remove(&mut self, port: u16) {
        if let Some(word) = self.bound.get_mut(usize::from(port >> 6)) {
            *word &= !(1 << (port & 63));
        }
    }

    pub(crate) fn contains(&self, address: SocketAddr) -> bool {
        let here = address.ip() == self.address || address.ip().is_loopback();
        here && self
            .bound
            .get(usize::from(address.port() >> 6))
            .is_some_and(|word| word >> (address.port() & 63) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn latch(signalled: &str, near: &str) -> Latch {
        let mut latch = Latch::default();
        latch.aim(Some(at(signalled)), Some(near.parse().unwrap()));
        latch
    }

    #[test]
    fn r01_a_phone_without_nat_is_heard_from_its_signalled_address_only() {
        let mut latch = latch("198.51.100.7:4000", "198.51.100.7");
        assert!(!latch.admit(at("198.51.100.7:4002")));
        assert!(!latch.admit(at("203.0.113.9:4000")));
        assert_eq!(latch.destination(), Some(at("198.51.100.7:4000")));
        assert!(latch.admit(at("198.51.100.7:4000")));
        assert!(!latch.admit(at("203.0.113.9:4000")));
    }

    #[test]
    fn a_phone_behind_nat_is_sent_to_after_its_first_packet_and_then_keeps_its_port() {
        let mut latch = latch("192.168.1.20:4000", "198.51.100.7");
        assert_eq!(
            latch.destination(),
            None,
            "nothing goes to a host of our own network"
        );
        assert!(!latch.admit(at("203.0.113.9:31000")));
        assert!(
            !latch.admit(at("198.51.100.7:53")),
            "no port below 1024 is ever sent to"
        );
        assert!(latch.admit(at("198.51.100.7:31000")));
        assert_eq!(latch.destination(), Some(at("198.51.100.7:31000")));
        assert!(!latch.admit(at("198.51.100.7:31002")));
        assert!(!latch.admit(at("192.168.1.20:4000")));
    }

    #[test]
    fn media_of_a_carrier_may_come_from_another_host_than_its_signalling() {
        let mut latch = latch("203.0.113.80:20000", "203.0.113.5");
        assert_eq!(latch.destination(), Some(at("203.0.113.80:20000")));
        assert!(latch.admit(at("203.0.113.80:20000")));
        assert!(!latch.admit(at("203.0.113.5:20000")));
    }

    #[test]
    fn a_new_description_moves_the_lock_and_the_same_one_does_not() {
        let mut latch = latch("198.51.100.7:4000", "198.51.100.7");
        assert!(latch.admit(at("198.51.100.7:4000")));
        latch.aim(
            Some(at("198.51.100.7:4000")),
            Some("198.51.100.7".parse().unwrap()),
        );
        assert!(!latch.admit(at("198.51.100.7:5000")));
        latch.aim(
            Some(at("198.51.100.7:5000")),
            Some("198.51.100.7".parse().unwrap()),
        );
        assert_eq!(latch.destination(), Some(at("198.51.100.7:5000")));
        assert!(latch.admit(at("198.51.100.7:5000")));
        assert!(!latch.admit(at("198.51.100.7:4000")));
    }

    #[test]
    fn own_ports_are_known_under_our_address_and_under_loopback() {
        let mut own = OwnPorts::new("192.0.2.1".parse().unwrap());
        own.add(20_000);
        assert!(own.contains(at("192.0.2.1:20000")) && own.contains(at("127.0.0.1:20000")));
        assert!(!own.contains(at("192.0.2.1:20001")) && !own.contains(at("198.51.100.7:20000")));
        own.remove(20_000);
        assert!(!own.contains(at("192.0.2.1:20000")));
    }
}
