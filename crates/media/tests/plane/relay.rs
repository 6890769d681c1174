//! Packets through a bridge: who is heard, where they go, what is counted. Cases R01 to R05 and R13.

use std::time::Duration;

use media::{Command, Event, Forward, Input, OfferOrAnswer, Stats};

use crate::rig::{A, B, Rig, at, body, ip, packet};

const G711: &[&str] = &[
    "m=audio 4000 RTP/AVP 0 8 101",
    "a=rtpmap:101 telephone-event/8000",
];
const ALICE: &str = "198.51.100.7:4000";
const BOB: &str = "203.0.113.9:4000";
const STRANGER: &str = "203.0.113.66:4000";
const FRAME: Duration = Duration::from_millis(20);

fn rig() -> Rig {
    let mut rig = Rig::new();
    rig.call(&body("198.51.100.7", G711), &body("203.0.113.9", G711));
    rig
}

#[test]
fn packets_go_both_ways_and_are_counted() {
    let mut rig = rig();
    let (to_a, to_b) = (rig.rtp_port(A), rig.rtp_port(B));
    for sequence in 0..10 {
        rig.pass(FRAME);
        let mut sent = packet(0, sequence);
        assert_eq!(
            rig.rtp(A, ALICE, &mut sent),
            Some(Forward {
                port: to_b,
                to: at(BOB)
            })
        );
        assert_eq!(sent, packet(0, sequence), "nothing is changed");
        if sequence != 5 {
            assert_eq!(
                rig.rtp(B, BOB, &mut packet(0, sequence)),
                Some(Forward {
                    port: to_a,
                    to: at(ALICE)
                })
            );
        }
    }
    let both = Stats {
        received: 10,
        received_bytes: 1_720,
        sent: 9,
        sent_bytes: 1_548,
        ..Stats::default()
    };
    assert_eq!(rig.close(A), both);
    let both = Stats {
        received: 9,
        received_bytes: 1_548,
        sent: 10,
        sent_bytes: 1_720,
        lost: 1,
        ..Stats::default()
    };
    assert_eq!(rig.close(B), both);
}

#[test]
fn payload_types_are_rewritten_where_the_legs_number_differently() {
    let mut rig = Rig::new();
    let mine = body(
        "198.51.100.7",
        &[
            "m=audio 4000 RTP/AVP 96 0 101",
            "a=rtpmap:96 opus/48000/2",
            "a=rtpmap:101 telephone-event/8000",
        ],
    );
    let theirs = body(
        "203.0.113.9",
        &[
            "m=audio 4000 RTP/AVP 111 97",
            "a=rtpmap:111 opus/48000/2",
            "a=rtpmap:97 telephone-event/8000",
        ],
    );
    rig.call(&mine, &theirs);
    // (from, its number with marker, what the other is sent)
    for (from, source, number, expected) in [
        (A, ALICE, 96, Some(111)),
        (A, ALICE, 0x80 | 101, Some(0x80 | 97)),
        (A, ALICE, 0, Some(0)),
        (A, ALICE, 18, None),
        // RFC 3264 §6.1: B sends with the numbers that it was offered.
        (B, BOB, 96, Some(96)),
        (B, BOB, 0x80 | 101, Some(0x80 | 101)),
        (B, BOB, 111, Some(96)),
    ] {
        rig.pass(FRAME);
        let mut sent = packet(number, 1);
        let forwarded = rig.rtp(from, source, &mut sent).map(|_| sent[1]);
        assert_eq!(forwarded, expected, "{number} from {from:?}");
    }
}

#[test]
fn r01_strangers_are_ignored_before_and_after_the_lock() {
    let mut rig = rig();
    assert_eq!(rig.rtp(A, STRANGER, &mut packet(0, 1)), None);
    assert!(rig.rtp(A, ALICE, &mut packet(0, 2)).is_some());
    assert_eq!(rig.rtp(A, STRANGER, &mut packet(0, 3)), None);
    assert_eq!(
        rig.rtp(A, "198.51.100.7:4002", &mut packet(0, 3)),
        None,
        "the same host, another port"
    );
    assert_eq!(
        rig.rtp(B, BOB, &mut packet(0, 1)).map(|forward| forward.to),
        Some(at(ALICE))
    );
    assert_eq!(rig.close(A).strangers, 3);
}

#[test]
fn r02_a_spray_over_all_ports_gets_nothing() {
    let mut rig = rig();
    for sequence in 0..100 {
        for session in [A, B] {
            assert_eq!(rig.rtp(session, STRANGER, &mut packet(0, sequence)), None);
            assert_eq!(rig.rtcp(session, STRANGER, &mut report()), None);
        }
    }
    for (session, source) in [(A, ALICE), (B, BOB)] {
        assert_ne!(
            rig.rtp(session, source, &mut packet(0, 1))
                .map(|forward| forward.to),
            Some(at(STRANGER))
        );
    }
    assert_eq!((rig.close(A).strangers, rig.close(B).strangers), (200, 200));
}

#[test]
fn a_phone_behind_nat_is_heard_from_its_nat_and_answered_there() {
    let mut rig = Rig::new();
    let behind = body("192.168.1.20", G711);
    rig.remote(A, OfferOrAnswer::Offer, &behind, Some("198.51.100.7"));
    rig.offer(B, Some(A));
    rig.answered(B, &body("203.0.113.9", G711));
    rig.answer(A, Some(B));
    rig.bridge();
    assert_eq!(
        rig.rtp(B, BOB, &mut packet(0, 1)),
        None,
        "nothing is known of where A is"
    );
    assert!(
        rig.rtp(A, "198.51.100.7:31000", &mut packet(0, 1))
            .is_some()
    );
    assert_eq!(
        rig.rtp(B, BOB, &mut packet(0, 2)).map(|forward| forward.to),
        Some(at("198.51.100.7:31000"))
    );

    // A re-INVITE with the same address keeps the source, one with another moves it.
    rig.remote(A, OfferOrAnswer::Offer, &behind, Some("198.51.100.7"));
    rig.answer(A, Some(B));
    assert_eq!(rig.rtp(A, "198.51.100.7:31002", &mut packet(0, 2)), None);
    rig.remote(
        A,
        OfferOrAnswer::Offer,
        &body("192.168.1.21", G711),
        Some("198.51.100.7"),
    );
    assert_eq!(
        rig.rtp(A, "198.51.100.7:31002", &mut packet(0, 3)),
        None,
        "an offer counts when it is answered"
    );
    rig.answer(A, Some(B));
    assert!(
        rig.rtp(A, "198.51.100.7:31002", &mut packet(0, 3))
            .is_some()
    );
}

#[test]
fn t17_a_phone_that_moves_is_heard_from_its_new_place() {
    let mut rig = Rig::new();
    rig.call(&body("192.168.1.10", G711), &body("203.0.113.9", G711));
    let near = |rig: &mut Rig, address| {
        let near = ip(address);
        let told = rig.handle(Input::Command(Command::Near { session: A, near }));
        assert_eq!(told, []);
    };
    near(&mut rig, "198.51.100.7");
    assert!(
        rig.rtp(A, "198.51.100.7:40000", &mut packet(0, 1))
            .is_some()
    );
    // Its NAT made another mapping: without word of it the new port is a stranger's.
    rig.pass(FRAME);
    assert_eq!(rig.rtp(A, "198.51.100.7:40001", &mut packet(0, 2)), None);
    near(&mut rig, "198.51.100.7");
    assert!(
        rig.rtp(A, "198.51.100.7:40001", &mut packet(0, 3))
            .is_some()
    );
    // It went to another network.
    near(&mut rig, "198.51.100.99");
    rig.pass(FRAME);
    assert_eq!(rig.rtp(A, "198.51.100.7:40001", &mut packet(0, 4)), None);
    assert!(
        rig.rtp(A, "198.51.100.99:6000", &mut packet(0, 5))
            .is_some()
    );
    let back = rig.rtp(B, BOB, &mut packet(0, 1)).map(|forward| forward.to);
    assert_eq!(back, Some(at("198.51.100.99:6000")));
}

#[test]
fn r03_a_flood_is_held_to_twice_the_rate() {
    let mut rig = rig();
    let mut passed = 0;
    for sequence in 0..=u16::MAX {
        rig.pass(Duration::from_micros(100));
        passed += u32::from(rig.rtp(A, ALICE, &mut packet(0, sequence)).is_some());
    }
    // 6.5 s of it, and a second of burst.
    assert!((650..=770).contains(&passed), "{passed}");
}

#[test]
fn r04_r05_what_is_no_packet_does_not_lock_and_goes_nowhere() {
    let mut rig = rig();
    for bytes in [
        &mut [][..],
        &mut [0; 4],
        &mut [0x80; 11],
        &mut [0; 172],
        &mut [0x8f, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0],
    ] {
        assert_eq!(rig.rtp(A, ALICE, bytes), None);
    }
    let mut lying = report();
    lying[3] = 200;
    assert_eq!(rig.rtcp(A, "198.51.100.7:4001", &mut lying), None);
    assert_eq!(rig.close(A).dropped, 6);
}

#[test]
fn rtcp_goes_to_the_port_above_or_where_the_attribute_says_or_with_the_rtp() {
    let mut rig = rig();
    let to_b = rig.rtcp_port(B);
    let forward = rig.rtcp(A, "198.51.100.7:4001", &mut report());
    assert_eq!(
        forward,
        Some(Forward {
            port: to_b,
            to: at("203.0.113.9:4001")
        })
    );
    assert_eq!(
        rig.rtcp(A, ALICE, &mut report()),
        None,
        "RTCP has a source of its own"
    );

    let mut rig = Rig::new();
    let muxed = body("198.51.100.7", &[G711, &["a=rtcp-mux"]].concat());
    rig.call(
        &muxed,
        &body("203.0.113.9", &[G711, &["a=rtcp:4711"]].concat()),
    );
    assert!(rig.answer(A, Some(B)).contains("a=rtcp-mux\r\n"));
    assert!(rig.rtp(A, ALICE, &mut packet(0, 1)).is_some());
    let to_b = rig.rtcp_port(B);
    assert_eq!(
        rig.rtp(A, ALICE, &mut report()),
        Some(Forward {
            port: to_b,
            to: at("203.0.113.9:4711")
        })
    );
    let to_a = rig.rtp_port(A);
    assert_eq!(
        rig.rtcp(B, "203.0.113.9:4711", &mut report()),
        Some(Forward {
            port: to_a,
            to: at(ALICE)
        })
    );
}

#[test]
fn who_is_on_hold_is_sent_nothing_and_may_play_music() {
    let mut rig = rig();
    assert!(rig.rtp(A, ALICE, &mut packet(0, 1)).is_some());
    for hold in [
        body("198.51.100.7", &[G711, &["a=sendonly"]].concat()),
        body("0.0.0.0", G711),
    ] {
        rig.offered(A, &hold);
        rig.offer(B, Some(A));
        rig.answered(B, &body("203.0.113.9", &[G711, &["a=recvonly"]].concat()));
        rig.answer(A, Some(B));
        rig.pass(FRAME);
        assert!(rig.rtp(A, ALICE, &mut packet(0, 2)).is_some());
        assert_eq!(rig.rtp(B, BOB, &mut packet(0, 2)), None);
    }
    rig.offered(A, &body("198.51.100.7", G711));
    rig.offer(B, Some(A));
    rig.answered(B, &body("203.0.113.9", G711));
    rig.answer(A, Some(B));
    assert_eq!(
        rig.rtp(B, BOB, &mut packet(0, 3)).map(|forward| forward.to),
        Some(at(ALICE))
    );
}

#[test]
fn r13_silence_is_reported_once_a_minute_and_not_on_hold() {
    let mut rig = rig();
    let silent = |session, seconds| Event::Silent {
        session,
        for_: Duration::from_secs(seconds),
    };
    for second in 0..30 {
        rig.rtp(A, ALICE, &mut packet(0, second));
        assert_eq!(rig.run(Duration::from_secs(1)), []);
    }
    assert_eq!(rig.run(Duration::from_secs(30)), [(30, silent(B, 60))]);
    assert_eq!(
        rig.run(Duration::from_secs(60)),
        [(29, silent(A, 60)), (60, silent(B, 120))]
    );

    rig.offered(A, &body("198.51.100.7", &[G711, &["a=inactive"]].concat()));
    rig.offer(B, Some(A));
    rig.answered(B, &body("203.0.113.9", &[G711, &["a=inactive"]].concat()));
    rig.answer(A, Some(B));
    assert_eq!(rig.run(Duration::from_secs(600)), []);

    rig.close(A);
    rig.close(B);
    assert_eq!(rig.run(Duration::from_secs(600)), []);
    assert_eq!(rig.plane.poll_timeout(), None, "no call, no tick");
}

#[test]
fn closing_frees_the_ports_and_the_next_call_gets_them_without_the_old_packets() {
    let mut rig = rig();
    let (of_a, of_b) = (rig.opened[0], rig.opened[1]);
    rig.close(A);
    assert_eq!(rig.closed, [(of_a.1, of_a.2)]);
    assert_eq!(rig.rtp(A, ALICE, &mut packet(0, 1)), None);
    assert_eq!(
        rig.rtp(B, BOB, &mut packet(0, 1)),
        None,
        "the bridge went with A"
    );
    rig.close(B);
    assert_eq!(rig.closed, [(of_a.1, of_a.2), (of_b.1, of_b.2)]);
    assert_eq!(rig.plane.sessions(), 0);
    assert_eq!(
        rig.close(A),
        Stats::default(),
        "closing twice is answered, and nothing more"
    );

    rig.call(&body("198.51.100.20", G711), &body("198.51.100.21", G711));
    assert_eq!(rig.rtp(A, ALICE, &mut packet(0, 1)), None);
    assert_eq!(rig.close(A).strangers, 1);
}

#[test]
fn r09_nothing_is_sent_to_a_port_of_ours() {
    let mut rig = Rig::at("127.0.0.1");
    let ours = |port| body("127.0.0.1", &[&format!("m=audio {port} RTP/AVP 0")]);
    rig.offered(A, &ours(4_000));
    rig.offer(B, Some(A));
    let refused = rig.remote(B, OfferOrAnswer::Answer, &ours(20_000), None);
    assert_eq!(
        refused,
        Event::Refused {
            session: B,
            status: 488,
            why: "the media address is ours"
        }
    );
    // A port that becomes ours only later.
    rig.answered(B, &ours(20_004));
    rig.answer(A, Some(B));
    rig.bridge();
    assert!(rig.rtp(A, "127.0.0.1:4000", &mut packet(0, 1)).is_some());
    rig.offer(media::SessionId(3), None);
    assert_eq!(rig.rtp(A, "127.0.0.1:4000", &mut packet(0, 2)), None);
    assert_eq!(rig.rtp(B, "127.0.0.1:20004", &mut packet(0, 2)), None);
}

fn report() -> Vec<u8> {
    vec![0x80, 201, 0, 1, 0, 0, 0, 7]
}
