//! Subscription dialogs, the notifier's side: RFC 6665 §4.2, §4.4.
//!
//! `notifier` is one subscription, `table` all of a stack. A subscription keeps no state of what it is about: when a
//! NOTIFY may go out, the layer above is asked for it ([`SubscriptionEvent::Wanted`]), so that whatever changed while
//! another NOTIFY was under way is told at once and only as it stands.

mod notifier;
mod table;

use bytes::Bytes;

use crate::Text;

pub(crate) use crate::subscription::notifier::{Alarm, Fate, Subscription, tell};
pub(crate) use crate::subscription::table::Subscriptions;

/// One subscription; the layer above chooses it.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SubscriptionId(pub u64);

/// How long a subscription may last, in seconds (RFC 6665 §4.2.1.1).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Terms {
    /// What the first SUBSCRIBE gets; 0 fetches the state once (RFC 6665 §4.4.3).
    pub granted: u32,
    /// What a later SUBSCRIBE gets that does not say for how long.
    pub usual: u32,
    /// The shortest; a later SUBSCRIBE for less, and not for 0, is answered 423.
    pub least: u32,
    /// The longest; more is cut to it.
    pub most: u32,
}

/// What a NOTIFY says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct News {
    /// Value of Content-Type.
    pub content_type: Text,
    /// The state; empty: there is none to tell.
    pub body: Bytes,
}

/// Why we end a subscription: the reason of its last NOTIFY (RFC 6665 §4.1.3).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Farewell {
    /// Subscribe again at once.
    Deactivated,
    /// The rights are gone; do not subscribe again.
    Rejected,
    /// It ran out, or its subscriber ended it.
    Timeout,
    /// What it is about is gone.
    NoResource,
}

impl Farewell {
    /// Spells the reason.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Deactivated => "deactivated",
            Self::Rejected => "rejected",
            Self::Timeout => "timeout",
            Self::NoResource => "noresource",
        }
    }
}

/// What happens to a subscription.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum SubscriptionEvent {
    /// A NOTIFY may go out: [`crate::Command::Tell`] must follow.
    Wanted {
        /// How many NOTIFYs this subscription has sent.
        number: u32,
        /// Whether the whole state is to be told: the first time, after a SUBSCRIBE, and after one that failed.
        full: bool,
        /// Whether it is the last.
        last: bool,
    },
    /// The subscription is gone.
    Ended {
        /// Why.
        why: SubscriptionEnd,
    },
}

/// Why a subscription is gone.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum SubscriptionEnd {
    /// A limit of the stack; its SUBSCRIBE was answered 503.
    NoRoom,
    /// Its last NOTIFY is out.
    Over,
    /// A NOTIFY was refused for good (RFC 6665 §4.2.2, RFC 5057 §5.1).
    Refused,
    /// A NOTIFY was never answered (RFC 6665 §4.2.2).
    Timeout,
    /// The connection is gone.
    FlowLost,
}
