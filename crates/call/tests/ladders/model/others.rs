//! What another call, the customer and the tables of places say in the model.

use std::time::Duration;

use call::{
    Dial, Document, FetchFailure, Hangup, HangupReason, Input, LegId, LocateFailure, Located,
    Place, Redirect, Verb, Word, leg_of,
};
use sip::{InDialog, SessionEvent, Status, Text};

use super::{Seen, World};
use crate::ladder::{CALL, SHARD, dial, flow, link, other, refer};

impl World {
    // ---- another call

    /// What a call says to another one, which answers or does not.
    pub(super) fn other_call(&mut self, from: sip::SessionId, word: Word, seen: &mut Seen) {
        let to = leg_of(from).1;
        let says = |word| Input::Across {
            to,
            from: other(0),
            word,
        };
        match word {
            Word::Join { replaced } if self.pick(4) == 0 => {
                let left = Duration::from_secs(self.pick(30));
                self.elsewhere.push(says(Word::Rings { replaced, left }));
                match self.pick(3) {
                    0 => {}
                    1 => self.elsewhere.push(says(Word::Joined { replaced })),
                    _ => {
                        let status = Status(486);
                        let declined = Word::Declined { replaced, status };
                        self.elsewhere.push(says(declined));
                    }
                }
            }
            Word::Join { replaced } if self.pick(4) > 0 => {
                self.elsewhere.push(says(Word::Joined { replaced }));
            }
            Word::Join { replaced } => {
                let status = Status(481);
                let declined = Word::Declined { replaced, status };
                self.elsewhere.push(says(declined));
            }
            Word::Joined { .. } => seen.linked += 1,
            Word::Rings { .. } => seen.waited += 1,
            Word::Refer { id, .. } => {
                seen.passed += 1;
                let status = [Status::ACCEPTED, Status::DECLINE][self.pick(2) as usize];
                self.elsewhere.push(says(Word::Responded { id, status }));
                let reason = None;
                let status = Status::OK;
                self.elsewhere
                    .push(says(Word::Progress { id, status, reason }));
            }
            Word::Responded { status, .. } => {
                seen.referred += u64::from(status == Status::ACCEPTED);
            }
            Word::Offer if self.pick(3) > 0 => self.elsewhere.push(says(Word::Answered)),
            Word::Offer => self.elsewhere.push(says(Word::Failed(Status(488)))),
            _ => {}
        }
    }

    /// The dialog that a Replaces means.
    pub(super) fn find(&mut self, asked_for: sip::SessionId) {
        let replaced = (self.pick(4) > 0).then(|| sip::Replaced {
            session: if self.pick(8) == 0 {
                asked_for
            } else {
                other(1)
            },
            early: false,
        });
        let request = sip::RequestId(1);
        let event = SessionEvent::Found { request, replaced };
        let leg = leg_of(asked_for).1;
        self.elsewhere.push(Input::Leg { leg, event });
    }

    /// Another call says something of its own accord.
    pub(super) fn other_call_acts(&mut self) {
        let legs: Vec<LegId> = self.sides.keys().copied().collect();
        let to = legs[self.pick(legs.len() as u64) as usize];
        let replaced = call::session(SHARD, CALL, to);
        let word = match self.pick(9) {
            0 | 1 => Word::Join { replaced },
            // Passed on for a third call.
            2 => Word::Join { replaced: other(3) },
            3 | 4 => Word::Offer,
            5 => Word::Answered,
            6 | 7 => refers(),
            _ => Word::Gone,
        };
        let from = other(self.pick(2) as u16);
        self.elsewhere.push(Input::Across { to, from, word });
    }

    // ---- the customer

    pub(super) fn document(&mut self) -> Document {
        let count = self.pick(4);
        let verbs = (0..count).map(|_| self.verb()).collect();
        Document { verbs }
    }

    fn verb(&mut self) -> Verb {
        match self.pick(8) {
            0 => {
                let reason = [None, Some(HangupReason::Busy), Some(HangupReason::Rejected)]
                    [self.pick(3) as usize];
                let schedule = (self.pick(2) == 0).then(|| Duration::from_secs(20));
                Verb::Hangup(Hangup { reason, schedule })
            }
            1 => link("more").map_or_else(
                || Verb::Dial(dial(&[])),
                |link| Verb::Redirect(Redirect { link }),
            ),
            _ => {
                let users = ["u1", "u2", "u3", "u4"];
                Verb::Dial(Dial {
                    timeout: Duration::from_secs(5 + self.pick(20)),
                    time_limit: Duration::from_secs(10 + self.pick(100)),
                    action: if self.pick(2) == 0 {
                        link("action")
                    } else {
                        None
                    },
                    redirect: self.pick(2) == 0,
                    callback: if self.pick(2) == 0 {
                        link("callback")
                    } else {
                        None
                    },
                    early_media: self.pick(2) == 0,
                    direct: self.pick(10) == 0,
                    ..dial(&users[..self.pick(5) as usize])
                })
            }
        }
    }

    pub(super) fn failure(&mut self) -> FetchFailure {
        use FetchFailure::{BadMethod, BadUrl, BadXml, Unreachable};
        [Unreachable, BadXml, BadUrl, BadMethod][self.pick(4) as usize]
    }

    pub(super) fn located(&mut self) -> Result<Located, LocateFailure> {
        if self.pick(6) == 0 {
            return Err(LocateFailure::NotRegistered);
        }
        let destination = |host: u8| sip::Destination {
            flow: flow(host),
            uri: Text::from_static("sip:b@h"),
            route: Vec::new(),
        };
        let flows = self.pick(3) as u8;
        let place = |host: u8| Place {
            destination: destination(host),
            others: (0..flows).map(|n| destination(host + 10 * n)).collect(),
            near: flow(host).remote.ip(),
            to_value: Text::from_static("<sip:b@d>"),
            contact_user: Text::from_static("c"),
            rank: u16::from(host / 2),
            trusted: host.is_multiple_of(2),
            over: host.is_multiple_of(3).then(|| Box::new(over_trunk())),
        };
        let destinations = (0..self.pick(4) as u8).map(|n| place(20 + n)).collect();
        Ok(Located {
            destinations,
            endpoint: None,
            shows_as: "sip:b@d".to_owned(),
        })
    }
}

fn refers() -> Word {
    let SessionEvent::Requested {
        wants: InDialog::Refer(refer),
        id,
        ..
    } = refer(5, "sip:carol@d.example")
    else {
        return Word::Gone;
    };
    Word::Refer {
        id,
        refer,
        endpoint: None,
        name: Text::from_static("<sip:dave@d.example>"),
    }
}

fn over_trunk() -> call::OverTrunk {
    call::OverTrunk {
        trunk: Some(1),
        shown: None,
        effort: sip::Effort::default(),
    }
}
