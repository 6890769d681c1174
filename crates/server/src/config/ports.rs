//! A range of ports, written `first-last`.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The ports from the first to the last, both included.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortRange {
    /// The lowest port.
    pub first: u16,
    /// The highest port.
    pub last: u16,
}

impl PortRange {
    /// The ports as a range.
    pub fn ports(self) -> RangeInclusive<u16> {
        self.first..=self.last
    }
}

/// Why a text is not a range of ports.
#[derive(Debug, thiserror::Error)]
#[error(
    "a range of ports is written `20000-29999`, from 1 to 65535, with room for a pair; this is `{0}`"
)]
pub struct NotPorts(String);

impl FromStr for PortRange {
    type Err = NotPorts;

    fn from_str(text: &str) -> Result<Self, NotPorts> {
        let range = text.split_once('-').and_then(|(first, last)| {
            Some(PortRange {
                first: first.trim().parse().ok()?,
                last: last.trim().parse().ok()?,
            })
        });
        match range {
            Some(range) if range.first > 0 && range.first < range.last => Ok(range),
            _ => Err(NotPorts(text.into())),
        }
    }
}

impl TryFrom<String> for PortRange {
    type Error = NotPorts;

    fn try_from(text: String) -> Result<Self, NotPorts> {
        text.parse()
    }
}

impl From<PortRange> for String {
    fn from(range: PortRange) -> String {
        range.to_string()
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::PortRange;

    #[test]
    fn a_range_is_two_ports_in_order() {
        assert_eq!(
            "20000-29999".parse::<PortRange>().unwrap(),
            PortRange {
                first: 20000,
                last: 29999
            }
        );
        for wrong in ["", "20000", "2-1", "0-10", "5-5", "1-65536", "a-b"] {
            assert!(wrong.parse::<PortRange>().is_err(), "{wrong}");
        }
    }
}
