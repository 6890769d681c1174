//! What counts against a source, and how much.

/// Something that honest phones do seldom.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Offence {
    /// A digest that no password of a user made: unknown user, wrong password and disabled endpoint alike.
    WrongCredentials,
    /// A challenge; taken back when credentials come.
    UnansweredChallenge,
    /// A request for a domain that is not served here, or a call to be relayed elsewhere.
    ForeignDomain,
    /// A call from outside to nobody.
    NobodyCalled,
    /// A User-Agent that only scanners have.
    Scanner,
    /// A SIP message that is none by its rules.
    Malformed,
    /// Octets on a connection that are no SIP at all.
    Noise,
    /// The same in a datagram, which anybody can send in the name of any address: it counts only against an address from
    /// which nobody has proved a password lately.
    NoiseOfAnybody,
}

/// A point in the unit of scores.
pub(super) const POINT: u32 = 1000;

impl Offence {
    /// Octets that are no SIP, by what carried them.
    pub fn noise(transport: sip::Transport) -> Self {
        match transport.is_reliable() {
            true => Self::Noise,
            false => Self::NoiseOfAnybody,
        }
    }

    /// What it adds, in thousandths of a point.
    pub(super) const fn weight(self) -> u32 {
        match self {
            Self::WrongCredentials | Self::ForeignDomain => POINT,
            Self::NobodyCalled => POINT / 2,
            // Ten phones behind one address that all ask at once are as bad as one wrong password.
            Self::UnansweredChallenge => POINT / 10,
            Self::Malformed | Self::Noise | Self::NoiseOfAnybody => POINT / 5,
            Self::Scanner => 1000 * POINT,
        }
    }

    /// Its name for people.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::WrongCredentials => "wrong credentials",
            Self::UnansweredChallenge => "challenges never answered",
            Self::ForeignDomain => "foreign domains",
            Self::NobodyCalled => "calls to nobody",
            Self::Scanner => "scanner",
            Self::Malformed => "malformed messages",
            Self::Noise | Self::NoiseOfAnybody => "octets that are no SIP",
        }
    }
}
