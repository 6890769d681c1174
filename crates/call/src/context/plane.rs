//! What goes to the media plane and comes from it: every session that is opened is closed once.

use std::net::IpAddr;

use bytes::Bytes;
use media::OfferOrAnswer;

use super::{CLOSE_LIMIT, Context, Heard, Timer};
use crate::call::Output;
use crate::leg::{Asked, Attempt, Described, LegId, Media, Wire, leg_of};

impl Context {
    /// A distant leg's media has the number that its own call gave it.
    fn media_session(&self, id: LegId) -> media::SessionId {
        let attempt = self.attempts.get(&id);
        let distant = attempt.and_then(|attempt| attempt.distant);
        let session = distant.map_or_else(|| self.session(id), |distant| distant.session);
        media::SessionId(session.0)
    }

    pub(crate) fn media(&mut self, command: media::Command) {
        self.outputs.push_back(Output::Media(command));
    }

    /// Opens the media of an attempt that is still there.
    fn use_media(&mut self, id: LegId) -> Option<&mut Attempt> {
        let attempt = self.attempts.get_mut(&id)?;
        if attempt.wire == Wire::Gone || attempt.media == Media::Closing {
            return None;
        }
        attempt.media = Media::Open;
        Some(attempt)
    }

    /// Gives the plane what the other side described.
    pub(crate) fn describe(&mut self, id: LegId, kind: OfferOrAnswer, sdp: Bytes) {
        let session = self.media_session(id);
        let Some(attempt) = self.use_media(id) else {
            return;
        };
        attempt.described = Described::Asked;
        attempt.asked.remotes = attempt.asked.remotes.saturating_add(1);
        let near = Some(attempt.near);
        self.media(media::Command::Remote {
            session,
            kind,
            sdp,
            near,
        });
    }

    /// The other side's signalling comes from somewhere else, and so may its packets.
    pub(crate) fn moved(&mut self, id: LegId, near: IpAddr) {
        let session = self.media_session(id);
        let Some(attempt) = self.attempts.get_mut(&id) else {
            return;
        };
        attempt.near = near;
        if attempt.media == Media::Open {
            self.media(media::Command::Near { session, near });
        }
    }

    /// Asks the plane for an offer to a leg.
    pub(crate) fn make_offer(&mut self, id: LegId, like: Option<LegId>) {
        self.offer(id, like, false);
    }

    /// Asks the plane for an offer to a leg that is to talk, although the pattern may be on hold.
    pub(crate) fn make_offer_to_talk(&mut self, id: LegId, like: LegId) {
        self.offer(id, Some(like), true);
    }

    fn offer(&mut self, id: LegId, like: Option<LegId>, both_ways: bool) {
        let session = self.media_session(id);
        let like = like.map(|like| self.media_session(like));
        let Some(attempt) = self.use_media(id) else {
            return;
        };
        attempt.asked.offers = attempt.asked.offers.saturating_add(1);
        let near = Some(attempt.near);
        self.media(media::Command::Offer {
            session,
            like,
            both_ways,
            near,
        });
    }

    /// Asks the plane for an answer to the offer of a leg.
    pub(crate) fn make_answer(&mut self, id: LegId, like: Option<LegId>) {
        let session = self.media_session(id);
        let like = like.map(|like| self.media_session(like));
        let Some(attempt) = self.use_media(id) else {
            return;
        };
        attempt.asked.answers = attempt.asked.answers.saturating_add(1);
        self.media(media::Command::Answer { session, like });
    }

    /// Tells whether our offer for an attempt was asked for.
    pub(crate) fn has_asked_offer(&self, id: LegId) -> bool {
        self.attempts
            .get(&id)
            .is_none_or(|attempt| attempt.media != Media::Absent)
    }

    pub(crate) fn relay(&mut self, near: LegId, b: LegId) {
        let (a, b) = (self.media_session(near), self.media_session(b));
        self.media(media::Command::Bridge { a, b });
    }

    pub(crate) fn stop_relay(&mut self, near: LegId) {
        let session = self.media_session(near);
        self.media(media::Command::Unbridge { session });
    }

    pub(super) fn close_media(&mut self, id: LegId) {
        let session = self.media_session(id);
        let Some(attempt) = self.attempts.get_mut(&id) else {
            return;
        };
        if attempt.media != Media::Open {
            return;
        }
        attempt.media = Media::Closing;
        self.relay_lost(id);
        self.media(media::Command::Close { session });
        self.set_timer(Timer::Closed, CLOSE_LIMIT);
    }

    /// Takes in what the plane says; answers that a later question has overtaken are dropped.
    pub(crate) fn hear(&mut self, event: media::Event) -> Option<(LegId, Heard)> {
        let (session, heard) = match event {
            media::Event::Offered { session, sdp } => (session, Heard::Offered(sdp)),
            media::Event::Answered { session, sdp } => (session, Heard::Answered(sdp)),
            media::Event::Accepted { session, .. } => (session, Heard::Accepted),
            media::Event::Refused {
                session, status, ..
            } => (session, Heard::Refused(status)),
            media::Event::Silent { session, .. } => (session, Heard::Silent),
            media::Event::Unavailable { session } => (session, Heard::Unavailable),
            media::Event::Closed { session, stats } => {
                self.media_closed(leg_of(sip::SessionId(session.0)).1, stats);
                return None;
            }
        };
        let (_, id) = leg_of(sip::SessionId(session.0));
        let attempt = self
            .attempts
            .get_mut(&id)
            .filter(|attempt| attempt.media == Media::Open)?;
        if attempt.wire == Wire::Gone {
            return None;
        }
        let asked = &mut attempt.asked;
        let waiting = match heard {
            Heard::Offered(_) => less(&mut asked.offers),
            Heard::Answered(_) => less(&mut asked.answers),
            Heard::Accepted => less(&mut asked.remotes),
            Heard::Refused(_) if asked.remotes > 0 => less(&mut asked.remotes),
            Heard::Refused(_) if asked.answers > 0 => less(&mut asked.answers),
            Heard::Refused(_) => less(&mut asked.offers),
            Heard::Silent => 0,
            Heard::Unavailable => {
                *asked = Asked::default();
                0
            }
        };
        if waiting > 0 {
            return None;
        }
        match heard {
            Heard::Accepted => attempt.described = Described::Yes,
            Heard::Refused(_) if attempt.described == Described::Asked => {
                attempt.described = Described::No
            }
            _ => {}
        }
        Some((id, heard))
    }

    fn media_closed(&mut self, id: LegId, stats: media::Stats) {
        let Some(attempt) = self
            .attempts
            .get_mut(&id)
            .filter(|attempt| attempt.media == Media::Closing)
        else {
            return;
        };
        attempt.media = Media::Absent;
        let leg = attempt.leg;
        if let Some(leg) = self.legs.get_mut(&leg) {
            // Of several attempts the one that carried something is told.
            let better = leg
                .stats
                .is_none_or(|old| stats.received + stats.sent >= old.received + old.sent);
            leg.stats = if better { Some(stats) } else { leg.stats };
        }
    }

    /// Gives up waiting for the plane.
    pub(crate) fn closing_overdue(&mut self) {
        for attempt in self
            .attempts
            .values_mut()
            .filter(|attempt| attempt.media == Media::Closing)
        {
            attempt.media = Media::Absent;
        }
    }
}

/// Counts one answer and tells how many are still to come.
fn less(asked: &mut u8) -> u8 {
    *asked = asked.saturating_sub(1);
    *asked
}
