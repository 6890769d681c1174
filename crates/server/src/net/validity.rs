//! From when to when a certificate is good: the one field of X.509 that nothing else here reads (RFC 5280 §4.1.2.5).

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// DER tags.
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xA0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Reads the two times of a certificate; nothing when it is none.
pub fn of(certificate: &[u8]) -> Option<(Timestamp, Timestamp)> {
    let (SEQUENCE, certificate, _) = element(certificate)? else {
        return None;
    };
    let (SEQUENCE, mut rest, _) = element(certificate)? else {
        return None;
    };
    // The version is absent in version 1.
    if let (VERSION, _, after) = element(rest)? {
        rest = after;
    }
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        (_, _, rest) = element(rest)?;
    }
    let (SEQUENCE, validity, _) = element(rest)? else {
        return None;
    };
    let (kind, first, rest) = element(validity)?;
    let from = time(kind, first)?;
    let (kind, last, _) = element(rest)?;
    Some((from, time(kind, last)?))
}

/// Tag, content, and what follows.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first & 0x80 != 0 {
        let (octets, after) = rest.split_at_checked(usize::from(first & 0x7F))?;
        if octets.len() > 4 {
            return None;
        }
        length = octets
            .iter()
            .fold(0, |sum, octet| sum << 8 | usize::from(*octet));
        rest = after;
    }
    let (content, after) = rest.split_at_checked(length)?;
    Some((tag, content, after))
}

/// RFC 5280 §4.1.2.5.1 and §4.1.2.5.2: seconds are there, the zone is Z, and a year of two digits is of 1950 to 2049.
fn time(kind: u8, text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (years, rest) = match kind {
        UTC_TIME => text.split_at_checked(2)?,
        GENERALIZED_TIME => text.split_at_checked(4)?,
        _ => return None,
    };
    let year: i16 = years.parse().ok()?;
    let year = match kind {
        UTC_TIME if year < 50 => year + 2000,
        UTC_TIME => year + 1900,
        _ => year,
    };
    let two = |at: usize| rest.get(at..at + 2)?.parse::<i8>().ok();
    let is_whole = rest.len() == 10 && rest.bytes().all(|digit| digit.is_ascii_digit());
    if !is_whole {
        return None;
    }
    let time = DateTime::new(year, two(0)?, two(2)?, two(4)?, two(6)?, two(8)?, 0).ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::of;

    #[test]
    fn both_forms_of_a_time_are_read() {
        let mut parameters = CertificateParams::new(["a.example".to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2026, 11, 27);
        parameters.not_after = rcgen::date_time_ymd(2061, 2, 28);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        let (from, to) = of(certificate.der()).unwrap();
        assert_eq!(from.to_string(), "2026-11-27T00:00:00Z");
        assert_eq!(to.to_string(), "2061-02-28T00:00:00Z");
        for cut in 0..certificate.der().len() {
            assert_eq!(of(&certificate.der()[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "2611270000Z",
            "261127000000",
            "26112700000Z",
            "261327000000Z",
            "26112700é00Z",
        ] {
            assert_eq!(
                super::time(super::UTC_TIME, text.as_bytes()),
                None,
                "{text}"
            );
        }
    }
}
