//! Reliable provisional answers, ours and theirs: RFC 3262.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::dialog::Dialog;
use crate::invite::{Alarm, Session};
use crate::message::grammar::number;
use crate::stack::wire::Wire;
use crate::transaction::layer::TransactionId;
use crate::{Flow, Method, Name, Request, Response, Text};

/// Provisional answers that may wait until the one before them is acknowledged; more are not sent.
const MAX_WAITING: usize = 4;

/// Our reliable provisional answers to one INVITE.
#[derive(Default, Debug)]
pub(super) struct Reliable {
    /// Number of the last one; zero: there is none yet.
    rseq: u32,
    open: Option<Open>,
    waiting: VecDeque<Response>,
}

/// One that has no PRACK yet.
#[derive(Debug)]
struct Open {
    flow: Flow,
    bytes: Bytes,
    has_sdp: bool,
    interval: Duration,
}

impl Reliable {
    /// Tells whether a session description waits for its PRACK: so long no 2xx may be sent (RFC 3262 §3).
    pub(super) fn holds_back_answer(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.has_sdp)
            || self.waiting.iter().any(|waiting| !waiting.body.is_empty())
    }

    /// The number that a PRACK must still name.
    pub(super) fn unacknowledged(&self) -> Option<u32> {
        self.open.as_ref().map(|_| self.rseq)
    }

    /// Sends a provisional answer and repeats it until its PRACK; one at a time (RFC 3262 §3).
    pub(super) fn send(
        &mut self,
        session: &mut Session,
        now: Instant,
        wire: &mut Wire,
        transaction: TransactionId,
        mut response: Response,
    ) {
        if self.open.is_some() {
            if self.waiting.len() < MAX_WAITING {
                self.waiting.push_back(response);
            }
            return;
        }
        self.rseq = match self.rseq {
            // RFC 3262 §3: the first is a random number from 1 to 2³¹−1.
            0 => 1 + u32::try_from(wire.draw_below(1 << 30)).unwrap_or(0),
            last => last.wrapping_add(1),
        };
        let headers = &mut response.headers;
        headers.push(Name::Require, Text::from_static("100rel"));
        headers.push(Name::RSeq, self.rseq.to_string());
        let found = wire.transactions.get(transaction);
        let flow = found.map_or(session.flow, |found| found.flow);
        let has_sdp = !response.body.is_empty();
        let bytes = wire.respond(now, transaction, response);
        let interval = wire.config.t1;
        let patience = wire.patience();
        session.arm(now, wire, Alarm::Repeat, interval);
        session.arm(now, wire, Alarm::GiveUp, patience);
        self.open = Some(Open {
            flow,
            bytes,
            has_sdp,
            interval,
        });
    }

    /// Sends the open one again, at intervals that double without a bound (RFC 3262 §3).
    pub(super) fn repeat(&mut self, session: &mut Session, now: Instant, wire: &mut Wire) {
        if let Some(open) = &mut self.open {
            wire.send(open.flow, open.bytes.clone());
            open.interval *= 2;
            session.arm(now, wire, Alarm::Repeat, open.interval);
        }
    }

    /// Takes a PRACK; `None`: it acknowledges nothing. Tells whether a session description is acknowledged with it.
    pub(super) fn acknowledged(
        &mut self,
        session: &mut Session,
        wire: &mut Wire,
        prack: &Request,
        invite: u32,
    ) -> Option<bool> {
        let open = self
            .open
            .take_if(|_| names(prack) == Some((self.rseq, invite)))?;
        session.disarm(wire, Alarm::Repeat);
        session.disarm(wire, Alarm::GiveUp);
        Some(open.has_sdp)
    }

    /// Takes the next that waits.
    pub(super) fn next(&mut self) -> Option<Response> {
        self.waiting.pop_front()
    }
}

/// Reads which answer to which INVITE a PRACK acknowledges (RFC 3262 §7.2).
pub(super) fn names(prack: &Request) -> Option<(u32, u32)> {
    let mut parts = prack.headers.get(&Name::RAck)?.split_ascii_whitespace();
    let mut next = || u32::try_from(number(parts.next()?)?).ok();
    let (rseq, invite) = (next()?, next()?);
    (parts.next() == Some("INVITE")).then_some((rseq, invite))
}

/// Reads the number of a reliable provisional answer of theirs; `None`: it is not reliable (RFC 3262 §7.1).
pub(super) fn rseq(response: &Response) -> Option<u32> {
    if !response.headers.lists(&Name::Require, "100rel") {
        return None;
    }
    let value = response.headers.get(&Name::RSeq)?;
    u32::try_from(number(value.trim())?).ok()
}

/// Acknowledges a provisional answer to our INVITE (RFC 3262 §4). Nobody waits for what comes of it: where the PRACK is
/// lost, the answer comes again until the INVITE fails.
pub(super) fn acknowledge(
    now: Instant,
    wire: &mut Wire,
    flow: Flow,
    dialog: &mut Dialog,
    rseq: u32,
    invite: u32,
) {
    if wire.is_full() {
        return;
    }
    let mut prack = dialog.request(Method::Prack);
    let rack = format!("{rseq} {invite} INVITE");
    prack.headers.push(Name::RAck, rack);
    wire.call(now, flow, prack, None::<crate::SessionId>, true);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rack_names_answer_and_invite() {
        let named = |value: &'static str| {
            let mut prack = Request::new(Method::Prack, "sip:a@b");
            prack.headers.push(Name::RAck, value);
            names(&prack)
        };
        assert_eq!(named("776656 1 INVITE"), Some((776_656, 1)));
        assert_eq!(named(" 1\t 2  INVITE "), Some((1, 2)));
        for bad in [
            "",
            "1",
            "1 2",
            "1 2 BYE",
            "x 2 INVITE",
            "4294967296 1 INVITE",
        ] {
            assert_eq!(named(bad), None, "{bad}");
        }
    }
}
