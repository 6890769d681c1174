//! Replaces: RFC 3891 §6.1.

use std::fmt;

use crate::Text;
use crate::message::grammar::{slice, split_once, trim};
use crate::message::header::Malformed;
use crate::message::params::Params;
use crate::transaction::key::Token;

/// The dialog that an INVITE takes the place of, as seen by who receives the INVITE (RFC 3891 §3).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Replaces {
    /// Its Call-ID.
    pub call_id: Text,
    /// The receiver's tag in it.
    pub to_tag: Text,
    /// The other side's tag in it.
    pub from_tag: Text,
    /// Only while it is early.
    pub early_only: bool,
}

impl Replaces {
    /// Reads the value.
    pub fn parse(value: &Text) -> Result<Self, Malformed> {
        let (call_id, params) = split_once(value, b';').ok_or(Malformed)?;
        let call_id = trim(call_id);
        if call_id.is_empty() || call_id.contains([' ', '\t']) {
            return Err(Malformed);
        }
        let params = Params::parse(slice(value, params)).ok_or(Malformed)?;
        let tag = |name| {
            let tag = params.get(name).filter(|tag| !tag.is_empty());
            tag.ok_or(Malformed)
        };
        Ok(Self {
            call_id: slice(value, call_id),
            to_tag: tag("to-tag")?,
            from_tag: tag("from-tag")?,
            early_only: params.has("early-only"),
        })
    }

    /// Tells which shard holds the dialog, if its receiver's tag is one that we made.
    pub fn shard(&self) -> Option<u8> {
        Token::from_tag(&self.to_tag).map(|token| token.shard)
    }
}

impl fmt::Display for Replaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            call_id,
            to_tag,
            from_tag,
            ..
        } = self;
        write!(f, "{call_id};to-tag={to_tag};from-tag={from_tag}")?;
        if self.early_only {
            f.write_str(";early-only")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialog_is_named_by_its_call_id_and_both_tags() {
        let text = "98asjd8@t.example;to-tag=03000000000000001f;from-tag=67890;early-only";
        let replaces = Replaces::parse(&text.into()).expect("parses");
        assert_eq!(replaces.to_string(), text);
        assert_eq!(replaces.shard(), Some(3));
        let loose = "a@b ; From-Tag = 1 ; to-tag=2";
        let replaces = Replaces::parse(&loose.into()).expect("parses");
        assert_eq!(replaces.to_string(), "a@b;to-tag=2;from-tag=1");
        assert_eq!(replaces.shard(), None);
    }

    #[test]
    fn without_call_id_or_a_tag_it_names_nothing() {
        for bad in [
            "",
            "a@b",
            ";to-tag=1;from-tag=2",
            "a@b;to-tag=1",
            "a b;to-tag=1;from-tag=2",
        ] {
            assert_eq!(Replaces::parse(&bad.into()), Err(Malformed), "{bad}");
        }
    }
}
