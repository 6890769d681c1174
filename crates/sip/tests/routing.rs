//! Who gets a message, and what is refused before anybody does: RFC 3261 §8.2, §12.2.2, §17; hard cases S04–S71.

mod ladder;

use ladder::{Ladder, with_sdp};
use sip::{Command, Config, Method, Name, Status};

#[test]
fn s39_s41_s42_s43_what_belongs_nowhere_is_refused_or_ignored() {
    let mut ladder = Ladder::new();
    let tagged = |mut request: sip::Request| {
        request
            .headers
            .set(Name::To, "<sip:us@example.com>;tag=unknown");
        request
    };
    ladder.get(tagged(ladder.request(Method::Bye, "1")));
    ladder.get(tagged(ladder.request(Method::Invite, "2")));
    ladder.get(tagged(ladder.request(Method::Ack, "2")));
    ladder.get(ladder.request(Method::Cancel, "3"));
    ladder.get(ladder.request(Method::Ack, "4"));
    ladder.get(ladder.request(Method::Invite, "5").respond(Status::OK));
    ladder.get_text("\r\n\r\n");
    ladder.shows(
        "0.000 < BYE sip:us@192.0.2.1
        0.000 > 481 (1 BYE)
        0.000 * Rejected 481
        0.000 < INVITE sip:us@192.0.2.1
        0.000 > 481 (1 INVITE)
        0.000 * Rejected 481
        0.000 < ACK sip:us@192.0.2.1
        0.000 < CANCEL sip:us@192.0.2.1
        0.000 > 481 (1 CANCEL)
        0.000 * Rejected 481
        0.000 < ACK sip:us@192.0.2.1
        0.000 < 200 (1 INVITE)
        0.000 <",
    );
    ladder.shows_nothing_left();
}

#[test]
fn what_is_not_valid_is_refused_with_its_reason() {
    let mut ladder = Ladder::new();
    let text = |first: &str, forwards: &str, cseq: &str| {
        format!(
            "{first}\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKx\nMax-Forwards: {forwards}\n\
             From: <sip:a@example.com>;tag=1\nTo: <sip:b@example.com>\nCall-ID: c\n\
             CSeq: {cseq}\nContact: <sip:a@192.0.2.9>\nContent-Length: 0\n\n"
        )
    };
    ladder.get_text(&text(
        "OPTIONS sip:b@example.com SIP/7.0",
        "70",
        "1 OPTIONS",
    ));
    ladder.get_text(&text("INVITE sip:b@example.com SIP/2.0", "0", "1 INVITE"));
    ladder.get_text(&text("INVITE sip:b@example.com SIP/2.0", "70", "1 OPTIONS"));
    ladder.get_text("nonsense\n\n");
    let statuses: Vec<u16> = ladder
        .sent
        .iter()
        .map(|message| match message {
            sip::Message::Response(response) => response.status.0,
            sip::Message::Request(_) => 0,
        })
        .collect();
    assert_eq!(statuses, [505, 483, 400]);
    ladder.shows_nothing_left();
}

#[test]
fn s70_a_merged_request_is_a_loop_and_a_copy_is_absorbed() {
    let mut ladder = Ladder::new();
    let invite = with_sdp(ladder.request(Method::Invite, "1"));
    ladder.get(invite.clone());
    ladder.accept();
    ladder.get(invite);
    ladder.get(with_sdp(ladder.request(Method::Invite, "2")));
    let mut other = with_sdp(ladder.request(Method::Invite, "1"));
    other.headers.set(Name::CallId, "another-call");
    ladder.get(other);
    ladder.shows(
        "0.000 < INVITE sip:us@192.0.2.1 +sdp
        0.000 * Request INVITE
        0.000 ! accept
        0.000 > 100 (1 INVITE)
        0.000 < INVITE sip:us@192.0.2.1 +sdp
        0.000 > 100 (1 INVITE)
        0.000 < INVITE sip:us@192.0.2.1 +sdp
        0.000 > 482 (1 INVITE)
        0.000 * Rejected 482
        0.000 < INVITE sip:us@192.0.2.1 +sdp
        0.000 > 482 (1 INVITE)
        0.000 * Rejected 482",
    );
}

#[test]
fn a_stateless_reply_keeps_nothing_and_tags_the_same_request_the_same() {
    let mut ladder = Ladder::new();
    let flow = ladder.flow;
    let mut tags = Vec::new();
    for _ in 0..2 {
        ladder.get(ladder.request(Method::Register, "r"));
        let request = ladder.asked.pop().expect("REGISTER came up");
        let response = request.respond(Status::UNAUTHORIZED);
        ladder.command("reply", Command::Reply { flow, response });
        let response = ladder.last_response();
        let via = response.headers.get(&Name::Via).map(ToString::to_string);
        assert!(via.is_some_and(|via| via.ends_with(";rport=40000;received=198.51.100.9")));
        tags.push(response.to().expect("To").tag().expect("tag"));
    }
    assert_eq!(tags[0], tags[1]);
    ladder.shows_nothing_left();
}

#[test]
fn limits_refuse_new_calls_and_leave_the_others_alone() {
    let mut ladder = Ladder::with(Config {
        max_sessions: 1,
        ..Config::for_shard(0)
    });
    ladder.get(with_sdp(ladder.request(Method::Invite, "1")));
    ladder.accept();
    let mut second = with_sdp(ladder.request(Method::Invite, "2"));
    second.headers.set(Name::CallId, "another-call");
    ladder.get(second);
    let request = ladder.asked.pop().expect("the second came up");
    let (session, flow) = (sip::SessionId(2), ladder.flow);
    ladder.command(
        "accept",
        Command::Accept {
            session,
            request,
            flow,
        },
    );
    let retry = ladder.last_response().headers.get(&Name::RetryAfter);
    assert!(retry.is_some());
    ladder.answer();
    ladder.shows(
        "0.000 < INVITE sip:us@192.0.2.1 +sdp
        0.000 * Request INVITE
        0.000 ! accept
        0.000 > 100 (1 INVITE)
        0.000 < INVITE sip:us@192.0.2.1 +sdp
        0.000 * Request INVITE
        0.000 ! accept
        0.000 > 503 (1 INVITE)
        0.000 * Rejected 503
        0.000 * NoRoom
        0.000 ! answer
        0.000 > 200 (1 INVITE) +sdp",
    );
}

#[test]
fn a_full_table_refuses_calls_and_still_ends_them() {
    let mut ladder = Ladder::with(Config {
        max_transactions: 1,
        ..Config::for_shard(0)
    });
    ladder.get(with_sdp(ladder.request(Method::Invite, "1")));
    ladder.accept();
    ladder.answer();
    ladder.get(ladder.in_dialog(Method::Ack, "ack", 1));
    ladder.get(with_sdp(ladder.in_dialog(Method::Invite, "2", 2)));
    ladder.get(ladder.in_dialog(Method::Bye, "3", 3));
    ladder.at(40.0);
    ladder.shows(
        "0.000 < INVITE sip:us@192.0.2.1 +sdp
        0.000 * Request INVITE
        0.000 ! accept
        0.000 > 100 (1 INVITE)
        0.000 ! answer
        0.000 > 200 (1 INVITE) +sdp
        0.000 < ACK sip:us@192.0.2.1
        0.000 * Confirmed
        0.000 < INVITE sip:us@192.0.2.1 +sdp
        0.000 > 503 (2 INVITE)
        0.000 * Rejected 503
        0.000 < BYE sip:us@192.0.2.1
        0.000 > 200 (3 BYE)
        0.000 * Ended Bye { reason: None }",
    );
    ladder.shows_nothing_left();
}

#[test]
fn messages_of_another_shard_are_handed_to_it() {
    let mut ladder = Ladder::new();
    let mut bye = ladder.request(Method::Bye, "1");
    bye.headers
        .set(Name::To, "<sip:us@example.com>;tag=020123456789abcdef");
    ladder.get(bye);
    let mut ok = ladder.request(Method::Invite, "2").respond(Status::OK);
    let via = "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK030123456789abcdef";
    ok.headers.set(Name::Via, via);
    ladder.get(ok);
    ladder.shows(
        "0.000 < BYE sip:us@192.0.2.1
        0.000 > to shard 2
        0.000 < 200 (1 INVITE)
        0.000 > to shard 3",
    );
}
