//! A plane with ports that are always there, and a clock that the test moves.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use media::{
    Command, Config, Event, Forward, Input, OfferOrAnswer, Output, Plane, PortId, SessionId, Stats,
};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;

pub const A: SessionId = SessionId(1);
pub const B: SessionId = SessionId(2);

/// Our advertised address in all tests.
pub const HERE: &str = "192.0.2.1";

pub struct Rig {
    pub plane: Plane,
    pub now: Instant,
    /// The port names of the sessions in the order of their opening.
    pub opened: Vec<(SessionId, PortId, PortId)>,
    pub closed: Vec<(PortId, PortId)>,
    /// Ports that can still be opened.
    pub room: usize,
    next: u16,
}

impl Rig {
    pub fn new() -> Self {
        Self::at(HERE)
    }

    pub fn at(address: &str) -> Self {
        let config = Config {
            address: ip(address),
            silence_after: Duration::from_secs(60),
            max_sessions: 8,
        };
        let plane = Plane::new(config, ChaCha12Rng::seed_from_u64(1));
        Self {
            plane,
            now: Instant::now(),
            opened: vec![],
            closed: vec![],
            room: 8,
            next: 20_000,
        }
    }

    /// Gives an input and collects the events; asks for ports are granted from 20000 on.
    pub fn handle(&mut self, input: Input) -> Vec<Event> {
        self.plane.handle(self.now, input);
        let mut events = vec![];
        while let Some(output) = self.plane.poll_output() {
            match output {
                Output::Event(event) => events.push(event),
                Output::ClosePorts { rtp, rtcp } => {
                    self.closed.push((rtp, rtcp));
                    self.room += 1;
                }
                Output::OpenPorts { session, .. } if self.room == 0 => {
                    self.plane.handle(self.now, Input::NoPorts { session });
                }
                Output::OpenPorts { session, rtp, rtcp } => {
                    self.room -= 1;
                    self.opened.push((session, rtp, rtcp));
                    let ports = Input::Ports {
                        session,
                        rtp: self.next,
                        rtcp: self.next + 1,
                    };
                    self.next += 2;
                    self.plane.handle(self.now, ports);
                }
            }
        }
        events
    }

    pub fn command(&mut self, command: Command) -> Event {
        let mut events = self.handle(Input::Command(command));
        assert_eq!(events.len(), 1, "{events:?}");
        events.remove(0)
    }

    pub fn remote(
        &mut self,
        session: SessionId,
        kind: OfferOrAnswer,
        sdp: &str,
        near: Option<&str>,
    ) -> Event {
        let sdp = Bytes::copy_from_slice(sdp.as_bytes());
        self.command(Command::Remote {
            session,
            kind,
            sdp,
            near: near.map(ip),
        })
    }

    /// Takes an offer that must be usable and says whether it holds.
    pub fn offered(&mut self, session: SessionId, sdp: &str) -> bool {
        match self.remote(session, OfferOrAnswer::Offer, sdp, None) {
            Event::Accepted { held, .. } => held,
            other => panic!("{other:?}"),
        }
    }

    /// Takes an answer that must be usable and says whether it holds.
    pub fn answered(&mut self, session: SessionId, sdp: &str) -> bool {
        match self.remote(session, OfferOrAnswer::Answer, sdp, None) {
            Event::Accepted { held, .. } => held,
            other => panic!("{other:?}"),
        }
    }

    pub fn offer(&mut self, session: SessionId, like: Option<SessionId>) -> String {
        match self.command(Command::Offer {
            session,
            like,
            both_ways: false,
            near: None,
        }) {
            Event::Offered { session: to, sdp } if to == session => text(&sdp),
            other => panic!("{other:?}"),
        }
    }

    pub fn answer(&mut self, session: SessionId, like: Option<SessionId>) -> String {
        match self.command(Command::Answer { session, like }) {
            Event::Answered { session: to, sdp } if to == session => text(&sdp),
            other => panic!("{other:?}"),
        }
    }

    pub fn bridge(&mut self) {
        assert_eq!(
            self.handle(Input::Command(Command::Bridge { a: A, b: B })),
            []
        );
    }

    /// Sets up a call between two phones and bridges it.
    pub fn call(&mut self, offer: &str, answer: &str) {
        self.offered(A, offer);
        self.offer(B, Some(A));
        self.answered(B, answer);
        self.answer(A, Some(B));
        self.bridge();
    }

    pub fn close(&mut self, session: SessionId) -> Stats {
        match self.command(Command::Close { session }) {
            Event::Closed { session: of, stats } if of == session => stats,
            other => panic!("{other:?}"),
        }
    }

    pub fn rtp_port(&self, session: SessionId) -> PortId {
        self.opened
            .iter()
            .rev()
            .find(|(of, _, _)| *of == session)
            .unwrap()
            .1
    }

    pub fn rtcp_port(&self, session: SessionId) -> PortId {
        self.opened
            .iter()
            .rev()
            .find(|(of, _, _)| *of == session)
            .unwrap()
            .2
    }

    /// Sends a packet to a session's RTP port.
    pub fn rtp(&mut self, session: SessionId, from: &str, packet: &mut [u8]) -> Option<Forward> {
        let port = self.rtp_port(session);
        self.plane
            .forward(self.now, port, from.parse().unwrap(), packet)
    }

    /// Sends a packet to a session's RTCP port.
    pub fn rtcp(&mut self, session: SessionId, from: &str, packet: &mut [u8]) -> Option<Forward> {
        let port = self.rtcp_port(session);
        self.plane
            .forward(self.now, port, from.parse().unwrap(), packet)
    }

    pub fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// Lets time go by as the owner of a plane does, and collects the events with their second.
    pub fn run(&mut self, time: Duration) -> Vec<(u64, Event)> {
        let (start, end) = (self.now, self.now + time);
        let mut events = vec![];
        while let Some(due) = self.plane.poll_timeout().filter(|due| *due <= end) {
            assert!(due > self.now, "a tick must move on");
            self.now = due;
            let second = due.duration_since(start).as_secs();
            events.extend(
                self.handle(Input::Tick)
                    .into_iter()
                    .map(|event| (second, event)),
            );
        }
        self.now = end;
        events
    }
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub fn text(sdp: &Bytes) -> String {
    String::from_utf8(sdp.to_vec()).unwrap()
}

/// An RTP packet of 20 ms of G.711.
pub fn packet(number: u8, sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, number];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend(7_u32.to_be_bytes());
    packet.extend([0xff; 160]);
    packet
}

/// A body with the usual head; lines are joined with CRLF.
pub fn body(address: &str, lines: &[&str]) -> String {
    let mut body = format!(
        "v=0\r\no=phone 8000 8001 IN IP4 {address}\r\ns=call\r\nc=IN IP4 {address}\r\nt=0 0\r\n"
    );
    for line in lines {
        body.push_str(line);
        body.push_str("\r\n");
    }
    body
}

/// What we write below the `o=` line, without the head that is the same in all.
pub fn media_part(sdp: &str) -> &str {
    &sdp[sdp.find("m=").expect("a media line")..]
}
