//! The packages that are served: their names and media types.

use sip::Text;

/// Value of Allow-Events: every package here (RFC 6665 §8.2.2).
pub const ALLOW_EVENTS: &str = "dialog, presence, message-summary, reg";

/// An event package.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Package {
    /// The calls of an endpoint (RFC 4235).
    Dialog,
    /// Whether somebody can be reached (RFC 3856).
    Presence,
    /// Waiting messages (RFC 3842).
    MessageSummary,
    /// The bindings of an address of record (RFC 3680).
    Reg,
}

impl Package {
    /// Reads the value of an Event header; its parameters say nothing of the package. Names are compared with regard to
    /// case (RFC 6665 §8.2.1).
    pub(crate) fn of(event: &Text) -> Option<Self> {
        let name = event.split(';').next().unwrap_or_default().trim();
        match name {
            "dialog" => Some(Self::Dialog),
            "presence" => Some(Self::Presence),
            "message-summary" => Some(Self::MessageSummary),
            "reg" => Some(Self::Reg),
            _ => None,
        }
    }

    /// The media type of its documents.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Dialog => "application/dialog-info+xml",
            Self::Presence => "application/pidf+xml",
            Self::MessageSummary => "application/simple-message-summary",
            Self::Reg => "application/reginfo+xml",
        }
    }

    /// Whether endpoints may publish it (RFC 3903): the rest is what the platform knows better.
    pub(crate) const fn is_published(self) -> bool {
        matches!(self, Self::Presence | Self::MessageSummary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_header_names_its_package_with_or_without_parameters() {
        for (event, package) in [
            ("dialog", Some(Package::Dialog)),
            (
                "dialog ; id=7;include-session-description",
                Some(Package::Dialog),
            ),
            ("presence", Some(Package::Presence)),
            ("message-summary", Some(Package::MessageSummary)),
            ("reg", Some(Package::Reg)),
            ("Reg", None),
            ("presence.winfo", None),
            ("", None),
        ] {
            assert_eq!(Package::of(&event.into()), package, "{event}");
        }
    }

    #[test]
    fn allow_events_lists_every_package() {
        for name in ALLOW_EVENTS.split(", ") {
            assert!(Package::of(&name.into()).is_some(), "{name}");
        }
        assert_eq!(ALLOW_EVENTS.split(", ").count(), 4);
    }
}
