//! What the other side may ask inside a dialog beside the session itself: RFC 3515, RFC 6086, RFC 3428, RFC 3311,
//! RFC 3891.

use bytes::Bytes;

use crate::message::header::Malformed;
use crate::stack::SessionId;
use crate::{Name, NameAddr, ReferTo, Request};

/// What a request inside a dialog wants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum InDialog {
    /// REFER: call somebody else (RFC 3515 §2.4.2).
    Refer(Box<Refer>),
    /// INFO, for example a digit (RFC 6086 §4.2.2).
    Info,
    /// MESSAGE (RFC 3428 §7).
    Message,
    /// UPDATE (RFC 3311 §5.2) or PRACK (RFC 3262 §5) with an offer, before the INVITE has its final answer. Later offers
    /// are `SessionEvent::Offered`.
    Offer {
        /// The offer.
        sdp: Bytes,
    },
}

/// A REFER, taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refer {
    /// Whom to call, and the dialog to take the place of.
    pub to: ReferTo,
    /// Who says so (RFC 3892 §2.1).
    pub referred_by: Option<NameAddr>,
    /// Wants to be notified of the progress; `false` after `Refer-Sub: false` (RFC 4488 §4).
    pub subscribes: bool,
}

impl Refer {
    /// Reads a REFER. It has one Refer-To (RFC 3515 §2.4.2).
    pub(crate) fn of(request: &Request) -> Result<Self, Malformed> {
        let mut targets = request.headers.all(&Name::ReferTo);
        let (Some(to), None) = (targets.next(), targets.next()) else {
            return Err(Malformed);
        };
        let referred_by = request.headers.get(&Name::ReferredBy);
        let subscribes = request.headers.get(&Name::ReferSub).is_none_or(|value| {
            let value = value.split(';').next().unwrap_or_default();
            !value.trim().eq_ignore_ascii_case("false")
        });
        Ok(Self {
            to: ReferTo::parse(to)?,
            referred_by: referred_by.and_then(|value| NameAddr::parse(value).ok()),
            subscribes,
        })
    }
}

/// The session that an INVITE or REFER means by Replaces.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Replaced {
    /// The session.
    pub session: SessionId,
    /// Our INVITE of it has no final answer yet.
    pub early: bool,
}
