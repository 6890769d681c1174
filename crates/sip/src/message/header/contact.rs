//! Contact lines taken together: RFC 3261 §10.2.2, §20.10.

use crate::Text;
use crate::message::grammar::{List, slice, trim};
use crate::message::header::{Malformed, NameAddr};

/// All Contacts of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Contacts {
    /// `*`: all bindings, in a REGISTER that removes them (RFC 3261 §10.2.2).
    Star,
    /// The addresses in order; may be empty.
    List(Vec<NameAddr>),
}

impl Contacts {
    /// Gives the first address: what a dialog's remote target is (RFC 3261 §12.1.1).
    pub fn first(&self) -> Option<&NameAddr> {
        match self {
            Self::Star => None,
            Self::List(addresses) => addresses.first(),
        }
    }

    /// Gives the addresses; none for `*`.
    pub fn as_slice(&self) -> &[NameAddr] {
        match self {
            Self::Star => &[],
            Self::List(addresses) => addresses,
        }
    }
}

/// Addresses that one message may list; what is read takes far more room than what was sent.
pub(crate) const MOST_ADDRESSES: usize = 256;

/// Reads the Contact lines. `*` beside an address is refused (RFC 3261 §10.3 step 6).
pub(crate) fn parse<'a>(lines: impl Iterator<Item = &'a Text>) -> Result<Contacts, Malformed> {
    let mut addresses = Vec::new();
    let mut star = false;
    for line in lines {
        if trim(line) == "*" {
            star = true;
            continue;
        }
        for value in List::new(line) {
            if addresses.len() == MOST_ADDRESSES {
                return Err(Malformed);
            }
            addresses.push(NameAddr::parse(&slice(line, value))?);
        }
    }
    match (star, addresses.is_empty()) {
        (true, true) => Ok(Contacts::Star),
        (true, false) => Err(Malformed),
        (false, _) => Ok(Contacts::List(addresses)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contacts(lines: &[&str]) -> Result<Contacts, Malformed> {
        let lines: Vec<Text> = lines.iter().map(|line| (*line).into()).collect();
        parse(lines.iter())
    }

    #[test]
    fn joined_and_separate_lines_make_one_list() {
        let all = contacts(&["<sip:a@b>;q=0.1, \"x, y\" <sip:c@d>", "sip:e@f"]).expect("parses");
        let uris: Vec<_> = all
            .as_slice()
            .iter()
            .map(|c| c.uri_text.to_string())
            .collect();
        assert_eq!(uris, ["sip:a@b", "sip:c@d", "sip:e@f"]);
        assert_eq!(contacts(&[]), Ok(Contacts::List(Vec::new())));
    }

    #[test]
    fn there_is_an_end_to_the_addresses() {
        let line = ["<sip:a@b>"; 257].join(",");
        assert_eq!(contacts(&[&line]), Err(Malformed));
    }

    #[test]
    fn a_star_stands_alone() {
        assert_eq!(contacts(&["*"]), Ok(Contacts::Star));
        assert_eq!(contacts(&["*", "<sip:a@b>"]), Err(Malformed));
        assert_eq!(contacts(&["*, <sip:a@b>"]), Err(Malformed));
        assert_eq!(contacts(&["<sip:a@b>,"]), Err(Malformed));
    }
}
