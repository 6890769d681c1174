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
    /// Bytes that are no SIP message.
    Malformed,
}

/// A point in the unit of scores.
pub(super) const POINT: u32 = 1000;

impl Offence {
    /// What it adds, in thousandths of a point.
    pub(super) const fn weight(self) -> u32 {
        match self {
            Self::WrongCredentials | Self::ForeignDomain => POINT,
            Self::NobodyCalled => POINT / 2,
            // Ten phones behind one address that all ask at once are as bad as one wrong password.
            Self::UnansweredChallenge => POINT / 10,
            Self::Malformed => POINT / 5,
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
        }
    }
}
