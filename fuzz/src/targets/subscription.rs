//! Subscriptions of a stack under messages, commands and time in any order (RFC 6665 §4.2): whoever is asked for state is
//! asked once, a subscription ends once, and nothing is left when all is over.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use sip::{
    Command, Config, Event, Farewell, Flow, FlowId, Input, Method, News, Output, Stack, Status,
    SubscriptionEvent, SubscriptionId, Terms, Text, Transport,
};

use crate::targets::take;
use crate::trace::Trace;

/// Outputs of one input.
const OUTPUTS: usize = 64;

const TERMS: Terms = Terms {
    granted: 600,
    usual: 600,
    least: 60,
    most: 3600,
};

struct Rig {
    stack: Stack,
    now: Instant,
    live: BTreeSet<SubscriptionId>,
    /// Whose state is asked for.
    wanted: BTreeSet<SubscriptionId>,
    next: u64,
    /// The last thing that was sent, which may come back as if from the other side.
    sent: Bytes,
}

fn flow(number: u8) -> Flow {
    let (transport, id) = match number & 1 {
        0 => (Transport::Udp, FlowId::NONE),
        _ => (Transport::Tcp, FlowId(u64::from(number))),
    };
    Flow {
        transport,
        id,
        local: SocketAddr::from(([192, 0, 2, 1], 5060)),
        remote: SocketAddr::from(([198, 51, 100, 7], 5060)),
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
                    let command = if request.method == Method::Subscribe {
                        self.next += 1;
                        let subscription = SubscriptionId(self.next);
                        self.live.insert(subscription);
                        Command::Subscribe {
                            subscription,
                            request,
                            flow,
                            terms: TERMS,
                            contact_user: Text::from_static("bob"),
                        }
                    } else {
                        let response = request.respond(Status::OK);
                        Command::Reply { flow, response }
                    };
                    self.stack.handle(self.now, Input::Command(command));
                }
                Output::Event(Event::Subscription { id, event }) => match event {
                    SubscriptionEvent::Wanted { full, last, .. } => {
                        trace.note((full, last));
                        assert!(self.wanted.insert(id), "asked twice");
                    }
                    SubscriptionEvent::Ended { why } => {
                        trace.note(why as u8);
                        assert!(self.live.remove(&id), "ended twice");
                        self.wanted.remove(&id);
                    }
                },
                Output::Event(event) => trace.note(std::mem::discriminant(&event)),
                _ => trace.note("handed off"),
            }
        }
    }

    fn tell(&mut self, subscription: SubscriptionId, trace: &mut Trace) {
        if self.wanted.remove(&subscription) {
            let news = News {
                content_type: Text::from_static("text/plain"),
                body: Bytes::from_static(b"state"),
            };
            self.handle(Input::Command(Command::Tell { subscription, news }), trace);
        }
    }
}

/// Operations: a letter and a number each; a message goes up to the next zero octet.
pub fn run(bytes: &[u8]) -> u64 {
    let mut trace = Trace::default();
    let mut rig = Rig {
        stack: Stack::new(Config::for_shard(0), ChaCha12Rng::seed_from_u64(1)),
        now: Instant::now(),
        live: BTreeSet::new(),
        wanted: BTreeSet::new(),
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
        let subscription = SubscriptionId(u64::from(number % 4) + 1);
        let input = match operation % 8 {
            0 | 1 => Input::Received {
                flow: flow(number),
                bytes: take(&mut rest),
            },
            2 => {
                // A NOTIFY of ours, as its answer.
                let bytes = answered(&rig.sent, number);
                let flow = flow(number >> 4);
                Input::Received { flow, bytes }
            }
            3 => {
                rig.now += Duration::from_millis(u64::from(number) * 250);
                Input::Tick
            }
            4 => {
                rig.tell(subscription, &mut trace);
                continue;
            }
            5 => Input::Command(Command::Changed { subscription }),
            6 => {
                let farewell = Farewell::NoResource;
                Input::Command(Command::Unsubscribe {
                    subscription,
                    farewell,
                })
            }
            _ => Input::FlowClosed(flow(number).id),
        };
        rig.handle(input, &mut trace);
    }
    // Whoever is asked tells, nobody answers: in two hours all has run out.
    let end = rig.now + Duration::from_secs(7200);
    loop {
        if let Some(wanted) = rig.wanted.first().copied() {
            rig.tell(wanted, &mut trace);
            continue;
        }
        let Some(due) = rig.stack.poll_timeout().filter(|due| *due <= end) else {
            break;
        };
        rig.now = rig.now.max(due);
        rig.handle(Input::Tick, &mut trace);
    }
    assert_eq!(
        (
            rig.stack.subscriptions(),
            rig.stack.transactions(),
            rig.live.len()
        ),
        (0, 0, 0),
        "nothing is left"
    );
    trace.finish()
}

/// Makes of a request the answer to it.
fn answered(request: &Bytes, number: u8) -> Bytes {
    let status = [200, 202, 400, 401, 404, 481, 489, 500, 503][usize::from(number) % 9];
    let end = request.windows(2).position(|two| two == b"\r\n");
    let mut answer = format!("SIP/2.0 {status} x").into_bytes();
    answer.extend_from_slice(request.get(end.unwrap_or(0)..).unwrap_or_default());
    Bytes::from(answer)
}
