//! The SIP stack under messages, commands and time in any order: no answer storm, and nothing is left when all is over.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use sip::{
    Command, Config, Event, Flow, FlowId, Input, Method, Output, SessionId, Stack, Status,
    Transport,
};

use crate::targets::take;
use crate::trace::Trace;

/// Outputs of one input; a message may end a session with all that it had open.
const OUTPUTS: usize = 64;

struct Rig {
    stack: Stack,
    now: Instant,
    sessions: Vec<SessionId>,
    next: u64,
    /// The last thing that was sent, which may come back as if from the other side.
    sent: Bytes,
}

fn flow(number: u8) -> Flow {
    let transport = if number & 1 == 0 {
        Transport::Udp
    } else {
        Transport::Tcp
    };
    Flow {
        transport,
        id: if number & 1 == 0 {
            FlowId::NONE
        } else {
            FlowId(u64::from(number))
        },
        local: SocketAddr::from(([192, 0, 2, 1], 5060)),
        remote: SocketAddr::from(([198, 51, 100, 7], 5060 + u16::from(number >> 2))),
    }
}

impl Rig {
    fn handle(&mut self, input: Input, trace: &mut Trace) {
        self.stack.handle(self.now, input);
        let mut count = 0;
        while let Some(output) = self.stack.poll_output() {
            count += 1;
            assert!(count <= OUTPUTS, "a storm");
            match output {
                Output::Send { bytes, .. } => {
                    trace.note(bytes.get(..11).map(<[u8]>::to_vec));
                    self.sent = bytes;
                }
                Output::Event(Event::Request { request, flow, .. }) => {
                    trace.note(request.method.to_string());
                    let command = if request.method == Method::Invite {
                        self.next += 1;
                        let session = SessionId(self.next);
                        self.sessions.push(session);
                        Command::Accept {
                            session,
                            request,
                            flow,
                        }
                    } else {
                        let response = request.respond(Status::OK);
                        Command::Reply { flow, response }
                    };
                    self.stack.handle(self.now, Input::Command(command));
                }
                Output::Event(event) => trace.note(std::mem::discriminant(&event)),
                _ => trace.note("handed off"),
            }
        }
    }
}

/// Operations: a letter and a number each; a message goes up to the next zero octet.
pub fn run(bytes: &[u8]) -> u64 {
    let mut trace = Trace::default();
    let mut rig = Rig {
        stack: Stack::new(Config::for_shard(0), ChaCha12Rng::seed_from_u64(1)),
        now: Instant::now(),
        sessions: Vec::new(),
        next: 0,
        sent: Bytes::new(),
    };
    let mut rest = bytes;
    for _ in 0..200 {
        let [operation, number, after @ ..] = rest else {
            break;
        };
        rest = after;
        let number = *number;
        let session = rig
            .sessions
            .get(usize::from(number) % rig.sessions.len().max(1))
            .copied();
        let session = session.unwrap_or(SessionId(0));
        let sdp = (number & 1 == 0).then(|| Bytes::from_static(b"v=0\r\n"));
        let status = Status(180 + u16::from(number) % 4);
        let headers = Vec::new();
        let input = match operation % 10 {
            0..=3 => Input::Received {
                flow: flow(number),
                bytes: take(&mut rest),
            },
            4 => Input::Received {
                flow: flow(number),
                bytes: rig.sent.clone(),
            },
            5 => {
                rig.now += Duration::from_millis(u64::from(number) * 250);
                Input::Tick
            }
            6 => Input::Command(Command::Ring {
                session,
                status,
                sdp,
                headers,
            }),
            7 => Input::Command(Command::Answer {
                session,
                sdp,
                headers,
            }),
            8 => {
                let status = Status(300 + 3 * u16::from(number) % 400);
                Input::Command(Command::Refuse {
                    session,
                    status,
                    reason: None,
                    headers,
                })
            }
            _ if number & 1 == 0 => Input::Command(Command::Hangup { session, headers }),
            _ => Input::FlowClosed(flow(number).id),
        };
        rig.handle(input, &mut trace);
    }
    // Everybody hangs up, and nobody answers any more: in two hours all timers have run out.
    for session in rig.sessions.clone() {
        rig.handle(
            Input::Command(Command::Hangup {
                session,
                headers: Vec::new(),
            }),
            &mut trace,
        );
    }
    let end = rig.now + Duration::from_secs(7200);
    while let Some(due) = rig.stack.poll_timeout().filter(|due| *due <= end) {
        rig.now = rig.now.max(due);
        rig.handle(Input::Tick, &mut trace);
    }
    assert_eq!(
        (rig.stack.sessions(), rig.stack.transactions()),
        (0, 0),
        "nothing is left"
    );
    trace.finish()
}
