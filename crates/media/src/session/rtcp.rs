//! RTCP as a relay sees it: is this a compound packet (RFC 3550 §6.4, §A.2). What it says is for the phones: no call ends on a
//! BYE in it.

/// Whether the second byte of a packet on an RTP port says RTCP (RFC 5761 §4).
pub(crate) fn is_control(packet: &[u8]) -> bool {
    matches!(packet.get(1), Some(192..=223))
}

/// Whether it is a chain of packets of version 2 whose lengths end where the datagram ends.
pub(crate) fn is_valid(packet: &[u8]) -> bool {
    let mut rest = packet;
    loop {
        let Some([flags, kind, w0, w1]) = rest.first_chunk::<4>() else {
            return false;
        };
        if flags >> 6 != 2 || !(192..=223).contains(kind) {
            return false;
        }
        let length = 4 * (usize::from(u16::from_be_bytes([*w0, *w1])) + 1);
        match rest.get(length..) {
            None => return false,
            Some([]) => return true,
            Some(after) => rest = after,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r05_lying_lengths_are_not_rtcp() {
        let report = [0x80, 201, 0, 1, 1, 2, 3, 4];
        let bye = [0x81, 203, 0, 1, 1, 2, 3, 4];
        assert!(is_valid(&report));
        assert!(is_valid(&[report, bye].concat()));
        for bad in [
            &[][..],
            &report[..4],
            &report[..7],
            &[0x80, 201, 0xff, 0xff, 1, 2, 3, 4],
            &[0x80, 201, 0, 0, 1, 2, 3, 4],
            &[0x40, 201, 0, 1, 1, 2, 3, 4],
            &[0x80, 0, 0, 1, 1, 2, 3, 4],
            &[&report[..], &bye[..6]].concat(),
        ] {
            assert!(!is_valid(bad), "{bad:02x?}");
        }
    }
}
