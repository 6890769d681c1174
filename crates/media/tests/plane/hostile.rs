//! Input that nobody means well with: no panic, no growth, no packet to anyone. Case R10.

use bytes::Bytes;
use media::{Command, Event, Input, OfferOrAnswer, PortId, SessionId};
use proptest::prelude::{ProptestConfig, any, prop, prop_oneof, proptest};
use proptest::strategy::{Just, Strategy};

use crate::rig::{A, B, Rig, body, packet};

#[test]
fn r10_bodies_beyond_all_measure_are_refused_and_hold_no_ports() {
    let audio = "m=audio 6000 RTP/AVP 0\r\n";
    let head = "v=0\r\nc=IN IP4 198.51.100.31\r\n";
    for (what, sdp, status) in [
        (
            "200 media lines",
            format!("{head}{}", audio.repeat(200)),
            488,
        ),
        (
            "10,000 attributes",
            format!("{head}{audio}{}", "a=x\r\n".repeat(10_000)),
            488,
        ),
        (
            "1 MB",
            format!("{head}{audio}{}", "a=x:".to_owned() + &"x".repeat(1 << 20)),
            413,
        ),
        ("nothing at all", String::new(), 488),
        ("no media", head.to_owned(), 488),
        ("line ends only", "\r\n\r\n".to_owned(), 488),
    ] {
        let mut rig = Rig::new();
        match rig.remote(A, OfferOrAnswer::Offer, &sdp, None) {
            Event::Refused { status: said, .. } => assert_eq!(said, status, "{what}"),
            other => panic!("{what}: {other:?}"),
        }
        assert_eq!((rig.plane.sessions(), rig.opened.len()), (0, 0), "{what}");
    }
    let mut rig = Rig::new();
    rig.offered(A, &format!("{head}{}", audio.repeat(8)));
    let all: Vec<String> = (0..128).map(|number| number.to_string()).collect();
    let maps: String = (96..128)
        .map(|number| format!("a=rtpmap:{number} x{number}/8000\r\n"))
        .collect();
    rig.offered(
        A,
        &format!("{head}m=audio 6000 RTP/AVP {}\r\n{maps}", all.join(" ")),
    );
    rig.offer(B, Some(A));
}

/// Lines that mean something, in any order and with anything in them.
fn line() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        Just("0".to_owned()),
        Just("101".to_owned()),
        any::<i32>().prop_map(|number| number.to_string())
    ];
    prop_oneof![
        Just("v=0".to_owned()),
        Just("c=IN IP4 198.51.100.31".to_owned()),
        Just("m=audio 6000 RTP/AVP 0 8 101".to_owned()),
        Just("a=sendonly".to_owned()),
        (number.clone(), number)
            .prop_map(|(port, format)| format!("m=audio {port} RTP/AVP {format} 8")),
        "[acmostvb]=[ -~]{0,40}",
        "a=(rtpmap|fmtp|rtcp|ptime|maxptime|crypto):[ -~]{0,30}",
        "c=IN IP[46] [0-9a-f:./]{0,20}",
    ]
}

fn bytes_of_any_kind() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..400),
        prop::collection::vec(line(), 0..20).prop_map(|lines| format!(
            "v=0\r\nc=IN IP4 198.51.100.31\r\n{}",
            lines.join("\r\n")
        )
        .into_bytes()),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    let session = || (0..4_u64).prop_map(SessionId);
    let like = || prop::option::of((0..4_u64).prop_map(SessionId));
    prop_oneof![
        (session(), like()).prop_map(|(session, like)| Command::Offer {
            session,
            like,
            both_ways: false,
            near: None
        }),
        (session(), like()).prop_map(|(session, like)| Command::Answer { session, like }),
        (session(), session()).prop_map(|(a, b)| Command::Bridge { a, b }),
        session().prop_map(|session| Command::Unbridge { session }),
        session().prop_map(|session| Command::Close { session }),
        (session(), any::<bool>(), bytes_of_any_kind()).prop_map(|(session, offer, sdp)| {
            let kind = if offer {
                OfferOrAnswer::Offer
            } else {
                OfferOrAnswer::Answer
            };
            Command::Remote {
                session,
                kind,
                sdp: Bytes::from(sdp),
                near: None,
            }
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_as_a_description_are_answered(sdp in bytes_of_any_kind()) {
        let mut rig = Rig::new();
        let sdp = Bytes::from(sdp);
        let command = Command::Remote { session: A, kind: OfferOrAnswer::Offer, sdp, near: None };
        if let Event::Accepted { .. } = rig.command(command) {
            rig.offer(B, Some(A));
            rig.command(Command::Answer { session: A, like: None });
        }
    }

    #[test]
    fn any_bytes_as_packets_go_to_the_phones_or_nowhere(
        packets in prop::collection::vec((0..6_u32, prop::collection::vec(any::<u8>(), 0..64)), 0..50),
    ) {
        let mut rig = Rig::new();
        let phone = |ip| body(ip, &["m=audio 4000 RTP/AVP 0 8"]);
        rig.call(&phone("198.51.100.7"), &phone("203.0.113.9"));
        for (port, mut bytes) in packets {
            for from in ["198.51.100.7:4000", "203.0.113.9:4001", "203.0.113.66:4000"] {
                let from = from.parse().unwrap();
                if let Some(forward) = rig.plane.forward(rig.now, PortId(port), from, &mut bytes) {
                    let to = forward.to.ip().to_string();
                    assert!(to == "198.51.100.7" || to == "203.0.113.9");
                }
            }
        }
    }

    #[test]
    fn any_order_of_commands_leaves_no_port_open_after_the_last_close(
        commands in prop::collection::vec(command(), 0..40), room in 0..6_usize,
    ) {
        let mut rig = Rig::new();
        rig.room = room;
        for command in commands {
            rig.handle(Input::Command(command));
            rig.plane.forward(rig.now, PortId(0), "198.51.100.31:6000".parse().unwrap(), &mut packet(0, 1));
            rig.run(std::time::Duration::from_secs(1));
        }
        for session in 0..4 {
            rig.close(SessionId(session));
        }
        assert_eq!((rig.plane.sessions(), rig.room), (0, room));
        assert_eq!(rig.opened.len(), rig.closed.len());
    }
}
