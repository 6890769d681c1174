//! One side of the back-to-back user agent: its numbers, its record, and where it stands on the wire.

use std::net::IpAddr;
use std::time::Instant;

use jiff::Timestamp;
use sip::{EndReason, Status};
use uuid::Uuid;

use crate::about::Direction;
use crate::cdr::{Cause, HangupSource};
use crate::verb::Link;

/// The number of a call, unique in its process; 40 bits of it are used.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CallNumber(pub u64);

/// The number of one attempt on the wire within its call; 0 is the caller's leg.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct LegId(pub u16);

impl LegId {
    /// The caller's leg.
    pub const A: Self = Self(0);
}

/// The key of an endpoint.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EndpointId(pub u64);

/// Makes the number under which a leg is known to the stack and to the media plane: 8 bits shard, 40 call, 16 leg.
pub const fn session(shard: u8, call: CallNumber, leg: LegId) -> sip::SessionId {
    sip::SessionId(((shard as u64) << 56) | ((call.0 & 0xff_ffff_ffff) << 16) | leg.0 as u64)
}

/// Reads call and leg from a session's number.
pub const fn leg_of(session: sip::SessionId) -> (CallNumber, LegId) {
    (
        CallNumber((session.0 >> 16) & 0xff_ffff_ffff),
        LegId((session.0 & 0xffff) as u16),
    )
}

/// What is known about one leg; its row while it lives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LegRecord {
    /// Names the leg for ever.
    pub uuid: Uuid,
    /// The caller's leg, for a leg that a Dial made.
    pub parent: Option<Uuid>,
    /// Its first attempt on the wire.
    pub leg: LegId,
    /// The platform's view of it.
    pub direction: Direction,
    /// Who calls, as shown to the other side.
    pub from: String,
    /// Who is called.
    pub to: String,
    /// Our endpoint on this leg.
    pub endpoint: Option<EndpointId>,
    /// When it began.
    pub started: Timestamp,
    /// When it first rang.
    pub rang: Option<Timestamp>,
    /// When it was answered.
    pub answered: Option<Timestamp>,
    /// Who must be told of its end.
    pub hangup: Option<Link>,
    /// Where its signalling came from.
    pub source_ip: Option<IpAddr>,
    /// Its SIP Call-ID, once known.
    pub call_id: Option<String>,
}

/// Why a leg ends, and what the caller is told when this refuses it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct End {
    pub(crate) cause: Cause,
    pub(crate) source: HangupSource,
    /// The status that says it to an unanswered caller; absent, the cause decides.
    pub(crate) status: Option<u16>,
}

impl End {
    pub(crate) const fn new(cause: Cause, source: HangupSource) -> Self {
        Self {
            cause,
            source,
            status: None,
        }
    }

    pub(crate) const fn with_status(cause: Cause, source: HangupSource, status: u16) -> Self {
        Self {
            cause,
            source,
            status: Some(status),
        }
    }

    /// Reads why an established session ended; `party` is who sits at its far end.
    pub(crate) const fn of_session(why: &EndReason, party: HangupSource) -> Self {
        match why {
            EndReason::Bye { .. } | EndReason::HungUp => Self::new(Cause::NormalHangup, party),
            EndReason::NoAck => Self::new(Cause::AnswerNotAcknowledged, HangupSource::Error),
            EndReason::TransportLost => Self::new(Cause::FlowLost, HangupSource::Error),
            EndReason::ReinviteTimeout481 => Self::new(Cause::PartyGone, HangupSource::Error),
            EndReason::SessionExpired => Self::new(Cause::SessionExpired, HangupSource::Error),
        }
    }

    /// Chooses between two refusals as RFC 3261 §16.7 step 6 does, with busy before other refusals of its class.
    pub(crate) fn better(self, other: Option<Self>) -> Self {
        const fn rank(end: &End) -> u8 {
            match (end.status, end.cause) {
                (Some(600..), _) => 0,
                (_, Cause::BusyLine) => 1,
                (Some(400..=499), Cause::RequestTimeout) => 3,
                (Some(400..=499), _) => 2,
                _ => 4,
            }
        }
        match other {
            Some(other) if rank(&other) <= rank(&self) => other,
            _ => self,
        }
    }

    /// What an unanswered caller is refused with.
    pub(crate) fn refusal(&self) -> Status {
        let status = match self.status {
            Some(status) if matches!(self.source, HangupSource::Platform) => status,
            // What one hop says to the next is not for the caller; RFC 3261 §16.7 step 6 keeps a 503 to itself too.
            Some(300..=399 | 408 | 420 | 421 | 422 | 481 | 487 | 491 | 494) => 480,
            Some(401 | 407) => 403,
            Some(status) => status,
            None => match (self.cause, self.source) {
                (Cause::NormalHangup | Cause::Canceled, HangupSource::Platform) => 503,
                (Cause::NormalHangup | Cause::Canceled, HangupSource::Caller) => 487,
                (Cause::BusyLine, _) => 486,
                (Cause::Rejected, _) => 603,
                (Cause::LoopDetected, _) => 482,
                (Cause::ConcurrencyLimit, _) => 503,
                (Cause::InternalError, _) => 500,
                (cause, _) if cause.code() >= 7000 && cause.code() < 9000 => 500,
                _ => 480,
            },
        };
        Status(status)
    }
}

/// Where an attempt stands on the wire.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Wire {
    /// The caller's INVITE waits for its answer.
    Incoming,
    /// Our INVITE is not sent yet.
    Idle,
    /// Our INVITE is out.
    Calling,
    /// Answered.
    Up,
    /// Nothing may be sent any more.
    Gone,
}

/// Whether an attempt has a media session.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Media {
    /// Never opened, or closed.
    Absent,
    /// Opened by a command of ours.
    Open,
    /// Close is sent, its event awaited.
    Closing,
}

/// Whether the plane has taken the other side's description.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Described {
    /// It has none.
    No,
    /// It was given one.
    Asked,
    /// It took it.
    Yes,
}

/// One session on the wire and its media.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// The leg that it belongs to.
    pub(crate) leg: LegId,
    pub(crate) wire: Wire,
    pub(crate) media: Media,
    pub(crate) described: Described,
    /// Where its signalling comes from.
    pub(crate) near: IpAddr,
    /// Questions to the plane that are not answered yet.
    pub(crate) asked: Asked,
    /// Whose leg it is, when it is another call's.
    pub(crate) distant: Option<Distant>,
}

/// A leg of another call that talks with one of ours.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Distant {
    pub(crate) session: sip::SessionId,
    /// Our leg.
    pub(crate) near: LegId,
}

/// How many questions of each kind the plane has not answered yet; only the last answer of a kind counts.
#[derive(Copy, Clone, Default, Debug)]
pub(crate) struct Asked {
    pub(crate) remotes: u8,
    pub(crate) answers: u8,
    pub(crate) offers: u8,
}

/// One side of the call: one record, one or several attempts on the wire.
#[derive(Debug)]
pub(crate) struct Leg {
    pub(crate) record: LegRecord,
    pub(crate) answered: Option<Instant>,
    pub(crate) end: Option<(End, Instant)>,
    pub(crate) sip_status: Option<u16>,
    pub(crate) stats: Option<media::Stats>,
    /// Who is told what happens to it, and its place among the targets.
    pub(crate) callback: Option<Link>,
    pub(crate) position: u16,
}
