//! Two legs that talk, and how a re-INVITE of one travels through the other: RFC 3261 §14, RFC 3264 §8.
//!
//! One exchange runs at a time. Who offers while it runs gets 491 (RFC 3261 §14.2). Without a peer the offer is answered
//! by ourselves.

use bytes::Bytes;
use media::OfferOrAnswer;
use sip::Status;

use crate::across::Word;
use crate::call::Output;
use crate::context::{Context, Heard};
use crate::leg::{LegId, Wire};

/// Who talks with whom, and the exchange that runs.
#[derive(Default, Debug)]
pub(crate) struct Bridge {
    /// The near end: the caller, or who took its place.
    near: LegId,
    /// Whom the plane relays the near end's media to.
    relayed: Option<LegId>,
    /// Who talks with the near end.
    peer: Option<LegId>,
    exchange: Exchange,
    refresh: Refresh,
}

/// Who must be offered anew what the other one chose.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
enum Refresh {
    #[default]
    Nobody,
    /// The near end.
    Near,
    /// The near end, to talk; then its peer.
    Both,
    /// The peer.
    Peer,
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
    /// Lets two legs talk; each leaves whom it talked with.
    pub(crate) fn connect(&mut self, near: LegId, b: LegId) {
        self.relay_once(near, b);
        self.bridge.peer = Some(b);
    }

    /// Relays media between two legs that do not talk yet.
    pub(crate) fn relay_once(&mut self, near: LegId, b: LegId) {
        if (self.bridge.near, self.bridge.relayed) != (near, Some(b)) {
            self.bridge.near = near;
            self.bridge.relayed = Some(b);
            self.relay(near, b);
        }
    }

    /// Ends what [`Context::connect`] or [`Context::relay_once`] began.
    pub(crate) fn disconnect(&mut self) {
        if self.bridge.relayed.take().is_some() {
            self.stop_relay(self.bridge.near);
        }
        self.bridge.peer = None;
        self.bridge.refresh = Refresh::Nobody;
    }

    /// The plane leaves a bridge with the session that it closes.
    pub(crate) fn relay_lost(&mut self, id: LegId) {
        if id == self.bridge.near || self.bridge.relayed == Some(id) {
            self.bridge.relayed = None;
        }
    }

    pub(crate) const fn peer(&self) -> Option<LegId> {
        self.bridge.peer
    }

    /// Tells who a leg talks with.
    pub(crate) fn peer_of(&self, id: LegId) -> Option<LegId> {
        match self.bridge.peer {
            Some(peer) if id == self.bridge.near => Some(peer),
            Some(peer) if id == peer => Some(self.bridge.near),
            _ => None,
        }
    }

    /// Offers the near end anew what its peer chose, as soon as no exchange runs. A peer in another call is offered the
    /// answer, because it has heard nothing of this one yet.
    pub(crate) fn refresh(&mut self) {
        let distant = self.bridge.peer.is_some_and(|peer| self.is_distant(peer));
        self.bridge.refresh = match distant {
            true => Refresh::Both,
            false => Refresh::Near,
        };
        self.rest();
    }

    /// Offers a peer in another call what the near end chose.
    pub(crate) fn refresh_peer(&mut self) {
        self.bridge.refresh = Refresh::Peer;
        self.rest();
    }

    /// A leg of another call has a new description.
    pub(crate) fn offered_across(&mut self, id: LegId) {
        match self.peer_of(id) {
            Some(near) if self.bridge.exchange == Exchange::Idle && self.wire(near) == Wire::Up => {
                self.bridge.exchange = Exchange::Offering {
                    from: Some(id),
                    to: near,
                };
                self.make_offer(near, Some(id));
            }
            _ => self.refuse_reoffer(id, Status::REQUEST_PENDING),
        }
    }

    /// Offers a leg what another one, or its peer, has described.
    fn offer_on(&mut self, from: Option<LegId>, to: LegId) {
        if self.is_distant(to) {
            self.bridge.exchange = Exchange::Inviting { from, to };
            self.say_to(to, Word::Offer);
        } else {
            self.bridge.exchange = Exchange::Offering { from, to };
            self.make_offer(to, from.or_else(|| self.peer_of(to)));
        }
    }

    /// A re-INVITE came.
    pub(crate) fn reoffered(&mut self, id: LegId, sdp: Option<Bytes>) {
        if self.wire(id) != Wire::Up {
            return;
        }
        // The answer to the caller is still on its way to it.
        let joining = id != self.served() && (self.peer_of(id).is_none() || self.is_held());
        if joining || self.bridge.exchange != Exchange::Idle {
            self.refuse_reoffer(id, Status::REQUEST_PENDING);
            return;
        }
        let peer = self.peer_of(id);
        match sdp {
            Some(sdp) => {
                self.bridge.exchange = Exchange::Reading { from: id, to: peer };
                self.describe(id, OfferOrAnswer::Offer, sdp);
            }
            None => {
                self.bridge.exchange = Exchange::Proposing { from: id };
                self.make_offer(id, peer);
            }
        }
    }

    /// Our re-INVITE was answered.
    pub(crate) fn reanswered(&mut self, id: LegId, sdp: Option<Bytes>) {
        match (self.bridge.exchange, sdp) {
            (Exchange::Inviting { from, to }, Some(_)) if to == id && self.is_distant(id) => {
                match from {
                    Some(from) => {
                        self.bridge.exchange = Exchange::Answering { from };
                        self.make_answer(from, Some(to));
                    }
                    None => self.finish_exchange(),
                }
            }
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
                self.offer_on(Some(from), to);
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
            ) if to == id && self.is_distant(from) => {
                self.say_to(from, Word::Answered);
                self.finish_exchange();
            }
            (
                Exchange::Applying {
                    from: Some(from),
                    to,
                },
                Heard::Accepted,
            ) if to == id => {
                self.bridge.exchange = Exchange::Answering { from };
                self.make_answer(from, Some(to));
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
                match self.peer_of(from) {
                    Some(to) => self.offer_on(None, to),
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
        if self.bridge.peer == Some(id) || id == self.bridge.near {
            self.bridge.peer = None;
            self.bridge.refresh = Refresh::Nobody;
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
        if self.is_distant(from) {
            self.give_up(Some(from), Status::NOT_ACCEPTABLE_HERE);
            return;
        }
        self.bridge.exchange = Exchange::Answering { from };
        self.make_answer(from, None);
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
        let near = self.bridge.near;
        let (Exchange::Idle, Some(peer)) = (self.bridge.exchange, self.bridge.peer) else {
            return;
        };
        match std::mem::take(&mut self.bridge.refresh) {
            Refresh::Nobody => {}
            Refresh::Near => self.offer_on(None, near),
            Refresh::Both => {
                self.bridge.refresh = Refresh::Peer;
                self.bridge.exchange = Exchange::Offering {
                    from: None,
                    to: near,
                };
                self.make_offer_to_talk(near, peer);
            }
            Refresh::Peer => self.offer_on(None, peer),
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
        if self.is_distant(id) {
            self.say_to(id, Word::Failed(status));
            return;
        }
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

const fn is_failure(heard: &Heard) -> bool {
    matches!(heard, Heard::Refused(_) | Heard::Unavailable)
}
