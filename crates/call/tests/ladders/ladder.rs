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
    LegId, Link, LocateFailure, Located, Now, Occasion, Output, Place, QueryId, Script, Start,
    Target, TargetKind, Verb, leg_of,
};
use jiff::Timestamp;
use sip::{EndReason, Response, SessionEvent, Status, Text};
use uuid::Uuid;

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

    pub fn asking() -> Self {
        Self::begin(application(), Some("offer of A"))
    }

    pub fn begin(script: Script, offer: Option<&str>) -> Self {
        let origin = Instant::now();
        let call = Call::new(
            Now {
                instant: origin,
                wall: Timestamp::UNIX_EPOCH,
            },
            start(script, offer),
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
        let destinations = (0..places)
            .map(|place| Place {
                destination: sip::Destination {
                    flow: flow(20 + place),
                    uri: Text::from(format!("sip:{name}@192.0.2.{}", 20 + place)),
                    route: Vec::new(),
                },
                others: Vec::new(),
                near: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 20 + place)),
                to_value: Text::from(format!("<sip:{name}@d.example>")),
                contact_user: Text::from_static("offhook"),
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
            (Ask::Bridge { .. } | Ask::Unbridge { .. }, _) | (_, Plane::Waits) => None,
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

pub fn media_id(leg: u16) -> media::SessionId {
    media::SessionId(call::session(SHARD, CALL, LegId(leg)).0)
}

// ---- what is written down

pub fn name(leg: LegId) -> String {
    if leg == A {
        "A".to_owned()
    } else {
        leg.0.to_string()
    }
}

fn media_name(session: media::SessionId) -> String {
    name(leg_of(sip::SessionId(session.0)).1)
}

pub fn media_session(command: &media::Command) -> Option<media::SessionId> {
    match command {
        media::Command::Offer { session, .. }
        | media::Command::Remote { session, .. }
        | media::Command::Answer { session, .. }
        | media::Command::Unbridge { session }
        | media::Command::Close { session } => Some(*session),
        media::Command::Bridge { .. } => None,
    }
}

fn text(sdp: &Option<Bytes>) -> String {
    sdp.as_ref().map_or_else(String::new, |sdp| {
        format!(", \"{}\"", String::from_utf8_lossy(sdp))
    })
}

pub fn write_output(output: &Output) -> String {
    match output {
        Output::Sip(command) => write_sip(command),
        Output::Media(command) => write_media(command),
        Output::Fetch(fetch) => {
            let tells = if fetch.wants_document {
                ""
            } else {
                ", only tells"
            };
            let (id, url, status) = (fetch.id.0, &fetch.link.url, fetch.about.status);
            format!(
                "Fetch({id}, {}, {url}, {status:?}{tells})",
                write_occasion(&fetch.occasion)
            )
        }
        Output::Locate { query, target, .. } => match target {
            TargetKind::Number(text) | TargetKind::User(text) | TargetKind::Any(text) => {
                format!("Locate({}, {text})", query.0)
            }
        },
        Output::Notify(notice) => {
            format!(
                "Notify({}, {}, {:?})",
                write_occasion(&notice.occasion),
                notice.link.url,
                notice.about.status
            )
        }
        Output::Record(record) => {
            let (leg, from, to) = (name(record.leg), &record.from, &record.to);
            let state = if record.answered.is_some() {
                ", answered"
            } else {
                ""
            };
            format!("Record({leg}, {from} to {to}{state})")
        }
        Output::Cdr(cdr) => {
            let (leg, code, source, status) =
                (name(cdr.leg.leg), cdr.cause.code(), cdr.source, cdr.status);
            let sip = cdr
                .sip_status
                .map_or_else(|| "no".to_owned(), |status| status.to_string());
            let (duration, billed) = (cdr.duration.as_secs_f64(), cdr.billed_seconds);
            format!(
                "Cdr({leg}, {code} {source:?}, {status:?}, {duration} s, {billed} billed, {sip})"
            )
        }
        Output::Over => "Over".to_owned(),
    }
}

fn write_sip(command: &sip::Command) -> String {
    use sip::Command::{Answer, Hangup, Invite, Refuse, Reinvite, Ring};
    let leg = |session: &sip::SessionId| name(leg_of(*session).1);
    let headers = |headers: &[sip::Header]| {
        headers
            .iter()
            .fold(String::new(), |text, header| format!("{text}, {header}"))
    };
    match command {
        Ring {
            session,
            status,
            sdp,
            ..
        } => format!("Ring({}, {status}{})", leg(session), text(sdp)),
        Answer { session, sdp, .. } => format!("Answer({}{})", leg(session), text(sdp)),
        Refuse {
            session,
            status,
            headers: more,
            ..
        } => format!("Refuse({}, {status}{})", leg(session), headers(more)),
        Invite {
            session,
            to,
            from,
            sdp,
            headers: more,
            ..
        } => {
            format!(
                "Invite({}, {}, {from}{}{})",
                leg(session),
                to.uri,
                text(sdp),
                headers(more)
            )
        }
        Reinvite { session, sdp } => format!("Reinvite({}{})", leg(session), text(sdp)),
        Hangup {
            session,
            headers: more,
        } => format!("Hangup({}{})", leg(session), headers(more)),
        other => format!("{other:?}"),
    }
}

fn write_media(command: &media::Command) -> String {
    let like = |like: &Option<media::SessionId>| {
        like.map_or_else(String::new, |like| format!(" like {}", media_name(like)))
    };
    match command {
        media::Command::Offer {
            session,
            like: other,
            ..
        } => format!("Offer({}{})", media_name(*session), like(other)),
        media::Command::Answer {
            session,
            like: other,
        } => format!("MediaAnswer({}{})", media_name(*session), like(other)),
        media::Command::Remote {
            session, kind, sdp, ..
        } => {
            format!(
                "Remote({}, {kind:?}, \"{}\")",
                media_name(*session),
                String::from_utf8_lossy(sdp)
            )
        }
        media::Command::Bridge { a, b } => {
            format!("Bridge({}, {})", media_name(*a), media_name(*b))
        }
        media::Command::Unbridge { session } => format!("Unbridge({})", media_name(*session)),
        media::Command::Close { session } => format!("Close({})", media_name(*session)),
    }
}

pub fn write_media_event(event: &media::Event) -> String {
    use media::Event::{Accepted, Answered, Closed, Offered, Refused, Silent, Unavailable};
    match event {
        Offered { session, .. } => format!("Offered({})", media_name(*session)),
        Answered { session, .. } => format!("MediaAnswered({})", media_name(*session)),
        Accepted { session, .. } => format!("Accepted({})", media_name(*session)),
        Refused {
            session, status, ..
        } => format!("MediaRefused({}, {status})", media_name(*session)),
        Silent { session, for_ } => {
            format!("Silent({}, {} s)", media_name(*session), for_.as_secs())
        }
        Closed { session, .. } => format!("Closed({})", media_name(*session)),
        Unavailable { session } => format!("Unavailable({})", media_name(*session)),
    }
}

pub fn write_event(leg: LegId, event: &SessionEvent) -> String {
    let leg = name(leg);
    match event {
        SessionEvent::Ringing { status, sdp, .. } => {
            format!("Ringing({leg}, {status}{})", text(sdp))
        }
        SessionEvent::Answered { sdp, .. } => format!("Answered({leg}{})", text(sdp)),
        SessionEvent::Failed { status, .. } => format!("Failed({leg}, {status})"),
        SessionEvent::Cancelled { .. } => format!("Cancelled({leg})"),
        SessionEvent::Acknowledged { .. } => format!("Acknowledged({leg})"),
        SessionEvent::Confirmed { sdp } => format!("Confirmed({leg}{})", text(sdp)),
        SessionEvent::Offered { sdp } => format!("Reoffered({leg}{})", text(sdp)),
        SessionEvent::Reanswered { sdp } => format!("Reanswered({leg}{})", text(sdp)),
        SessionEvent::ReofferFailed { status } => format!("ReofferFailed({leg}, {status})"),
        SessionEvent::Ended {
            why: EndReason::Bye { .. },
        } => format!("Bye({leg})"),
        SessionEvent::Ended { why } => format!("Ended({leg}, {why:?})"),
        SessionEvent::Requested { wants, .. } => format!("Requested({leg}, {wants:?})"),
        SessionEvent::Responded { status, .. } => format!("Responded({leg}, {status})"),
        SessionEvent::Notified { status, .. } => format!("Notified({leg}, {status:?})"),
        SessionEvent::Found { replaced, .. } => format!("Found({leg}, {replaced:?})"),
    }
}

fn write_occasion(occasion: &Occasion) -> String {
    match occasion {
        Occasion::StartApp | Occasion::Redirect => format!("{occasion:?}"),
        Occasion::DialEnded(summary) => {
            let rang = if summary.rang { ", rang" } else { "" };
            let b = summary
                .b_leg
                .map_or_else(String::new, |uuid| format!(", b {}", uuid.as_u128()));
            format!(
                "DialEnded {:?} {}{rang}{b}",
                summary.status,
                summary.cause.switch_name()
            )
        }
        Occasion::DialLeg(leg) => {
            let cause = leg
                .cdr
                .as_ref()
                .map_or_else(String::new, |cdr| format!(" {}", cdr.cause.code()));
            format!("DialLeg {:?} {}{cause}", leg.action, leg.position)
        }
        Occasion::Hangup(cdr) => format!("Hangup {}", cdr.cause.code()),
    }
}
