//! INVITE sessions against a scripted foreign peer: RFC 3261 §9, §12–§15; the races of the hard cases.

mod ladder;

use ladder::{Ladder, with_sdp, ws};
use sip::{Message, Method, Name, Status};

fn called() -> Ladder {
    let mut ladder = Ladder::new();
    ladder.get(with_sdp(ladder.request(Method::Invite, "1")));
    ladder.accept();
    ladder
}

fn connected() -> Ladder {
    let mut ladder = called();
    ladder.answer();
    ladder.get(ladder.in_dialog(Method::Ack, "ack", 1));
    ladder.shows(
        "0.000 < INVITE sip:us@192.0.2.1 +sdp
        0.000 * Request INVITE
        0.000 ! accept
        0.000 > 100 (1 INVITE)
        0.000 ! answer
        0.000 > 200 (1 INVITE) +sdp
        0.000 < ACK sip:us@192.0.2.1
        0.000 * Confirmed",
    );
    ladder
}

fn calling() -> Ladder {
    let mut ladder = Ladder::new();
    ladder.invite();
    ladder.shows(
        "0.000 ! invite
        0.000 > INVITE sip:peer@192.0.2.9 +sdp",
    );
    ladder
}

/// Ours is the Call-ID.
fn connected_caller() -> Ladder {
    let mut ladder = calling();
    ladder.get(ladder.reply(&Method::Invite, Status::OK, "peer"));
    ladder.shows(
        "0.000 < 200 (1 INVITE)
        0.000 > ACK sip:peer@192.0.2.9:5060
        0.000 * Answered",
    );
    ladder
}

#[test]
fn the_answer_says_where_the_request_came_from_and_who_we_are() {
    let ladder = connected();
    let Some(Message::Response(ok)) = ladder.sent.last() else {
        panic!("a response");
    };
    let header = |name| ok.headers.get(&name).map(ToString::to_string);
    let via = "SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK1;rport=40000;received=198.51.100.9";
    assert_eq!(header(Name::Via).as_deref(), Some(via));
    assert_eq!(
        header(Name::Contact).as_deref(),
        Some("<sip:us@192.0.2.1:5060>")
    );
    assert_eq!(header(Name::Server).as_deref(), Some("Offhook"));
}

#[test]
fn s78_an_answer_without_ack_is_repeated_for_32_seconds_and_then_ended() {
    let mut ladder = called();
    ladder.answer();
    ladder.at(32.0);
    let mut lines = vec![
        "0.000 < INVITE sip:us@192.0.2.1 +sdp".to_owned(),
        "0.000 * Request INVITE".to_owned(),
        "0.000 ! accept".to_owned(),
        "0.000 > 100 (1 INVITE)".to_owned(),
        "0.000 ! answer".to_owned(),
    ];
    let times = [
        "0.000", "0.500", "1.500", "3.500", "7.500", "11.500", "15.500", "19.500", "23.500",
        "27.500", "31.500",
    ];
    lines.extend(times.map(|at| format!("{at} > 200 (1 INVITE) +sdp")));
    lines.push("32.000 > BYE sip:peer@192.0.2.9:5060".to_owned());
    lines.push("32.000 * Ended NoAck".to_owned());
    ladder.shows(&lines.join("\n"));
    ladder.get(ladder.reply(&Method::Bye, Status::OK, ""));
    ladder.at(80.0);
    ladder.shows_nothing_left();
}

#[test]
fn a_hangup_waits_for_the_ack() {
    let mut ladder = called();
    ladder.answer();
    ladder.at(0.1);
    ladder.hang_up();
    ladder.at(0.2);
    ladder.get(ladder.in_dialog(Method::Ack, "ack", 1));
    ladder.get(ladder.reply(&Method::Bye, Status::OK, ""));
    ladder.shows(
        "0.000 < INVITE sip:us@192.0.2.1 +sdp
        0.000 * Request INVITE
        0.000 ! accept
        0.000 > 100 (1 INVITE)
        0.000 ! answer
        0.000 > 200 (1 INVITE) +sdp
        0.100 ! hangup
        0.200 < ACK sip:us@192.0.2.1
        0.200 > BYE sip:peer@192.0.2.9:5060
        0.200 < 200 (1 BYE)
        0.200 * Ended HungUp",
    );
    ladder.at(80.0);
    ladder.shows_nothing_left();
}

#[test]
fn a_cancelled_call_answers_both_requests_and_tells_the_reason() {
    let mut ladder = called();
    ladder.ring();
    let mut cancel = ladder.request(Method::Cancel, "1");
    let reason = "SIP;cause=200;text=\"Call completed elsewhere\"";
    cancel.headers.push(Name::Reason, reason);
    ladder.get(cancel.clone());
    ladder.get(ladder.in_dialog(Method::Ack, "1", 1));
    ladder.get(cancel);
    ladder.answer();
    ladder.shows(
        "0.000 < INVITE sip:us@192.0.2.1 +sdp
        0.000 * Request INVITE
        0.000 ! accept
        0.000 > 100 (1 INVITE)
        0.000 ! ring
        0.000 > 180 (1 INVITE)
        0.000 < CANCEL sip:us@192.0.2.1
        0.000 > 200 (1 CANCEL)
        0.000 > 487 (1 INVITE)
        0.000 * Cancelled SIP;cause=200;text=\"Call completed elsewhere\"
        0.000 < ACK sip:us@192.0.2.1
        0.000 < CANCEL sip:us@192.0.2.1
        0.000 > 200 (1 CANCEL)
        0.000 ! answer",
    );
    let tag = |message: &Message| match message {
        Message::Response(response) => response.to().expect("To").tag(),
        Message::Request(_) => None,
    };
    let tags: Vec<_> = ladder.sent.iter().skip(1).map(tag).collect();
    assert!(tags.iter().all(|tag| tag.is_some() && *tag == tags[0]));
    ladder.at(80.0);
    ladder.shows_nothing_left();
}

#[test]
fn a_cancel_after_the_answer_changes_nothing() {
    let mut ladder = called();
    ladder.answer();
    ladder.get(ladder.request(Method::Cancel, "1"));
    ladder.get(ladder.in_dialog(Method::Ack, "ack", 1));
    ladder.shows(
        "0.000 < INVITE sip:us@192.0.2.1 +sdp
        0.000 * Request INVITE
        0.000 ! accept
        0.000 > 100 (1 INVITE)
        0.000 ! answer
        0.000 > 200 (1 INVITE) +sdp
        0.000 < CANCEL sip:us@192.0.2.1
        0.000 > 200 (1 CANCEL)
        0.000 < ACK sip:us@192.0.2.1
        0.000 * Confirmed",
    );
}

#[test]
fn our_cancel_waits_for_a_provisional_answer() {
    let mut ladder = calling();
    ladder.at(0.2);
    ladder.hang_up();
    ladder.get(ladder.reply(&Method::Invite, Status::TRYING, ""));
    ladder.get(ladder.reply(&Method::Cancel, Status::OK, ""));
    ladder.get(ladder.reply(&Method::Invite, Status::REQUEST_TERMINATED, "peer"));
    ladder.shows(
        "0.200 ! hangup
        0.200 < 100 (1 INVITE)
        0.200 > CANCEL sip:peer@192.0.2.9
        0.200 < 200 (1 CANCEL)
        0.200 < 487 (1 INVITE)
        0.200 > ACK sip:peer@192.0.2.9
        0.200 * Failed 487",
    );
    ladder.at(80.0);
    ladder.shows_nothing_left();
}

#[test]
fn s77_an_answer_that_crosses_our_cancel_gets_ack_and_bye() {
    let mut ladder = calling();
    ladder.get(ladder.reply(&Method::Invite, Status::RINGING, "peer"));
    ladder.at(1.0);
    ladder.hang_up();
    ladder.get(ladder.reply(&Method::Invite, Status::OK, "peer"));
    ladder.get(ladder.reply(&Method::Cancel, Status::CALL_DOES_NOT_EXIST, ""));
    ladder.get(ladder.reply(&Method::Invite, Status::OK, "peer"));
    ladder.get(ladder.reply(&Method::Bye, Status::OK, ""));
    ladder.shows(
        "0.000 < 180 (1 INVITE)
        0.000 * Ringing 180
        1.000 ! hangup
        1.000 > CANCEL sip:peer@192.0.2.9
        1.000 < 200 (1 INVITE)
        1.000 > ACK sip:peer@192.0.2.9:5060
        1.000 > BYE sip:peer@192.0.2.9:5060
        1.000 * Failed 487
        1.000 < 481 (1 CANCEL)
        1.000 < 200 (1 INVITE)
        1.000 > ACK sip:peer@192.0.2.9:5060
        1.000 < 200 (2 BYE)",
    );
    ladder.at(80.0);
    ladder.shows_nothing_left();
}

#[test]
fn a_cancel_that_brings_nothing_ends_after_32_seconds() {
    let mut ladder = calling();
    ladder.get(ladder.reply(&Method::Invite, Status::RINGING, "peer"));
    ladder.hang_up();
    ladder.get(ladder.reply(&Method::Cancel, Status::OK, ""));
    ladder.at(80.0);
    ladder.shows(
        "0.000 < 180 (1 INVITE)
        0.000 * Ringing 180
        0.000 ! hangup
        0.000 > CANCEL sip:peer@192.0.2.9
        0.000 < 200 (1 CANCEL)
        32.000 * Failed 487",
    );
    ladder.shows_nothing_left();
}

#[test]
fn s79_the_second_fork_to_answer_gets_ack_and_bye() {
    let mut ladder = calling();
    ladder.get(ladder.reply(&Method::Invite, Status::RINGING, "one"));
    ladder.get(ladder.reply(&Method::Invite, Status::RINGING, "two"));
    ladder.get(ladder.reply(&Method::Invite, Status::OK, "two"));
    ladder.at(1.0);
    ladder.get(ladder.reply(&Method::Invite, Status::OK, "one"));
    ladder.get(ladder.reply(&Method::Invite, Status::OK, "two"));
    ladder.shows(
        "0.000 < 180 (1 INVITE)
        0.000 * Ringing 180
        0.000 < 180 (1 INVITE)
        0.000 * Ringing 180
        0.000 < 200 (1 INVITE)
        0.000 > ACK sip:two@192.0.2.9:5060
        0.000 * Answered
        1.000 < 200 (1 INVITE)
        1.000 > ACK sip:one@192.0.2.9:5060
        1.000 > BYE sip:one@192.0.2.9:5060
        1.000 < 200 (1 INVITE)
        1.000 > ACK sip:two@192.0.2.9:5060",
    );
    assert_eq!(ladder.stack.sessions(), 1);
}

#[test]
fn an_invite_without_offer_gets_ours_and_its_answer_in_the_ack() {
    let mut ladder = Ladder::new();
    ladder.get(ladder.request(Method::Invite, "1"));
    ladder.accept();
    ladder.answer();
    ladder.get(with_sdp(ladder.in_dialog(Method::Ack, "ack", 1)));
    ladder.at(1.0);
    ladder.get(ladder.in_dialog(Method::Invite, "2", 2));
    ladder.answer();
    // RFC 5407 §3.1.4: an offer of ours is open until this ACK.
    ladder.get(with_sdp(ladder.in_dialog(Method::Invite, "3", 3)));
    ladder.get(with_sdp(ladder.in_dialog(Method::Ack, "ack2", 2)));
    ladder.shows(
        "0.000 < INVITE sip:us@192.0.2.1
        0.000 * Request INVITE
        0.000 ! accept
        0.000 > 100 (1 INVITE)
        0.000 ! answer
        0.000 > 200 (1 INVITE) +sdp
        0.000 < ACK sip:us@192.0.2.1 +sdp
        0.000 * Confirmed +sdp
        1.000 < INVITE sip:us@192.0.2.1
        1.000 > 100 (2 INVITE)
        1.000 * Offered
        1.000 ! answer
        1.000 > 200 (2 INVITE) +sdp
        1.000 < INVITE sip:us@192.0.2.1 +sdp
        1.000 > 491 (3 INVITE)
        1.000 < ACK sip:us@192.0.2.1 +sdp
        1.000 * Confirmed +sdp",
    );
}

#[test]
fn s76_crossing_reinvites_get_491_and_ours_is_tried_again() {
    let mut ladder = connected_caller();
    ladder.reinvite();
    ladder.get(with_sdp(ladder.back(Method::Invite, "r1", 5)));
    ladder.get(ladder.reply(&Method::Invite, Status::REQUEST_PENDING, ""));
    let ack = ladder.back(Method::Ack, "r1", 5);
    ladder.get(ack);
    ladder.shows(
        "0.000 ! reinvite
        0.000 > INVITE sip:peer@192.0.2.9:5060 +sdp
        0.000 < INVITE sip:us@192.0.2.1 +sdp
        0.000 > 491 (5 INVITE)
        0.000 < 491 (2 INVITE)
        0.000 > ACK sip:peer@192.0.2.9:5060
        0.000 < ACK sip:us@192.0.2.1",
    );
    // RFC 3261 §14.1: the owner of the Call-ID waits 2.1 to 4 s; the peer's second try fits in.
    ladder.at(2.0);
    ladder.get(with_sdp(ladder.back(Method::Invite, "r2", 6)));
    ladder.answer();
    ladder.get(ladder.back(Method::Ack, "a2", 6));
    ladder.shows(
        "2.000 < INVITE sip:us@192.0.2.1 +sdp
        2.000 > 100 (6 INVITE)
        2.000 * Offered +sdp
        2.000 ! answer
        2.000 > 200 (6 INVITE) +sdp
        2.000 < ACK sip:us@192.0.2.1
        2.000 * Confirmed",
    );
    let before = ladder.sent.len();
    ladder.at(2.099);
    assert_eq!(ladder.sent.len(), before);
    ladder.at(4.0);
    assert!(ladder.sent.len() > before);
    ladder.get(ladder.reply(&Method::Invite, Status::OK, ""));
    assert_eq!(
        ladder
            .last_request(&Method::Ack)
            .cseq()
            .expect("CSeq")
            .number,
        3
    );
}

#[test]
fn who_did_not_make_the_call_id_waits_less_after_glare() {
    let mut ladder = connected();
    ladder.reinvite();
    ladder.get(ladder.reply(&Method::Invite, Status::REQUEST_PENDING, ""));
    ladder.forget();
    // RFC 3261 §14.1: between 0 and 2 s.
    ladder.at(2.0);
    ladder.get(ladder.reply(&Method::Invite, Status::OK, ""));
    let ack = ladder.last_request(&Method::Ack).cseq().expect("CSeq");
    assert_eq!(ack.number, 2);
}

#[test]
fn a_reinvite_before_the_answer_to_the_last_is_told_to_come_later() {
    let mut ladder = connected();
    ladder.get(with_sdp(ladder.in_dialog(Method::Invite, "2", 2)));
    ladder.get(with_sdp(ladder.in_dialog(Method::Invite, "3", 3)));
    // RFC 3261 §14.2: up to ten seconds later.
    let later = ladder.last_response().headers.get(&Name::RetryAfter);
    let seconds: u32 = later.expect("Retry-After").parse().expect("a number");
    assert!(seconds <= 10);
    ladder.shows(
        "0.000 < INVITE sip:us@192.0.2.1 +sdp
        0.000 > 100 (2 INVITE)
        0.000 * Offered +sdp
        0.000 < INVITE sip:us@192.0.2.1 +sdp
        0.000 > 500 (3 INVITE)",
    );
}

#[test]
fn our_reason_goes_with_cancel_and_with_bye() {
    let reason = || {
        let value = sip::Reason::sip(200, "Call completed elsewhere").to_string();
        vec![sip::Header::new(Name::Reason, value)]
    };
    let said = |ladder: &Ladder, method: &Method| {
        let value = ladder.last_request(method).headers.get(&Name::Reason);
        value.expect("Reason").to_string()
    };
    let hang_up = |ladder: &mut Ladder| {
        let (session, headers) = (ladder::SESSION, reason());
        ladder.command("hangup", sip::Command::Hangup { session, headers });
    };
    let expected = "SIP;cause=200;text=\"Call completed elsewhere\"";

    let mut ladder = calling();
    ladder.get(ladder.reply(&Method::Invite, Status::RINGING, "peer"));
    hang_up(&mut ladder);
    assert_eq!(said(&ladder, &Method::Cancel), expected);
    // The 200 crossed it.
    ladder.get(ladder.reply(&Method::Invite, Status::OK, "peer"));
    assert_eq!(said(&ladder, &Method::Bye), expected);

    let mut ladder = connected();
    hang_up(&mut ladder);
    assert_eq!(said(&ladder, &Method::Bye), expected);
}

#[test]
fn s76_a_bye_that_crosses_our_reinvite_ends_the_session_once() {
    let mut ladder = connected_caller();
    ladder.reinvite();
    ladder.get(ladder.back(Method::Bye, "b", 5));
    ladder.get(ladder.reply(&Method::Invite, Status::CALL_DOES_NOT_EXIST, ""));
    ladder.shows(
        "0.000 ! reinvite
        0.000 > INVITE sip:peer@192.0.2.9:5060 +sdp
        0.000 < BYE sip:us@192.0.2.1
        0.000 > 200 (5 BYE)
        0.000 * Ended Bye { reason: None }
        0.000 < 481 (2 INVITE)
        0.000 > ACK sip:peer@192.0.2.9:5060",
    );
    ladder.at(80.0);
    ladder.shows_nothing_left();
}

#[test]
fn a_bye_with_a_reinvite_pending_answers_both() {
    let mut ladder = connected();
    ladder.get(with_sdp(ladder.in_dialog(Method::Invite, "2", 2)));
    let mut bye = ladder.in_dialog(Method::Bye, "3", 3);
    bye.headers.push(Name::Reason, "Q.850;cause=16");
    ladder.get(bye);
    ladder.shows(
        "0.000 < INVITE sip:us@192.0.2.1 +sdp
        0.000 > 100 (2 INVITE)
        0.000 * Offered +sdp
        0.000 < BYE sip:us@192.0.2.1
        0.000 > 200 (3 BYE)
        0.000 > 487 (2 INVITE)
        0.000 * Ended Bye { reason: Some(\"Q.850;cause=16\") }",
    );
    ladder.at(80.0);
    ladder.shows_nothing_left();
}

#[test]
fn byes_that_cross_are_both_answered() {
    let mut ladder = connected();
    ladder.hang_up();
    ladder.get(ladder.in_dialog(Method::Bye, "2", 2));
    ladder.get(ladder.reply(&Method::Bye, Status::OK, ""));
    ladder.shows(
        "0.000 ! hangup
        0.000 > BYE sip:peer@192.0.2.9:5060
        0.000 < BYE sip:us@192.0.2.1
        0.000 > 200 (2 BYE)
        0.000 * Ended HungUp
        0.000 < 200 (1 BYE)",
    );
    ladder.at(80.0);
    ladder.shows_nothing_left();
}

#[test]
fn a_reinvite_to_a_dialog_that_is_gone_ends_the_session() {
    let mut ladder = connected_caller();
    ladder.reinvite();
    ladder.get(ladder.reply(&Method::Invite, Status::CALL_DOES_NOT_EXIST, ""));
    ladder.shows(
        "0.000 ! reinvite
        0.000 > INVITE sip:peer@192.0.2.9:5060 +sdp
        0.000 < 481 (2 INVITE)
        0.000 > ACK sip:peer@192.0.2.9:5060
        0.000 > BYE sip:peer@192.0.2.9:5060
        0.000 * Ended ReinviteTimeout481",
    );
    ladder.at(80.0);
    ladder.shows_nothing_left();
}

#[test]
fn a_refused_reinvite_leaves_the_session_as_it_was() {
    let mut ladder = connected_caller();
    ladder.reinvite();
    ladder.get(ladder.reply(&Method::Invite, Status::NOT_ACCEPTABLE_HERE, ""));
    ladder.shows(
        "0.000 ! reinvite
        0.000 > INVITE sip:peer@192.0.2.9:5060 +sdp
        0.000 < 488 (2 INVITE)
        0.000 > ACK sip:peer@192.0.2.9:5060
        0.000 * ReofferFailed 488",
    );
    assert_eq!(ladder.stack.sessions(), 1);
}

#[test]
fn requests_inside_the_dialog_are_served_in_their_order() {
    let mut ladder = connected();
    let mut info = ladder.in_dialog(Method::Info, "2", 2);
    info.headers
        .push(Name::ContentType, "application/dtmf-relay");
    info.body = "Signal=5".into();
    ladder.get(info);
    ladder.respond(Status::OK);
    ladder.get(ladder.in_dialog(Method::Options, "3", 3));
    ladder.get(ladder.in_dialog(Method::Info, "4", 3));
    ladder.get(ladder.in_dialog(Method::Publish, "5", 5));
    ladder.get(ladder.in_dialog(Method::Other("DANCE".into()), "6", 6));
    let mut update = ladder.in_dialog(Method::Update, "7", 7);
    update
        .headers
        .set(Name::Contact, "<sip:moved@192.0.2.9:5070>");
    ladder.get(update);
    ladder.get(with_sdp(ladder.in_dialog(Method::Update, "8", 8)));
    ladder.answer();
    ladder.get(with_sdp(ladder.in_dialog(Method::Invite, "9", 9)));
    ladder.refuse(Status::NOT_ACCEPTABLE_HERE);
    ladder.get(ladder.in_dialog(Method::Ack, "9", 9));
    ladder.hang_up();
    ladder.shows(
        "0.000 < INFO sip:us@192.0.2.1
        0.000 * Info
        0.000 ! respond 200
        0.000 > 200 (2 INFO)
        0.000 < OPTIONS sip:us@192.0.2.1
        0.000 > 200 (3 OPTIONS)
        0.000 < INFO sip:us@192.0.2.1
        0.000 > 500 (3 INFO)
        0.000 < PUBLISH sip:us@192.0.2.1
        0.000 > 405 (5 PUBLISH)
        0.000 < DANCE sip:us@192.0.2.1
        0.000 > 501 (6 DANCE)
        0.000 < UPDATE sip:us@192.0.2.1
        0.000 > 200 (7 UPDATE)
        0.000 < UPDATE sip:us@192.0.2.1 +sdp
        0.000 * Offered +sdp
        0.000 ! answer
        0.000 > 200 (8 UPDATE) +sdp
        0.000 < INVITE sip:us@192.0.2.1 +sdp
        0.000 > 100 (9 INVITE)
        0.000 * Offered +sdp
        0.000 ! refuse
        0.000 > 488 (9 INVITE)
        0.000 < ACK sip:us@192.0.2.1
        0.000 ! hangup
        0.000 > BYE sip:peer@192.0.2.9:5060",
    );
}

#[test]
fn a_dialog_goes_through_the_proxies_that_recorded_themselves() {
    let mut ladder = calling();
    let mut ok = ladder.reply(&Method::Invite, Status::OK, "peer");
    ok.headers
        .push(Name::RecordRoute, "<sip:far;lr>, <sip:near;lr>");
    ladder.get(ok);
    ladder.hang_up();
    ladder.shows(
        "0.000 < 200 (1 INVITE)
        0.000 > ACK sip:peer@192.0.2.9:5060 via <sip:near;lr>
        0.000 * Answered
        0.000 ! hangup
        0.000 > BYE sip:peer@192.0.2.9:5060 via <sip:near;lr>",
    );
}

#[test]
fn s80_a_session_that_is_not_refreshed_ends_before_its_interval() {
    let mut ladder = Ladder::new();
    let timed = |mut request: sip::Request| {
        request.headers.push(Name::Supported, "timer");
        request.headers.push(Name::SessionExpires, "90");
        request
    };
    ladder.get(timed(with_sdp(ladder.request(Method::Invite, "1"))));
    ladder.accept();
    ladder.answer();
    let expires = ladder.last_response().headers.get(&Name::SessionExpires);
    assert_eq!(
        expires.map(ToString::to_string).as_deref(),
        Some("90;refresher=uac")
    );
    ladder.get(ladder.in_dialog(Method::Ack, "ack", 1));
    ladder.at(50.0);
    ladder.get(timed(ladder.in_dialog(Method::Update, "2", 2)));
    ladder.at(200.0);
    ladder.shows(
        "0.000 < INVITE sip:us@192.0.2.1 +sdp
        0.000 * Request INVITE
        0.000 ! accept
        0.000 > 100 (1 INVITE)
        0.000 ! answer
        0.000 > 200 (1 INVITE) +sdp
        0.000 < ACK sip:us@192.0.2.1
        0.000 * Confirmed
        50.000 < UPDATE sip:us@192.0.2.1
        50.000 > 200 (2 UPDATE)
        110.000 > BYE sip:peer@192.0.2.9:5060
        110.000 * Ended SessionExpired
        110.500 > BYE sip:peer@192.0.2.9:5060
        111.500 > BYE sip:peer@192.0.2.9:5060
        113.500 > BYE sip:peer@192.0.2.9:5060
        117.500 > BYE sip:peer@192.0.2.9:5060
        121.500 > BYE sip:peer@192.0.2.9:5060
        125.500 > BYE sip:peer@192.0.2.9:5060
        129.500 > BYE sip:peer@192.0.2.9:5060
        133.500 > BYE sip:peer@192.0.2.9:5060
        137.500 > BYE sip:peer@192.0.2.9:5060
        141.500 > BYE sip:peer@192.0.2.9:5060",
    );
    ladder.shows_nothing_left();
}

#[test]
fn a_browser_that_comes_back_on_another_connection_keeps_its_call() {
    let mut ladder = Ladder::new();
    ladder.flow = ws(5);
    ladder.invite();
    ladder.get(ladder.reply(&Method::Invite, Status::OK, "peer"));
    ladder.close_flow();
    ladder.at(10.0);
    ladder.flow = ws(6);
    ladder.get(ladder.back(Method::Options, "o", 5));
    ladder.at(100.0);
    ladder.close_flow();
    ladder.at(200.0);
    ladder.shows(
        "0.000 ! invite
        0.000 > INVITE sip:peer@192.0.2.9 +sdp
        0.000 < 200 (1 INVITE)
        0.000 > ACK sip:peer@192.0.2.9:5060
        0.000 * Answered
        0.000 < closed
        10.000 < OPTIONS sip:us@192.0.2.1
        10.000 * Moved 198.51.100.9:40000
        10.000 > 200 (5 OPTIONS)
        100.000 < closed
        132.000 * Ended TransportLost",
    );
    ladder.shows_nothing_left();
}

#[test]
fn a_lost_connection_fails_what_waits_on_it() {
    let mut ladder = Ladder::new();
    ladder.flow = ws(5);
    ladder.invite();
    ladder.close_flow();
    ladder.get(with_sdp(ladder.request(Method::Invite, "1")));
    ladder.accept();
    ladder.close_flow();
    ladder.shows(
        "0.000 ! invite
        0.000 > INVITE sip:peer@192.0.2.9 +sdp
        0.000 < closed
        0.000 * Failed 503
        0.000 < INVITE sip:us@192.0.2.1 +sdp
        0.000 * Request INVITE
        0.000 ! accept
        0.000 > 100 (1 INVITE)
        0.000 < closed
        0.000 * Ended TransportLost",
    );
    ladder.shows_nothing_left();
}
