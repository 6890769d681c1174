//! Pairs of UDP sockets for RTP and RTCP out of the configured range: RTP on the even port, RTCP on the odd one above it
//! (RFC 3550 §11). A pair rests after its call, so that late packets of that call do not meet the next one, and whatever
//! reaches a socket before it is used is thrown away. Some pairs stay open after their calls, because a socket costs more to
//! make than to keep. The first late packet connects such a socket to itself: the kernel takes nothing from anybody then.

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
const KEPT: usize = 4_096;

/// One descriptor in so many may be kept open for calls to come; a pair has two.
const SHARE_OF_DESCRIPTORS: usize = 4;

/// How long a pair rests that stays open: nothing waits in it for the next call.
const OPEN_REST: Duration = Duration::from_millis(250);

/// The ports that calls may use.
#[derive(Debug)]
pub struct RtpPorts {
    bind: IpAddr,
    /// The even ports of pairs that may be taken, in the order in which they are tried.
    free: VecDeque<u16>,
    /// The even ports of pairs that rest, and until when; the first is the next to be free.
    resting: VecDeque<(Instant, u16)>,
    /// Open pairs of finished calls, and until when they rest; the first is the next to be used.
    kept: VecDeque<(Instant, Pair)>,
    /// As many are kept.
    most_kept: usize,
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
    /// Whether a socket of it is connected to itself.
    is_shut: bool,
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
        let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let descriptors = descriptors.map_or(usize::MAX, |most| {
            usize::try_from(most).unwrap_or(usize::MAX)
        });
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
            most_kept: KEPT.min(descriptors / SHARE_OF_DESCRIPTORS / 2),
        }
    }

    /// Takes a pair that was kept open, or makes one and has it watched for packets by `watch`. A pair that another program uses goes to the end of the line.
    pub fn open(
        &mut self,
        now: Instant,
        watch: impl Fn(&Pair) -> io::Result<()>,
    ) -> Result<Pair, Exhausted> {
        self.wake(now);
        if let Some(pair) = self.rested(now) {
            return Ok(pair);
        }
        self.first_free(&watch).or_else(|_| {
            self.wake(now + (REST - LEAST_REST));
            let rested = |ports: &mut Self| ports.rested(now + (OPEN_REST - LEAST_REST));
            self.first_free(&watch)
                .or_else(|_| rested(self).ok_or(Exhausted))
        })
    }

    /// Takes the open pair that has rested longest.
    fn rested(&mut self, now: Instant) -> Option<Pair> {
        while let Some((_, mut pair)) = self.kept.pop_front_if(|(until, _)| *until <= now) {
            pair.sockets().into_iter().for_each(drain);
            let was_shut = std::mem::take(&mut pair.is_shut);
            if !was_shut || pair.sockets().into_iter().all(reopen) {
                return Some(pair);
            }
            self.free.push_back(pair.number);
        }
        None
    }

    fn first_free(&mut self, watch: impl Fn(&Pair) -> io::Result<()>) -> Result<Pair, Exhausted> {
        for _ in 0..self.free.len() {
            let number = self.free.pop_front().ok_or(Exhausted)?;
            match self
                .bind(number)
                .and_then(|pair| watch(&pair).map(|()| pair))
            {
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
        if self.kept.len() < self.most_kept {
            self.kept.push_back((now + OPEN_REST, pair));
        } else {
            self.resting.push_back((now + REST, pair.number));
        }
    }

    /// A packet came to a port of a pair that rests open: from now on nothing is let in until it is used again.
    pub fn late(&mut self, port: u16) {
        let number = port & !1;
        let pair = self.kept.iter_mut().find(|(_, pair)| pair.number == number);
        if let Some((_, pair)) = pair {
            let socket = if port == number {
                &pair.rtp
            } else {
                &pair.rtcp
            };
            shut(socket);
            drain(socket);
            pair.is_shut = true;
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
            is_shut: false,
        })
    }
}

/// Lets nobody in any more. If that fails, packets go on to be thrown away one by one.
fn shut(socket: &UdpSocket) {
    let _ = socket.local_addr().and_then(|own| socket.connect(own));
}

/// Lets everybody in again.
fn reopen(socket: &UdpSocket) -> bool {
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

    fn unwatched(_: &Pair) -> io::Result<()> {
        Ok(())
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
        let (first, second) = (
            ports.open(start, unwatched).unwrap(),
            ports.open(start, unwatched).unwrap(),
        );
        assert_eq!(
            (first.number, second.number),
            (range.first, range.first + 2)
        );
        assert_eq!(first.rtcp.local_addr().unwrap().port(), first.number + 1);
        assert_eq!(ports.open(start, unwatched).unwrap_err(), Exhausted);

        ports.close(start, first);
        assert_eq!(
            ports.open(start + LEAST_REST / 2, unwatched).unwrap_err(),
            Exhausted
        );
        assert_eq!(
            ports.open(start + LEAST_REST, unwatched).unwrap().number,
            range.first
        );
    }

    #[test]
    fn a_pair_rests_its_time_while_there_are_others() {
        let (start, range) = (some_instant(), two_pairs(1));
        let mut ports = RtpPorts::new(LOOPBACK, range);
        let first = ports.open(start, unwatched).unwrap();
        ports.close(start, first);
        let second = ports.open(start + OPEN_REST / 2, unwatched).unwrap();
        assert_eq!(second.number, range.first + 2);
        assert_eq!(
            ports.open(start + OPEN_REST, unwatched).unwrap().number,
            range.first
        );
    }

    #[test]
    fn a_pair_that_is_used_again_brings_nothing_of_the_time_before() {
        let (start, range) = (some_instant(), two_pairs(3));
        let mut ports = RtpPorts::new(LOOPBACK, range);
        let pair = ports.open(start, unwatched).unwrap();
        let phone = UdpSocket::bind(SocketAddr::new(LOOPBACK, 0)).unwrap();
        let to = pair.rtp.local_addr().unwrap();
        phone.send_to(b"late", to).unwrap();
        ports.close(start, pair);
        ports.late(to.port());
        // Whoever sends to it now may hear that nobody listens.
        let _ = phone.send_to(b"later", to);
        assert!(ports.kept.iter().all(|(_, pair)| pair.is_shut));
        let pair = ports.open(start + REST, unwatched).unwrap();
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
        assert_eq!(
            ports.open(start, unwatched).unwrap().number,
            range.first + 2
        );
        assert_eq!(ports.open(start, unwatched).unwrap_err(), Exhausted);
    }
}
