//! The media plane under commands and packets in any order: it never sends to a stranger, and what was opened is closed.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use media::{Command, Config, Event, Input, OfferOrAnswer, Output, Plane, PortId, SessionId};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::targets::take;
use crate::trace::Trace;

const SESSIONS: u64 = 4;

/// A plane whose ports are always there.
pub(super) struct Rig {
    plane: Plane,
    now: Instant,
    open: BTreeSet<PortId>,
    next: u16,
}

impl Rig {
    pub(super) fn new(address: &str) -> Self {
        let config = Config {
            address: address.parse().expect("an address"),
            silence_after: Duration::from_secs(60),
            max_sessions: 8,
        };
        Self {
            plane: Plane::new(config, ChaCha12Rng::seed_from_u64(1)),
            now: Instant::now(),
            open: BTreeSet::new(),
            next: 20_000,
        }
    }

    fn handle(&mut self, input: Input) -> Vec<Event> {
        self.plane.handle(self.now, input);
        let mut events = Vec::new();
        while let Some(output) = self.plane.poll_output() {
            match output {
                Output::Event(event) => events.push(event),
                Output::ClosePorts { rtp, rtcp } => {
                    assert!(
                        self.open.remove(&rtp) && self.open.remove(&rtcp),
                        "a port that was open"
                    );
                }
                Output::OpenPorts { session, rtp, rtcp } => {
                    assert!(
                        self.open.insert(rtp) && self.open.insert(rtcp),
                        "a port that was closed"
                    );
                    let (one, other) = (self.next, self.next + 1);
                    self.next = 20_000 + (self.next + 2) % 20_000;
                    self.plane.handle(
                        self.now,
                        Input::Ports {
                            session,
                            rtp: one,
                            rtcp: other,
                        },
                    );
                }
            }
        }
        assert!(events.len() <= 8, "{events:?}");
        events
    }

    fn command(&mut self, command: Command) -> Option<Event> {
        self.handle(Input::Command(command)).into_iter().next()
    }

    pub(super) fn remote(
        &mut self,
        session: u64,
        kind: OfferOrAnswer,
        sdp: Bytes,
    ) -> Option<Event> {
        let near = Some(IpAddr::from([198, 51, 100, 7]));
        self.command(Command::Remote {
            session: SessionId(session),
            kind,
            sdp,
            near,
        })
    }

    pub(super) fn answer(&mut self, session: u64) -> Option<Event> {
        self.command(Command::Answer {
            session: SessionId(session),
            like: None,
        })
    }

    pub(super) fn offer(&mut self, session: u64) -> Option<Event> {
        self.command(Command::Offer {
            session: SessionId(session),
            like: None,
            both_ways: false,
            near: None,
        })
    }
}

/// Operations: a letter, then what it needs; a description goes up to the next zero octet.
pub fn run(bytes: &[u8]) -> u64 {
    let mut trace = Trace::default();
    let mut rig = Rig::new("192.0.2.1");
    let mut rest = bytes;
    for _ in 0..200 {
        let Some((operation, after)) = rest.split_first() else {
            break;
        };
        rest = after;
        let (who, after) = rest
            .split_first()
            .map_or((0, rest), |(who, after)| (*who, after));
        rest = after;
        let session = u64::from(who) % SESSIONS;
        let other = u64::from(who >> 4) % SESSIONS;
        let event = match operation % 8 {
            0 => rig.offer(session),
            1 => {
                let kind = if who & 0x80 == 0 {
                    OfferOrAnswer::Offer
                } else {
                    OfferOrAnswer::Answer
                };
                let sdp = take(&mut rest);
                rig.remote(session, kind, sdp)
            }
            2 => rig.answer(session),
            3 => rig.command(Command::Bridge {
                a: SessionId(session),
                b: SessionId(other),
            }),
            4 => rig.command(Command::Close {
                session: SessionId(session),
            }),
            5 => {
                rig.now += Duration::from_millis(u64::from(who) * 20);
                rig.handle(Input::Tick).into_iter().next()
            }
            _ => {
                let mut packet = take(&mut rest).to_vec();
                let from = SocketAddr::from(([198, 51, 100, 7], 40_000 + u16::from(who & 3)));
                let port = PortId(u32::from(who) % 8);
                let forward = rig.plane.forward(rig.now, port, from, &mut packet);
                if let Some(forward) = forward {
                    assert!(rig.open.contains(&forward.port), "sent from an open port");
                    assert!(
                        forward.to.port() >= 1024 && !forward.to.ip().is_multicast(),
                        "{forward:?}"
                    );
                }
                trace.note(forward.is_some());
                None
            }
        };
        trace.note(event.as_ref().map(std::mem::discriminant));
    }
    for session in 0..SESSIONS {
        rig.command(Command::Close {
            session: SessionId(session),
        });
    }
    rig.now += Duration::from_secs(3600);
    rig.handle(Input::Tick);
    assert_eq!(
        (rig.plane.sessions(), rig.open.len()),
        (0, 0),
        "nothing is left open"
    );
    trace.finish()
}
