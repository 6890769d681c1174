//! A call under events in any order, the impossible ones included: it ends once, and leaves a record for each leg.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use call::{
    Call, CallNumber, Caller, Cause, Command, FetchFailure, HangupSource, Input, LegId, Link,
    LocateFailure, Located, Now, Output, Place, Script, Start,
};
use dialects::plivo::Plivo;
use jiff::Timestamp;
use offhook_core::Dialect;
use sip::{Destination, EndReason, Flow, FlowId, Response, SessionEvent, Status, Transport};
use uuid::Uuid;

use crate::targets::take;
use crate::trace::Trace;

fn flow() -> Flow {
    Flow {
        transport: Transport::Udp,
        id: FlowId::NONE,
        local: SocketAddr::from(([192, 0, 2, 1], 5060)),
        remote: SocketAddr::from(([198, 51, 100, 7], 5060)),
    }
}

fn link(url: &str) -> Option<Link> {
    Some(Link {
        url: url.to_owned(),
        method: call::HttpMethod::Post,
    })
}

fn start() -> Start {
    let mut last = 0;
    Start {
        number: CallNumber(1),
        shard: 0,
        uuids: Box::new(move || {
            last += 1;
            Uuid::from_u128(last)
        }),
        caller: Caller {
            from: "sip:alice@example.net".into(),
            to: "1000".into(),
            name: String::new(),
            number_or_user: "alice".into(),
            source: flow(),
            to_header: "<sip:1000@example.net>".into(),
            headers: Vec::new(),
            auth: None,
            endpoint: None,
            offer: Some(Bytes::from_static(b"v=0\r\n")),
            domain: "example.net".into(),
            call_id: None,
            anonymous: false,
            max_forwards: None,
        },
        allowance: None,
        transfer: None,
        script: Script::Application {
            answer: link("https://app.example/answer"),
            fallback: link("https://app.example/fallback"),
            hangup: link("https://app.example/hangup"),
        },
    }
}

fn located(number: u8) -> Located {
    let place = |user: u8| Place {
        destination: Destination {
            flow: flow(),
            uri: format!("sip:{user}@198.51.100.7").into(),
            route: Vec::new(),
        },
        others: Vec::new(),
        near: [198, 51, 100, 7].into(),
        to_value: "<sip:bob@example.net>".into(),
        contact_user: "alice".into(),
        rank: u16::from(user % 2),
        trusted: user.is_multiple_of(2),
        over: None,
    };
    Located {
        destinations: (0..number % 4).map(place).collect(),
        endpoint: None,
        shows_as: "sip:bob@example.net".into(),
    }
}

#[derive(Default)]
struct Seen {
    records: usize,
    cdrs: usize,
    overs: usize,
    fetches: Vec<call::FetchId>,
    queries: Vec<call::QueryId>,
}

impl Seen {
    fn drain(&mut self, call: &mut Call, trace: &mut Trace) {
        while let Some(output) = call.poll_output() {
            trace.note(std::mem::discriminant(&output));
            assert_eq!(self.overs, 0, "nothing follows the end");
            match output {
                Output::Over => self.overs += 1,
                Output::Cdr(_) => self.cdrs += 1,
                Output::Record(_) => self.records += 1,
                Output::Fetch(fetch) => self.fetches.push(fetch.id),
                Output::Locate { query, .. } => self.queries.push(query),
                _ => {}
            }
        }
    }
}

/// Operations: a letter and a number each; a document goes up to the next zero octet.
pub fn run(bytes: &[u8]) -> u64 {
    let mut trace = Trace::default();
    let mut now = Now {
        instant: Instant::now(),
        wall: Timestamp::UNIX_EPOCH,
    };
    let mut call = Call::new(now, start());
    let mut seen = Seen::default();
    seen.drain(&mut call, &mut trace);
    let mut rest = bytes;
    for _ in 0..300 {
        let [operation, number, after @ ..] = rest else {
            break;
        };
        rest = after;
        let number = *number;
        let leg = LegId(u16::from(number) % 6);
        let sdp = (number & 0x40 == 0).then(|| Bytes::from_static(b"v=0\r\n"));
        let session = media::SessionId(call::session(0, CallNumber(1), leg).0);
        let input = match operation % 12 {
            0 => Input::Recorded(leg),
            1 => {
                let document = take(&mut rest);
                let Some(fetch) = seen.fetches.last().copied() else {
                    continue;
                };
                let document = Plivo.document(&document, None, "https://app.example/answer");
                let outcome = document.map_err(|_| FetchFailure::BadXml);
                Input::Fetched { fetch, outcome }
            }
            2 => {
                let Some(query) = seen.queries.pop() else {
                    continue;
                };
                let outcome = if number & 1 == 0 {
                    Ok(located(number))
                } else {
                    Err(LocateFailure::NotRegistered)
                };
                Input::Located { query, outcome }
            }
            3 => Input::Media(media::Event::Offered {
                session,
                sdp: Bytes::from_static(b"v=0\r\n"),
            }),
            4 => Input::Media(media::Event::Answered {
                session,
                sdp: Bytes::from_static(b"v=0\r\n"),
            }),
            5 => Input::Media(media::Event::Accepted {
                session,
                held: number & 1 == 0,
            }),
            6 => Input::Media(media::Event::Refused {
                session,
                status: 488,
                why: "fuzz",
            }),
            7 => Input::LegRefused(leg),
            8 => {
                let why = if number & 1 == 0 {
                    EndReason::HungUp
                } else {
                    EndReason::SessionExpired
                };
                Input::Leg {
                    leg,
                    event: SessionEvent::Ended { why },
                }
            }
            9 => {
                now.instant += Duration::from_secs(u64::from(number));
                Input::Due
            }
            10 => {
                let status = Status(180 + u16::from(number) % 4);
                let response = Response::new(status);
                Input::Leg {
                    leg,
                    event: SessionEvent::Ringing {
                        status,
                        sdp,
                        response,
                    },
                }
            }
            11 if number & 1 == 0 => {
                let response = Response::new(Status::OK);
                Input::Leg {
                    leg,
                    event: SessionEvent::Answered { sdp, response },
                }
            }
            _ => {
                let status = Status(300 + 3 * u16::from(number) % 400);
                let response = Some(Response::new(status));
                Input::Leg {
                    leg,
                    event: SessionEvent::Failed { status, response },
                }
            }
        };
        call.handle(now, input);
        seen.drain(&mut call, &mut trace);
    }
    let end = Command::HangUp {
        cause: Cause::NormalHangup,
        source: HangupSource::ApiRequest,
    };
    call.handle(now, Input::Command(end));
    seen.drain(&mut call, &mut trace);
    for leg in 0..64 {
        let why = EndReason::HungUp;
        let event = SessionEvent::Ended { why };
        call.handle(
            now,
            Input::Leg {
                leg: LegId(leg),
                event,
            },
        );
        seen.drain(&mut call, &mut trace);
    }
    trace.note((seen.overs, seen.cdrs));
    assert!(
        seen.overs <= 1 && seen.cdrs <= seen.records + 1,
        "{} {} {}",
        seen.overs,
        seen.cdrs,
        seen.records
    );
    trace.finish()
}
