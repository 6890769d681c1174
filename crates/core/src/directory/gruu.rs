//! GRUUs: addresses that reach one device of a user (RFC 5627). A public one names user and device; a temporary one is a
//! sealed token, in which nobody else sees whose it is or that two of them belong together (RFC 5627 §3.1.2, appendix A).
//!
//! Nothing is stored: a temporary GRUU holds the endpoint, the device and the Call-ID of the registration that it was made
//! for, and is good as long as the device has a binding with that Call-ID (RFC 5627 §5.1).

use md5::{Digest, Md5};
use sip::Uri;
use store::{Binding, Id, Sealer};

use crate::directory::Subscriber;

/// What the user part of a temporary GRUU begins with.
const TEMPORARY: &str = "tgruu.";
/// The longest instance that gets GRUUs, in octets; a `urn:uuid:` has 45.
const LONGEST_INSTANCE: usize = 100;

/// Makes and reads GRUUs.
#[derive(Clone, Debug)]
pub(crate) struct Gruus(Sealer);

/// The device that a GRUU names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Device {
    /// One of the user in the same URI.
    Of {
        /// Its instance without brackets.
        instance: String,
    },
    /// One of this endpoint, as long as it is registered as it was.
    Sealed {
        /// Whose it is.
        endpoint: Id,
        /// Short for its instance.
        instance: [u8; 8],
        /// Short for the Call-ID of its registration.
        call_id: [u8; 8],
    },
}

impl Gruus {
    /// Makes one with the installation's key for it.
    pub(crate) fn new(sealer: Sealer) -> Self {
        Self(sealer)
    }

    /// Gives the public GRUU of a device (RFC 5627 §3.1.1); none for an instance that no URI can hold as it is.
    pub(crate) fn public(subscriber: &Subscriber, instance: &str) -> Option<String> {
        let urn = urn(instance)?;
        let (user, domain) = (&subscriber.user, &subscriber.domain);
        is_plain(user).then(|| format!("sip:{user}@{domain};gr={urn}"))
    }

    /// Makes a temporary GRUU of a binding's device; each one is new (RFC 5627 §3.1.2).
    pub(crate) fn temporary(&self, subscriber: &Subscriber, binding: &Binding) -> Option<String> {
        let instance = urn(binding.instance.as_deref()?)?;
        let mut clear = Vec::with_capacity(24);
        clear.extend(binding.endpoint.to_be_bytes());
        clear.extend(short(instance));
        clear.extend(short(&binding.call_id));
        let token = self.0.seal(&clear)?;
        Some(format!("sip:{TEMPORARY}{token}@{};gr", subscriber.domain))
    }

    /// Reads the device out of a URI; nothing when the URI is no GRUU, or a temporary one that is not ours.
    pub(crate) fn read(&self, uri: &Uri) -> Option<Device> {
        let instance = uri.param("gr")?;
        let user = uri.user.as_deref().unwrap_or_default();
        let Some(token) = user.strip_prefix(TEMPORARY) else {
            let instance = instance.to_owned();
            return (!instance.is_empty()).then_some(Device::Of { instance });
        };
        let clear = self.0.open(token)?;
        let (endpoint, rest) = clear.split_first_chunk::<8>()?;
        let (instance, rest) = rest.split_first_chunk::<8>()?;
        let (call_id, _) = rest.split_first_chunk::<8>()?;
        Some(Device::Sealed {
            endpoint: Id::from_be_bytes(*endpoint),
            instance: *instance,
            call_id: *call_id,
        })
    }
}

impl Device {
    /// Tells whether a binding is one of this device.
    pub(crate) fn is_at(&self, binding: &Binding) -> bool {
        let Some(known) = binding.instance.as_deref().and_then(urn) else {
            return false;
        };
        match self {
            // RFC 5627 §3.1.1, RFC 3986 §6.2.2.1: a URN's case does not count in a UUID.
            Self::Of { instance } => instance.eq_ignore_ascii_case(known),
            Self::Sealed {
                endpoint,
                instance,
                call_id,
            } => {
                *endpoint == binding.endpoint
                    && *instance == short(known)
                    && *call_id == short(&binding.call_id)
            }
        }
    }
}

/// Takes the brackets off an instance; nothing when it is no URN that can stand in a URI as it is.
fn urn(instance: &str) -> Option<&str> {
    let urn = instance.strip_prefix('<')?.strip_suffix('>')?;
    let is_urn = urn
        .get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case("urn:"));
    (is_urn && urn.len() <= LONGEST_INSTANCE && is_plain(urn)).then_some(urn)
}

/// RFC 3261 §25.1: what may stand unescaped in a user part and in a parameter alike.
fn is_plain(text: &str) -> bool {
    text.bytes()
        .all(|octet| octet.is_ascii_alphanumeric() || b"-_.!~*'():+$".contains(&octet))
}

/// The first eight octets of a hash: short for a text that is compared with its like and never shown.
fn short(text: &str) -> [u8; 8] {
    let hash: [u8; 16] = Md5::digest(text.as_bytes()).into();
    let [a, b, c, d, e, f, g, h, ..] = hash;
    [a, b, c, d, e, f, g, h]
}
