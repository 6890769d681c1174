//! The record that a finished leg leaves, and why legs end: plivo-rest.md §15.

use std::time::Duration;

use jiff::Timestamp;

use crate::about::CallStatus;
use crate::leg::LegRecord;

/// The final record of one leg.
#[derive(Clone, PartialEq, Debug)]
pub struct Cdr {
    /// The leg.
    pub leg: LegRecord,
    /// When it ended.
    pub ended: Timestamp,
    /// From answer to end, by a clock that never jumps.
    pub duration: Duration,
    /// The duration rounded up to minutes.
    pub billed_seconds: u64,
    /// Why it ended.
    pub cause: Cause,
    /// Who ended it.
    pub source: HangupSource,
    /// The final `CallStatus`.
    pub status: CallStatus,
    /// The final status of its INVITE, when there was one.
    pub sip_status: Option<u16>,
    /// What its media session counted.
    pub media: Option<media::Stats>,
}

/// Who ended a leg: plivo-rest.md §14.4, `HangupSource`.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum HangupSource {
    /// The calling party.
    Caller,
    /// The called party.
    Callee,
    /// A rule of the platform.
    Platform,
    /// A REST request.
    ApiRequest,
    /// The document.
    AnswerXml,
    /// The network beyond us.
    Carrier,
    /// Something broke.
    Error,
    /// Not determined.
    Unknown,
}

macro_rules! causes {
    ($($variant:ident $code:literal $name:literal $switch:literal,)*) => {
        /// Why a leg ended: plivo-rest.md §15.
        #[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Cause {
            $(#[doc = concat!($code, " ", $name, ".")] $variant,)*
        }

        impl Cause {
            /// All causes, in the order of their codes.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Gives the `HangupCauseCode`.
            pub const fn code(self) -> u16 {
                match self { $(Self::$variant => $code,)* }
            }

            /// Gives the `HangupCauseName`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Gives the switch's name of the cause, `HangupCause`.
            pub const fn switch_name(self) -> &'static str {
                match self { $(Self::$variant => $switch,)* }
            }
        }
    };
}

// Undocumented switch names are chosen: those that the switch itself uses for the matching SIP status. The codes 2110 to
// 2399 are ours: no vendor names the permission or limit that refused a call; nor how signalling was lost, 5110 to 5199.
causes! {
    Unknown 0 "Unknown" "UNKNOWN",
    Canceled 1000 "Canceled" "ORIGINATOR_CANCEL",
    CanceledOutOfCredits 1010 "Canceled (Out Of Credits)" "ORIGINATOR_CANCEL",
    CanceledDialLimit 1020 "Canceled (Simultaneous dial limit reached)" "ORIGINATOR_CANCEL",
    InvalidDestination 2000 "Invalid Destination Address" "INVALID_NUMBER_FORMAT",
    DestinationOutOfService 2010 "Destination Out Of Service" "DESTINATION_OUT_OF_ORDER",
    EndpointNotRegistered 2020 "Endpoint Not Registered" "USER_NOT_REGISTERED",
    CountryBarred 2030 "Destination Country Barred" "OUTGOING_CALL_BARRED",
    NumberBarred 2040 "Destination Number Barred" "OUTGOING_CALL_BARRED",
    PrefixBarred 2050 "Destination Prefix Barred" "OUTGOING_CALL_BARRED",
    LoopDetected 2060 "Loop Detected" "EXCHANGE_ROUTING_ERROR",
    ViolatesMediaAnchoring 2070 "Violates Media Anchoring" "OUTGOING_CALL_BARRED",
    VoiceNotAllowed 2110 "Calls Not Allowed (allow_voice)" "CALL_REJECTED",
    SameDomainNotAllowed 2120 "Own Domain Not Allowed (allow_same_domain)" "CALL_REJECTED",
    OtherDomainsNotAllowed 2130 "Other Domains Not Allowed (allow_other_domains)" "CALL_REJECTED",
    PhonesNotAllowed 2140 "Phone Numbers Not Allowed (allow_phones)" "CALL_REJECTED",
    AppsNotAllowed 2150 "Applications Not Allowed (allow_apps)" "CALL_REJECTED",
    VideoNotAllowed 2160 "Video Not Allowed (allow_video)" "CALL_REJECTED",
    CallsAtOnceLimit 2210 "Limit Of Concurrent Calls Reached" "CALL_REJECTED",
    CallRateLimit 2220 "Limit Of Calls Per Second Reached" "CALL_REJECTED",
    MinutesLimit 2230 "Limit Of Minutes A Day Reached" "CALL_REJECTED",
    PrefixLimit 2240 "Number Outside Of The Allowed Prefixes" "OUTGOING_CALL_BARRED",
    RedirectNotFollowed 2310 "Redirect Not Followed" "OUTGOING_CALL_BARRED",
    NoAnswer 3000 "No Answer" "NO_USER_RESPONSE",
    BusyLine 3010 "Busy Line" "USER_BUSY",
    Rejected 3020 "Rejected" "CALL_REJECTED",
    UnknownCallerId 3030 "Unknown Caller ID" "CALL_REJECTED",
    Forbidden 3040 "Forbidden" "CALL_REJECTED",
    UnallocatedNumber 3050 "Unallocated number" "UNALLOCATED_NUMBER",
    RequestTimeout 3070 "Request timeout" "RECOVERY_ON_TIMER_EXPIRE",
    CarrierError 3080 "Internal server error from carrier" "NORMAL_TEMPORARY_FAILURE",
    CarrierCongestion 3090 "Network congestion from carrier" "NORMAL_TEMPORARY_FAILURE",
    BusyEverywhere 3100 "Busy everywhere" "USER_BUSY",
    Declined 3110 "Declined" "CALL_REJECTED",
    UserDoesNotExist 3120 "User does not exist anywhere" "NO_ROUTE_DESTINATION",
    SpamBlock 3130 "Spam block" "CALL_REJECTED",
    DnoCallerId 3140 "DNO Caller ID" "CALL_REJECTED",
    NormalHangup 4000 "Normal Hangup" "NORMAL_CLEARING",
    EndOfXml 4010 "End Of XML Instructions" "NORMAL_CLEARING",
    MultipartyEnded 4020 "Multiparty Call Ended" "NORMAL_CLEARING",
    KickedOutOfMultiparty 4030 "Kicked Out Of Multiparty Call" "NORMAL_CLEARING",
    SipAuthFailed 4240 "SIP Authentication Failed" "CALL_REJECTED",
    SipAuthTimeout 4250 "SIP Authentication Timeout" "RECOVERY_ON_TIMER_EXPIRE",
    NetworkError 5000 "Network Error" "NETWORK_OUT_OF_ORDER",
    InternalError 5010 "Internal Error" "NORMAL_TEMPORARY_FAILURE",
    RoutingError 5020 "Routing Error" "NO_ROUTE_DESTINATION",
    ConcurrencyLimit 5030 "Concurrency Limit Breached" "SWITCH_CONGESTION",
    AnswerNotAcknowledged 5110 "Answer Never Acknowledged" "RECOVERY_ON_TIMER_EXPIRE",
    SessionExpired 5120 "Session Not Refreshed" "RECOVERY_ON_TIMER_EXPIRE",
    PartyGone 5130 "No Answer Inside The Call" "RECOVERY_ON_TIMER_EXPIRE",
    FlowLost 5140 "Connection To The Party Lost" "NETWORK_OUT_OF_ORDER",
    ScheduledHangup 6000 "Scheduled Hangup" "ALLOTTED_TIMEOUT",
    RingTimeout 6010 "Ring Timeout Reached" "NO_ANSWER",
    MediaTimeout 6020 "Media Timeout" "MEDIA_TIMEOUT",
    AnswerUnreachable 7011 "Error Reaching Answer URL" "NORMAL_TEMPORARY_FAILURE",
    ActionUnreachable 7012 "Error Reaching Action URL" "NORMAL_TEMPORARY_FAILURE",
    TransferUnreachable 7013 "Error Reaching Transfer URL" "NORMAL_TEMPORARY_FAILURE",
    RedirectUnreachable 7014 "Error Reaching Redirect URL" "NORMAL_TEMPORARY_FAILURE",
    InvalidActionUrl 7022 "Invalid Action URL" "NORMAL_TEMPORARY_FAILURE",
    InvalidTransferUrl 7023 "Invalid Transfer URL" "NORMAL_TEMPORARY_FAILURE",
    InvalidRedirectUrl 7024 "Invalid Redirect URL" "NORMAL_TEMPORARY_FAILURE",
    InvalidActionMethod 7032 "Invalid Method For Action URL" "NORMAL_TEMPORARY_FAILURE",
    InvalidTransferMethod 7033 "Invalid Method For Transfer URL" "NORMAL_TEMPORARY_FAILURE",
    InvalidRedirectMethod 7034 "Invalid Method For Redirect URL" "NORMAL_TEMPORARY_FAILURE",
    InvalidAnswerXml 8011 "Invalid Answer XML" "NORMAL_TEMPORARY_FAILURE",
    InvalidActionXml 8012 "Invalid Action XML" "NORMAL_TEMPORARY_FAILURE",
    InvalidTransferXml 8013 "Invalid Transfer XML" "NORMAL_TEMPORARY_FAILURE",
    InvalidRedirectXml 8014 "Invalid Redirect XML" "NORMAL_TEMPORARY_FAILURE",
    LostRace 9000 "Lost Race" "LOSE_RACE",
    MachineDetected 9100 "Machine Detected" "NORMAL_CLEARING",
    ConfirmKeyFailed 9110 "Confirm Key Challenge Failed" "NORMAL_CLEARING",
}

impl Cause {
    /// Finds the cause of a code, for example one that a database kept.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|cause| cause.code() == code)
    }

    /// Tells whether the cause is a rule of ours that its name explains best.
    pub const fn is_rule(self) -> bool {
        matches!(self.code(), 2110..=2399)
    }

    /// Classifies a final refusal of an INVITE: plivo-rest.md §15; what that leaves open is chosen.
    pub const fn from_sip_status(status: u16) -> Self {
        match status {
            200..=299 => Self::NormalHangup,
            300..=399 => Self::RoutingError,
            401 | 403 | 407 => Self::Forbidden,
            404 => Self::UnallocatedNumber,
            408 | 504 => Self::RequestTimeout,
            410 | 502 => Self::DestinationOutOfService,
            416 | 484 | 485 => Self::InvalidDestination,
            480 => Self::NoAnswer,
            482 | 483 => Self::LoopDetected,
            486 => Self::BusyLine,
            487 => Self::Canceled,
            503 => Self::CarrierCongestion,
            600 => Self::BusyEverywhere,
            603 => Self::Rejected,
            604 => Self::UserDoesNotExist,
            607 | 608 => Self::SpamBlock,
            400..=499 | 606 => Self::NetworkError,
            500..=599 => Self::CarrierError,
            601.. => Self::Declined,
            _ => Self::Unknown,
        }
    }

    /// Gives the final `CallStatus` of a leg: plivo-rest.md §15, last paragraph.
    pub const fn final_status(self, answered: bool) -> CallStatus {
        match self {
            _ if answered => CallStatus::Completed,
            Self::BusyLine | Self::BusyEverywhere => CallStatus::Busy,
            Self::RingTimeout | Self::NoAnswer => CallStatus::NoAnswer,
            Self::RequestTimeout => CallStatus::Timeout,
            Self::Canceled => CallStatus::Cancel,
            _ => CallStatus::Failed,
        }
    }
}
