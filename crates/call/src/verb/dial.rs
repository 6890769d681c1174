//! Dial as a document says it, and what the answers to its questions are: voice-xml.md §4.6.

use std::net::IpAddr;
use std::time::Duration;

use crate::about::DialStatus;
use crate::cdr::{Cause, HangupSource};
use crate::leg::{End, EndpointId};
use crate::verb::Link;

/// Calls one or several targets at once and bridges the first that answers with the caller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dial {
    /// Whom to call; at most 20 are.
    pub targets: Vec<Target>,
    /// How long it may ring, all in all.
    pub timeout: Duration,
    /// How long the bridge may last.
    pub time_limit: Duration,
    /// The number shown; `none` hides it, absent shows the caller's.
    pub caller_id: Option<String>,
    /// The name shown; `none` empties it, absent shows the caller's.
    pub caller_name: Option<String>,
    /// Asked once when the Dial is over.
    pub action: Option<Link>,
    /// Whether the action's answer replaces the document.
    pub redirect: bool,
    /// Told what happens to the legs.
    pub callback: Option<Link>,
    /// Custom headers for all legs: name on the wire, value.
    pub sip_headers: Vec<(String, String)>,
    /// Whether the caller hears the target's early media (`dialMusic="real"`).
    pub early_media: bool,
    /// Built-in direct dial: the caller gets the target's failure and early media, and the call ends with the Dial.
    pub direct: bool,
}

/// Somebody to call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// Who it is.
    pub kind: TargetKind,
    /// As in [`Dial`]; wins over it.
    pub caller_id: Option<String>,
    /// As in [`Dial`]; wins over it.
    pub caller_name: Option<String>,
    /// Adds to those of the [`Dial`].
    pub sip_headers: Vec<(String, String)>,
}

/// What sort of target.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TargetKind {
    /// A phone number.
    Number(String),
    /// A SIP URI.
    User(String),
    /// Whatever the caller dialled.
    Any(String),
    /// Where a called side wants the call to go (RFC 3261 §8.1.3.4).
    Redirected(Redirected),
    /// Where a side of the call transfers the other one (RFC 3515).
    Referred(Referred),
}

/// A 3xx answer of a called side.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Redirected {
    /// The Contacts, best first: URI and q in thousandths.
    pub contacts: Vec<(String, u16)>,
    /// Our endpoint that gave it.
    pub by: Option<EndpointId>,
    /// Whether the caller itself dialled the target, and not a document of the account.
    pub direct: bool,
}

/// The target of a transfer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Referred {
    /// URI of the Refer-To.
    pub to: String,
    /// Our endpoint that transfers: it may call the target, or else the transfer fails.
    pub by: Option<EndpointId>,
    /// Whether it is the caller.
    pub by_caller: bool,
}

/// Names one question for places within its call.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct QueryId(pub u64);

/// Where a target is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Located {
    /// The places in the order of their ranks; they ring as one leg, and the first to answer wins.
    pub destinations: Vec<Place>,
    /// The endpoint, when it is ours.
    pub endpoint: Option<EndpointId>,
    /// How records and callbacks show the target.
    pub shows_as: String,
}

/// One place where a target can be reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// Where the INVITE goes.
    pub destination: sip::Destination,
    /// Other flows of the same device, called one after the other while they fail (RFC 5626 §7).
    pub others: Vec<sip::Destination>,
    /// Where its signalling comes from, as a hint for its media.
    pub near: IpAddr,
    /// To value without tag.
    pub to_value: sip::Text,
    /// User part of our Contact.
    pub contact_user: sip::Text,
    /// Places of the lowest rank ring at once; those of the next when they have refused or had their share of the time.
    pub rank: u16,
    /// Whether this side may know who calls when the caller wants to be anonymous (RFC 3325 §5).
    pub trusted: bool,
    /// What is particular about it when it is a trunk's.
    pub over: Option<Box<OverTrunk>>,
}

/// A place that leads to the telephone network. When it fails the next one of its target is called; when it refuses for
/// another reason, no other trunk would do better.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OverTrunk {
    /// Which trunk, as whoever found the place counts them.
    pub trunk: Option<u64>,
    /// Who is shown; none shows what every place is shown.
    pub shown: Option<Shown>,
    /// How hard it is tried.
    pub effort: sip::Effort,
}

/// Who a trunk is shown as the caller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shown {
    /// The number; none shows nobody.
    pub user: Option<String>,
    /// The host of its address.
    pub domain: String,
}

/// Why a target cannot be called.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum LocateFailure {
    /// Our endpoint, without a live binding.
    NotRegistered,
    /// One of our domains has no such user.
    UnknownUser,
    /// A phone number, and no trunk that takes it.
    NoTrunk,
    /// The caller may not call this.
    Barred,
    /// It is the caller's own leg.
    Loop,
    /// It is no address.
    BadAddress,
    /// Our endpoint, switched off.
    Disabled,
    /// Our endpoint, which may not carry calls.
    VoiceNotAllowed,
    /// The contacts of a redirect, none of which may be followed.
    NotFollowed,
    /// A phone number, and every trunk that takes it has as many calls as it may.
    TrunksFull,
    /// A phone number, and no host of a trunk that takes it can be found.
    TrunkUnreachable,
    /// A phone number outside of the prefixes that the account or the caller may call.
    PrefixLimit,
    /// A permission or a limit of who transfers, by its name.
    Rule(Cause),
}

impl TargetKind {
    /// Gives what the document says.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Number(text) | Self::User(text) | Self::Any(text) => text,
            Self::Referred(referred) => &referred.to,
            Self::Redirected(redirected) => redirected
                .contacts
                .first()
                .map_or("", |(contact, _)| contact),
        }
    }
}

impl LocateFailure {
    /// Says how the leg ends that could not be called.
    pub(crate) const fn end(self) -> End {
        let (cause, status) = match self {
            Self::NotRegistered => (Cause::EndpointNotRegistered, 480),
            Self::UnknownUser => (Cause::UserDoesNotExist, 404),
            Self::NoTrunk => (Cause::UnallocatedNumber, 404),
            Self::Barred => (Cause::NumberBarred, 403),
            Self::Loop => (Cause::LoopDetected, 482),
            Self::BadAddress => (Cause::InvalidDestination, 484),
            Self::Disabled => (Cause::DestinationOutOfService, 480),
            Self::VoiceNotAllowed => (Cause::VoiceNotAllowed, 403),
            Self::PrefixLimit => (Cause::PrefixLimit, 403),
            Self::TrunksFull => (Cause::ConcurrencyLimit, 503),
            Self::TrunkUnreachable => (Cause::NetworkError, 503),
            Self::Rule(cause @ (Cause::CallsAtOnceLimit | Cause::CallRateLimit)) => (cause, 503),
            Self::Rule(cause) => (cause, 403),
            Self::NotFollowed => (Cause::RedirectNotFollowed, 480),
        };
        End::with_status(cause, HangupSource::Platform, status)
    }
}

impl DialStatus {
    /// Names the outcome of a Dial that bridged nobody: voice-xml.md §4.6, mapping.
    pub(crate) const fn of(cause: Cause) -> Self {
        match cause {
            Cause::BusyLine | Cause::BusyEverywhere => Self::Busy,
            Cause::RingTimeout => Self::NoAnswer,
            Cause::RequestTimeout => Self::Timeout,
            _ => Self::Failed,
        }
    }
}
