//! Stream connections: which of them have sessions (RFC 5626 §4.2), and STUN beside SIP on datagrams (RFC 5626 §4.4.2).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;
use sip::{
    Command, Config, Event, Flow, FlowId, Input, Message, Output, SessionEvent, SessionId, Stack,
    Status, Text, Transport,
};

const SESSION: SessionId = SessionId(7);

fn flow(transport: Transport, id: u64) -> Flow {
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    Flow {
        transport,
        id: FlowId(id),
        local: address("192.0.2.1:5060"),
        remote: address("192.0.2.9:5060"),
    }
}

struct World {
    stack: Stack,
    now: Instant,
    sent: Vec<(Flow, Bytes)>,
    /// `+` and `-` with the number of a connection.
    kept: Vec<String>,
    /// Where the session was said to have moved to.
    moved: Vec<SocketAddr>,
}

impl World {
    #[expect(clippy::disallowed_methods, reason = "a moment to begin with")]
    fn new() -> Self {
        Self {
            stack: Stack::new(Config::for_shard(0), ChaCha12Rng::seed_from_u64(1)),
            now: Instant::now(),
            sent: Vec::new(),
            kept: Vec::new(),
            moved: Vec::new(),
        }
    }

    fn handle(&mut self, input: Input) {
        self.stack.handle(self.now, input);
        while let Some(output) = self.stack.poll_output() {
            match output {
                Output::Send { flow, bytes } => self.sent.push((flow, bytes)),
                Output::Keep(id) => self.kept.push(format!("+{}", id.0)),
                Output::Release(id) => self.kept.push(format!("-{}", id.0)),
                Output::Event(Event::Request { request, flow, .. }) => {
                    let session = SESSION;
                    self.stack.handle(
                        self.now,
                        Input::Command(Command::Accept {
                            session,
                            request,
                            flow,
                        }),
                    );
                }
                Output::Event(Event::Session {
                    event: SessionEvent::Moved { remote },
                    ..
                }) => self.moved.push(remote),
                Output::Event(_) => {}
                Output::Handoff { .. } => panic!("there is one shard"),
            }
        }
    }

    fn get(&mut self, flow: Flow, method: &str, cseq: u32, to_tag: &str) {
        let transport = match flow.transport {
            Transport::Udp => "",
            _ => ";transport=tcp",
        };
        let bytes = format!(
            "{method} sip:us@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.9;branch=z9hG4bK{method}{cseq}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:a@example.com>;tag=1\r\nTo: <sip:us@example.com>{to_tag}\r\nCall-ID: c\r\n\
             CSeq: {cseq} {method}\r\nContact: <sip:a@192.0.2.9{transport}>\r\nContent-Length: 0\r\n\r\n"
        );
        self.handle(Input::Received {
            flow,
            bytes: bytes.into(),
        });
    }

    /// Our tag in the last answer, as a To parameter.
    fn tag(&self) -> String {
        let (_, bytes) = self.sent.last().expect("an answer");
        let Ok(Message::Response(response)) = Message::parse(bytes.clone(), sip::Framing::Stream)
        else {
            panic!("no answer")
        };
        format!(";tag={}", response.to().unwrap().tag().unwrap())
    }
}

#[test]
fn a_connection_is_kept_from_its_first_session_to_its_last() {
    let mut world = World::new();
    world.get(flow(Transport::Tcp, 5), "INVITE", 1, "");
    assert_eq!(world.kept, ["+5"]);
    world.handle(Input::Command(Command::Refuse {
        session: SESSION,
        status: Status::BUSY_HERE,
        reason: None,
        headers: Vec::new(),
    }));
    let tag = world.tag();
    world.get(flow(Transport::Tcp, 5), "ACK", 1, &tag);
    world.now += Duration::from_secs(40);
    world.handle(Input::Tick);
    assert_eq!(world.kept, ["+5", "-5"]);
}

#[test]
fn a_session_that_moves_to_another_connection_keeps_that_one() {
    let mut world = World::new();
    world.get(flow(Transport::Tcp, 5), "INVITE", 1, "");
    world.handle(Input::Command(Command::Answer {
        session: SESSION,
        sdp: Some(Bytes::from_static(b"v=0\r\n")),
        headers: Vec::new(),
    }));
    let tag = world.tag();
    world.get(flow(Transport::Tcp, 5), "ACK", 1, &tag);
    // The phone has another connection, and sends what belongs to the call over it (RFC 5626 §4.3).
    world.get(flow(Transport::Tcp, 6), "INFO", 2, &tag);
    assert_eq!(world.kept, ["+5", "+6", "-5"]);
    world.get(flow(Transport::Tcp, 6), "BYE", 3, &tag);
    assert_eq!(world.kept, ["+5", "+6", "-5", "-6"]);
}

fn follow(world: &mut World, call_id: &'static str, contact: &'static str, flow: Flow) {
    let (call_id, contact) = (Text::from_static(call_id), Text::from_static(contact));
    world.handle(Input::Command(Command::Follow {
        call_id,
        contact,
        flow,
    }));
}

/// Where the BYE of a session goes that ends.
fn goes_to(world: &mut World) -> Flow {
    world.handle(Input::Command(Command::Hangup {
        session: SESSION,
        headers: Vec::new(),
    }));
    let (flow, bytes) = world.sent.last().expect("a BYE");
    assert!(bytes.starts_with(b"BYE "), "{bytes:?}");
    *flow
}

#[test]
fn t17_a_session_whose_connection_died_goes_on_where_its_phone_registers_again() {
    let mut world = World::new();
    let (old, new) = (flow(Transport::Tcp, 5), flow(Transport::Tcp, 6));
    established(&mut world, old);
    world.handle(Input::FlowClosed(old.id));
    // Another phone, or another call: nothing moves.
    follow(&mut world, "c", "sip:b@192.0.2.9;transport=tcp", new);
    follow(&mut world, "d", "sip:a@192.0.2.9;transport=tcp", new);
    assert_eq!(world.moved, []);
    world.now += Duration::from_secs(31);
    world.handle(Input::Tick);
    follow(&mut world, "c", "sip:a@192.0.2.9;transport=TCP", new);
    assert_eq!(world.moved, [new.remote]);
    assert_eq!(world.kept, ["+5", "+6", "-5"]);
    // What waited for the phone to come back does not end the call any longer.
    world.now += Duration::from_secs(60);
    world.handle(Input::Tick);
    assert_eq!(goes_to(&mut world), new);
}

#[test]
fn a_target_refresh_in_datagrams_moves_a_session_and_nothing_else_does() {
    let mut world = World::new();
    let near = flow(Transport::Udp, 0);
    let tag = established(&mut world, near);
    let far = Flow {
        remote: "203.0.113.7:40001".parse().unwrap(),
        ..near
    };
    world.get(far, "INFO", 2, &tag);
    assert_eq!(world.moved, []);
    // RFC 3261 §12.2.2; the Contact names another host than the source: the phone is behind a NAT.
    world.get(far, "INVITE", 3, &tag);
    assert_eq!(world.moved, [far.remote]);
    assert_eq!(goes_to(&mut world), far);
}

#[test]
fn a_phone_without_nat_is_answered_where_its_contact_says() {
    let mut world = World::new();
    let near = flow(Transport::Udp, 0);
    let tag = established(&mut world, near);
    let other_port = Flow {
        remote: "192.0.2.9:40001".parse().unwrap(),
        ..near
    };
    world.get(other_port, "INVITE", 2, &tag);
    assert_eq!(world.moved, []);
    assert_eq!(goes_to(&mut world), near);
}

/// An answered and acknowledged call; our tag.
fn established(world: &mut World, flow: Flow) -> String {
    world.get(flow, "INVITE", 1, "");
    world.handle(Input::Command(Command::Answer {
        session: SESSION,
        sdp: Some(Bytes::from_static(b"v=0\r\n")),
        headers: Vec::new(),
    }));
    let tag = world.tag();
    world.get(flow, "ACK", 1, &tag);
    tag
}

#[test]
fn datagrams_are_nothing_to_keep() {
    let mut world = World::new();
    world.get(flow(Transport::Udp, 0), "INVITE", 1, "");
    assert_eq!(world.stack.sessions(), 1);
    assert!(world.kept.is_empty());
}

#[test]
fn stun_is_answered_on_datagrams_alone() {
    let asked = Bytes::from_static(b"\0\x01\0\0\x21\x12\xa4\x42transaction!");
    let mut world = World::new();
    let (udp, tcp) = (flow(Transport::Udp, 0), flow(Transport::Tcp, 5));
    for flow in [udp, tcp] {
        let bytes = asked.clone();
        world.handle(Input::Received { flow, bytes });
    }
    assert_eq!(world.sent.len(), 1);
    let (to, answer) = &world.sent[0];
    assert_eq!(*to, udp);
    assert_eq!(*answer, sip::stun::answer(&asked, udp.remote).unwrap());
}
