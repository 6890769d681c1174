//! Reason: RFC 3326 §2.

use std::fmt;

use crate::Text;
use crate::message::grammar::{List, is_token, quote, slice, split_once, trim};
use crate::message::header::Malformed;
use crate::message::params::Params;

/// Why a request was sent, as one protocol numbers its causes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reason {
    /// `SIP`, `Q.850` or another protocol.
    pub protocol: Text,
    /// The cause: a SIP status, or 0 to 127 for Q.850.
    pub cause: Option<u16>,
    /// The cause in words.
    pub text: Option<Text>,
}

impl Reason {
    /// A SIP status as the reason.
    pub fn sip(status: u16, text: &str) -> Self {
        Self {
            protocol: Text::from_static("SIP"),
            cause: Some(status),
            text: Some(text.into()),
        }
    }

    /// Reads one value.
    pub fn parse(value: &Text) -> Result<Self, Malformed> {
        let (protocol, params) = split_once(value, b';').unwrap_or((value, ""));
        let protocol = trim(protocol);
        if !is_token(protocol) {
            return Err(Malformed);
        }
        let params = Params::parse(slice(value, params)).ok_or(Malformed)?;
        Ok(Self {
            protocol: slice(value, protocol),
            cause: params.get("cause").and_then(|cause| cause.parse().ok()),
            text: params.get("text"),
        })
    }

    /// Reads all values of a header line; those that do not follow the grammar are left aside.
    pub fn parse_all(line: &Text) -> impl Iterator<Item = Self> {
        List::new(line).filter_map(|value| Self::parse(&slice(line, value)).ok())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.protocol)?;
        if let Some(cause) = self.cause {
            write!(f, ";cause={cause}")?;
        }
        if let Some(text) = &self.text {
            write!(f, ";text={}", quote(text))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_protocol_has_its_own_cause() {
        let line = "SIP ;cause=200 ;text=\"Call completed elsewhere\", Q.850;cause=16, ;, X";
        let reasons: Vec<String> = Reason::parse_all(&line.into())
            .map(|reason| reason.to_string())
            .collect();
        assert_eq!(
            reasons,
            [
                "SIP;cause=200;text=\"Call completed elsewhere\"",
                "Q.850;cause=16",
                "X"
            ]
        );
        assert_eq!(
            Reason::sip(200, "Call completed elsewhere").to_string(),
            reasons[0]
        );
    }
}
