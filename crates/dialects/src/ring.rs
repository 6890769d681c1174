//! `ring_policy`, a field of our own in every dialect: which of an endpoint's phones a call rings. It is shown where it is
//! not what the vendor does, so that objects stay as documented until somebody asks for more.

use offhook_core::Ring;
use serde_json::{Map, Value, json};

use crate::http::{BadField, Fields};

const NAMES: [&str; 2] = ["ring_policy", "ringPolicy"];
const WORDS: [(Ring, &str); 3] = [
    (Ring::Latest, "latest"),
    (Ring::All, "all"),
    (Ring::Sequential, "sequential"),
];

/// Reads the field; `latest`, `all` or `sequential`.
pub(crate) fn read(fields: &Fields) -> Result<Option<Ring>, BadField> {
    match fields.raw_of(&NAMES) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => WORDS
            .iter()
            .find(|(_, word)| value.as_str() == Some(word))
            .map(|(ring, _)| Some(*ring))
            .ok_or_else(|| BadField(NAMES[0].to_owned())),
    }
}

/// Shows the field under this name where it differs from what the vendor does.
pub(crate) fn show(object: &mut Map<String, Value>, name: &str, ring: Ring, usual: Ring) {
    if ring != usual
        && let Some((_, word)) = WORDS.iter().find(|(known, _)| *known == ring)
    {
        object.insert(name.to_owned(), json!(word));
    }
}
