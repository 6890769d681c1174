//! STUN as a keep-alive on a SIP port: a Binding request is answered with the address that it came from (RFC 5626 §4.4.2,
//! RFC 8489). No more of STUN is understood, and nothing here has a state.

use std::net::{IpAddr, SocketAddr};

use bytes::{BufMut, Bytes, BytesMut};

/// RFC 8489 §5.
const COOKIE: u32 = 0x2112_A442;
const HEADER: usize = 20;
const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;

/// Attributes, RFC 8489 §18.3. The ones below 0x8000 have to be understood; these are, in that they change nothing.
const MAPPED_ADDRESS: u16 = 0x0001;
const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000A;
const REALM: u16 = 0x0014;
const NONCE: u16 = 0x0015;
const MESSAGE_INTEGRITY_SHA256: u16 = 0x001C;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const FINGERPRINT: u16 = 0x8028;
const FINGERPRINT_MASK: u32 = 0x5354_554E;

/// Attributes that are read; a request has one or two. More are not answered.
const MOST_ATTRIBUTES: usize = 16;

/// Unknown attributes that an error names: the answer must not be much longer than the question.
const MOST_NAMED: usize = 4;

/// Tells a datagram of STUN from one of SIP, whose first octet is a letter or a line end (RFC 8489 §5).
pub fn is_stun(datagram: &[u8]) -> bool {
    let cookie = datagram.get(4..8);
    datagram.first().is_some_and(|first| *first < 4) && cookie == Some(&COOKIE.to_be_bytes())
}

/// Gives the answer to a Binding request from this address; nothing to anything else, or to what is malformed.
pub fn answer(datagram: &[u8], remote: SocketAddr) -> Option<Bytes> {
    let request = Request::read(datagram)?;
    let mut attributes = BytesMut::with_capacity(64);
    let kind = if request.unknown.is_empty() {
        put_address(&mut attributes, request.transaction, remote);
        BINDING_SUCCESS
    } else {
        put_unknown(&mut attributes, &request.unknown);
        BINDING_ERROR
    };
    let mut out = BytesMut::with_capacity(HEADER + attributes.len() + 8);
    out.put_u16(kind);
    let fingerprint = if request.is_fingerprinted { 8 } else { 0 };
    out.put_u16(u16::try_from(attributes.len() + fingerprint).ok()?);
    out.put_u32(COOKIE);
    out.put_slice(request.transaction);
    out.put_slice(&attributes);
    if request.is_fingerprinted {
        let sum = crc32(&out) ^ FINGERPRINT_MASK;
        out.put_u16(FINGERPRINT);
        out.put_u16(4);
        out.put_u32(sum);
    }
    Some(out.freeze())
}

struct Request<'a> {
    transaction: &'a [u8],
    unknown: Vec<u16>,
    is_fingerprinted: bool,
}

impl<'a> Request<'a> {
    /// RFC 8489 §6.3: the lengths have to be right to the octet, and a fingerprint has to fit.
    fn read(datagram: &'a [u8]) -> Option<Self> {
        let length = usize::from(number(datagram, 2)?);
        if number(datagram, 0)? != BINDING_REQUEST
            || !is_stun(datagram)
            || length % 4 != 0
            || datagram.len() != HEADER + length
        {
            return None;
        }
        let mut request = Self {
            transaction: datagram.get(8..HEADER)?,
            unknown: Vec::new(),
            is_fingerprinted: false,
        };
        let mut at = HEADER;
        for _ in 0..MOST_ATTRIBUTES {
            if at == datagram.len() {
                return Some(request);
            }
            let (kind, length) = (number(datagram, at)?, number(datagram, at + 2)?);
            let value = datagram.get(at + 4..at + 4 + usize::from(length))?;
            match kind {
                FINGERPRINT => {
                    let sum = crc32(datagram.get(..at)?) ^ FINGERPRINT_MASK;
                    // RFC 8489 §14.7: it is the last one.
                    if value != sum.to_be_bytes() || at + 8 != datagram.len() {
                        return None;
                    }
                    request.is_fingerprinted = true;
                }
                MAPPED_ADDRESS
                | USERNAME
                | MESSAGE_INTEGRITY
                | REALM
                | NONCE
                | MESSAGE_INTEGRITY_SHA256
                | XOR_MAPPED_ADDRESS => {}
                ..0x8000 if request.unknown.len() < MOST_NAMED => request.unknown.push(kind),
                _ => {}
            }
            at += 4 + usize::from(length).next_multiple_of(4);
        }
        (at == datagram.len()).then_some(request)
    }
}

/// RFC 8489 §14.2.
fn put_address(out: &mut BytesMut, transaction: &[u8], remote: SocketAddr) {
    let [high, low, ..] = COOKIE.to_be_bytes();
    let port = remote.port() ^ u16::from_be_bytes([high, low]);
    let mask = COOKIE
        .to_be_bytes()
        .into_iter()
        .chain(transaction.iter().copied());
    out.put_u16(XOR_MAPPED_ADDRESS);
    match remote.ip().to_canonical() {
        IpAddr::V4(address) => {
            out.put_u16(8);
            out.put_u16(1);
            out.put_u16(port);
            out.extend(address.octets().into_iter().zip(mask).map(|(a, b)| a ^ b));
        }
        IpAddr::V6(address) => {
            out.put_u16(20);
            out.put_u16(2);
            out.put_u16(port);
            out.extend(address.octets().into_iter().zip(mask).map(|(a, b)| a ^ b));
        }
    }
}

/// RFC 8489 §6.3.1, §14.8, §14.13: 420.
fn put_unknown(out: &mut BytesMut, unknown: &[u16]) {
    out.put_u16(ERROR_CODE);
    out.put_u16(4);
    out.put_slice(&[0, 0, 4, 20]);
    out.put_u16(UNKNOWN_ATTRIBUTES);
    let length = unknown.len() * 2;
    out.put_u16(u16::try_from(length).unwrap_or(0));
    for kind in unknown {
        out.put_u16(*kind);
    }
    out.put_bytes(0, length.next_multiple_of(4) - length);
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes(pair.try_into().ok()?))
}

/// ITU-T V.42, as RFC 8489 §14.7 asks. A bit at a time: keep-alives are few and short.
fn crc32(bytes: &[u8]) -> u32 {
    let sum = bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            let carry = 0xEDB8_8320 & (sum & 1).wrapping_neg();
            (sum >> 1) ^ carry
        })
    });
    !sum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(attributes: &[u8]) -> Vec<u8> {
        let mut out = vec![0, 1];
        out.extend((attributes.len() as u16).to_be_bytes());
        out.extend(COOKIE.to_be_bytes());
        out.extend(*b"transaction!");
        out.extend(attributes);
        out
    }

    fn fingerprinted(mut datagram: Vec<u8>) -> Vec<u8> {
        let length = (datagram.len() - HEADER + 8) as u16;
        datagram[2..4].copy_from_slice(&length.to_be_bytes());
        let sum = crc32(&datagram) ^ FINGERPRINT_MASK;
        datagram.extend([0x80, 0x28, 0, 4]);
        datagram.extend(sum.to_be_bytes());
        datagram
    }

    const V4: &str = "192.0.2.1:32853";

    #[test]
    fn the_address_is_masked_as_in_the_test_vectors() {
        // RFC 5769 §2.2 has 192.0.2.1:32853 masked as a147 e112a643.
        let answer = answer(&request(&[]), V4.parse().unwrap()).unwrap();
        let expected =
            b"\x01\x01\0\x0c\x21\x12\xa4\x42transaction!\0\x20\0\x08\0\x01\xa1\x47\xe1\x12\xa6\x43";
        assert_eq!(&answer[..], expected);
    }

    #[test]
    fn an_ipv6_address_is_masked_with_the_transaction_too() {
        // RFC 5769 §2.3.
        let mut asked = request(&[]);
        asked[8..20].copy_from_slice(b"\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae");
        let remote = "[2001:db8:1234:5678:11:2233:4455:6677]:32853"
            .parse()
            .unwrap();
        let answer = answer(&asked, remote).unwrap();
        let expected = b"\0\x20\0\x14\0\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9";
        assert_eq!(&answer[20..], expected);
    }

    #[test]
    fn a_fingerprint_is_checked_and_answered_with_one() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        let asked = fingerprinted(request(&[]));
        let answered = answer(&asked, V4.parse().unwrap()).unwrap();
        assert_eq!(answered.len(), HEADER + 12 + 8);
        let (body, sum) = answered.split_at(answered.len() - 8);
        assert_eq!(sum[4..], (crc32(body) ^ FINGERPRINT_MASK).to_be_bytes());
        let mut wrong = asked;
        *wrong.last_mut().unwrap() ^= 1;
        assert_eq!(answer(&wrong, V4.parse().unwrap()), None);
    }

    #[test]
    fn an_attribute_that_has_to_be_understood_and_is_not_gets_420() {
        // CHANGE-REQUEST of RFC 5780: a port that only keeps flows alive does not have it.
        let answered = answer(&request(b"\0\x03\0\x04\0\0\0\0"), V4.parse().unwrap()).unwrap();
        assert_eq!(answered[..4], *b"\x01\x11\0\x10");
        assert_eq!(
            answered[20..],
            *b"\0\x09\0\x04\0\0\x04\x14\0\x0a\0\x02\0\x03\0\0"
        );
        // One that need not be understood is passed over (SOFTWARE).
        let answered = answer(&request(b"\x80\x22\0\x03abc\0"), V4.parse().unwrap()).unwrap();
        assert_eq!(answered[..2], *b"\x01\x01");
    }

    #[test]
    fn what_is_malformed_or_no_request_is_not_answered() {
        let silent = |datagram: &[u8]| answer(datagram, V4.parse().unwrap()).is_none();
        let good = request(&[]);
        assert!(!silent(&good));
        for cut in 0..good.len() {
            assert!(silent(&good[..cut]), "{cut}");
        }
        // R08: lengths beyond the end.
        assert!(silent(&request(b"\0\x06\0\x09abcd")));
        assert!(silent(&request(b"\0\x06")));
        let mut longer = good.clone();
        longer.extend([0; 4]);
        assert!(silent(&longer));
        // An indication, an answer, another cookie.
        for (at, byte) in [(1, 0x11), (0, 1), (4, 0)] {
            let mut other = good.clone();
            other[at] = byte;
            assert!(silent(&other), "{at}");
        }
        let many = b"\x80\x22\0\0".repeat(MOST_ATTRIBUTES + 1);
        assert!(silent(&request(&many)));
    }

    proptest! {
        #[test]
        fn no_input_makes_it_panic_or_answer_much_longer(bytes in proptest::collection::vec(any::<u8>(), 0..200), tail in proptest::collection::vec(any::<u8>(), 0..48)) {
            let remote: SocketAddr = V4.parse().unwrap();
            let _ = answer(&bytes, remote);
            let asked = request(&tail[..tail.len() / 4 * 4]);
            if let Some(answered) = answer(&asked, remote) {
                prop_assert!(answered.len() <= asked.len() + 20);
            }
        }
    }
}
