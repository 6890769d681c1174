//! The four transactions as a stack runs them, in virtual time: RFC 3261 §17, Table 4; RFC 6026.

mod ladder;

use ladder::{Ladder, with_sdp, ws};
use sip::{Method, Status};

#[test]
fn an_unanswered_invite_is_repeated_until_timer_b() {
    let mut ladder = Ladder::new();
    ladder.invite();
    ladder.at(100.0);
    ladder.shows(
        "0.000 ! invite
        0.000 > INVITE sip:peer@192.0.2.9 +sdp
        0.500 > INVITE sip:peer@192.0.2.9 +sdp
        1.500 > INVITE sip:peer@192.0.2.9 +sdp
        3.500 > INVITE sip:peer@192.0.2.9 +sdp
        7.500 > INVITE sip:peer@192.0.2.9 +sdp
        15.500 > INVITE sip:peer@192.0.2.9 +sdp
        31.500 > INVITE sip:peer@192.0.2.9 +sdp
        32.000 * Failed 408",
    );
    ladder.shows_nothing_left();
}

#[test]
fn a_reliable_transport_sends_once_and_waits_as_long() {
    let mut ladder = Ladder::new();
    ladder.flow = ws(5);
    ladder.invite();
    ladder.at(100.0);
    ladder.shows(
        "0.000 ! invite
        0.000 > INVITE sip:peer@192.0.2.9 +sdp
        32.000 * Failed 408",
    );
    ladder.shows_nothing_left();
}

#[test]
fn a_refused_invite_acknowledges_each_copy_until_timer_d() {
    let mut ladder = Ladder::new();
    ladder.invite();
    ladder.at(0.1);
    let busy = ladder.reply(&Method::Invite, Status::BUSY_HERE, "peer");
    ladder.get(busy.clone());
    let branch = |request: &sip::Request| request.via().expect("Via").branch();
    let invite = ladder.last_request(&Method::Invite);
    let ack = ladder.last_request(&Method::Ack);
    // RFC 3261 §17.1.1.3: the ACK belongs to the transaction, and takes To from the answer.
    assert_eq!(branch(ack), branch(invite));
    assert_eq!(ack.to().expect("To").tag().as_deref(), Some("peer"));
    ladder.at(1.0);
    ladder.get(busy.clone());
    ladder.at(32.2);
    ladder.get(busy);
    ladder.shows(
        "0.000 ! invite
        0.000 > INVITE sip:peer@192.0.2.9 +sdp
        0.100 < 486 (1 INVITE)
        0.100 > ACK sip:peer@192.0.2.9
        0.100 * Failed 486
        1.000 < 486 (1 INVITE)
        1.000 > ACK sip:peer@192.0.2.9
        32.200 < 486 (1 INVITE)",
    );
    ladder.shows_nothing_left();
}

#[test]
fn a_refusal_is_repeated_until_its_ack_and_the_invite_is_absorbed() {
    let mut ladder = Ladder::new();
    let invite = with_sdp(ladder.request(Method::Invite, "1"));
    ladder.get(invite.clone());
    ladder.accept();
    ladder.at(0.2);
    ladder.get(invite.clone());
    ladder.at(1.0);
    ladder.refuse(Status::BUSY_HERE);
    ladder.at(2.0);
    ladder.get(invite.clone());
    ladder.at(9.0);
    let ack = ladder.in_dialog(Method::Ack, "1", 1);
    ladder.get(ack.clone());
    ladder.at(10.0);
    ladder.get(ack);
    ladder.get(invite);
    ladder.at(20.0);
    ladder.shows(
        "0.000 < INVITE sip:us@192.0.2.1 +sdp
        0.000 * Request INVITE
        0.000 ! accept
        0.000 > 100 (1 INVITE)
        0.200 < INVITE sip:us@192.0.2.1 +sdp
        0.200 > 100 (1 INVITE)
        1.000 ! refuse
        1.000 > 486 (1 INVITE)
        1.500 > 486 (1 INVITE)
        2.000 < INVITE sip:us@192.0.2.1 +sdp
        2.000 > 486 (1 INVITE)
        2.500 > 486 (1 INVITE)
        4.500 > 486 (1 INVITE)
        8.500 > 486 (1 INVITE)
        9.000 < ACK sip:us@192.0.2.1
        10.000 < ACK sip:us@192.0.2.1
        10.000 < INVITE sip:us@192.0.2.1 +sdp",
    );
    ladder.shows_nothing_left();
}

#[test]
fn a_refusal_without_ack_ends_with_timer_h() {
    let mut ladder = Ladder::new();
    ladder.get(with_sdp(ladder.request(Method::Invite, "1")));
    ladder.accept();
    ladder.refuse(Status::BUSY_HERE);
    ladder.at(31.9);
    assert_eq!(
        (ladder.stack.sessions(), ladder.stack.transactions()),
        (0, 1)
    );
    assert_eq!(ladder.sent.len(), 1 + 11);
    ladder.at(32.0);
    ladder.shows_nothing_left();
}

#[test]
fn a_bye_is_repeated_at_most_every_t2_and_ends_with_timer_f() {
    let mut ladder = Ladder::new();
    ladder.invite();
    ladder.get(ladder.reply(&Method::Invite, Status::OK, "peer"));
    ladder.at(100.0);
    ladder.shows(
        "0.000 ! invite
        0.000 > INVITE sip:peer@192.0.2.9 +sdp
        0.000 < 200 (1 INVITE)
        0.000 > ACK sip:peer@192.0.2.9:5060
        0.000 * Answered",
    );
    ladder.hang_up();
    ladder.at(108.0);
    ladder.get(ladder.reply(&Method::Bye, Status::TRYING, ""));
    ladder.at(200.0);
    let bye = |at: &str| format!("{at} > BYE sip:peer@192.0.2.9:5060");
    let mut lines = vec!["100.000 ! hangup".to_owned()];
    lines.extend(["100.000", "100.500", "101.500", "103.500", "107.500"].map(bye));
    lines.push("108.000 < 100 (2 BYE)".to_owned());
    lines.extend(
        [
            "111.500", "115.500", "119.500", "123.500", "127.500", "131.500",
        ]
        .map(bye),
    );
    lines.push("132.000 * Ended HungUp".to_owned());
    ladder.shows(&lines.join("\n"));
    ladder.shows_nothing_left();
}

#[test]
fn a_repeated_bye_gets_the_same_answer_until_timer_j() {
    let mut ladder = Ladder::new();
    ladder.invite();
    ladder.get(ladder.reply(&Method::Invite, Status::OK, "peer"));
    let bye = ladder.back(Method::Bye, "b", 7);
    ladder.get(bye.clone());
    ladder.at(31.0);
    ladder.get(bye.clone());
    ladder.at(33.0);
    ladder.get(bye);
    ladder.shows(
        "0.000 ! invite
        0.000 > INVITE sip:peer@192.0.2.9 +sdp
        0.000 < 200 (1 INVITE)
        0.000 > ACK sip:peer@192.0.2.9:5060
        0.000 * Answered
        0.000 < BYE sip:us@192.0.2.1
        0.000 > 200 (7 BYE)
        0.000 * Ended Bye { reason: None }
        31.000 < BYE sip:us@192.0.2.1
        31.000 > 200 (7 BYE)
        33.000 < BYE sip:us@192.0.2.1
        33.000 > 481 (7 BYE)
        33.000 * Rejected 481",
    );
    ladder.shows_nothing_left();
}
