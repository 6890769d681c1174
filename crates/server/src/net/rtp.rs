//! Pairs of UDP sockets for RTP and RTCP out of the configured range: RTP on the even port, RTCP on the odd one above it
//! (RFC 3550 §11). A pair rests after its call, so that late packets of that call do not meet the next one, and whatever
//! reaches a fresh socket before it is used is thrown away.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::config::PortRange;

/// How long a pair rests, as long as there are others.
const REST: Duration = Duration::from_secs(3);

/// How long a pair rests at least: a refused call is worse than a late packet, which the new call takes for a stranger's.
const LEAST_REST: Duration = Duration::from_millis(200);

/// Datagrams thrown away from a fresh socket, at most.
const DRAINED: usize = 64;

/// The ports that calls may use.
#[derive(Debug)]
pub struct RtpPorts {
    bind: IpAddr,
    /// The even ports of pairs that may be taken, in the order in which they are tried.
    free: VecDeque<u16>,
    /// The even ports of pairs that rest, and until when; the first is the next to be free.
    resting: VecDeque<(Instant, u16)>,
}

/// Two bound sockets; dropping them without [`RtpPorts::close`] loses their numbers.
#[derive(Debug)]
pub struct Pair {
    /// The socket on the even port.
    pub rtp: UdpSocket,
    /// The socket on the odd port above it.
    pub rtcp: UdpSocket,
    /// The even port.
    pub number: u16,
}

/// Every pair is in use, resting, or taken by another program.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no pair of ports is free in media.ports")]
pub struct Exhausted;

impl RtpPorts {
    /// Takes the pairs that lie wholly in `range`. Sockets are bound to `address` when this machine has it, else (the address
    /// of a router that passes everything on) to all addresses.
    pub fn new(address: IpAddr, range: PortRange) -> Self {
        let has_address = UdpSocket::bind(SocketAddr::new(address, 0)).is_ok();
        let bind = match address {
            _ if has_address => address,
            IpAddr::V4(_) => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
        };
        let pairs = range
            .ports()
            .filter(|port| port % 2 == 0 && *port >= 1024 && *port < range.last);
        Self {
            bind,
            free: pairs.collect(),
            resting: VecDeque::new(),
        }
    }

    /// Binds a pair. A pair that another program uses goes to the end of the line.
    pub fn open(&mut self, now: Instant) -> Result<Pair, Exhausted> {
        self.wake(now);
        self.first_free().or_else(|_| {
            self.wake(now + (REST - LEAST_REST));
            self.first_free()
        })
    }

    fn first_free(&mut self) -> Result<Pair, Exhausted> {
        for _ in 0..self.free.len() {
            let number = self.free.pop_front().ok_or(Exhausted)?;
            match self.bind(number) {
                Ok(pair) => return Ok(pair),
                Err(_) => self.free.push_back(number),
            }
        }
        Err(Exhausted)
    }

    /// Ends the rest of the pairs that rested until `now`.
    fn wake(&mut self, now: Instant) {
        while self.resting.front().is_some_and(|(until, _)| *until <= now) {
            self.free
                .extend(self.resting.pop_front().map(|(_, number)| number));
        }
    }

    /// Closes a pair and lets it rest.
    pub fn close(&mut self, now: Instant, pair: Pair) {
        self.resting.push_back((now + REST, pair.number));
    }

    fn bind(&self, number: u16) -> io::Result<Pair> {
        let open = |port| {
            let socket = UdpSocket::bind(SocketAddr::new(self.bind, port))?;
            socket.set_nonblocking(true)?;
            drain(&socket);
            io::Result::Ok(socket)
        };
        Ok(Pair {
            rtp: open(number)?,
            rtcp: open(number + 1)?,
            number,
        })
    }
}

fn drain(socket: &UdpSocket) {
    let mut nothing = [0; 1];
    for _ in 0..DRAINED {
        if socket.recv_from(&mut nothing).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn some_instant() -> Instant {
        Instant::now()
    }

    /// A range of two pairs that nothing else uses at this moment; each test looks in a block of its own.
    fn two_pairs(block: u16) -> PortRange {
        let block = 40_000 + block * 2000;
        let free = (block..block + 2000).step_by(4).find(|first| {
            (*first..first + 4).all(|port| UdpSocket::bind(SocketAddr::new(LOOPBACK, port)).is_ok())
        });
        let first = free.expect("four free ports");
        PortRange {
            first,
            last: first + 3,
        }
    }

    #[test]
    fn r15_a_range_that_is_used_up_refuses_until_a_pair_has_rested() {
        let (start, range) = (some_instant(), two_pairs(0));
        let mut ports = RtpPorts::new(LOOPBACK, range);
        let (first, second) = (ports.open(start).unwrap(), ports.open(start).unwrap());
        assert_eq!(
            (first.number, second.number),
            (range.first, range.first + 2)
        );
        assert_eq!(first.rtcp.local_addr().unwrap().port(), first.number + 1);
        assert_eq!(ports.open(start).unwrap_err(), Exhausted);

        ports.close(start, first);
        assert_eq!(ports.open(start + LEAST_REST / 2).unwrap_err(), Exhausted);
        assert_eq!(ports.open(start + LEAST_REST).unwrap().number, range.first);
    }

    #[test]
    fn a_pair_rests_its_time_while_there_are_others() {
        let (start, range) = (some_instant(), two_pairs(1));
        let mut ports = RtpPorts::new(LOOPBACK, range);
        let first = ports.open(start).unwrap();
        ports.close(start, first);
        let second = ports.open(start + REST / 2).unwrap();
        assert_eq!(second.number, range.first + 2);
        assert_eq!(ports.open(start + REST).unwrap().number, range.first);
    }

    #[test]
    fn a_pair_that_another_program_holds_is_passed_over() {
        let (start, range) = (some_instant(), two_pairs(2));
        let _other = UdpSocket::bind(SocketAddr::new(LOOPBACK, range.first + 1)).unwrap();
        let mut ports = RtpPorts::new(LOOPBACK, range);
        assert_eq!(ports.open(start).unwrap().number, range.first + 2);
        assert_eq!(ports.open(start).unwrap_err(), Exhausted);
    }
}
