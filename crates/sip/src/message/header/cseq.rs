//! CSeq: RFC 3261 §8.1.1.5, §20.16.

use std::fmt;

use crate::Text;
use crate::message::grammar::{is_token, number, slice, split_off, trim};
use crate::message::header::Malformed;
use crate::message::method::Method;

/// A sequence number and the method it counts (RFC 3261 §20.16).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct CSeq {
    /// The number, below 2³¹.
    pub number: u32,
    /// The method.
    pub method: Method,
}

impl CSeq {
    /// Reads the value. A number of 2³¹ or more is refused (RFC 3261 §8.1.1.5).
    pub fn parse(value: &Text) -> Result<Self, Malformed> {
        let text = trim(value);
        let blank = memchr::memchr2(b' ', b'\t', text.as_bytes()).ok_or(Malformed)?;
        let (digits, method) = split_off(text, blank).ok_or(Malformed)?;
        let method = trim(method);
        let number = number(digits)
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| *number < 1 << 31)
            .ok_or(Malformed)?;
        if !is_token(method) {
            return Err(Malformed);
        }
        Ok(Self {
            number,
            method: Method::new(&slice(value, method)),
        })
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_and_blanks_before_the_method_are_taken() {
        let cseq = CSeq::parse(&"0009   INVITE".into()).expect("parses");
        assert_eq!((cseq.number, &cseq.method), (9, &Method::Invite));
        assert_eq!(cseq.to_string(), "9 INVITE");
    }

    #[test]
    fn numbers_from_two_to_the_31_are_refused() {
        assert_eq!(
            CSeq::parse(&"2147483647 BYE".into()).map(|c| c.number),
            Ok(2_147_483_647)
        );
        for bad in [
            "2147483648 BYE",
            "36893488147419103232 BYE",
            "-1 BYE",
            "BYE",
            "1",
            "1 B,YE",
            "",
        ] {
            assert_eq!(CSeq::parse(&bad.into()), Err(Malformed), "{bad}");
        }
    }
}
