//! Request methods: RFC 3261 §7.1. Compared with regard to case.

use std::fmt;

use crate::Text;

macro_rules! methods {
    ($($variant:ident $token:literal $doc:literal,)*) => {
        /// A request method (RFC 3261 §7.1).
        #[derive(Clone, PartialEq, Eq, Hash, Debug)]
        pub enum Method {
            $(#[doc = $doc] $variant,)*
            /// Any other token, as sent.
            Other(Text),
        }

        impl Method {
            /// Every method with a name here.
            pub const KNOWN: &'static [Method] = &[$(Method::$variant),*];

            /// Recognises a token without keeping it.
            fn known(token: &str) -> Option<Self> {
                match token {
                    $($token => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// Spells the method.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $token,)*
                    Self::Other(token) => token,
                }
            }
        }
    };
}

methods! {
    Invite "INVITE" "RFC 3261 §13.",
    Ack "ACK" "RFC 3261 §13.2.2.4.",
    Bye "BYE" "RFC 3261 §15.",
    Cancel "CANCEL" "RFC 3261 §9.",
    Register "REGISTER" "RFC 3261 §10.",
    Options "OPTIONS" "RFC 3261 §11.",
    Info "INFO" "RFC 6086 §4.",
    Prack "PRACK" "RFC 3262 §6.",
    Update "UPDATE" "RFC 3311 §5.",
    Refer "REFER" "RFC 3515 §2.4.",
    Notify "NOTIFY" "RFC 6665 §4.",
    Subscribe "SUBSCRIBE" "RFC 6665 §4.",
    Message "MESSAGE" "RFC 3428 §4.",
    Publish "PUBLISH" "RFC 3903 §4.",
}

impl Method {
    /// Makes a method of a token; the caller has checked that it is one.
    pub fn new(token: &Text) -> Self {
        Self::known(token).unwrap_or_else(|| Self::Other(token.clone()))
    }

    /// Tells whether the method is none of [`Method::KNOWN`].
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Other(_))
    }

    /// Tells whether a 2xx to this method makes a dialog (RFC 3261 §12.1, RFC 6665 §4.4.1, RFC 3515 §2.4.6).
    pub fn makes_dialog(&self) -> bool {
        matches!(
            self,
            Self::Invite | Self::Subscribe | Self::Refer | Self::Notify
        )
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_compared_with_regard_to_case() {
        assert_eq!(Method::new(&"INVITE".into()), Method::Invite);
        assert_eq!(
            Method::new(&"invite".into()),
            Method::Other(Text::from("invite"))
        );
        assert_eq!(Method::Other("FOO".into()).to_string(), "FOO");
    }

    #[test]
    fn every_known_method_reads_back() {
        for method in Method::KNOWN {
            assert_eq!(&Method::new(&method.as_str().into()), method);
        }
    }
}
