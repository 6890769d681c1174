//! Limits of calls, a resource of our own in every dialect: the same four fields, in the spelling that the dialect's other
//! fields have.

use offhook_core::{Limit, LimitChange};
use serde_json::{Map, Value, json};

use crate::http::{BadField, Fields};

/// How a dialect spells the fields.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Spelling {
    /// `concurrent_calls`
    Snake,
    /// `concurrentCalls`
    Camel,
}

impl Spelling {
    const fn names(self) -> [&'static str; 4] {
        match self {
            Self::Snake => [
                "concurrent_calls",
                "calls_per_second",
                "minutes_per_day",
                "prefixes",
            ],
            Self::Camel => [
                "concurrentCalls",
                "callsPerSecond",
                "minutesPerDay",
                "prefixes",
            ],
        }
    }
}

/// Reads what is to change. `null` takes a limit away; what is not sent stays.
pub(crate) fn read(fields: &Fields, spelling: Spelling) -> Result<LimitChange, BadField> {
    let [at_once, per_second, minutes, prefixes] = spelling.names();
    Ok(LimitChange {
        concurrent_calls: number(fields, at_once)?,
        calls_per_second: number(fields, per_second)?,
        minutes_per_day: number(fields, minutes)?,
        prefixes: list(fields, prefixes)?,
    })
}

/// Shows all four; `null` and an empty list limit nothing.
pub(crate) fn object(limit: &Limit, spelling: Spelling) -> Map<String, Value> {
    let values = [
        json!(limit.concurrent_calls),
        json!(limit.calls_per_second),
        json!(limit.minutes_per_day),
        json!(limit.prefixes),
    ];
    let names = spelling.names().into_iter().map(str::to_owned);
    names.zip(values).collect()
}

fn number(fields: &Fields, name: &'static str) -> Result<Option<Option<u32>>, BadField> {
    match fields.raw_of(&[name]) {
        None => Ok(None),
        Some(Value::Null) => Ok(Some(None)),
        Some(Value::String(text)) if text.is_empty() => Ok(Some(None)),
        Some(_) => match fields.integer(name)?.map(u32::try_from) {
            Some(Ok(number)) => Ok(Some(Some(number))),
            _ => Err(BadField(name.to_owned())),
        },
    }
}

/// A list of texts, or one text with commas between them, which is all that a form can say.
fn list(fields: &Fields, name: &'static str) -> Result<Option<Vec<String>>, BadField> {
    let bad = || BadField(name.to_owned());
    match fields.raw_of(&[name]) {
        None => Ok(None),
        Some(Value::Null) => Ok(Some(Vec::new())),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned).ok_or_else(bad))
            .collect::<Result<Vec<_>, _>>()
            .map(Some),
        Some(_) => {
            let text = fields.text(name)?.unwrap_or_default();
            let items = text.split(',').map(str::trim);
            let items = items.filter(|item| !item.is_empty()).map(str::to_owned);
            Ok(Some(items.collect()))
        }
    }
}
