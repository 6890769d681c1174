//! Two legs that talk, and how a re-INVITE of one travels through the other: RFC 3261 §14, RFC 3264 §8.
//!
//! One exchange runs at a time. Who offers while it runs gets 491 (RFC 3261 §14.2). Without a peer the offer is answered
//! by ourselves.

use bytes::Bytes;
use media::OfferOrAnswer;
use sip::Status;

use crate::call::Output;
use crate::context::{Context, Heard};
use crate::leg::{LegId, Wire};
use crate::link::LinkMessage;

/// Who talks with whom, and the exchange that runs.
#[derive(Default, Debug)]
pub(crate) struct Bridge {
    /// Between whom the plane relays media.
    relayed: Option<(LegId, Party)>,
    /// Who talk.
    peers: Option<(LegId, Party)>,
    exchange: Exchange,
    /// Who must be offered anew what its peer chose.
    refresh: Option<LegId>,
    /// Whether the other call's leg must be offered anew after that.
    then_other: bool,
}

/// The other side of a leg.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Party {
    /// A leg of the same call.
    Leg(LegId),
    /// A leg of another call.
    Other(sip::SessionId),
}

/// One offer and its answer on their way; `from` waits for the answer to its re-INVITE, `to` is asked.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
enum Exchange {
    #[default]
    Idle,
    /// The plane reads the offer of `from`.
    Reading { from: LegId, to: Option<LegId> },
    /// The plane makes our offer for `to`.
    Offering { from: Option<LegId>, to: LegId },
    /// Our re-INVITE is out.
    Inviting { from: Option<LegId>, to: LegId },
    /// The plane reads the answer of `to`.
    Applying { from: Option<LegId>, to: LegId },
    /// The plane makes our answer for `from`.
    Answering { from: LegId },
    /// The plane makes our offer for `from`, whose re-INVITE had none.
    Proposing { from: LegId },
    /// Our offer went in a 200; the ACK brings the answer.
    Proposed { from: LegId },
    /// The plane reads the answer of the ACK.
    Settling { from: LegId },
}

impl Context {
    /// Lets two legs talk.
    pub(crate) fn connect(&mut self, a: LegId, b: Party) {
        self.relay_once(a, b);
        self.bridge.peers = Some((a, b));
    }

    /// Lets a leg talk with one of another call, which sees to the relay.
    pub(crate) fn join_other(&mut self, a: LegId, b: sip::SessionId) {
        self.bridge.relayed = None;
        self.bridge.peers = Some((a, Party::Other(b)));
    }

    /// Relays media between two sides of which one does not talk yet.
    pub(crate) fn relay_once(&mut self, a: LegId, b: Party) {
        if self.bridge.relayed != Some((a, b)) {
            self.bridge.relayed = Some((a, b));
            self.relay(a, b);
        }
    }

    /// Ends what [`Context::connect`] or [`Context::relay_once`] began.
    pub(crate) fn disconnect(&mut self) {
        if let Some((a, _)) = self.bridge.relayed.take() {
            self.stop_relay(a);
        }
        self.bridge.peers = None;
        self.bridge.refresh = None;
    }

    /// The plane leaves a bridge with the session that it closes.
    pub(crate) fn relay_lost(&mut self, id: LegId) {
        if is_between(self.bridge.relayed, id) {
            self.bridge.relayed = None;
        }
    }

    pub(crate) const fn is_bridged(&self) -> bool {
        self.bridge.peers.is_some()
    }

    /// Who talks with a leg.
    pub(crate) fn peer_of(&self, id: LegId) -> Option<Party> {
        match self.bridge.peers {
            Some((a, b)) if id == a => Some(b),
            Some((a, Party::Leg(b))) if id == b => Some(Party::Leg(a)),
            _ => None,
        }
    }

    /// The leg of this call that talks with a leg.
    pub(crate) fn own_peer_of(&self, id: LegId) -> Option<LegId> {
        match self.peer_of(id) {
            Some(Party::Leg(peer)) => Some(peer),
            _ => None,
        }
    }

    /// Offers a leg anew what its peer chose, as soon as no exchange runs.
    pub(crate) fn refresh(&mut self, id: LegId) {
        self.bridge.refresh = Some(id);
        self.rest();
    }

    /// The same, and then the leg of the other call what this one chose.
    pub(crate) fn refresh_both(&mut self, id: LegId) {
        self.bridge.then_other = true;
        self.refresh(id);
    }

    /// A re-INVITE came.
    pub(crate) fn reoffered(&mut self, id: LegId, sdp: Option<Bytes>) {
        if self.wire(id) != Wire::Up {
            return;
        }
        // The answer to the caller is still on its way to it.
        let joining = id != LegId::A && (self.peer_of(id).is_none() || self.is_held());
        if joining || self.bridge.exchange != Exchange::Idle {
            self.refuse_reoffer(id, Status::REQUEST_PENDING);
            return;
        }
        let peer = self.own_peer_of(id);
        match sdp {
            Some(sdp) => {
                self.bridge.exchange = Exchange::Reading { from: id, to: peer };
                self.describe(id, OfferOrAnswer::Offer, sdp);
            }
            None => {
                self.bridge.exchange = Exchange::Proposing { from: id };
                self.make_offer(id, self.peer_of(id));
            }
        }
    }

    /// Our re-INVITE was answered.
    pub(crate) fn reanswered(&mut self, id: LegId, sdp: Option<Bytes>) {
        match (self.bridge.exchange, sdp) {
            (Exchange::Inviting { from, to }, Some(sdp)) if to == id => {
                self.bridge.exchange = Exchange::Applying { from, to };
                self.describe(id, OfferOrAnswer::Answer, sdp);
            }
            (Exchange::Inviting { from, to }, None) if to == id => {
                self.give_up(from, Status::NOT_ACCEPTABLE_HERE)
            }
            _ => {}
        }
    }

    /// Our re-INVITE failed; the session goes on as it was.
    pub(crate) fn reoffer_failed(&mut self, id: LegId, status: Status) {
        if let Exchange::Inviting { from, to } = self.bridge.exchange
            && to == id
        {
            let told = match status {
                Status::REQUEST_PENDING => status,
                _ => Status::NOT_ACCEPTABLE_HERE,
            };
            self.give_up(from, told);
        }
    }

    /// The ACK of a 200 came; tells whether it was one of an exchange here.
    pub(crate) fn reoffer_confirmed(&mut self, id: LegId, sdp: Option<Bytes>) -> bool {
        match self.bridge.exchange {
            Exchange::Proposed { from } if from == id => {
                match sdp {
                    Some(sdp) => {
                        self.bridge.exchange = Exchange::Settling { from };
                        self.describe(id, OfferOrAnswer::Answer, sdp);
                    }
                    None => self.finish_exchange(),
                }
                true
            }
            _ => false,
        }
    }

    /// The plane said something; tells whether it belonged to an exchange here.
    pub(crate) fn reoffer_heard(&mut self, id: LegId, heard: &Heard) -> bool {
        match (self.bridge.exchange, heard) {
            (Exchange::Reading { from, to: Some(to) }, Heard::Accepted) if from == id => {
                self.bridge.exchange = Exchange::Offering {
                    from: Some(from),
                    to,
                };
                self.make_offer(to, Some(Party::Leg(from)));
            }
            (Exchange::Reading { from, to: None }, Heard::Accepted) if from == id => {
                self.answer_alone(from)
            }
            (Exchange::Offering { from, to }, Heard::Offered(sdp)) if to == id => {
                self.bridge.exchange = Exchange::Inviting { from, to };
                let command = sip::Command::Reinvite {
                    session: self.session(to),
                    sdp: Some(sdp.clone()),
                };
                self.send_live(to, command);
            }
            (
                Exchange::Applying {
                    from: Some(from),
                    to,
                },
                Heard::Accepted,
            ) if to == id => {
                self.bridge.exchange = Exchange::Answering { from };
                self.make_answer(from, Some(Party::Leg(to)));
            }
            (Exchange::Applying { from: None, to }, Heard::Accepted) if to == id => {
                self.finish_exchange()
            }
            (Exchange::Answering { from }, Heard::Answered(sdp)) if from == id => {
                self.answer_reoffer(from, sdp.clone());
                self.finish_exchange();
            }
            (Exchange::Proposing { from }, Heard::Offered(sdp)) if from == id => {
                self.bridge.exchange = Exchange::Proposed { from };
                self.answer_reoffer(from, sdp.clone());
            }
            (Exchange::Settling { from }, Heard::Accepted) if from == id => {
                match self.own_peer_of(from) {
                    Some(to) => {
                        self.bridge.exchange = Exchange::Offering { from: None, to };
                        self.make_offer(to, Some(Party::Leg(from)));
                    }
                    None => self.finish_exchange(),
                }
            }
            (
                Exchange::Reading { from, .. }
                | Exchange::Answering { from }
                | Exchange::Proposing { from },
                failed,
            ) if from == id && is_failure(failed) => {
                self.give_up(Some(from), Status::NOT_ACCEPTABLE_HERE);
            }
            (Exchange::Offering { from, to } | Exchange::Applying { from, to }, failed)
                if to == id && is_failure(failed) =>
            {
                self.give_up(from, Status::NOT_ACCEPTABLE_HERE);
            }
            (Exchange::Settling { from }, failed) if from == id && is_failure(failed) => {
                self.finish_exchange()
            }
            _ => return false,
        }
        true
    }

    /// A leg is gone: whoever waited for it is answered by ourselves.
    pub(crate) fn exchange_lost(&mut self, id: LegId) {
        let exchange = self.bridge.exchange;
        if is_between(self.bridge.peers, id) {
            self.bridge.peers = None;
            self.bridge.refresh = None;
        }
        match exchange {
            Exchange::Reading { from, .. }
            | Exchange::Answering { from }
            | Exchange::Proposing { from }
            | Exchange::Proposed { from }
            | Exchange::Settling { from }
                if from == id =>
            {
                self.finish_exchange();
            }
            Exchange::Reading { from, to: Some(to) } if to == id => {
                self.bridge.exchange = Exchange::Reading { from, to: None };
            }
            Exchange::Offering {
                from: Some(from),
                to,
            }
            | Exchange::Inviting {
                from: Some(from),
                to,
            }
            | Exchange::Applying {
                from: Some(from),
                to,
            } if to == id => {
                self.answer_alone(from);
            }
            Exchange::Offering { from: None, to }
            | Exchange::Inviting { from: None, to }
            | Exchange::Applying { from: None, to }
                if to == id =>
            {
                self.finish_exchange();
            }
            Exchange::Offering {
                from: Some(from),
                to,
            } if from == id => {
                self.bridge.exchange = Exchange::Offering { from: None, to };
            }
            Exchange::Inviting {
                from: Some(from),
                to,
            } if from == id => {
                self.bridge.exchange = Exchange::Inviting { from: None, to };
            }
            Exchange::Applying {
                from: Some(from),
                to,
            } if from == id => {
                self.bridge.exchange = Exchange::Applying { from: None, to };
            }
            _ => {}
        }
    }

    fn answer_alone(&mut self, from: LegId) {
        self.bridge.exchange = Exchange::Answering { from };
        // Whoever talks with a leg of another call is answered like that leg.
        let like = self.peer_of(from);
        self.make_answer(from, like.filter(|like| matches!(like, Party::Other(_))));
    }

    fn give_up(&mut self, from: Option<LegId>, status: Status) {
        if let Some(from) = from {
            self.refuse_reoffer(from, status);
        }
        self.finish_exchange();
    }

    fn finish_exchange(&mut self) {
        self.bridge.exchange = Exchange::Idle;
        self.rest();
    }

    fn rest(&mut self) {
        if self.bridge.exchange != Exchange::Idle {
            return;
        }
        if let Some(to) = self.bridge.refresh.take() {
            if let Some(peer) = self.peer_of(to) {
                self.bridge.exchange = Exchange::Offering { from: None, to };
                self.make_offer(to, Some(peer));
            }
        } else if let Some((_, Party::Other(other))) =
            self.bridge.peers.filter(|_| self.bridge.then_other)
        {
            self.bridge.then_other = false;
            self.say(other, LinkMessage::Refresh);
        }
    }

    fn answer_reoffer(&mut self, id: LegId, sdp: Bytes) {
        let command = sip::Command::Answer {
            session: self.session(id),
            sdp: Some(sdp),
            headers: Vec::new(),
        };
        self.send_live(id, command);
    }

    fn refuse_reoffer(&mut self, id: LegId, status: Status) {
        let session = self.session(id);
        self.send_live(
            id,
            sip::Command::Refuse {
                session,
                status,
                reason: None,
                headers: Vec::new(),
            },
        );
    }

    fn send_live(&mut self, id: LegId, command: sip::Command) {
        if self.wire(id) == Wire::Up {
            self.outputs.push_back(Output::Sip(command));
        }
    }
}

fn is_between(pair: Option<(LegId, Party)>, id: LegId) -> bool {
    pair.is_some_and(|(a, b)| a == id || b == Party::Leg(id))
}

const fn is_failure(heard: &Heard) -> bool {
    matches!(heard, Heard::Refused(_) | Heard::Unavailable)
}
