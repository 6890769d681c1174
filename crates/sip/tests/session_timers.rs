//! Session timers with either refresher: RFC 4028; and what a request inside a dialog may require (RFC 3261 §8.2.2.3).

mod ladder;

use ladder::{Ladder, with_sdp};
use sip::{Method, Name, Request, Response, Status};

/// The peer's 2xx to our last request of a method, with what it says of the session timer.
fn granting(ladder: &Ladder, method: &Method, timer: &'static str) -> Response {
    let mut ok = ladder.reply(method, Status::OK, "peer");
    ok.headers.push(Name::SessionExpires, timer);
    ok
}

/// Our call, answered with these words about the session timer.
fn calling(timer: &'static str, allow: &'static str) -> Ladder {
    let mut ladder = Ladder::new();
    ladder.invite();
    let mut ok = granting(&ladder, &Method::Invite, timer);
    ok.headers.push(Name::Allow, allow);
    ladder.get(ok);
    ladder.forget();
    ladder
}

fn asking(mut request: Request, timer: &'static str) -> Request {
    request.headers.push(Name::Supported, "timer");
    request.headers.push(Name::SessionExpires, timer);
    request
}

fn said(headers: &sip::Headers, name: &Name) -> Option<String> {
    headers.get(name).map(ToString::to_string)
}

#[test]
fn we_ask_for_a_timer_and_live_without_where_the_peer_has_none() {
    let mut ladder = Ladder::new();
    ladder.invite();
    let invite = ladder.last_request(&Method::Invite);
    assert_eq!(
        said(&invite.headers, &Name::SessionExpires).as_deref(),
        Some("1800")
    );
    assert!(invite.headers.lists(&Name::Supported, "timer"));
    ladder.get(ladder.reply(&Method::Invite, Status::OK, "peer"));
    ladder.forget();
    ladder.at(10_000.0);
    ladder.shows("");
    assert_eq!(ladder.stack.sessions(), 1);
}

#[test]
fn our_turn_to_refresh_comes_at_half_the_interval() {
    let mut ladder = calling("100;refresher=uac", "INVITE, UPDATE");
    ladder.at(50.0);
    let update = ladder.last_request(&Method::Update);
    let timer = said(&update.headers, &Name::SessionExpires);
    assert_eq!(timer.as_deref(), Some("100;refresher=uac"));
    ladder.get(granting(&ladder, &Method::Update, "100;refresher=uac"));
    ladder.at(100.0);
    // RFC 4028 §7.4: a 422 makes the interval longer.
    let mut longer = ladder.reply(&Method::Update, Status::SESSION_INTERVAL_TOO_SMALL, "");
    longer.headers.push(Name::MinSe, "200");
    ladder.get(longer);
    ladder.get(granting(&ladder, &Method::Update, "200;refresher=uac"));
    ladder.at(200.0);
    ladder.get(ladder.reply(&Method::Update, Status::CALL_DOES_NOT_EXIST, ""));
    ladder.shows(
        "50.000 > UPDATE sip:peer@192.0.2.9:5060
        50.000 < 200 (2 UPDATE)
        100.000 > UPDATE sip:peer@192.0.2.9:5060
        100.000 < 422 (3 UPDATE)
        100.000 > UPDATE sip:peer@192.0.2.9:5060
        100.000 < 200 (4 UPDATE)
        200.000 > UPDATE sip:peer@192.0.2.9:5060
        200.000 < 481 (5 UPDATE)
        200.000 > BYE sip:peer@192.0.2.9:5060
        200.000 * Ended ReinviteTimeout481",
    );
}

#[test]
fn without_update_a_reinvite_refreshes_with_the_description_as_it_is() {
    let mut ladder = calling("100;refresher=uac", "INVITE");
    ladder.at(50.0);
    ladder.reinvite();
    ladder.get(granting(&ladder, &Method::Invite, "100;refresher=uac"));
    ladder.get(granting(&ladder, &Method::Invite, "100;refresher=uas"));
    ladder.at(115.0);
    ladder.shows(
        "50.000 > INVITE sip:peer@192.0.2.9:5060 +sdp
        50.000 ! reinvite
        50.000 < 200 (2 INVITE)
        50.000 > ACK sip:peer@192.0.2.9:5060
        50.000 > INVITE sip:peer@192.0.2.9:5060 +sdp
        50.000 < 200 (3 INVITE)
        50.000 > ACK sip:peer@192.0.2.9:5060
        50.000 * Reanswered",
    );
    // The other side took over and is silent: RFC 4028 §10.
    ladder.at(118.0);
    ladder.shows(
        "118.000 > BYE sip:peer@192.0.2.9:5060
        118.000 * Ended SessionExpired",
    );
}

#[test]
fn a_refused_refresh_leaves_the_session_until_its_interval_is_over() {
    let mut ladder = calling("100;refresher=uac", "INVITE, UPDATE");
    ladder.at(50.0);
    ladder.get(ladder.reply(&Method::Update, Status::NOT_ACCEPTABLE_HERE, ""));
    ladder.at(68.0);
    ladder.shows(
        "50.000 > UPDATE sip:peer@192.0.2.9:5060
        50.000 < 488 (2 UPDATE)
        68.000 > BYE sip:peer@192.0.2.9:5060
        68.000 * Ended SessionExpired",
    );
}

#[test]
fn s80_a_called_side_that_was_to_refresh_and_died_is_noticed() {
    let mut ladder = calling("90;refresher=uas", "INVITE, UPDATE");
    ladder.at(59.9);
    ladder.shows("");
    ladder.at(60.0);
    ladder.shows(
        "60.000 > BYE sip:peer@192.0.2.9:5060
        60.000 * Ended SessionExpired",
    );
}

#[test]
fn a_caller_may_leave_the_refreshing_to_us() {
    let mut ladder = Ladder::new();
    let mut invite = asking(
        with_sdp(ladder.request(Method::Invite, "1")),
        "90;refresher=uas",
    );
    invite.headers.push(Name::Allow, "INVITE, UPDATE");
    ladder.get(invite);
    ladder.accept();
    ladder.answer();
    let timer = said(&ladder.last_response().headers, &Name::SessionExpires);
    assert_eq!(timer.as_deref(), Some("90;refresher=uas"));
    ladder.get(ladder.in_dialog(Method::Ack, "ack", 1));
    ladder.forget();
    ladder.at(45.0);
    // An offer of theirs does not wait for a refresh that offers nothing.
    ladder.get(asking(
        with_sdp(ladder.in_dialog(Method::Invite, "2", 2)),
        "90",
    ));
    ladder.shows(
        "45.000 > UPDATE sip:peer@192.0.2.9:5060
        45.000 < INVITE sip:us@192.0.2.1 +sdp
        45.000 > 100 (2 INVITE)
        45.000 * Offered +sdp",
    );
}

#[test]
fn our_invite_is_sent_again_with_the_interval_that_422_wants() {
    let mut ladder = Ladder::new();
    ladder.invite();
    let too_small = |ladder: &Ladder, least: &'static str| {
        let status = Status::SESSION_INTERVAL_TOO_SMALL;
        let mut response = ladder.reply(&Method::Invite, status, "peer");
        response.headers.push(Name::MinSe, least);
        response
    };
    let call_id = ladder.last_request(&Method::Invite).call_id().cloned();
    ladder.get(too_small(&ladder, "3600"));
    let again = ladder.last_request(&Method::Invite);
    assert_eq!(again.call_id().cloned(), call_id);
    let timer = |name| said(&again.headers, &name);
    assert_eq!(timer(Name::SessionExpires).as_deref(), Some("3600"));
    assert_eq!(timer(Name::MinSe).as_deref(), Some("3600"));
    // One that asks for no more than it was given is a refusal.
    ladder.get(too_small(&ladder, "3600"));
    ladder.shows(
        "0.000 ! invite
        0.000 > INVITE sip:peer@192.0.2.9 +sdp
        0.000 < 422 (1 INVITE)
        0.000 > ACK sip:peer@192.0.2.9
        0.000 > INVITE sip:peer@192.0.2.9 +sdp
        0.000 < 422 (2 INVITE)
        0.000 > ACK sip:peer@192.0.2.9
        0.000 * Failed 422",
    );
    ladder.at(80.0);
    ladder.shows_nothing_left();
}

#[test]
fn an_interval_below_90_seconds_is_refused_to_who_understands_it() {
    let mut ladder = Ladder::new();
    ladder.get(asking(with_sdp(ladder.request(Method::Invite, "1")), "89"));
    let least = said(&ladder.last_response().headers, &Name::MinSe);
    assert_eq!(least.as_deref(), Some("90"));
    ladder.get(asking(with_sdp(ladder.request(Method::Invite, "2")), "90"));
    ladder.accept();
    ladder.answer();
    ladder.get(ladder.in_dialog(Method::Ack, "ack", 1));
    ladder.get(asking(ladder.in_dialog(Method::Update, "3", 2), "30"));
    ladder.shows(
        "0.000 < INVITE sip:us@192.0.2.1 +sdp
        0.000 > 422 (1 INVITE)
        0.000 * Rejected 422
        0.000 < INVITE sip:us@192.0.2.1 +sdp
        0.000 * Request INVITE
        0.000 ! accept
        0.000 > 100 (1 INVITE)
        0.000 ! answer
        0.000 > 200 (1 INVITE) +sdp
        0.000 < ACK sip:us@192.0.2.1
        0.000 * Confirmed
        0.000 < UPDATE sip:us@192.0.2.1
        0.000 > 422 (2 UPDATE)",
    );
}

#[test]
fn an_unknown_extension_is_refused_inside_a_dialog_too() {
    let mut ladder = calling("1800;refresher=uac", "INVITE");
    let requiring = |ladder: &Ladder, cseq: u32, tag: &'static str| {
        let mut info = ladder.back(Method::Options, &cseq.to_string(), cseq);
        info.headers.push(Name::Require, tag);
        info
    };
    ladder.get(requiring(&ladder, 5, "timer, precondition"));
    let unsupported = said(&ladder.last_response().headers, &Name::Unsupported);
    assert_eq!(unsupported.as_deref(), Some("precondition"));
    ladder.get(requiring(&ladder, 6, "100rel, Timer, replaces"));
    ladder.shows(
        "0.000 < OPTIONS sip:us@192.0.2.1
        0.000 > 420 (5 OPTIONS)
        0.000 < OPTIONS sip:us@192.0.2.1
        0.000 > 200 (6 OPTIONS)",
    );
}
