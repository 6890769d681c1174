//! Headers that are one number: Max-Forwards, Expires, Min-Expires, Retry-After (RFC 3261 §20.22, §20.19, §20.33).

use crate::message::grammar::{number, trim};
use crate::message::header::Malformed;

/// Reads Max-Forwards: 0 to 255.
pub fn max_forwards(value: &str) -> Result<u8, Malformed> {
    let hops = number(trim(value)).ok_or(Malformed)?;
    u8::try_from(hops).map_err(|_| Malformed)
}

/// Reads seconds; what is too large becomes the largest (RFC 3261 §20.19). Something else than a number counts as
/// absent. A comment or parameters after the number are left aside (`Retry-After: 18000 (meeting);duration=3600`).
pub fn delta_seconds(value: &str) -> Option<u32> {
    let value = trim(value);
    let end = value.find([' ', '\t', ';', '(']).unwrap_or(value.len());
    let seconds = number(value.get(..end)?)?;
    Some(u32::try_from(seconds).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_forwards_is_an_octet() {
        assert_eq!(max_forwards("0068"), Ok(68));
        assert_eq!(max_forwards("255"), Ok(255));
        assert_eq!(max_forwards("256"), Err(Malformed));
        assert_eq!(max_forwards("-1"), Err(Malformed));
        assert_eq!(max_forwards(""), Err(Malformed));
    }

    #[test]
    fn seconds_saturate_and_dates_do_not_count() {
        assert_eq!(delta_seconds("3600"), Some(3600));
        assert_eq!(delta_seconds(&"9".repeat(100)), Some(u32::MAX));
        assert_eq!(delta_seconds("Thu, 01 Dec 1994 16:00:00 GMT"), None);
        assert_eq!(delta_seconds("120 (in a meeting)"), Some(120));
        assert_eq!(delta_seconds("18000;duration=3600"), Some(18000));
    }
}
