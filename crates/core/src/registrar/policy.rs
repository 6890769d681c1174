//! What a registration is granted: RFC 3261 §10.3 step 7, and the operator's wishes.

use sip::{NameAddr, Uri};

use crate::{Directory, Settings};

/// What becomes of one Contact.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Grant {
    /// Zero seconds: the binding goes.
    Remove,
    /// So many seconds.
    Seconds(u32),
    /// Too short a wish: 423 (RFC 3261 §10.3 step 7).
    TooBrief,
}

/// Decides how long a Contact may stay. Its own `expires` wins over the header's.
pub(crate) fn grant(settings: &Settings, contact: &NameAddr, header: Option<u32>) -> Grant {
    // S52: an expiry that is no number counts as absent.
    match contact.expires().or(header) {
        Some(0) => Grant::Remove,
        // RFC 3261 §10.3: an interval of an hour or more is never too brief.
        Some(wish) if wish < settings.min_expires && wish < 3600 => Grant::TooBrief,
        Some(wish) => Grant::Seconds(wish.min(settings.max_expires)),
        None => Grant::Seconds(settings.default_expires.min(settings.max_expires)),
    }
}

/// Tells whether a User-Agent is one that the operator refuses: any of the alternatives is found in it.
pub(crate) fn is_refused_user_agent(alternatives: &str, user_agent: Option<&str>) -> bool {
    user_agent.is_some_and(|user_agent| {
        alternatives
            .split('|')
            .map(str::trim)
            .any(|refused| !refused.is_empty() && user_agent.contains(refused))
    })
}

/// Tells whether a URI leads to the platform itself, so that a call to it would come back (hard case S72).
pub(crate) fn is_our_own(settings: &Settings, directory: &Directory, uri: &Uri) -> bool {
    let host = uri.host_lower();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<std::net::IpAddr>() {
        Ok(address) => {
            let port = uri.port.unwrap_or(5060);
            settings
                .own_addresses
                .iter()
                .any(|own| own.ip().to_canonical() == address.to_canonical() && own.port() == port)
        }
        Err(_) => directory.host(&host).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_user_agents_are_found_anywhere_in_the_value() {
        let refused = |user_agent| is_refused_user_agent("VaxSIPUserAgent|Ozeki", user_agent);
        assert!(refused(Some("VaxSIPUserAgent/4.5")));
        assert!(refused(Some("My Ozeki phone")));
        assert!(!refused(Some("baresip v1.0.0")));
        assert!(!refused(None));
        assert!(!is_refused_user_agent("", Some("anything")));
    }

    #[test]
    fn an_expiry_is_granted_cut_or_refused() {
        let settings = Settings {
            min_expires: 60,
            default_expires: 600,
            max_expires: 7200,
            ..Settings::default()
        };
        let contact = |text: &str| NameAddr::parse(&text.into()).expect("a contact");
        let cases = [
            ("<sip:a@b>", None, Grant::Seconds(600)),
            ("<sip:a@b>", Some(100), Grant::Seconds(100)),
            ("<sip:a@b>;expires=200", Some(100), Grant::Seconds(200)),
            ("<sip:a@b>;expires=0", Some(100), Grant::Remove),
            ("<sip:a@b>", Some(0), Grant::Remove),
            ("<sip:a@b>", Some(59), Grant::TooBrief),
            ("<sip:a@b>", Some(u32::MAX), Grant::Seconds(7200)),
            ("<sip:a@b>;expires=\"Thu\"", None, Grant::Seconds(600)),
        ];
        for (text, header, expected) in cases {
            assert_eq!(
                grant(&settings, &contact(text), header),
                expected,
                "{text} {header:?}"
            );
        }
    }
}
