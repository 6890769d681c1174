//! What an endpoint may do: vobiz-rest.md §2.8. The flags bind what the endpoint itself sends; what its application dials
//! belongs to the account, and only the called endpoint's own flags count there.

use call::Cause;

use crate::calls::aim::Aim;
use crate::directory::Subscriber;

/// One flag of an endpoint.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Permission {
    /// `allow_voice`: calls at all.
    Voice,
    /// `allow_message`: messages at all.
    Message,
    /// `allow_same_domain`: endpoints of its own domain.
    SameDomain,
    /// `allow_other_domains`: addresses in any other domain.
    OtherDomains,
    /// `allow_phones`: phone numbers.
    Phones,
    /// `allow_apps`: applications by their SIP URI.
    Apps,
}

impl Permission {
    /// The flag that an endpoint lacks for a call that it sends; `allow_voice` before the destination's.
    pub(crate) fn missing_for_call(caller: &Subscriber, aim: &Aim) -> Option<Self> {
        if !caller.permissions.voice {
            return Some(Self::Voice);
        }
        Self::of_destination(caller, aim)
    }

    /// The flag that is missing for a message from an endpoint: its own, the destination's, then the receiver's.
    #[expect(
        dead_code,
        reason = "asked by the MESSAGE method, which lands beside this"
    )]
    pub(crate) fn missing_for_message(sender: &Subscriber, aim: &Aim) -> Option<Self> {
        if !sender.permissions.message {
            return Some(Self::Message);
        }
        Self::of_destination(sender, aim).or_else(|| match aim {
            Aim::Endpoint(receiver) if !receiver.permissions.message => Some(Self::Message),
            _ => None,
        })
    }

    fn of_destination(sender: &Subscriber, aim: &Aim) -> Option<Self> {
        let needed = match aim {
            Aim::Application(_) => Self::Apps,
            // A name that nobody has is one of this domain too: who may not call inside does not learn which exist.
            Aim::Nobody => Self::SameDomain,
            Aim::Endpoint(other) if other.domain == sender.domain => Self::SameDomain,
            Aim::Endpoint(_) | Aim::Foreign => Self::OtherDomains,
            Aim::Number(_) => Self::Phones,
            Aim::Unusable => return None,
        };
        (!needed.is_given(sender)).then_some(needed)
    }

    fn is_given(self, endpoint: &Subscriber) -> bool {
        let given = &endpoint.permissions;
        match self {
            Self::Voice => given.voice,
            Self::Message => given.message,
            Self::SameDomain => given.same_domain,
            Self::OtherDomains => given.other_domains,
            Self::Phones => given.phones,
            Self::Apps => given.apps,
        }
    }

    /// The hang-up cause that names the flag; a message has no record and none.
    pub(crate) const fn cause(self) -> Cause {
        match self {
            Self::Voice => Cause::VoiceNotAllowed,
            Self::SameDomain => Cause::SameDomainNotAllowed,
            Self::OtherDomains => Cause::OtherDomainsNotAllowed,
            Self::Phones => Cause::PhonesNotAllowed,
            Self::Apps => Cause::AppsNotAllowed,
            Self::Message => Cause::Forbidden,
        }
    }
}
