//! The way that a REGISTER came, and which flow of which device it registers: RFC 5626 §6.
//!
//! Registrar and edge are one process: the flow of a phone that comes here directly is kept with its binding, so there is no
//! flow token to hand to anybody. A binding of outbound is known by instance and reg-id, not by its Contact.

use sip::{Contacts, Flow, FlowId, Name, NameAddr, Request, Status};
use store::Binding;

use crate::Settings;
use crate::registrar::answer::{Refused, refused, supports};
use crate::registrar::path;

/// The longest instance that is kept, in octets.
const LONGEST_INSTANCE: usize = 255;

/// How a REGISTER came here, and which Contacts it is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Way {
    pub(crate) contacts: Contacts,
    /// Whether a reg-id means anything on it.
    pub(crate) keeps_flows: bool,
    /// Whether the answer says that the binding is one of outbound.
    pub(crate) outbound: bool,
    /// How often the client is to ping its flow, in seconds.
    pub(crate) flow_timer: Option<u32>,
    /// The Path, as it is stored: values with commas between.
    pub(crate) path: Option<String>,
}

impl Way {
    /// Reads the way of a REGISTER, or says why it is none that we would go back.
    pub(crate) fn of(settings: &Settings, request: &Request, flow: Flow) -> Result<Self, Refused> {
        let contacts = request.contacts();
        let contacts = contacts.map_err(|_| refused(Status::BAD_REQUEST, "Contact"))?;
        let path = path::read(settings, request, flow)?;
        let direct = request.headers.values(&Name::Via).nth(1).is_none();
        // RFC 5626 §6: the first hop keeps the flow and says so, or we are the first hop.
        let keeps_flows = match &path {
            Some(path) => path.keeps_flows,
            None => direct,
        };
        let list = contacts.as_slice();
        let wants = list.iter().any(|contact| flow_of_device(contact).is_some());
        let knows = supports(request, "outbound");
        if wants && knows && !keeps_flows {
            return Err(refused(Status::FIRST_HOP_LACKS_OUTBOUND, ""));
        }
        let outbound = wants && knows;
        Ok(Self {
            contacts,
            keeps_flows,
            outbound,
            // RFC 5626 §4.4.2: without the header a client pings a datagram flow every 24 to 29 s, which is what keeps the
            // pinhole of a NAT open; we have nothing better to say about those.
            flow_timer: (outbound && flow.id != FlowId::NONE && settings.flow_timer > 0)
                .then_some(settings.flow_timer),
            path: path.map(|path| path.text),
        })
    }

    /// Gives what a Contact's binding is known by on this way.
    pub(crate) fn key(&self, contact: &NameAddr) -> Option<String> {
        self.keeps_flows.then(|| flow_of_device(contact)).flatten()
    }

    /// RFC 5626 §6: a REGISTER with a reg-id makes one binding; it may remove others.
    pub(crate) fn admits(&self, contacts: &[NameAddr], header: Option<u32>) -> bool {
        let makes = |contact: &&NameAddr| contact.expires().or(header) != Some(0);
        let makes: Vec<_> = contacts.iter().filter(makes).collect();
        makes.len() <= 1 || !makes.iter().any(|contact| self.key(contact).is_some())
    }
}

/// Gives the instance of a Contact, without its quotes; one that could not be written back as it is counts as none.
pub(crate) fn instance(contact: &NameAddr) -> Option<String> {
    let instance = contact.params.get("+sip.instance")?;
    let stands = !instance.is_empty()
        && instance.len() <= LONGEST_INSTANCE
        && !instance.contains(|letter: char| matches!(letter, '"' | '\\') || letter.is_control());
    stands.then(|| instance.to_string())
}

/// Spells instance and reg-id as one key. A reg-id without an instance is ignored (RFC 5626 §6), and so is one that is no
/// number from 1 to 2^31 - 1 (RFC 5626 §10).
fn flow_of_device(contact: &NameAddr) -> Option<String> {
    let reg_id: u32 = contact.params.get("reg-id")?.parse().ok()?;
    let counts = (1..=0x7fff_ffff).contains(&reg_id);
    let instance = instance(contact).filter(|_| counts)?;
    Some(format!("{instance}#{reg_id}"))
}

/// Gives the reg-id of a binding of outbound.
pub(crate) fn reg_id(binding: &Binding) -> Option<&str> {
    let instance = binding.instance.as_deref()?;
    binding.key.strip_prefix(instance)?.strip_prefix('#')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(contact: &str) -> Option<String> {
        flow_of_device(&NameAddr::parse(&contact.into()).expect("a contact"))
    }

    #[test]
    fn a_flow_is_known_by_instance_and_reg_id() {
        let cases = [
            (
                "<sip:a@b>;+sip.instance=\"<urn:x:1>\";reg-id=2",
                Some("<urn:x:1>#2"),
            ),
            // RFC 5626 §6: without an instance the reg-id is ignored.
            ("<sip:a@b>;reg-id=2", None),
            ("<sip:a@b>;+sip.instance=\"<urn:x:1>\"", None),
            ("<sip:a@b>;+sip.instance=\"<urn:x:1>\";reg-id=0", None),
            (
                "<sip:a@b>;+sip.instance=\"<urn:x:1>\";reg-id=2147483648",
                None,
            ),
            ("<sip:a@b>;+sip.instance=\"<urn:x:1>\";reg-id=x", None),
            ("<sip:a@b>;+sip.instance=\"a\\\"b\";reg-id=1", None),
        ];
        for (contact, expected) in cases {
            assert_eq!(key(contact).as_deref(), expected, "{contact}");
        }
    }
}
