//! Reliable provisional answers and what they allow: RFC 3262, RFC 3311, RFC 6228.

mod ladder;

use ladder::{Ladder, answered_with_sdp, with_sdp};
use sip::{Message, Method, Name, Request, Response, Status};

/// The peer's INVITE, which requires reliable answers.
fn called(has_offer: bool) -> Ladder {
    let mut ladder = Ladder::new();
    let mut invite = ladder.request(Method::Invite, "1");
    invite.headers.push(Name::Require, "100rel");
    invite.headers.push(Name::Allow, "INVITE, PRACK, UPDATE");
    ladder.get(if has_offer { with_sdp(invite) } else { invite });
    ladder.accept();
    ladder.forget();
    ladder
}

/// The PRACK for our last reliable answer.
fn prack(ladder: &Ladder, cseq: u32) -> Request {
    let rseq = ladder.sent.iter().rev().find_map(|message| match message {
        Message::Response(response) => response.headers.get(&Name::RSeq).cloned(),
        Message::Request(_) => None,
    });
    let mut prack = ladder.in_dialog(Method::Prack, &format!("p{cseq}"), cseq);
    let rack = format!("{} 1 INVITE", rseq.expect("a reliable answer"));
    prack.headers.push(Name::RAck, rack);
    prack
}

/// A reliable answer of the peer to our INVITE.
fn reliable(ladder: &Ladder, status: Status, tag: &str, rseq: u32) -> Response {
    let mut response = ladder.reply(&Method::Invite, status, tag);
    response.headers.push(Name::Require, "100rel");
    response.headers.push(Name::RSeq, rseq.to_string());
    response.headers.push(Name::Allow, "INVITE, PRACK, UPDATE");
    response
}

#[test]
fn a_reliable_answer_comes_again_until_its_prack() {
    let mut ladder = called(true);
    ladder.ring();
    ladder.at(2.0);
    ladder.get(prack(&ladder, 2));
    ladder.at(10.0);
    // The next one has the next number, and a PRACK that comes again its answer again.
    let first = prack(&ladder, 2);
    ladder.ring();
    ladder.get(first);
    ladder.get(prack(&ladder, 3));
    ladder.get(prack(&ladder, 4));
    ladder.shows(
        "0.000 ! ring
        0.000 > 180 (1 INVITE) reliably
        0.500 > 180 (1 INVITE) reliably
        1.500 > 180 (1 INVITE) reliably
        2.000 < PRACK sip:us@192.0.2.1
        2.000 > 200 (2 PRACK)
        10.000 ! ring
        10.000 > 180 (1 INVITE) reliably
        10.000 < PRACK sip:us@192.0.2.1
        10.000 > 200 (2 PRACK)
        10.000 < PRACK sip:us@192.0.2.1
        10.000 > 200 (3 PRACK)
        10.000 < PRACK sip:us@192.0.2.1
        10.000 > 481 (4 PRACK)",
    );
    let numbers: Vec<u32> = ladder
        .sent
        .iter()
        .filter_map(|message| match message {
            Message::Response(response) => response.headers.get(&Name::RSeq),
            Message::Request(_) => None,
        })
        .map(|number| number.parse().expect("a number"))
        .collect();
    let first = numbers[0];
    assert_eq!(numbers, [first, first, first, first + 1]);
}

#[test]
fn the_answer_waits_for_the_prack_of_a_description() {
    let mut ladder = called(true);
    ladder.ring_early();
    ladder.ring();
    ladder.answer();
    ladder.at(1.0);
    ladder.get(prack(&ladder, 2));
    ladder.get(ladder.in_dialog(Method::Ack, "ack", 1));
    // The second answer overtook nothing: it went unacknowledged, and its PRACK finds the call up.
    ladder.get(prack(&ladder, 3));
    ladder.shows(
        "0.000 ! ring early
        0.000 > 183 (1 INVITE) reliably +sdp
        0.000 ! ring
        0.000 ! answer
        0.500 > 183 (1 INVITE) reliably +sdp
        1.000 < PRACK sip:us@192.0.2.1
        1.000 > 200 (2 PRACK)
        1.000 > 180 (1 INVITE) reliably
        1.000 > 200 (1 INVITE)
        1.000 < ACK sip:us@192.0.2.1
        1.000 * Confirmed
        1.000 < PRACK sip:us@192.0.2.1
        1.000 > 200 (3 PRACK)",
    );
}

#[test]
fn a_caller_that_never_sends_prack_is_refused_after_32_seconds() {
    let mut ladder = called(true);
    ladder.ring_early();
    ladder.answer();
    ladder.at(32.0);
    ladder.get(ladder.in_dialog(Method::Ack, "1", 1));
    ladder.shows(
        "0.000 ! ring early
        0.000 > 183 (1 INVITE) reliably +sdp
        0.000 ! answer
        0.500 > 183 (1 INVITE) reliably +sdp
        1.500 > 183 (1 INVITE) reliably +sdp
        3.500 > 183 (1 INVITE) reliably +sdp
        7.500 > 183 (1 INVITE) reliably +sdp
        15.500 > 183 (1 INVITE) reliably +sdp
        31.500 > 183 (1 INVITE) reliably +sdp
        32.000 > 504 (1 INVITE)
        32.000 * Ended NoAck
        32.000 < ACK sip:us@192.0.2.1",
    );
    ladder.at(80.0);
    ladder.shows_nothing_left();
}

#[test]
fn a_caller_that_only_supports_reliable_answers_gets_the_cheaper_kind() {
    let mut ladder = Ladder::new();
    let mut invite = with_sdp(ladder.request(Method::Invite, "1"));
    invite.headers.push(Name::Supported, "100rel");
    ladder.get(invite);
    ladder.accept();
    ladder.forget();
    ladder.ring();
    // RFC 3261 §13.3.1.1: no proxy may think that nobody rings any more.
    ladder.at(130.0);
    ladder.answer();
    ladder.shows(
        "0.000 ! ring
        0.000 > 180 (1 INVITE)
        60.000 > 180 (1 INVITE)
        120.000 > 180 (1 INVITE)
        130.000 ! answer
        130.000 > 200 (1 INVITE) +sdp",
    );
}

#[test]
fn an_offer_in_a_reliable_answer_gets_its_answer_in_the_prack() {
    let mut ladder = called(false);
    // RFC 3262 §5: the first must bring an offer; this one has none and stays unsaid.
    ladder.ring();
    ladder.ring_early();
    ladder.get(with_sdp(prack(&ladder, 2)));
    ladder.answer();
    ladder.get(ladder.in_dialog(Method::Ack, "ack", 1));
    ladder.shows(
        "0.000 ! ring
        0.000 ! ring early
        0.000 > 183 (1 INVITE) reliably +sdp
        0.000 < PRACK sip:us@192.0.2.1 +sdp
        0.000 > 200 (2 PRACK)
        0.000 * Acknowledged +sdp
        0.000 ! answer
        0.000 > 200 (1 INVITE)
        0.000 < ACK sip:us@192.0.2.1
        0.000 * Confirmed",
    );
}

#[test]
fn before_the_call_is_answered_both_sides_may_offer_anew() {
    let mut ladder = called(true);
    let update = |ladder: &Ladder, cseq: u32| {
        with_sdp(ladder.in_dialog(Method::Update, &cseq.to_string(), cseq))
    };
    ladder.ring();
    ladder.get(prack(&ladder, 2));
    // RFC 3311 §5.2: their first offer has no answer yet.
    ladder.get(update(&ladder, 3));
    ladder.update();
    ladder.ring_early();
    ladder.get(with_sdp(prack(&ladder, 4)));
    ladder.get(update(&ladder, 5));
    ladder.respond_with_sdp(Status::OK);
    ladder.get(update(&ladder, 6));
    ladder.respond(Status::NOT_ACCEPTABLE_HERE);
    ladder.update();
    ladder.get(update(&ladder, 7));
    ladder.get(answered_with_sdp(ladder.reply(
        &Method::Update,
        Status::OK,
        "",
    )));
    ladder.update();
    ladder.get(ladder.reply(&Method::Update, Status::NOT_ACCEPTABLE_HERE, ""));
    ladder.shows(
        "0.000 ! ring
        0.000 > 180 (1 INVITE) reliably
        0.000 < PRACK sip:us@192.0.2.1
        0.000 > 200 (2 PRACK)
        0.000 < UPDATE sip:us@192.0.2.1 +sdp
        0.000 > 500 (3 UPDATE)
        0.000 ! update
        0.000 * ReofferFailed 491
        0.000 ! ring early
        0.000 > 183 (1 INVITE) reliably +sdp
        0.000 < PRACK sip:us@192.0.2.1 +sdp
        0.000 * Offer
        0.000 < UPDATE sip:us@192.0.2.1 +sdp
        0.000 > 500 (5 UPDATE)
        0.000 ! respond 200
        0.000 > 200 (4 PRACK) +sdp
        0.000 < UPDATE sip:us@192.0.2.1 +sdp
        0.000 * Offer
        0.000 ! respond 488
        0.000 > 488 (6 UPDATE)
        0.000 ! update
        0.000 > UPDATE sip:peer@192.0.2.9:5060 +sdp
        0.000 < UPDATE sip:us@192.0.2.1 +sdp
        0.000 > 491 (7 UPDATE)
        0.000 < 200 (1 UPDATE) +sdp
        0.000 * Reanswered +sdp
        0.000 ! update
        0.000 > UPDATE sip:peer@192.0.2.9:5060 +sdp
        0.000 < 488 (2 UPDATE)
        0.000 * ReofferFailed 488",
    );
}

// --- our own INVITE ---

#[test]
fn each_early_dialog_gets_its_own_pracks_in_order() {
    let mut ladder = Ladder::new();
    ladder.invite();
    ladder.get(answered_with_sdp(reliable(
        &ladder,
        Status::SESSION_PROGRESS,
        "one",
        5,
    )));
    ladder.get(reliable(&ladder, Status::RINGING, "two", 900));
    // RFC 3262 §4: one that came before, and one whose predecessor is missing, are not acknowledged.
    ladder.get(answered_with_sdp(reliable(
        &ladder,
        Status::SESSION_PROGRESS,
        "one",
        5,
    )));
    ladder.get(reliable(&ladder, Status::RINGING, "one", 7));
    ladder.get(reliable(&ladder, Status::RINGING, "one", 6));
    // RFC 6228: one fork is gone, the other answers without repeating its description.
    ladder.get(ladder.reply(&Method::Invite, Status::EARLY_DIALOG_TERMINATED, "two"));
    ladder.get(ladder.reply(&Method::Invite, Status::OK, "one"));
    ladder.hang_up();
    let racks: Vec<String> = ladder
        .sent
        .iter()
        .filter_map(|message| match message {
            Message::Request(request) => request.headers.get(&Name::RAck),
            Message::Response(_) => None,
        })
        .map(ToString::to_string)
        .collect();
    assert_eq!(racks, ["5 1 INVITE", "900 1 INVITE", "6 1 INVITE"]);
    ladder.shows(
        "0.000 ! invite
        0.000 > INVITE sip:peer@192.0.2.9 +sdp
        0.000 < 183 (1 INVITE) reliably +sdp
        0.000 > PRACK sip:one@192.0.2.9:5060
        0.000 * Ringing 183 +sdp
        0.000 < 180 (1 INVITE) reliably
        0.000 > PRACK sip:two@192.0.2.9:5060
        0.000 * Ringing 180
        0.000 < 183 (1 INVITE) reliably +sdp
        0.000 < 180 (1 INVITE) reliably
        0.000 < 180 (1 INVITE) reliably
        0.000 > PRACK sip:one@192.0.2.9:5060
        0.000 * Ringing 180
        0.000 < 199 (1 INVITE)
        0.000 < 200 (1 INVITE)
        0.000 > ACK sip:one@192.0.2.9:5060
        0.000 * Answered +sdp
        0.000 ! hangup
        0.000 > BYE sip:one@192.0.2.9:5060",
    );
    // RFC 3261 §12.2.1.1: one series of numbers in the dialog: INVITE 1, PRACK 2 and 3, BYE 4.
    let bye = ladder.last_request(&Method::Bye).cseq().expect("CSeq");
    assert_eq!(bye.number, 4);
}

#[test]
fn an_early_dialog_of_ours_may_be_changed_once_its_answer_came_reliably() {
    let mut ladder = Ladder::new();
    ladder.invite();
    let update =
        |ladder: &Ladder, cseq: u32| with_sdp(ladder.back(Method::Update, &cseq.to_string(), cseq));
    ladder.get(ladder.reply(&Method::Invite, Status::RINGING, "peer"));
    // RFC 3311 §5.2: our offer has no answer yet.
    ladder.get(update(&ladder, 1));
    ladder.get(answered_with_sdp(reliable(
        &ladder,
        Status::SESSION_PROGRESS,
        "peer",
        1,
    )));
    ladder.get(update(&ladder, 2));
    ladder.respond_with_sdp(Status::OK);
    ladder.update();
    ladder.get(answered_with_sdp(ladder.reply(
        &Method::Update,
        Status::OK,
        "",
    )));
    ladder.shows(
        "0.000 ! invite
        0.000 > INVITE sip:peer@192.0.2.9 +sdp
        0.000 < 180 (1 INVITE)
        0.000 * Ringing 180
        0.000 < UPDATE sip:us@192.0.2.1 +sdp
        0.000 > 491 (1 UPDATE)
        0.000 < 183 (1 INVITE) reliably +sdp
        0.000 > PRACK sip:peer@192.0.2.9:5060
        0.000 * Ringing 183 +sdp
        0.000 < UPDATE sip:us@192.0.2.1 +sdp
        0.000 * Offer
        0.000 ! respond 200
        0.000 > 200 (2 UPDATE) +sdp
        0.000 ! update
        0.000 > UPDATE sip:peer@192.0.2.9:5060 +sdp
        0.000 < 200 (3 UPDATE) +sdp
        0.000 * Reanswered +sdp",
    );
}

#[test]
fn an_established_call_is_changed_by_update_where_the_peer_takes_it() {
    let mut ladder = Ladder::new();
    ladder.invite();
    let mut ok = ladder.reply(&Method::Invite, Status::OK, "peer");
    ok.headers.push(Name::Allow, "INVITE, UPDATE");
    ladder.get(ok);
    ladder.update();
    let mut moved = answered_with_sdp(ladder.reply(&Method::Update, Status::OK, ""));
    moved.headers.set(Name::Contact, "<sip:moved@192.0.2.9>");
    ladder.get(moved);
    ladder.update();
    // RFC 3311 §5.3: glare is waited out like that of re-INVITEs.
    ladder.get(ladder.reply(&Method::Update, Status::REQUEST_PENDING, ""));
    ladder.shows(
        "0.000 ! invite
        0.000 > INVITE sip:peer@192.0.2.9 +sdp
        0.000 < 200 (1 INVITE)
        0.000 > ACK sip:peer@192.0.2.9:5060
        0.000 * Answered
        0.000 ! update
        0.000 > UPDATE sip:peer@192.0.2.9:5060 +sdp
        0.000 < 200 (2 UPDATE) +sdp
        0.000 * Reanswered +sdp
        0.000 ! update
        0.000 > UPDATE sip:moved@192.0.2.9 +sdp
        0.000 < 491 (3 UPDATE)",
    );
    ladder.at(2.0);
    ladder.shows("");
    ladder.at(4.0);
    ladder.forget();
    ladder.get(ladder.reply(&Method::Update, Status::REQUEST_TIMEOUT, ""));
    ladder.shows(
        "4.000 < 408 (4 UPDATE)
        4.000 > BYE sip:moved@192.0.2.9
        4.000 * Ended ReinviteTimeout481",
    );
}
