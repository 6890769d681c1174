//! A call on a moving clock, and how its inputs and outputs are written down.
//!
//! The media plane answers by itself: what it offers to a leg like another one reads `to 1 like A`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use call::{
    Call, CallNumber, Caller, Command, Dial, Document, FetchFailure, FetchId, HttpMethod, Input,
    LegId, Link, LocateFailure, Located, Now, Output, OverTrunk, Place, QueryId, Script, Shown,
    Start, Target, TargetKind, Verb, Word, leg_of,
};
use jiff::Timestamp;
use sip::{EndReason, Response, SessionEvent, Status, Text};
use uuid::Uuid;

use crate::transcript::media_name;
pub use crate::transcript::{
    media_session, name, write_event, write_media_event, write_output, write_word,
};

pub const A: LegId = LegId::A;
pub const CALL: CallNumber = CallNumber(7);
pub const SHARD: u8 = 3;

/// What the plane does with a leg.
#[derive(Copy, Clone, PartialEq, Eq)]
pub enum Plane {
    Works,
    Refuses,
    HasNoPorts,
    NeverCloses,
    Waits,
}

pub struct Ladder {
    call: Call,
    origin: Instant,
    at: Duration,
    text: String,
    plane: BTreeMap<LegId, Plane>,
}

impl Ladder {
    /// An application with an answer URL, a fallback URL and a hangup URL; the row is on disk and the document has come.
    pub fn with(verbs: Vec<Verb>) -> Self {
        let mut ladder = Self::asking();
        ladder.recorded();
        ladder.at(0.1).document(1, verbs);
        ladder
    }

    /// The built-in direct dial of `bob`.
    pub fn direct() -> Self {
        let verbs = vec![Verb::Dial(Dial {
            direct: true,
            ..dial(&["bob"])
        })];
        let mut ladder = Self::begin(
            Script::Document {
                document: Document { verbs },
                hangup: link("hangup"),
            },
            Some("offer of A"),
        );
        ladder.recorded();
        ladder
    }

    /// An application whose document dials bob, who rings since 1 s.
    pub fn ringing() -> Self {
        let mut ladder = Self::with(vec![Verb::Dial(dial(&["bob"]))]);
        ladder.at(0.2).located(2, "bob", 1).at(1.0).rings(1).cut();
        ladder
    }

    /// The same, and bob talks since 4 s.
    pub fn talking() -> Self {
        let mut ladder = Self::ringing();
        ladder.at(4.0).answers(1).ack(None).cut();
        ladder
    }

    /// Alice talks with bob since 4 s, and the application wants to be asked about transfers.
    pub fn transferring() -> Self {
        let mut ladder = Self::begin_with(Start {
            transfer: link("transfer"),
            ..start(application(), Some("offer of A"))
        });
        ladder.recorded();
        ladder.at(0.1).document(1, vec![Verb::Dial(dial(&["bob"]))]);
        ladder.at(0.2).located(2, "bob", 1);
        ladder.at(4.0).answers(1).ack(None).cut();
        ladder
    }

    pub fn asking() -> Self {
        Self::begin(application(), Some("offer of A"))
    }

    pub fn begin(script: Script, offer: Option<&str>) -> Self {
        Self::begin_with(start(script, offer))
    }

    /// The direct dial of `bob` by a caller who may talk so long.
    pub fn allowed(allowance: Duration) -> Self {
        let verbs = vec![Verb::Dial(Dial {
            direct: true,
            ..dial(&["bob"])
        })];
        let script = Script::Document {
            document: Document { verbs },
            hangup: link("hangup"),
        };
        let mut ladder = Self::begin_with(Start {
            allowance: Some(allowance),
            ..start(script, Some("offer of A"))
        });
        ladder.recorded();
        ladder
    }

    fn begin_with(start: Start) -> Self {
        let origin = Instant::now();
        let call = Call::new(
            Now {
                instant: origin,
                wall: Timestamp::UNIX_EPOCH,
            },
            start,
        );
        let mut ladder = Self {
            call,
            origin,
            at: Duration::ZERO,
            text: String::new(),
            plane: BTreeMap::new(),
        };
        ladder.drain();
        ladder
    }

    pub fn plane(mut self, leg: u16, plane: Plane) -> Self {
        self.plane.insert(LegId(leg), plane);
        self
    }

    /// Forgets what was written so far.
    pub fn cut(&mut self) -> &mut Self {
        self.text.clear();
        self
    }

    /// Moves the clock; what is due on the way happens at its time.
    pub fn at(&mut self, seconds: f64) -> &mut Self {
        let goal = Duration::from_secs_f64(seconds);
        while let Some(due) = self.call.poll_timeout().map(|due| due - self.origin)
            && due < goal
        {
            self.at = due;
            self.feed("Due", Input::Due);
        }
        self.at = goal;
        self
    }

    pub fn recorded(&mut self) -> &mut Self {
        self.feed("Recorded(A)", Input::Recorded(A))
    }

    pub fn due(&mut self) -> &mut Self {
        self.feed("Due", Input::Due)
    }

    pub fn document(&mut self, fetch: u64, verbs: Vec<Verb>) -> &mut Self {
        let label = format!("Fetched({fetch}, {} verbs)", verbs.len());
        self.feed(
            &label,
            Input::Fetched {
                fetch: FetchId(fetch),
                outcome: Ok(Document { verbs }),
            },
        )
    }

    pub fn no_document(&mut self, fetch: u64, failure: FetchFailure) -> &mut Self {
        self.feed(
            &format!("Fetched({fetch}, {failure:?})"),
            Input::Fetched {
                fetch: FetchId(fetch),
                outcome: Err(failure),
            },
        )
    }

    /// A target is one device with so many flows.
    pub fn located_device(&mut self, query: u64, name: &str, flows: u8) -> &mut Self {
        let mut ways = (0..flows).map(|way| sip::Destination {
            flow: flow(20 + way),
            uri: Text::from(format!("sip:{name}@192.0.2.{}", 20 + way)),
            route: Vec::new(),
        });
        let destination = ways.next().expect("a flow");
        let located = Located {
            destinations: vec![Place {
                near: destination.flow.remote.ip(),
                destination,
                others: ways.collect(),
                to_value: Text::from(format!("<sip:{name}@d.example>")),
                contact_user: Text::from_static("offhook"),
                rank: 0,
                trusted: false,
                over: None,
            }],
            endpoint: None,
            shows_as: format!("sip:{name}@d.example"),
        };
        self.feed(
            &format!("Located({query}, {name} by {flows} flows)"),
            Input::Located {
                query: QueryId(query),
                outcome: Ok(located),
            },
        )
    }

    /// A target is found at so many places.
    pub fn located(&mut self, query: u64, name: &str, places: u8) -> &mut Self {
        self.located_in_ranks(query, name, &vec![0; usize::from(places)])
    }

    /// A target is found at places of these ranks.
    pub fn located_in_ranks(&mut self, query: u64, name: &str, ranks: &[u16]) -> &mut Self {
        self.located_over(query, name, ranks, None)
    }

    /// A number is found over so many trunks, which are shown this caller.
    pub fn located_over_trunks(
        &mut self,
        query: u64,
        name: &str,
        trunks: u16,
        shown: Shown,
    ) -> &mut Self {
        let ranks: Vec<u16> = (0..trunks).collect();
        let over = OverTrunk {
            trunk: Some(7),
            shown: Some(shown),
            effort: sip::Effort::default(),
        };
        self.located_over(query, name, &ranks, Some(over))
    }

    fn located_over(
        &mut self,
        query: u64,
        name: &str,
        ranks: &[u16],
        over: Option<OverTrunk>,
    ) -> &mut Self {
        let places = ranks.len();
        let destinations = (0..)
            .zip(ranks)
            .map(|(place, rank)| Place {
                destination: sip::Destination {
                    flow: flow(20 + place),
                    uri: Text::from(format!("sip:{name}@192.0.2.{}", 20 + place)),
                    route: Vec::new(),
                },
                others: Vec::new(),
                near: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 20 + place)),
                to_value: Text::from(format!("<sip:{name}@d.example>")),
                contact_user: Text::from_static("offhook"),
                rank: *rank,
                trusted: over.is_some(),
                over: over.clone().map(Box::new),
            })
            .collect();
        let located = Located {
            destinations,
            endpoint: None,
            shows_as: format!("sip:{name}@d.example"),
        };
        let label = format!("Located({query}, {name} at {places})");
        self.feed(
            &label,
            Input::Located {
                query: QueryId(query),
                outcome: Ok(located),
            },
        )
    }

    pub fn not_located(&mut self, query: u64, failure: LocateFailure) -> &mut Self {
        self.feed(
            &format!("Located({query}, {failure:?})"),
            Input::Located {
                query: QueryId(query),
                outcome: Err(failure),
            },
        )
    }

    /// A target is an application.
    pub fn is_application(&mut self, query: u64) -> &mut Self {
        let label = format!("Application({query})");
        let query = QueryId(query);
        let answer = link("other").expect("a link");
        self.feed(&label, Input::Application { query, answer })
    }

    pub fn command(&mut self, command: Command) -> &mut Self {
        self.feed(&format!("{command:?}"), Input::Command(command))
    }

    pub fn no_room(&mut self, leg: u16) -> &mut Self {
        let leg = LegId(leg);
        self.feed(
            &format!("LegRefused({})", name(leg)),
            Input::LegRefused(leg),
        )
    }

    pub fn leg(&mut self, leg: u16, event: SessionEvent) -> &mut Self {
        let leg = LegId(leg);
        self.feed(&write_event(leg, &event), Input::Leg { leg, event })
    }

    pub fn rings(&mut self, leg: u16) -> &mut Self {
        self.leg(leg, ringing(180, None))
    }

    pub fn answers(&mut self, leg: u16) -> &mut Self {
        self.leg(leg, answered(Some(&format!("answer of {leg}"))))
    }

    pub fn fails(&mut self, leg: u16, status: u16) -> &mut Self {
        self.leg(
            leg,
            SessionEvent::Failed {
                status: Status(status),
                response: Some(Response::new(Status(status))),
            },
        )
    }

    /// A 302 with these Contacts.
    pub fn moves(&mut self, leg: u16, contacts: &str) -> &mut Self {
        let status = Status(302);
        let mut response = Response::new(status);
        response.headers.push(sip::Name::Contact, contacts);
        let response = Some(response);
        self.leg(leg, SessionEvent::Failed { status, response })
    }

    pub fn bye(&mut self, leg: u16) -> &mut Self {
        self.leg(
            leg,
            SessionEvent::Ended {
                why: EndReason::Bye { reason: None },
            },
        )
    }

    pub fn cancel(&mut self) -> &mut Self {
        self.leg(0, SessionEvent::Cancelled { reason: None })
    }

    pub fn ack(&mut self, sdp: Option<&str>) -> &mut Self {
        self.leg(0, SessionEvent::Confirmed { sdp: sdp.map(body) })
    }

    pub fn reoffers(&mut self, leg: u16, sdp: Option<&str>) -> &mut Self {
        self.leg(leg, SessionEvent::Offered { sdp: sdp.map(body) })
    }

    pub fn reanswers(&mut self, leg: u16, sdp: &str) -> &mut Self {
        self.leg(
            leg,
            SessionEvent::Reanswered {
                sdp: Some(body(sdp)),
            },
        )
    }

    /// The session that a Replaces means is this one.
    pub fn found(&mut self, leg: u16, replaced: Option<sip::SessionId>) -> &mut Self {
        let replaced = replaced.map(|session| sip::Replaced {
            session,
            early: false,
        });
        let request = sip::RequestId(90);
        self.leg(leg, SessionEvent::Found { request, replaced })
    }

    /// A session of another call says something to a leg.
    pub fn hears(&mut self, leg: u16, from: sip::SessionId, word: Word) -> &mut Self {
        let to = LegId(leg);
        let label = format!("Across({}, {})", name(to), write_word(&word));
        self.feed(&label, Input::Across { to, from, word })
    }

    /// A REFER to somewhere else.
    pub fn refers(&mut self, leg: u16, id: u64, to: &str) -> &mut Self {
        self.leg(leg, refer(id, to))
    }

    pub fn media(&mut self, event: media::Event) -> &mut Self {
        self.feed(&write_media_event(&event), Input::Media(event))
    }

    fn feed(&mut self, label: &str, input: Input) -> &mut Self {
        let now = Now {
            instant: self.origin + self.at,
            wall: Timestamp::UNIX_EPOCH + self.at,
        };
        self.write('<', label);
        self.call.handle(now, input);
        self.drain();
        self
    }

    fn drain(&mut self) {
        let mut events = Vec::new();
        while let Some(output) = self.call.poll_output() {
            self.write('>', &write_output(&output));
            if let Output::Media(command) = &output {
                events.extend(self.plane_says(command));
            }
        }
        for event in events {
            self.media(event);
        }
    }

    fn plane_says(&self, command: &media::Command) -> Option<media::Event> {
        use media::{Command as Ask, Event as Say};
        let session = media_session(command)?;
        let does = *self
            .plane
            .get(&leg_of(sip::SessionId(session.0)).1)
            .unwrap_or(&Plane::Works);
        let sdp = |like: &Option<media::SessionId>| match like {
            Some(like) => body(&format!(
                "to {} like {}",
                media_name(session),
                media_name(*like)
            )),
            None => body(&format!("to {}", media_name(session))),
        };
        match (command, does) {
            (Ask::Close { .. }, Plane::NeverCloses) => None,
            (Ask::Close { .. }, _) => Some(Say::Closed {
                session,
                stats: media::Stats::default(),
            }),
            (Ask::Bridge { .. } | Ask::Unbridge { .. } | Ask::Near { .. }, _)
            | (_, Plane::Waits) => None,
            (_, Plane::HasNoPorts) => Some(Say::Unavailable { session }),
            (Ask::Remote { .. }, Plane::Refuses) => Some(Say::Refused {
                session,
                status: 488,
                why: "no codec",
            }),
            (Ask::Remote { .. }, _) => Some(Say::Accepted {
                session,
                held: false,
            }),
            (Ask::Offer { like, .. }, _) => Some(Say::Offered {
                session,
                sdp: sdp(like),
            }),
            (Ask::Answer { like, .. }, _) => Some(Say::Answered {
                session,
                sdp: sdp(like),
            }),
        }
    }

    fn write(&mut self, side: char, line: &str) {
        let _ = writeln!(self.text, "{:8.3} {side} {line}", self.at.as_secs_f64());
    }

    /// Compares all that was written since the last cut; blanks at the start of lines do not count.
    #[track_caller]
    pub fn reads(&mut self, expected: &str) -> &mut Self {
        let lines = |text: &str| -> Vec<String> {
            text.lines()
                .map(|line| line.trim().to_owned())
                .filter(|line| !line.is_empty())
                .collect()
        };
        let (is, should) = (lines(&self.text), lines(expected));
        assert!(
            is == should,
            "the call went\n{}\nand not\n{expected}",
            self.text
        );
        self.cut()
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    #[track_caller]
    pub fn is_over(&self) {
        assert!(self.call.is_over() && self.call.poll_timeout().is_none());
    }
}

// ---- what goes in

/// What a call of alice to bob begins with.
pub fn start(script: Script, offer: Option<&str>) -> Start {
    let mut uuids = 0;
    let caller = Caller {
        from: "sip:alice@d.example".to_owned(),
        to: "bob".to_owned(),
        name: "Alice".to_owned(),
        number_or_user: "alice".to_owned(),
        source: flow(10),
        to_header: "<sip:bob@d.example>".to_owned(),
        headers: vec![("X-PH-Tag".to_owned(), "7".to_owned())],
        auth: None,
        endpoint: None,
        offer: offer.map(|sdp| Bytes::from(sdp.to_owned())),
        domain: "d.example".to_owned(),
        call_id: Some("call-of-a".to_owned()),
        anonymous: false,
        max_forwards: None,
    };
    Start {
        number: CALL,
        shard: SHARD,
        uuids: Box::new(move || {
            uuids += 1;
            Uuid::from_u128(uuids - 1)
        }),
        caller,
        script,
        allowance: None,
        transfer: None,
    }
}

pub fn application() -> Script {
    Script::Application {
        answer: link("answer"),
        fallback: link("fallback"),
        hangup: link("hangup"),
    }
}

pub fn link(path: &str) -> Option<Link> {
    Some(Link {
        url: format!("http://c/{path}"),
        method: HttpMethod::Post,
    })
}

/// A Dial of these users, with 30 s to ring and an hour to talk, and no URL at all.
pub fn dial(users: &[&str]) -> Dial {
    let target = |user: &&str| Target {
        kind: TargetKind::User(format!("sip:{user}@d.example")),
        caller_id: None,
        caller_name: None,
        sip_headers: Vec::new(),
    };
    Dial {
        targets: users.iter().map(target).collect(),
        timeout: Duration::from_secs(30),
        time_limit: Duration::from_secs(3600),
        caller_id: None,
        caller_name: None,
        action: None,
        redirect: true,
        callback: None,
        sip_headers: Vec::new(),
        early_media: false,
        direct: false,
    }
}

pub fn ringing(status: u16, sdp: Option<&str>) -> SessionEvent {
    let status = Status(status);
    SessionEvent::Ringing {
        status,
        sdp: sdp.map(body),
        response: Response::new(status),
    }
}

pub fn answered(sdp: Option<&str>) -> SessionEvent {
    SessionEvent::Answered {
        sdp: sdp.map(body),
        response: Response::new(Status::OK),
    }
}

/// A REFER to somewhere else.
pub fn refer(id: u64, to: &str) -> SessionEvent {
    let by = sip::NameAddr::parse(&"<sip:somebody@else.example>".into()).expect("an address");
    let refer = sip::Refer {
        to: sip::ReferTo::parse(&format!("<{to}>").into()).expect("a Refer-To"),
        referred_by: Some(by),
        subscribes: true,
    };
    let wants = sip::InDialog::Refer(Box::new(refer));
    asked(id, wants, sip::Method::Refer)
}

/// A request inside a leg's dialog.
pub fn asked(id: u64, wants: sip::InDialog, method: sip::Method) -> SessionEvent {
    SessionEvent::Requested {
        id: sip::RequestId(id),
        wants,
        request: sip::Request::new(method, "sip:offhook@192.0.2.1"),
    }
}

pub fn body(text: &str) -> Bytes {
    Bytes::from(text.to_owned())
}

pub fn flow(host: u8) -> sip::Flow {
    let address = |host| SocketAddr::from(([192, 0, 2, host], 5060));
    sip::Flow {
        transport: sip::Transport::Udp,
        id: sip::FlowId::NONE,
        local: address(1),
        remote: address(host),
    }
}

/// A session of this call.
pub fn own(leg: u16) -> sip::SessionId {
    call::session(SHARD, CALL, LegId(leg))
}

/// A session of another call, in another shard.
pub fn other(leg: u16) -> sip::SessionId {
    call::session(SHARD + 1, CallNumber(9), LegId(leg))
}

pub fn media_id(leg: u16) -> media::SessionId {
    media::SessionId(call::session(SHARD, CALL, LegId(leg)).0)
}

/// A session of a third call.
pub fn third(leg: u16) -> sip::SessionId {
    call::session(SHARD, CallNumber(11), LegId(leg))
}
