//! Places that failed are tried last for a while (RFC 3263 §4.3), so that not every call waits for the same dead host.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dashmap::DashMap;
use sip::Transport;

/// How long a place that failed is tried last, unless it says for how long itself.
const COOL: Duration = Duration::from_secs(60);
/// The longest that it may say itself (RFC 3261 §21.5.4).
const LONGEST: Duration = Duration::from_secs(600);
/// Places that are remembered; when all are taken and none has cooled down, one more is not.
const MOST: usize = 4096;

/// The places that failed; clones share them.
#[derive(Clone, Default, Debug)]
pub(crate) struct Cooldown(Arc<DashMap<(Transport, SocketAddr), Instant>>);

impl Cooldown {
    /// Notes that a place failed.
    pub(crate) fn failed(
        &self,
        now: Instant,
        transport: Transport,
        address: SocketAddr,
        wait: Option<Duration>,
    ) {
        if self.0.len() >= MOST {
            self.0.retain(|_, until| *until > now);
            if self.0.len() >= MOST {
                return;
            }
        }
        let wait = wait.unwrap_or(COOL).min(LONGEST);
        self.0.insert((transport, address), now + wait);
    }

    /// Notes that a place answered.
    pub(crate) fn answered(&self, transport: Transport, address: SocketAddr) {
        self.0.remove(&(transport, address));
    }

    /// Whether a place is to be tried last.
    pub(crate) fn is_cooling(
        &self,
        now: Instant,
        transport: Transport,
        address: SocketAddr,
    ) -> bool {
        let until = self.0.get(&(transport, address)).map(|until| *until);
        until.is_some_and(|until| until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a test needs one first instant")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_place_that_failed_cools_down_until_it_answers_or_its_time_is_over() {
        let (cooldown, now) = (Cooldown::default(), start());
        let place: SocketAddr = "192.0.2.7:5060".parse().expect("an address");
        let cooling = |after| cooldown.is_cooling(now + after, Transport::Udp, place);
        cooldown.failed(now, Transport::Udp, place, None);
        assert!(cooling(COOL / 2) && !cooling(COOL));
        assert!(!cooldown.is_cooling(now, Transport::Tcp, place));
        cooldown.failed(
            now,
            Transport::Udp,
            place,
            Some(Duration::from_secs(86_400)),
        );
        assert!(cooling(LONGEST / 2) && !cooling(LONGEST));
        cooldown.answered(Transport::Udp, place);
        assert!(!cooling(Duration::ZERO));
    }

    #[test]
    fn the_table_is_bounded_and_makes_room_when_places_have_cooled() {
        let (cooldown, now) = (Cooldown::default(), start());
        let place = |number: usize| {
            let port = u16::try_from(number).expect("small");
            SocketAddr::from(([192, 0, 2, 7], port))
        };
        for number in 0..=MOST {
            cooldown.failed(now, Transport::Udp, place(number), None);
        }
        assert!(!cooldown.is_cooling(now, Transport::Udp, place(MOST)));
        cooldown.failed(now + COOL, Transport::Udp, place(MOST), None);
        assert!(cooldown.is_cooling(now + COOL, Transport::Udp, place(MOST)));
    }
}
