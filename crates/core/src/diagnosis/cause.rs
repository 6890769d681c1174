//! Why a phone did not get in: a name for programs, a sentence and a remedy for people.

/// What came of an attempt to prove a password or to register.
#[derive(Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Cause {
    /// It went well; noted only after attempts that did not.
    Registered,
    /// No endpoint of the domain has this user name.
    UnknownUser,
    /// The password is not the endpoint's.
    WrongPassword,
    /// The user name is an account's id: the credentials of REST were typed into a phone.
    AccountCredentials,
    /// The credentials are for another realm, or of a kind that is not digest.
    WrongRealm,
    /// The domain is none of this installation.
    WrongDomain,
    /// The digest algorithm is weaker than what is asked for.
    WeakAlgorithm,
    /// The same phone came again and again with nonces that are too old or used up.
    StaleNonce,
    /// The endpoint is switched off.
    Disabled,
    /// The User-Agent is refused.
    RefusedUserAgent,
    /// It asked to register somebody else's address.
    NotOwnAddress,
    /// It asked for a shorter registration than is granted.
    ExpiresTooShort,
    /// The endpoint has as many bindings as it may.
    TooManyBindings,
    /// The Contact leads back to this server.
    ContactPointsHere,
    /// The Contact cannot be read, or is no SIP address.
    BadContact,
    /// The CSeq is not above that of an earlier REGISTER with the same Call-ID.
    OutOfOrder,
    /// The database took no more work.
    StoreBusy,
    /// The source address is blocked.
    SourceBlocked,
}

impl Cause {
    /// All of them.
    pub const ALL: [Cause; 18] = [
        Cause::Registered,
        Cause::UnknownUser,
        Cause::WrongPassword,
        Cause::AccountCredentials,
        Cause::WrongRealm,
        Cause::WrongDomain,
        Cause::WeakAlgorithm,
        Cause::StaleNonce,
        Cause::Disabled,
        Cause::RefusedUserAgent,
        Cause::NotOwnAddress,
        Cause::ExpiresTooShort,
        Cause::TooManyBindings,
        Cause::ContactPointsHere,
        Cause::BadContact,
        Cause::OutOfOrder,
        Cause::StoreBusy,
        Cause::SourceBlocked,
    ];

    /// Its name for programs; it does not change.
    pub fn name(self) -> &'static str {
        self.words().0
    }

    /// What happened, for people.
    pub fn sentence(self) -> &'static str {
        self.words().1
    }

    /// What to do about it; empty where nothing needs doing.
    pub fn remedy(self) -> &'static str {
        self.words().2
    }

    fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Cause::Registered => ("registered", "The phone registered.", ""),
            Cause::UnknownUser => (
                "unknown_user",
                "No endpoint of this domain has this user name.",
                "Use the endpoint's whole user name, as the REST interface shows it, and the domain of its SIP URI.",
            ),
            Cause::WrongPassword => (
                "wrong_password",
                "The password is not the endpoint's.",
                "Type the endpoint's password again, or set a new one; case and blanks count.",
            ),
            Cause::AccountCredentials => (
                "account_credentials",
                "The user name is the id of the account, which is for the REST interface.",
                "Use an endpoint's user name and password in the phone.",
            ),
            Cause::WrongRealm => (
                "wrong_realm",
                "The phone answered for another realm than it was asked for.",
                "Leave the phone's realm (or authentication domain) empty, or set it to the realm of the challenge.",
            ),
            Cause::WrongDomain => (
                "wrong_domain",
                "The phone asked for a domain that is not served here.",
                "Set the phone's domain (or registrar) to the domain of the endpoint's SIP URI.",
            ),
            Cause::WeakAlgorithm => (
                "weak_algorithm",
                "The phone answered with a weaker digest algorithm than its policy asks for.",
                "Use a phone that knows the algorithm, or ask for a weaker one in the policy.",
            ),
            Cause::StaleNonce => (
                "stale_nonce",
                "The phone keeps answering with nonces that are too old or already used.",
                "Update the phone's software; it does not take the new nonce that it is given.",
            ),
            Cause::Disabled => (
                "disabled",
                "The endpoint is switched off.",
                "Switch the endpoint on.",
            ),
            Cause::RefusedUserAgent => (
                "refused_user_agent",
                "Programs of this kind are refused.",
                "Use another phone, or take the program out of the refused user agents.",
            ),
            Cause::NotOwnAddress => (
                "not_own_address",
                "The phone proved one endpoint's password and asked to register another address.",
                "Set the phone's user name, authentication name and address to the same endpoint.",
            ),
            Cause::ExpiresTooShort => (
                "expires_too_short",
                "The phone asked for a shorter registration than is granted.",
                "Set a longer registration interval in the phone, or lower min_expires in the policy.",
            ),
            Cause::TooManyBindings => (
                "too_many_bindings",
                "The endpoint has as many phones as it may.",
                "End registrations that are no longer used, or raise max_bindings in the policy.",
            ),
            Cause::ContactPointsHere => (
                "contact_points_here",
                "The phone's contact is an address of this server; calls to it would come back.",
                "Leave the phone's public address (or outbound contact) empty.",
            ),
            Cause::BadContact => (
                "bad_contact",
                "The phone's contact is no SIP address that can be called.",
                "Check the phone's user name and network settings for characters that do not belong there.",
            ),
            Cause::OutOfOrder => (
                "out_of_order",
                "A REGISTER came that was older than one that was already taken.",
                "Usually nothing: the phone comes again. If it lasts, restart the phone.",
            ),
            Cause::StoreBusy => (
                "store_busy",
                "The server was too busy to keep the registration.",
                "Nothing: the phone comes again.",
            ),
            Cause::SourceBlocked => (
                "source_blocked",
                "The address that the phone came from is blocked after too many failed attempts.",
                "Correct the phone's credentials and wait, or exempt the address.",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_a_name_of_its_own_and_each_failure_a_remedy() {
        let mut names: Vec<_> = Cause::ALL.iter().map(|cause| cause.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Cause::ALL.len());
        for cause in Cause::ALL {
            let is_failure = cause != Cause::Registered;
            assert_eq!(is_failure, !cause.remedy().is_empty(), "{cause:?}");
            assert!(cause.sentence().ends_with('.'), "{cause:?}");
        }
    }
}
