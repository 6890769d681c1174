//! Offer and answer through the plane: RFC 3264.

use bytes::Bytes;
use media::{Command, Event, OfferOrAnswer};

use crate::rig::{A, B, Rig, body, media_part};

const ALICE: &str = "198.51.100.7";
const BOB: &str = "203.0.113.9";

/// Audio lines with a number of codecs, as phones write them.
const G711: &[&str] = &[
    "m=audio 4000 RTP/AVP 0 8 101",
    "a=rtpmap:101 telephone-event/8000",
    "a=fmtp:101 0-15",
    "a=ptime:20",
];
const WIDE: &[&str] = &[
    "m=audio 5004 RTP/AVP 96 9 8 0 97",
    "a=rtpmap:96 opus/48000/2",
    "a=fmtp:96 useinbandfec=1",
    "a=rtpmap:9 G722/8000",
    "a=rtpmap:97 telephone-event/8000",
    "a=fmtp:97 0-16",
];

#[test]
fn whole_descriptions_go_out_with_our_address_and_a_version_that_rises_with_each_change() {
    let mut rig = Rig::new();
    rig.offered(A, &body(ALICE, G711));
    let first = rig.offer(B, Some(A));
    assert_eq!(
        first,
        "v=0\r\no=- 4184349284 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
         m=audio 20002 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=rtcp:20003\r\na=sendrecv\r\n"
    );
    assert_eq!(
        rig.offer(B, Some(A)),
        first,
        "the same again is not a new version"
    );
    rig.offered(A, &body(ALICE, &[G711, &["a=sendonly"]].concat()));
    let second = rig.offer(B, Some(A));
    assert_eq!(
        second,
        first
            .replace(" 1 IN IP4", " 2 IN IP4")
            .replace("sendrecv", "sendonly")
    );
}

#[test]
fn the_answer_has_what_the_other_leg_chose_in_its_order_with_the_numbers_that_were_offered() {
    // (what A offers, what B answers to it, the answer that A gets)
    let table: &[(&str, &[&str], &[&str], &str)] = &[
        (
            "one of three",
            G711,
            &[
                "m=audio 6000 RTP/AVP 8 101",
                "a=rtpmap:101 telephone-event/8000",
                "a=fmtp:101 0-15",
            ],
            "m=audio 20000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n",
        ),
        (
            "B's order is other than A's",
            G711,
            &["m=audio 6000 RTP/AVP 8 0"],
            "m=audio 20000 RTP/AVP 8 0\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n",
        ),
        (
            "B answers with numbers of its own (RFC 3264 §6.1)",
            WIDE,
            &[
                "m=audio 6000 RTP/AVP 111 120",
                "a=rtpmap:111 OPUS/48000/2",
                "a=rtpmap:120 telephone-event/8000",
            ],
            "m=audio 20000 RTP/AVP 96 97\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:97 telephone-event/8000\r\n",
        ),
        (
            "what B adds by itself is left out",
            G711,
            &["m=audio 6000 RTP/AVP 9 0 18"],
            "m=audio 20000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n",
        ),
        (
            "wide band and parameters",
            WIDE,
            &[
                "m=audio 6000 RTP/AVP 96 97",
                "a=rtpmap:96 opus/48000/2",
                "a=fmtp:96 stereo=0",
                "a=rtpmap:97 telephone-event/8000",
            ],
            "m=audio 20000 RTP/AVP 96 97\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 stereo=0\r\na=rtpmap:97 telephone-event/8000\r\n",
        ),
    ];
    for (what, offer, answer, expected) in table {
        let mut rig = Rig::new();
        rig.offered(A, &body(ALICE, offer));
        rig.offer(B, Some(A));
        rig.answered(B, &body(BOB, answer));
        let ours = rig.answer(A, Some(B));
        assert_eq!(
            media_part(&ours),
            format!("{expected}a=rtcp:20001\r\na=sendrecv\r\n"),
            "{what}"
        );
        assert_eq!(
            rig.answer(A, Some(B)),
            ours,
            "{what}: 183 and 200 carry the same"
        );
    }
}

#[test]
fn hold_and_resume_are_mirrored_in_both_forms() {
    // (A's re-offer, what B is offered, what B answers, what A is answered)
    let unspecified = body("0.0.0.0", G711);
    let sendonly = body(ALICE, &[G711, &["a=sendonly"]].concat());
    let inactive = body(ALICE, &[G711, &["a=inactive"]].concat());
    let recvonly = body(ALICE, &[G711, &["a=recvonly"]].concat());
    let table: [(&str, &str, &str, &str); 6] = [
        (&sendonly, "sendonly", "recvonly", "recvonly"),
        (&sendonly, "sendonly", "inactive", "inactive"),
        // An answer that takes no notice of the hold is bent to what may be answered (RFC 3264 §6.1).
        (&sendonly, "sendonly", "sendrecv", "recvonly"),
        (&inactive, "inactive", "inactive", "inactive"),
        (&recvonly, "recvonly", "sendonly", "sendonly"),
        (&unspecified, "sendonly", "recvonly", "recvonly"),
    ];
    let plain = body(ALICE, G711);
    for (reoffer, offered, answer, answered) in table {
        let mut rig = Rig::new();
        rig.call(&plain, &body(BOB, G711));
        assert!(rig.offered(A, reoffer));
        assert!(rig.offer(B, Some(A)).ends_with(&format!("a={offered}\r\n")));
        let attribute = format!("a={answer}");
        assert!(rig.answered(B, &body(BOB, &[G711, &[attribute.as_str()]].concat())));
        assert!(
            rig.answer(A, Some(B))
                .ends_with(&format!("a={answered}\r\n"))
        );

        assert!(!rig.offered(A, &plain));
        assert!(rig.offer(B, Some(A)).ends_with("a=sendrecv\r\n"));
        assert!(!rig.answered(B, &body(BOB, G711)));
        assert!(rig.answer(A, Some(B)).ends_with("a=sendrecv\r\n"));
    }
}

#[test]
fn a_reoffer_from_the_other_side_keeps_the_numbers_of_the_first_one() {
    let mut rig = Rig::new();
    rig.call(&body(ALICE, G711), &body(BOB, G711));
    // RFC 3264 §8.3.2: A knows telephone-event as 101, whatever B calls it today.
    rig.offered(
        B,
        &body(
            BOB,
            &[
                "m=audio 6000 RTP/AVP 0 96",
                "a=rtpmap:96 telephone-event/8000",
                "a=sendonly",
            ],
        ),
    );
    let ours = rig.offer(A, Some(B));
    assert_eq!(
        media_part(&ours),
        "m=audio 20000 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=rtcp:20001\r\na=sendonly\r\n"
    );
    rig.answered(
        A,
        &body(
            ALICE,
            &[
                &[
                    "m=audio 4000 RTP/AVP 0 101",
                    "a=rtpmap:101 telephone-event/8000",
                ][..],
                &["a=recvonly"],
            ]
            .concat(),
        ),
    );
    assert_eq!(
        media_part(&rig.answer(B, Some(A))),
        "m=audio 20002 RTP/AVP 0 96\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:96 telephone-event/8000\r\na=rtcp:20003\r\na=recvonly\r\n"
    );
}

#[test]
fn lines_that_are_not_relayed_are_answered_with_port_0_and_stay_in_later_offers() {
    let mut rig = Rig::new();
    let lines = [
        "m=video 5002 RTP/AVP 99",
        "a=rtpmap:99 H264/90000",
        "m=audio 4000 RTP/AVP 0",
        "m=image 4010 udptl t38",
        "m=audio 4020 RTP/AVP 8",
    ];
    rig.offered(A, &body(ALICE, &lines));
    let to_b = rig.offer(B, Some(A));
    assert_eq!(
        media_part(&to_b),
        "m=audio 20002 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=rtcp:20003\r\na=sendrecv\r\n"
    );
    rig.answered(B, &body(BOB, &["m=audio 6000 RTP/AVP 0"]));
    let expected = "m=video 0 RTP/AVP 99\r\nm=audio 20000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=rtcp:20001\r\na=sendrecv\r\n\
                    m=image 0 udptl t38\r\nm=audio 0 RTP/AVP 8\r\n";
    assert_eq!(media_part(&rig.answer(A, Some(B))), expected);
    assert_eq!(
        media_part(&rig.offer(A, Some(B))),
        expected,
        "RFC 3264 §8: no line goes away"
    );
}

#[test]
fn r11_an_invite_without_an_offer_gets_what_every_phone_knows() {
    let mut rig = Rig::new();
    assert_eq!(
        media_part(&rig.offer(B, None)),
        "m=audio 20000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=rtcp:20001\r\na=sendrecv\r\n"
    );
    assert!(!rig.answered(B, &body(BOB, &["m=audio 6000 RTP/AVP 8"])));
    assert_eq!(
        media_part(&rig.offer(A, Some(B))),
        "m=audio 20002 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\na=rtcp:20003\r\na=sendrecv\r\n"
    );
}

#[test]
fn an_answer_by_ourselves_takes_the_first_codec_and_the_events() {
    let mut rig = Rig::new();
    rig.offered(A, &body(ALICE, WIDE));
    assert_eq!(
        media_part(&rig.answer(A, None)),
        "m=audio 20000 RTP/AVP 96 97\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\n\
         a=rtpmap:97 telephone-event/8000\r\na=fmtp:97 0-16\r\na=rtcp:20001\r\na=sendrecv\r\n"
    );
}

#[test]
fn what_cannot_be_agreed_to_is_refused_with_its_reason() {
    let refused = |rig: &mut Rig, kind, sdp: &str| match rig.remote(A, kind, sdp, None) {
        Event::Refused {
            status: 488, why, ..
        } => why,
        other => panic!("{other:?}"),
    };
    let mut rig = Rig::new();
    let plain = body(ALICE, G711);
    assert_eq!(
        refused(&mut rig, OfferOrAnswer::Answer, &plain),
        "an answer without an offer"
    );
    assert_eq!(rig.opened, [], "no ports for a session that was never made");

    rig.offer(A, None);
    let off = body(ALICE, &["m=audio 0 RTP/AVP 0"]);
    assert_eq!(
        refused(&mut rig, OfferOrAnswer::Answer, &off),
        "the audio was rejected"
    );
    let other = body(ALICE, &["m=audio 4000 RTP/AVP 9"]);
    assert_eq!(
        refused(&mut rig, OfferOrAnswer::Answer, &other),
        "the answer has no codec that was offered"
    );

    // R12: B chose PCMA, and A offers only G.722 the next time.
    let mut rig = Rig::new();
    rig.call(&plain, &body(BOB, &["m=audio 6000 RTP/AVP 8"]));
    rig.offered(A, &other);
    let answer = rig.command(Command::Answer {
        session: A,
        like: Some(B),
    });
    assert_eq!(
        answer,
        Event::Refused {
            session: A,
            status: 488,
            why: "no codec in common"
        }
    );
    let nothing = Command::Answer {
        session: B,
        like: None,
    };
    assert_eq!(
        rig.command(nothing),
        Event::Refused {
            session: B,
            status: 488,
            why: "no offer to answer"
        }
    );
}

#[test]
fn a_stream_that_is_switched_off_is_a_hold() {
    let mut rig = Rig::new();
    rig.call(&body(ALICE, G711), &body(BOB, G711));
    assert!(rig.offered(A, &body(ALICE, &["m=audio 0 RTP/AVP 0"])));
    assert!(rig.offer(B, Some(A)).ends_with("a=inactive\r\n"));
    rig.answered(B, &body(BOB, &[G711, &["a=inactive"]].concat()));
    assert_eq!(
        media_part(&rig.answer(A, Some(B))),
        "m=audio 0 RTP/AVP 0\r\n"
    );
}

#[test]
fn r15_no_ports_and_no_room_say_so_and_leave_nothing_behind() {
    let mut rig = Rig::new();
    rig.room = 1;
    rig.offered(A, &body(ALICE, G711));
    let sdp = Bytes::from(body(BOB, G711));
    let offer = Command::Offer {
        session: B,
        like: Some(A),
        both_ways: false,
        near: None,
    };
    let none = [Event::Unavailable { session: B }];
    assert_eq!(rig.handle(media::Input::Command(offer.clone())), none);
    assert_eq!(rig.plane.sessions(), 1);
    rig.close(A);
    assert!(
        matches!(rig.command(offer), Event::Offered { .. }),
        "ports come back"
    );

    let mut rig = Rig::new();
    for number in 0..8 {
        rig.offered(media::SessionId(number), &body(ALICE, G711));
    }
    let ninth = Command::Remote {
        session: media::SessionId(9),
        kind: OfferOrAnswer::Offer,
        sdp,
        near: None,
    };
    assert_eq!(
        rig.command(ninth),
        Event::Unavailable {
            session: media::SessionId(9)
        }
    );
}
