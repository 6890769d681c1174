//! Requests inside a dialog beside the session itself, and INVITEs that replace it: RFC 3515, RFC 3891, RFC 4488, RFC 6086.

mod ladder;

use ladder::{Ladder, SESSION, answered_with_sdp, with_sdp};
use sip::{
    Command, Header, Message, Method, Name, Replaced, Replaces, Request, RequestId, SessionId,
    Status,
};

fn connected() -> Ladder {
    let mut ladder = Ladder::new();
    ladder.get(with_sdp(ladder.request(Method::Invite, "1")));
    ladder.accept();
    ladder.answer();
    ladder.get(ladder.in_dialog(Method::Ack, "ack", 1));
    ladder.forget();
    ladder
}

fn refer(ladder: &Ladder, branch: &str, cseq: u32) -> Request {
    let mut refer = ladder.in_dialog(Method::Refer, branch, cseq);
    refer
        .headers
        .push(Name::ReferTo, "<sip:carol@example.com?Subject=x>");
    refer
}

fn notify(ladder: &mut Ladder, refer: RequestId, status: Status) {
    let (session, reason) = (SESSION, None);
    ladder.command(
        &format!("notify {status}"),
        Command::Notify {
            session,
            refer,
            status,
            reason,
        },
    );
}

fn request(ladder: &mut Ladder, id: u64, method: Method, headers: Vec<Header>) {
    ladder.command(
        &format!("request {method}"),
        Command::RequestInDialog {
            session: SESSION,
            request: RequestId(id),
            method,
            headers,
            body: "x".into(),
        },
    );
}

/// The body and the header of the last NOTIFY.
fn last_notify(ladder: &Ladder) -> (String, String, String) {
    let notify = ladder.last_request(&Method::Notify);
    let header = |name| notify.headers.get(&name).expect("there").to_string();
    let body = String::from_utf8_lossy(&notify.body).into_owned();
    (header(Name::Event), header(Name::SubscriptionState), body)
}

#[test]
fn a_refer_is_notified_to_its_end() {
    let mut ladder = connected();
    ladder.get(refer(&ladder, "2", 2));
    let id = ladder.respond(Status::ACCEPTED);
    let event = "refer;id=2".to_owned();
    let active = "active;expires=300".to_owned();
    assert_eq!(
        last_notify(&ladder),
        (
            event.clone(),
            active.clone(),
            "SIP/2.0 100 Trying\r\n".into()
        )
    );
    ladder.get(ladder.reply(&Method::Notify, Status::OK, ""));
    ladder.at(1.0);
    notify(&mut ladder, id, Status::RINGING);
    ladder.get(ladder.reply(&Method::Notify, Status::OK, ""));
    ladder.at(2.0);
    notify(&mut ladder, id, Status::OK);
    assert_eq!(
        last_notify(&ladder),
        (
            event,
            "terminated;reason=noresource".into(),
            "SIP/2.0 200 OK\r\n".into()
        )
    );
    ladder.get(ladder.reply(&Method::Notify, Status::OK, ""));
    notify(&mut ladder, id, Status::OK);
    ladder.get(ladder.in_dialog(Method::Bye, "b", 3));
    ladder.shows(
        "0.000 < REFER sip:us@192.0.2.1
        0.000 * Refer to sip:carol@example.com
        0.000 ! respond 202
        0.000 > 202 (2 REFER)
        0.000 > NOTIFY sip:peer@192.0.2.9:5060
        0.000 < 200 (1 NOTIFY)
        1.000 ! notify 180
        1.000 > NOTIFY sip:peer@192.0.2.9:5060
        1.000 < 200 (2 NOTIFY)
        2.000 ! notify 200
        2.000 > NOTIFY sip:peer@192.0.2.9:5060
        2.000 < 200 (3 NOTIFY)
        2.000 ! notify 200
        2.000 < BYE sip:us@192.0.2.1
        2.000 > 200 (3 BYE)
        2.000 * Ended Bye { reason: None }",
    );
    ladder.at(80.0);
    ladder.shows_nothing_left();
}

#[test]
fn who_leaves_after_its_refer_is_told_all_the_same() {
    let mut ladder = connected();
    ladder.get(refer(&ladder, "2", 2));
    let id = ladder.respond(Status::ACCEPTED);
    ladder.get(ladder.reply(&Method::Notify, Status::OK, ""));
    ladder.get(ladder.in_dialog(Method::Bye, "3", 3));
    ladder.at(5.0);
    ladder.hang_up();
    request(&mut ladder, 1, Method::Info, Vec::new());
    notify(&mut ladder, id, Status::RINGING);
    ladder.get(ladder.reply(&Method::Notify, Status::OK, ""));
    ladder.get(ladder.in_dialog(Method::Info, "4", 4));
    notify(&mut ladder, id, Status::OK);
    ladder.shows(
        "0.000 < REFER sip:us@192.0.2.1
        0.000 * Refer to sip:carol@example.com
        0.000 ! respond 202
        0.000 > 202 (2 REFER)
        0.000 > NOTIFY sip:peer@192.0.2.9:5060
        0.000 < 200 (1 NOTIFY)
        0.000 < BYE sip:us@192.0.2.1
        0.000 > 200 (3 BYE)
        0.000 * Ended Bye { reason: None }
        5.000 ! hangup
        5.000 ! request INFO
        5.000 ! notify 180
        5.000 > NOTIFY sip:peer@192.0.2.9:5060
        5.000 < 200 (2 NOTIFY)
        5.000 < INFO sip:us@192.0.2.1
        5.000 > 481 (4 INFO)
        5.000 ! notify 200
        5.000 > NOTIFY sip:peer@192.0.2.9:5060",
    );
    assert_eq!(ladder.stack.sessions(), 0);
    ladder.get(ladder.reply(&Method::Notify, Status::OK, ""));
    ladder.at(100.0);
    ladder.shows_nothing_left();
}

#[test]
fn a_refer_whose_end_nobody_tells_is_forgotten() {
    let mut ladder = connected();
    ladder.get(refer(&ladder, "2", 2));
    ladder.respond(Status::ACCEPTED);
    ladder.get(ladder.reply(&Method::Notify, Status::OK, ""));
    ladder.get(ladder.in_dialog(Method::Bye, "3", 3));
    ladder.at(299.0);
    assert_eq!(ladder.stack.sessions(), 1);
    ladder.at(300.0);
    ladder.shows_nothing_left();
}

#[test]
fn a_refer_that_wants_no_subscription_gets_none() {
    let mut ladder = connected();
    let mut quiet = refer(&ladder, "2", 2);
    quiet.headers.push(Name::ReferSub, "false");
    ladder.get(quiet);
    let id = ladder.respond(Status::ACCEPTED);
    // RFC 4488 §4: the answer says so too.
    let said = ladder.last_response().headers.get(&Name::ReferSub);
    assert_eq!(said.map(ToString::to_string).as_deref(), Some("false"));
    notify(&mut ladder, id, Status::OK);
    ladder.get(refer(&ladder, "3", 3));
    ladder.respond(Status::DECLINE);
    // RFC 3515 §2.4.2: exactly one Refer-To.
    ladder.get(ladder.in_dialog(Method::Refer, "4", 4));
    ladder.shows(
        "0.000 < REFER sip:us@192.0.2.1
        0.000 * Refer to sip:carol@example.com
        0.000 ! respond 202
        0.000 > 202 (2 REFER)
        0.000 ! notify 200
        0.000 < REFER sip:us@192.0.2.1
        0.000 * Refer to sip:carol@example.com
        0.000 ! respond 603
        0.000 > 603 (3 REFER)
        0.000 < REFER sip:us@192.0.2.1
        0.000 > 400 (4 REFER)",
    );
}

/// Phones hang up as soon as they have sent a REFER: what becomes of it is answered all the same.
#[test]
fn a_refer_right_before_a_bye_is_answered_by_what_becomes_of_it() {
    let mut ladder = connected();
    ladder.get(refer(&ladder, "2", 2));
    ladder.get(ladder.in_dialog(Method::Info, "3", 3));
    ladder.get(ladder.in_dialog(Method::Bye, "4", 4));
    let id = ladder.respond(Status::ACCEPTED);
    notify(&mut ladder, id, Status::OK);
    ladder.get(ladder.reply(&Method::Notify, Status::OK, ""));
    // Nothing is left.
    ladder.get(ladder.in_dialog(Method::Info, "5", 5));
    ladder.shows(
        "0.000 < REFER sip:us@192.0.2.1
        0.000 * Refer to sip:carol@example.com
        0.000 < INFO sip:us@192.0.2.1
        0.000 * Info
        0.000 < BYE sip:us@192.0.2.1
        0.000 > 200 (4 BYE)
        0.000 * Ended Bye { reason: None }
        0.000 > 487 (3 INFO)
        0.000 ! respond 202
        0.000 > 202 (2 REFER)
        0.000 > NOTIFY sip:peer@192.0.2.9:5060
        0.000 ! notify 200
        0.000 > NOTIFY sip:peer@192.0.2.9:5060
        0.000 < 200 (2 NOTIFY)
        0.000 < INFO sip:us@192.0.2.1
        0.000 > 481 (5 INFO)
        0.000 * Rejected 481",
    );
    assert_eq!(ladder.stack.sessions(), 0);
}

#[test]
fn a_refer_right_before_a_bye_may_be_refused_or_forgotten() {
    for answer in [Some(Status::DECLINE), None] {
        let mut ladder = connected();
        ladder.get(refer(&ladder, "2", 2));
        ladder.get(ladder.in_dialog(Method::Bye, "3", 3));
        ladder.forget();
        match answer {
            Some(status) => drop(ladder.respond(status)),
            None => ladder.at(32.0),
        }
        let said = ladder.last_response().status;
        assert_eq!(said, answer.unwrap_or(Status::SERVER_INTERNAL_ERROR));
        ladder.get(ladder.in_dialog(Method::Info, "4", 4));
        assert_eq!(ladder.last_response().status, Status::CALL_DOES_NOT_EXIST);
    }
}

#[test]
fn a_subscription_may_be_asked_about_and_ended() {
    let mut ladder = connected();
    ladder.get(refer(&ladder, "2", 2));
    let id = ladder.respond(Status::ACCEPTED);
    ladder.get(ladder.reply(&Method::Notify, Status::OK, ""));
    let mut subscribe = ladder.in_dialog(Method::Subscribe, "3", 3);
    subscribe.headers.push(Name::Event, "refer;id=2");
    subscribe.headers.push(Name::Expires, "0");
    ladder.get(subscribe);
    assert_eq!(last_notify(&ladder).1, "terminated;reason=timeout");
    ladder.get(ladder.reply(&Method::Notify, Status::OK, ""));
    notify(&mut ladder, id, Status::OK);
    let mut presence = ladder.in_dialog(Method::Subscribe, "4", 4);
    presence.headers.push(Name::Event, "presence");
    ladder.get(presence);
    ladder.shows(
        "0.000 < REFER sip:us@192.0.2.1
        0.000 * Refer to sip:carol@example.com
        0.000 ! respond 202
        0.000 > 202 (2 REFER)
        0.000 > NOTIFY sip:peer@192.0.2.9:5060
        0.000 < 200 (1 NOTIFY)
        0.000 < SUBSCRIBE sip:us@192.0.2.1
        0.000 > 200 (3 SUBSCRIBE)
        0.000 > NOTIFY sip:peer@192.0.2.9:5060
        0.000 < 200 (2 NOTIFY)
        0.000 ! notify 200
        0.000 < SUBSCRIBE sip:us@192.0.2.1
        0.000 > 489 (4 SUBSCRIBE)",
    );
}

#[test]
fn our_refer_is_told_of_until_the_last_notify() {
    let mut ladder = connected();
    let to = vec![Header::new(Name::ReferTo, "<sip:carol@example.com>")];
    request(&mut ladder, 5, Method::Refer, to);
    ladder.get(ladder.reply(&Method::Refer, Status::ACCEPTED, ""));
    let tell = |ladder: &mut Ladder, cseq: u32, event: &str, state: &str, line: &str| {
        let mut notify = ladder.in_dialog(Method::Notify, &cseq.to_string(), cseq);
        notify.headers.push(Name::Event, event);
        notify.headers.push(Name::SubscriptionState, state);
        notify.headers.push(Name::ContentType, "message/sipfrag");
        notify.body = line.to_owned().into();
        ladder.get(notify);
    };
    tell(&mut ladder, 2, "refer", "active", "SIP/2.0 100 Trying\r\n");
    tell(
        &mut ladder,
        3,
        "refer;id=1",
        "terminated;reason=noresource",
        "SIP/2.0 200 OK\r\n",
    );
    tell(&mut ladder, 4, "refer", "active", "SIP/2.0 200 OK\r\n");
    tell(&mut ladder, 5, "conference", "active", "");
    ladder.shows(
        "0.000 ! request REFER
        0.000 > REFER sip:peer@192.0.2.9:5060
        0.000 < 202 (1 REFER)
        0.000 * Responded 5 202
        0.000 < NOTIFY sip:us@192.0.2.1
        0.000 > 200 (2 NOTIFY)
        0.000 * Notified 5 100
        0.000 < NOTIFY sip:us@192.0.2.1
        0.000 > 200 (3 NOTIFY)
        0.000 * Notified 5 200 last
        0.000 < NOTIFY sip:us@192.0.2.1
        0.000 > 481 (4 NOTIFY)
        0.000 < NOTIFY sip:us@192.0.2.1 active
        0.000 > 489 (5 NOTIFY)",
    );
}

#[test]
fn what_nobody_answers_is_answered_in_the_end() {
    let mut ladder = connected();
    ladder.get(ladder.in_dialog(Method::Info, "2", 2));
    ladder.at(10.0);
    ladder.get(ladder.in_dialog(Method::Message, "3", 3));
    ladder.at(35.0);
    ladder.get(ladder.in_dialog(Method::Bye, "4", 4));
    ladder.shows(
        "0.000 < INFO sip:us@192.0.2.1
        0.000 * Info
        10.000 < MESSAGE sip:us@192.0.2.1
        10.000 * Message
        32.000 > 500 (2 INFO)
        35.000 < BYE sip:us@192.0.2.1
        35.000 > 200 (4 BYE)
        35.000 * Ended Bye { reason: None }
        35.000 > 487 (3 MESSAGE)",
    );
    ladder.at(100.0);
    ladder.shows_nothing_left();
}

#[test]
fn only_so_many_requests_wait_at_once() {
    let mut ladder = connected();
    for cseq in 2..=10 {
        ladder.get(ladder.in_dialog(Method::Info, &cseq.to_string(), cseq));
    }
    assert_eq!(ladder.requested.len(), 8);
    let refused = ladder.last_response();
    assert_eq!(refused.status, Status::SERVER_INTERNAL_ERROR);
    assert!(refused.headers.get(&Name::RetryAfter).is_some());
}

#[test]
fn our_requests_go_through_the_dialog_and_a_481_ends_it() {
    let mut ladder = connected();
    let kind = vec![Header::new(Name::ContentType, "application/dtmf-relay")];
    request(&mut ladder, 1, Method::Info, kind);
    ladder.get(ladder.reply(&Method::Info, Status::OK, ""));
    request(&mut ladder, 2, Method::Bye, Vec::new());
    request(&mut ladder, 3, Method::Message, Vec::new());
    ladder.get(ladder.reply(&Method::Message, Status::CALL_DOES_NOT_EXIST, ""));
    ladder.shows(
        "0.000 ! request INFO
        0.000 > INFO sip:peer@192.0.2.9:5060
        0.000 < 200 (1 INFO)
        0.000 * Responded 1 200
        0.000 ! request BYE
        0.000 * Responded 2 405
        0.000 ! request MESSAGE
        0.000 > MESSAGE sip:peer@192.0.2.9:5060
        0.000 < 481 (2 MESSAGE)
        0.000 * Responded 3 481
        0.000 > BYE sip:peer@192.0.2.9:5060
        0.000 * Ended ReinviteTimeout481",
    );
}

// --- Replaces ---

/// The dialog as who is told of it by a REFER names it.
fn named(ladder: &Ladder) -> Replaces {
    let ours = ladder.sent.iter().rev().find_map(|message| match message {
        Message::Response(response) => response.to().ok()?.tag(),
        Message::Request(request) => request.from().ok()?.tag(),
    });
    Replaces {
        call_id: "call-of-peer".into(),
        to_tag: ours.expect("a tag of ours"),
        from_tag: "peer".into(),
        early_only: false,
    }
}

fn replacing(ladder: &Ladder, branch: &str, replaces: impl ToString) -> Request {
    let mut invite = with_sdp(ladder.request(Method::Invite, branch));
    invite.headers.set(Name::CallId, branch.to_owned());
    invite.headers.push(Name::Replaces, replaces.to_string());
    invite
}

#[test]
fn an_invite_with_replaces_says_whose_place_it_takes() {
    let mut ladder = connected();
    let replaces = named(&ladder);
    ladder.get(replacing(&ladder, "r1", &replaces));
    let early_only = Replaces {
        early_only: true,
        ..replaces.clone()
    };
    ladder.get(replacing(&ladder, "r2", early_only));
    let stranger = Replaces {
        from_tag: "other".into(),
        ..replaces.clone()
    };
    ladder.get(replacing(&ladder, "r3", stranger));
    ladder.get(replacing(&ladder, "r4", "call-of-peer"));
    let mut twice = replacing(&ladder, "r5", &replaces);
    twice.headers.push(Name::Join, replaces.to_string());
    ladder.get(twice);
    ladder.hang_up();
    ladder.get(replacing(&ladder, "r6", &replaces));
    ladder.get(ladder.reply(&Method::Bye, Status::OK, ""));
    ladder.get(replacing(&ladder, "r7", &replaces));
    ladder.shows(
        "0.000 < INVITE sip:us@192.0.2.1 +sdp
        0.000 * Request INVITE for Replaced { session: SessionId(1), early: false }
        0.000 < INVITE sip:us@192.0.2.1 +sdp
        0.000 > 486 (1 INVITE)
        0.000 * Rejected 486
        0.000 < INVITE sip:us@192.0.2.1 +sdp
        0.000 > 481 (1 INVITE)
        0.000 * Rejected 481
        0.000 < INVITE sip:us@192.0.2.1 +sdp
        0.000 > 400 (1 INVITE)
        0.000 * Rejected 400
        0.000 < INVITE sip:us@192.0.2.1 +sdp
        0.000 > 400 (1 INVITE)
        0.000 * Rejected 400
        0.000 ! hangup
        0.000 > BYE sip:peer@192.0.2.9:5060
        0.000 < INVITE sip:us@192.0.2.1 +sdp
        0.000 > 603 (1 INVITE)
        0.000 * Rejected 603
        0.000 < 200 (1 BYE)
        0.000 * Ended HungUp
        0.000 < INVITE sip:us@192.0.2.1 +sdp
        0.000 > 481 (1 INVITE)
        0.000 * Rejected 481",
    );
}

#[test]
fn only_our_own_early_dialogs_can_be_replaced() {
    let mut ladder = Ladder::new();
    ladder.get(with_sdp(ladder.request(Method::Invite, "1")));
    ladder.accept();
    ladder.ring();
    ladder.get(replacing(&ladder, "r1", named(&ladder)));
    assert_eq!(ladder.last_response().status, Status::CALL_DOES_NOT_EXIST);

    let mut ladder = Ladder::new();
    ladder.invite();
    ladder.get(ladder.reply(&Method::Invite, Status::RINGING, "peer"));
    let call_id = ladder.last_request(&Method::Invite).call_id().cloned();
    let replaces = Replaces {
        call_id: call_id.expect("Call-ID"),
        ..named(&ladder)
    };
    ladder.forget();
    ladder.get(replacing(&ladder, "r1", replaces));
    ladder.shows(
        "0.000 < INVITE sip:us@192.0.2.1 +sdp
        0.000 * Request INVITE for Replaced { session: SessionId(1), early: true }",
    );
}

#[test]
fn an_invite_that_replaces_goes_to_the_shard_of_the_dialog_and_its_cancel_too() {
    let mut ladder = Ladder::new();
    let replaces = "a;to-tag=070000000000000001;from-tag=1";
    ladder.get(replacing(&ladder, "r1", replaces));
    ladder.get(ladder.request(Method::Cancel, "r1"));
    ladder.get(ladder.request(Method::Cancel, "r2"));
    ladder.at(33.0);
    ladder.get(ladder.request(Method::Cancel, "r1"));
    ladder.shows(
        "0.000 < INVITE sip:us@192.0.2.1 +sdp
        0.000 > to shard 7
        0.000 < CANCEL sip:us@192.0.2.1
        0.000 > to shard 7
        0.000 < CANCEL sip:us@192.0.2.1
        0.000 > 481 (1 CANCEL)
        0.000 * Rejected 481
        33.000 < CANCEL sip:us@192.0.2.1
        33.000 > 481 (1 CANCEL)
        33.000 * Rejected 481",
    );
}

#[test]
fn a_dialog_that_a_refer_names_is_found() {
    let mut ladder = connected();
    let replaces = named(&ladder);
    assert_eq!(replaces.shard(), Some(0));
    let find = |ladder: &mut Ladder, replaces: Replaces| {
        let (session, request) = (SessionId(9), RequestId(3));
        ladder.command(
            "find",
            Command::Find {
                session,
                request,
                replaces,
            },
        );
    };
    let other = Replaces {
        call_id: "another".into(),
        ..replaces.clone()
    };
    find(&mut ladder, replaces);
    find(&mut ladder, other);
    let session = SESSION;
    let found = Replaced {
        session,
        early: false,
    };
    ladder.shows(&format!(
        "0.000 ! find
        0.000 * Found {:?}
        0.000 ! find
        0.000 * Found None",
        Some(found)
    ));
}

// --- offers that come late ---

#[test]
fn an_invite_without_offer_is_acknowledged_with_our_answer() {
    let mut ladder = Ladder::new();
    ladder.invite_without_offer();
    let ok = ladder.reply(&Method::Invite, Status::OK, "peer");
    ladder.get(answered_with_sdp(ok.clone()));
    ladder.at(0.5);
    // It comes again until our ACK, which waits for the answer.
    ladder.get(answered_with_sdp(ok.clone()));
    ladder.acknowledge();
    ladder.get(answered_with_sdp(ok));
    ladder.at(1.0);
    ladder.reinvite_without_offer();
    let ok = ladder.reply(&Method::Invite, Status::OK, "peer");
    ladder.get(answered_with_sdp(ok));
    ladder.get(with_sdp(ladder.back(Method::Invite, "r", 5)));
    ladder.acknowledge();
    ladder.shows(
        "0.000 ! invite
        0.000 > INVITE sip:peer@192.0.2.9
        0.000 < 200 (1 INVITE) +sdp
        0.000 * Answered +sdp
        0.500 < 200 (1 INVITE) +sdp
        0.500 ! acknowledge
        0.500 > ACK sip:peer@192.0.2.9:5060 +sdp
        0.500 < 200 (1 INVITE) +sdp
        0.500 > ACK sip:peer@192.0.2.9:5060 +sdp
        1.000 ! reinvite
        1.000 > INVITE sip:peer@192.0.2.9:5060
        1.000 < 200 (2 INVITE) +sdp
        1.000 * Reanswered +sdp
        1.000 < INVITE sip:us@192.0.2.1 +sdp
        1.000 > 491 (5 INVITE)
        1.000 ! acknowledge
        1.000 > ACK sip:peer@192.0.2.9:5060 +sdp",
    );
}

#[test]
fn an_offer_that_is_never_answered_ends_the_session() {
    let mut ladder = Ladder::new();
    ladder.invite_without_offer();
    let ok = ladder.reply(&Method::Invite, Status::OK, "peer");
    ladder.get(answered_with_sdp(ok));
    ladder.at(32.0);
    ladder.get(ladder.reply(&Method::Bye, Status::OK, ""));
    ladder.shows(
        "0.000 ! invite
        0.000 > INVITE sip:peer@192.0.2.9
        0.000 < 200 (1 INVITE) +sdp
        0.000 * Answered +sdp
        32.000 > ACK sip:peer@192.0.2.9:5060
        32.000 > BYE sip:peer@192.0.2.9:5060
        32.000 * Ended NoAck
        32.000 < 200 (2 BYE)",
    );
    ladder.at(100.0);
    ladder.shows_nothing_left();
}
