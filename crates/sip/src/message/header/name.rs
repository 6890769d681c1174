//! Header names with their compact forms: RFC 3261 §7.3.3 and the documents that add headers.

use std::fmt;

use crate::Text;

macro_rules! names {
    ($($variant:ident $text:literal,)*) => {
        /// The name of a header. Case and compact forms are folded when it is made of text.
        #[derive(Clone, Debug)]
        pub enum Name {
            $(#[doc = concat!("`", $text, "`.")] $variant,)*
            /// Any other name, as sent; compared without case.
            Other(Text),
        }

        static KNOWN: &[(Name, &str)] = &[$((Name::$variant, $text)),*];

        impl Name {
            /// Spells the name in its long form.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other(name) => name,
                }
            }
        }
    };
}

// In the order of their length, so that a name is compared only with those of its own length.
names! {
    To "To",
    Via "Via",
    Date "Date",
    From "From",
    Join "Join",
    Path "Path",
    RAck "RAck",
    RSeq "RSeq",
    CSeq "CSeq",
    Allow "Allow",
    Event "Event",
    Route "Route",
    MinSe "Min-SE",
    Accept "Accept",
    Reason "Reason",
    Server "Server",
    CallId "Call-ID",
    Contact "Contact",
    Expires "Expires",
    Privacy "Privacy",
    Require "Require",
    Subject "Subject",
    Warning "Warning",
    ReferTo "Refer-To",
    SipEtag "SIP-ETag",
    Identity "Identity",
    Priority "Priority",
    Replaces "Replaces",
    CallInfo "Call-Info",
    Diversion "Diversion",
    ReferSub "Refer-Sub",
    Timestamp "Timestamp",
    Supported "Supported",
    AlertInfo "Alert-Info",
    FlowTimer "Flow-Timer",
    UserAgent "User-Agent",
    ReferredBy "Referred-By",
    MinExpires "Min-Expires",
    RetryAfter "Retry-After",
    Unsupported "Unsupported",
    ContentType "Content-Type",
    AllowEvents "Allow-Events",
    HistoryInfo "History-Info",
    MaxForwards "Max-Forwards",
    SipIfMatch "SIP-If-Match",
    RecordRoute "Record-Route",
    Organization "Organization",
    MimeVersion "MIME-Version",
    ServiceRoute "Service-Route",
    Authorization "Authorization",
    ProxyRequire "Proxy-Require",
    ContentLength "Content-Length",
    AcceptContact "Accept-Contact",
    SessionExpires "Session-Expires",
    RemotePartyId "Remote-Party-ID",
    AcceptEncoding "Accept-Encoding",
    AcceptLanguage "Accept-Language",
    WwwAuthenticate "WWW-Authenticate",
    ContentEncoding "Content-Encoding",
    ProxyAuthenticate "Proxy-Authenticate",
    SubscriptionState "Subscription-State",
    AuthenticationInfo "Authentication-Info",
    ContentDisposition "Content-Disposition",
    ProxyAuthorization "Proxy-Authorization",
    PAssertedIdentity "P-Asserted-Identity",
    PPreferredIdentity "P-Preferred-Identity",
}

/// The longest name of the list.
const LONGEST: usize = 20;

/// Where the names of each length begin in the list.
static BEGINS: [usize; LONGEST + 2] = {
    let mut begins = [0; LONGEST + 2];
    let mut length = 0;
    let mut at = 0;
    while length < begins.len() {
        while at < KNOWN.len() && KNOWN[at].1.len() < length {
            at += 1;
        }
        begins[length] = at;
        length += 1;
    }
    assert!(begins[LONGEST + 1] == KNOWN.len(), "LONGEST is too small");
    begins
};

impl Name {
    /// Makes a name of text; the caller has checked that it is a token.
    pub fn new(name: &Text) -> Self {
        Self::known(name).unwrap_or_else(|| Self::Other(name.clone()))
    }

    /// Recognises a name, its compact form too (RFC 3261 §7.3.3).
    pub(crate) fn known(name: &str) -> Option<Self> {
        if let &[letter] = name.as_bytes() {
            return Self::compact(letter);
        }
        let begin = *BEGINS.get(name.len())?;
        let end = *BEGINS.get(name.len() + 1)?;
        KNOWN
            .get(begin..end)?
            .iter()
            .find(|(_, text)| text.eq_ignore_ascii_case(name))
            .map(|(known, _)| known.clone())
    }

    fn compact(letter: u8) -> Option<Self> {
        Some(match letter.to_ascii_lowercase() {
            b'a' => Self::AcceptContact,
            b'b' => Self::ReferredBy,
            b'c' => Self::ContentType,
            b'e' => Self::ContentEncoding,
            b'f' => Self::From,
            b'i' => Self::CallId,
            b'k' => Self::Supported,
            b'l' => Self::ContentLength,
            b'm' => Self::Contact,
            b'o' => Self::Event,
            b'r' => Self::ReferTo,
            b's' => Self::Subject,
            b't' => Self::To,
            b'u' => Self::AllowEvents,
            b'v' => Self::Via,
            b'x' => Self::SessionExpires,
            b'y' => Self::Identity,
            _ => return None,
        })
    }
}

impl From<&str> for Name {
    fn from(name: &str) -> Self {
        Self::known(name).unwrap_or_else(|| Self::Other(name.into()))
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Other(a), Self::Other(b)) => a.eq_ignore_ascii_case(b),
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl Eq for Name {}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_the_order_of_length_and_every_name_is_found() {
        assert!(KNOWN.is_sorted_by_key(|(_, text)| text.len()));
        for (name, text) in KNOWN {
            assert_eq!(&Name::from(&*text.to_ascii_uppercase()), name);
        }
    }

    #[test]
    fn compact_forms_and_case_are_folded() {
        assert_eq!(Name::from("v"), Name::Via);
        assert_eq!(Name::from("L"), Name::ContentLength);
        assert_eq!(Name::from("mAX-fORWARDS"), Name::MaxForwards);
        assert_eq!(Name::from("X-Abc"), Name::Other("x-aBC".into()));
        assert_ne!(Name::from("z"), Name::Via);
        assert_eq!(Name::from("X-Abc").to_string(), "X-Abc");
    }
}
