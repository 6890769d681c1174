//! Pairs of UDP sockets for RTP and RTCP out of the configured range: RTP on the even port, RTCP on the odd one above it
//! (RFC 3550 §11). A pair rests after its call, so that late packets of that call do not meet the next one, and whatever
//! reaches a socket before it is used is thrown away. Some pairs stay open after their calls, because a socket costs more to
//! make than to keep: each is connected to itself, so that the kernel takes nothing from anybody else.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::config::PortRange;

/// How long a pair rests, as long as there are others.
const REST: Duration = Duration::from_secs(3);

/// How long a pair rests at least: a refused call is worse than a late packet, which the new call takes for a stranger's.
const LEAST_REST: Duration = Duration::from_millis(200);

/// Datagrams thrown away from a socket before its use, at most.
const DRAINED: usize = 64;

/// Pairs that stay open after their calls, at most: 2 kB of the kernel's memory each.
const KEPT: usize = 2_048;

/// The ports that calls may use.
#[derive(Debug)]
pub struct RtpPorts {
    bind: IpAddr,
    /// The even ports of pairs that may be taken, in the order in which they are tried.
    free: VecDeque<u16>,
    /// The even ports of pairs that rest, and until when; the first is the next to be free.
    resting: VecDeque<(Instant, u16)>,
    /// Open pairs of finished calls, and until when they rest; the first is the next to be used. At most [`KEPT`].
    kept: VecDeque<(Instant, Pair)>,
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

impl Pair {
    /// Both sockets.
    pub fn sockets(&self) -> [&UdpSocket; 2] {
        [&self.rtp, &self.rtcp]
    }
}

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
            kept: VecDeque::new(),
        }
    }

    /// Takes a pair that was kept open, or binds one. A pair that another program uses goes to the end of the line.
    pub fn open(&mut self, now: Instant) -> Result<Pair, Exhausted> {
        self.wake(now);
        if let Some(pair) = self.rested(now) {
            return Ok(pair);
        }
        self.first_free().or_else(|_| {
            let hurry = now + (REST - LEAST_REST);
            self.wake(hurry);
            self.first_free()
                .or_else(|_| self.rested(hurry).ok_or(Exhausted))
        })
    }

    /// Takes the open pair that has rested longest.
    fn rested(&mut self, now: Instant) -> Option<Pair> {
        while let Some((_, pair)) = self.kept.pop_front_if(|(until, _)| *until <= now) {
            if pair.sockets().into_iter().all(reopen) {
                return Some(pair);
            }
            self.free.push_back(pair.number);
        }
        None
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

    /// Lets a pair rest, open or not.
    pub fn close(&mut self, now: Instant, pair: Pair) {
        let until = now + REST;
        if self.kept.len() < KEPT && pair.sockets().into_iter().all(shut) {
            self.kept.push_back((until, pair));
        } else {
            self.resting.push_back((until, pair.number));
        }
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

/// Lets nobody in any more.
fn shut(socket: &UdpSocket) -> bool {
    socket
        .local_addr()
        .is_ok_and(|own| socket.connect(own).is_ok())
}

/// Lets everybody in again, without what came before the socket was shut.
fn reopen(socket: &UdpSocket) -> bool {
    drain(socket);
    rustix::net::connect_unspec(socket).is_ok()
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
    fn a_pair_that_is_used_again_brings_nothing_of_the_time_before() {
        let (start, range) = (some_instant(), two_pairs(3));
        let mut ports = RtpPorts::new(LOOPBACK, range);
        let pair = ports.open(start).unwrap();
        let phone = UdpSocket::bind(SocketAddr::new(LOOPBACK, 0)).unwrap();
        let to = pair.rtp.local_addr().unwrap();
        phone.send_to(b"late", to).unwrap();
        ports.close(start, pair);
        // Whoever sends to it now may hear that nobody listens.
        let _ = phone.send_to(b"later", to);
        let pair = ports.open(start + REST).unwrap();
        assert_eq!(pair.number, range.first);
        let mut heard = [0; 8];
        assert!(pair.rtp.recv_from(&mut heard).is_err());
        let _ = phone.take_error();
        phone.send_to(b"new", to).unwrap();
        pair.rtp.set_nonblocking(false).unwrap();
        let (length, from) = pair.rtp.recv_from(&mut heard).unwrap();
        assert_eq!(
            (&heard[..length], from),
            (&b"new"[..], phone.local_addr().unwrap())
        );
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
