//! What the customer's HTTP server is asked and told about a call: voice-xml.md §1.1, §4.6; plivo-rest.md §14.3, §14.4.
//!
//! These are facts; a dialect spells them as parameters.

use std::net::IpAddr;

use jiff::Timestamp;
use uuid::Uuid;

use crate::cdr::{Cause, Cdr};
use crate::leg::LegRecord;
use crate::verb::Link;

/// Names one question to the customer's server within its call.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FetchId(pub u64);

/// A request whose answer may be a document.
#[derive(Clone, PartialEq, Debug)]
pub struct Fetch {
    /// Comes back in the answer.
    pub id: FetchId,
    /// Where to ask.
    pub link: Link,
    /// Why.
    pub occasion: Occasion,
    /// The call as it stands.
    pub about: About,
    /// Whether the answer is awaited; when not, no [`crate::Input::Fetched`] is expected.
    pub wants_document: bool,
}

/// Why a fetch brought no document: voice-xml.md §1.3.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum FetchFailure {
    /// No connection, timeout or a status other than 2xx, after all retries.
    Unreachable,
    /// The body is empty or not a document.
    BadXml,
    /// The URL is not http or https.
    BadUrl,
    /// The method is neither GET nor POST.
    BadMethod,
}

/// A request that only tells; its answer is ignored.
#[derive(Clone, PartialEq, Debug)]
pub struct Notice {
    /// Where to tell it.
    pub link: Link,
    /// What happened.
    pub occasion: Occasion,
    /// The call as it stands.
    pub about: About,
}

/// What a request to the customer's server is about.
#[derive(Clone, PartialEq, Debug)]
pub enum Occasion {
    /// The call reached its application: answer URL and fallback URL.
    StartApp,
    /// A Redirect verb.
    Redirect,
    /// A side of the call sent REFER: the transfer URL.
    Transfer {
        /// Where to: URI of the Refer-To.
        refer_to: String,
        /// Whether the caller transfers.
        by_caller: bool,
    },
    /// A Dial is over: its action URL.
    DialEnded(DialSummary),
    /// Something happened to a leg that a Dial made: its callback URL.
    DialLeg(Box<DialLeg>),
    /// The caller's leg is over: the hangup URL.
    Hangup(Box<Cdr>),
}

/// How a Dial went: voice-xml.md §4.6, the action request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DialSummary {
    /// The outcome in one word.
    pub status: DialStatus,
    /// Whether any leg sent 180 or 183.
    pub rang: bool,
    /// Why the Dial ended.
    pub cause: Cause,
    /// The leg that answered.
    pub b_leg: Option<Uuid>,
}

/// The outcome of a Dial in one word.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum DialStatus {
    /// Was bridged.
    Completed,
    /// 486 or 600.
    Busy,
    /// Any other refusal, or nobody could be called.
    Failed,
    /// The caller left first.
    Cancel,
    /// The far side never replied.
    Timeout,
    /// It rang until the Dial's timeout.
    NoAnswer,
}

/// One event of a leg that a Dial made: voice-xml.md §4.6, callbackUrl.
#[derive(Clone, PartialEq, Debug)]
pub struct DialLeg {
    /// What happened.
    pub action: DialAction,
    /// The leg.
    pub b: LegRecord,
    /// Its place among the targets, from 1.
    pub position: u16,
    /// Its final record, when the leg is over.
    pub cdr: Option<Cdr>,
}

/// What a callbackUrl is told.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum DialAction {
    /// The leg answered.
    Answer,
    /// It was bridged with the caller.
    Connected,
    /// It is over.
    Hangup,
}

/// What every request about a call carries: plivo-rest.md §14.4.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct About {
    /// The leg that the request is about; the caller's.
    pub call_uuid: Uuid,
    /// The caller's leg.
    pub a_leg: Uuid,
    /// The caller.
    pub from: String,
    /// What was dialled.
    pub to: String,
    /// The platform's view of the caller's leg.
    pub direction: Direction,
    /// The state of the caller's leg.
    pub status: CallStatus,
    /// The caller's display name.
    pub caller_name: String,
    /// When the call began.
    pub session_start: Timestamp,
    /// The To header as it was received.
    pub to_header: String,
    /// Custom SIP headers of the call: name on the wire, value.
    pub headers: Vec<(String, String)>,
    /// Who authenticated.
    pub auth: Option<AuthUser>,
    /// Where the caller's signalling came from.
    pub source_ip: IpAddr,
}

/// Who made an authenticated call: `SIPAuthUser` and `SIPAuthType`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuthUser {
    /// The user name.
    pub user: String,
    /// How the caller proved it.
    pub kind: AuthKind,
}

/// How a caller proved who it is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum AuthKind {
    /// With a password (RFC 7616).
    Credentials,
    /// By its address.
    Address,
}

/// The platform's view of a leg: plivo-rest.md §14.3.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Direction {
    /// It came to us.
    Inbound,
    /// We made it.
    Outbound,
}

/// `CallStatus`: plivo-rest.md §14.3, §15.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum CallStatus {
    /// Not answered yet.
    Ringing,
    /// Answered.
    InProgress,
    /// Over, and was answered.
    Completed,
    /// Over: busy.
    Busy,
    /// Over: any other failure.
    Failed,
    /// Over: the far side never replied.
    Timeout,
    /// Over: it rang, nobody answered.
    NoAnswer,
    /// Over: given up before it was answered.
    Cancel,
}
