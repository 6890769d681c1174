//! What an endpoint may do: vobiz-rest.md §2.8. The flags bind what the endpoint itself sends; what its application dials
//! belongs to the account, and only the called endpoint's own flags count there.

use call::Cause;
use sip::Status;

use crate::calls::aim::Aim;
use crate::directory::Subscriber;

/// One flag of an endpoint for its calls; `messages` judges `allow_message`.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Permission {
    /// `allow_voice`: calls at all.
    Voice,
    /// `allow_video`: calls that offer nothing but video. Video beside audio is declined by the media.
    Video,
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
    /// The flag that an endpoint lacks for a call that it sends; `allow_voice` and `allow_video` before the destination's.
    pub(crate) fn missing_for_call(
        caller: &Subscriber,
        aim: &Aim,
        offer: Option<&[u8]>,
    ) -> Option<Self> {
        if !caller.permissions.voice {
            return Some(Self::Voice);
        }
        if !caller.permissions.video && offer.is_some_and(is_video_only) {
            return Some(Self::Video);
        }
        Self::of_destination(caller, aim)
    }

    fn of_destination(caller: &Subscriber, aim: &Aim) -> Option<Self> {
        let needed = match aim {
            Aim::Application(_) => Self::Apps,
            // A name that nobody has is one of this domain too: who may not call inside does not learn which exist.
            Aim::Nobody => Self::SameDomain,
            Aim::Endpoint(other) if other.domain == caller.domain => Self::SameDomain,
            Aim::Endpoint(_) | Aim::Foreign => Self::OtherDomains,
            Aim::Number(_) => Self::Phones,
            Aim::Unusable => return None,
        };
        (!needed.is_given(caller)).then_some(needed)
    }

    fn is_given(self, endpoint: &Subscriber) -> bool {
        let given = &endpoint.permissions;
        match self {
            Self::Voice => given.voice,
            Self::Video => given.video,
            Self::SameDomain => given.same_domain,
            Self::OtherDomains => given.other_domains,
            Self::Phones => given.phones,
            Self::Apps => given.apps,
        }
    }

    /// The hang-up cause that names the flag.
    pub(crate) const fn cause(self) -> Cause {
        match self {
            Self::Voice => Cause::VoiceNotAllowed,
            Self::Video => Cause::VideoNotAllowed,
            Self::SameDomain => Cause::SameDomainNotAllowed,
            Self::OtherDomains => Cause::OtherDomainsNotAllowed,
            Self::Phones => Cause::PhonesNotAllowed,
            Self::Apps => Cause::AppsNotAllowed,
        }
    }

    /// The status that refuses the call: vobiz-rest.md §2.8.
    pub(crate) const fn status(self) -> Status {
        match self {
            Self::Video => Status::NOT_ACCEPTABLE_HERE,
            _ => Status::FORBIDDEN,
        }
    }
}

/// Tells whether a session description has video and no audio.
fn is_video_only(offer: &[u8]) -> bool {
    let kinds = || {
        offer
            .split(|octet| *octet == b'\n')
            .filter_map(|line| line.strip_prefix(b"m="))
    };
    kinds().any(|kind| kind.starts_with(b"video "))
        && !kinds().any(|kind| kind.starts_with(b"audio "))
}
