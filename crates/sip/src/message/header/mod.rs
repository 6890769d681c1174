//! Typed headers, one file each: parse, `Display`, tests in place (RFC 3261 §20).

pub mod contact;
pub mod cseq;
mod name;
pub mod name_addr;
pub mod number;
pub mod reason;
pub mod refer_to;
pub mod replaces;
pub mod via;

use std::fmt;

use crate::Text;

pub use contact::Contacts;
pub use cseq::CSeq;
pub use name::Name;
pub use name_addr::NameAddr;
pub use reason::Reason;
pub use refer_to::ReferTo;
pub use replaces::Replaces;
pub use via::Via;

/// One header line: its name and its value with folding removed (RFC 3261 §7.3.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// The name.
    pub name: Name,
    /// The value without blanks at its ends.
    pub value: Text,
}

impl Header {
    /// Makes a header.
    pub fn new(name: Name, value: impl Into<Text>) -> Self {
        Self {
            name,
            value: value.into(),
        }
    }
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.value)
    }
}

/// A value that does not follow its grammar.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("does not follow the grammar")]
pub struct Malformed;

/// Why a header cannot be had in its typed form.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HeaderError {
    /// There is none.
    #[error("{0} is missing")]
    Missing(Name),
    /// Its value does not follow its grammar.
    #[error("{0} is malformed")]
    Malformed(Name),
}
