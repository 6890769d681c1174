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
    Path "Path",
    Allow "Allow",
    CSeq "CSeq",
    Event "Event",
    MinSe "Min-SE",
    Route "Route",
    Accept "Accept",
    Reason "Reason",
    Server "Server",
    CallId "Call-ID",
    Contact "Contact",
    Expires "Expires",
    Privacy "Privacy",
    ReferTo "Refer-To",
    Require "Require",
    Subject "Subject",
    Warning "Warning",
    Identity "Identity",
    Priority "Priority",
    Replaces "Replaces",
    CallInfo "Call-Info",
    Diversion "Diversion",
    Timestamp "Timestamp",
    Supported "Supported",
    AlertInfo "Alert-Info",
    ReferredBy "Referred-By",
    MinExpires "Min-Expires",
    RetryAfter "Retry-After",
    UserAgent "User-Agent",
    ContentType "Content-Type",
    AllowEvents "Allow-Events",
    HistoryInfo "History-Info",
    MaxForwards "Max-Forwards",
    RecordRoute "Record-Route",
    Unsupported "Unsupported",
    Organization "Organization",
    ServiceRoute "Service-Route",
    Authorization "Authorization",
    ContentLength "Content-Length",
    ProxyRequire "Proxy-Require",
    SessionExpires "Session-Expires",
    RemotePartyId "Remote-Party-ID",
    WwwAuthenticate "WWW-Authenticate",
    AuthenticationInfo "Authentication-Info",
    ContentDisposition "Content-Disposition",
    ProxyAuthenticate "Proxy-Authenticate",
    ProxyAuthorization "Proxy-Authorization",
    SubscriptionState "Subscription-State",
    PPreferredIdentity "P-Preferred-Identity",
    PAssertedIdentity "P-Asserted-Identity",
    AcceptEncoding "Accept-Encoding",
    AcceptLanguage "Accept-Language",
    ContentEncoding "Content-Encoding",
    MimeVersion "MIME-Version",
}
