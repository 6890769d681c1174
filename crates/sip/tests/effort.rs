//! Calls of ours with an effort: the answer to a challenge (RFC 3261 §22.2, §22.3), and no more patience than was given.

mod ladder;

use std::time::Duration;

use ladder::Ladder;
use sip::digest::{self, Algorithm, Credentials};
use sip::{Login, Message, Method, Name, Request, Response, Status, Text};

const CHALLENGED: Status = Status::PROXY_AUTHENTICATION_REQUIRED;

fn with_login() -> Ladder {
    let mut ladder = Ladder::new();
    ladder.effort.login = Some(Login {
        username: Text::from_static("acme"),
        password: Text::from_static("secret"),
    });
    ladder.invite();
    ladder
}

fn challenge(ladder: &Ladder, status: Status, nonce: &str, stale: bool) -> Response {
    let mut response = ladder.reply(&Method::Invite, status, "peer");
    let name = match status {
        Status::UNAUTHORIZED => Name::WwwAuthenticate,
        _ => Name::ProxyAuthenticate,
    };
    let value = digest::challenge("gw.example.net", nonce, Algorithm::Md5, stale);
    response.headers.push(name, value);
    response
}

fn proof(request: &Request, name: &Name) -> Option<Credentials> {
    let value = request.headers.get(name)?;
    Credentials::parse(value).expect("credentials")
}

#[test]
fn a_challenge_is_answered_in_the_same_call_and_the_dialog_counts_on() {
    for (status, name) in [
        (Status::UNAUTHORIZED, Name::Authorization),
        (CHALLENGED, Name::ProxyAuthorization),
    ] {
        let mut ladder = with_login();
        let first = ladder.last_request(&Method::Invite).clone();
        assert!(proof(&first, &name).is_none());
        ladder.get(challenge(&ladder, status, "n1", false));
        let second = ladder.last_request(&Method::Invite).clone();
        ladder.get(ladder.reply(&Method::Invite, Status::RINGING, "peer"));
        ladder.get(ladder.reply(&Method::Invite, Status::OK, "peer"));
        ladder.hang_up();
        let code = status.0;
        ladder.shows(&format!(
            "0.000 ! invite
            0.000 > INVITE sip:peer@192.0.2.9 +sdp
            0.000 < {code} (1 INVITE)
            0.000 > ACK sip:peer@192.0.2.9
            0.000 > INVITE sip:peer@192.0.2.9 +sdp
            0.000 < 180 (2 INVITE)
            0.000 * Ringing 180
            0.000 < 200 (2 INVITE)
            0.000 > ACK sip:peer@192.0.2.9:5060
            0.000 * Answered
            0.000 ! hangup
            0.000 > BYE sip:peer@192.0.2.9:5060"
        ));
        let proof = proof(&second, &name).expect("a proof");
        let ha1 = digest::ha1(Algorithm::Md5, b"acme", "gw.example.net", b"secret");
        assert!(proof.verify(&ha1, &Method::Invite, &second.body));
        assert_eq!(second.call_id(), first.call_id());
        let tag = |request: &Request| request.from().expect("From").tag();
        assert_eq!(tag(&second), tag(&first));
        assert_eq!(second.headers.all(&Name::Via).count(), 1);
        assert_ne!(
            second.headers.get(&Name::Via),
            first.headers.get(&Name::Via)
        );
        let bye = ladder.last_request(&Method::Bye);
        assert_eq!(bye.cseq().expect("CSeq").number, 3);
    }
}

#[test]
fn a_wrong_password_is_told_once() {
    let mut ladder = with_login();
    ladder.get(challenge(&ladder, CHALLENGED, "n1", false));
    ladder.get(challenge(&ladder, CHALLENGED, "n2", false));
    ladder.shows(
        "0.000 ! invite
        0.000 > INVITE sip:peer@192.0.2.9 +sdp
        0.000 < 407 (1 INVITE)
        0.000 > ACK sip:peer@192.0.2.9
        0.000 > INVITE sip:peer@192.0.2.9 +sdp
        0.000 < 407 (2 INVITE)
        0.000 > ACK sip:peer@192.0.2.9
        0.000 * Failed 407",
    );
    ladder.at(80.0);
    ladder.shows_nothing_left();
}

#[test]
fn a_call_that_was_given_up_answers_no_challenge() {
    let mut ladder = with_login();
    ladder.hang_up();
    ladder.get(challenge(&ladder, CHALLENGED, "n1", false));
    ladder.shows(
        "0.000 ! invite
        0.000 > INVITE sip:peer@192.0.2.9 +sdp
        0.000 ! hangup
        0.000 < 407 (1 INVITE)
        0.000 > ACK sip:peer@192.0.2.9
        0.000 * Failed 407",
    );
}

/// Hard case "digest leak": an endpoint that answers our INVITE with a challenge gets nothing to crack.
#[test]
fn whoever_challenges_a_call_without_a_login_never_gets_a_digest() {
    for status in [Status::UNAUTHORIZED, CHALLENGED] {
        let mut ladder = Ladder::new();
        ladder.invite();
        ladder.get(challenge(&ladder, status, "n1", false));
        let code = status.0;
        ladder.shows(&format!(
            "0.000 ! invite
            0.000 > INVITE sip:peer@192.0.2.9 +sdp
            0.000 < {code} (1 INVITE)
            0.000 > ACK sip:peer@192.0.2.9
            0.000 * Failed {code}"
        ));
        let leaks = |message: &Message| match message {
            Message::Request(request) => [Name::Authorization, Name::ProxyAuthorization]
                .iter()
                .any(|name| request.headers.get(name).is_some()),
            Message::Response(_) => false,
        };
        assert!(!ladder.sent.iter().any(leaks));
    }
}

fn impatient() -> Ladder {
    let mut ladder = Ladder::new();
    ladder.flow = ladder::ws(4);
    ladder.effort.patience = Some(Duration::from_secs(4));
    ladder.invite();
    ladder
}

#[test]
fn a_silent_peer_has_failed_when_patience_ends_and_a_late_answer_is_hung_up() {
    let mut ladder = impatient();
    ladder.at(6.0);
    ladder.get(ladder.reply(&Method::Invite, Status::OK, "peer"));
    ladder.get(ladder.reply(&Method::Bye, Status::OK, "peer"));
    ladder.shows(
        "0.000 ! invite
        0.000 > INVITE sip:peer@192.0.2.9 +sdp
        4.000 * Failed 408
        6.000 < 200 (1 INVITE)
        6.000 > ACK sip:peer@192.0.2.9:5060
        6.000 > BYE sip:peer@192.0.2.9:5060
        6.000 < 200 (2 BYE)",
    );
    ladder.at(80.0);
    ladder.shows_nothing_left();
}

#[test]
fn a_silent_peer_that_rings_late_is_cancelled() {
    let mut ladder = impatient();
    ladder.at(6.0);
    ladder.get(ladder.reply(&Method::Invite, Status::RINGING, "peer"));
    ladder.get(ladder.reply(&Method::Cancel, Status::OK, ""));
    ladder.get(ladder.reply(&Method::Invite, Status::REQUEST_TERMINATED, "peer"));
    ladder.shows(
        "0.000 ! invite
        0.000 > INVITE sip:peer@192.0.2.9 +sdp
        4.000 * Failed 408
        6.000 < 180 (1 INVITE)
        6.000 > CANCEL sip:peer@192.0.2.9
        6.000 < 200 (1 CANCEL)
        6.000 < 487 (1 INVITE)
        6.000 > ACK sip:peer@192.0.2.9",
    );
    ladder.at(80.0);
    ladder.shows_nothing_left();
}

#[test]
fn any_sign_of_life_is_enough_for_patience() {
    let mut ladder = impatient();
    ladder.at(3.0);
    ladder.get(ladder.reply(&Method::Invite, Status::TRYING, ""));
    ladder.at(20.0);
    ladder.get(ladder.reply(&Method::Invite, Status::RINGING, "peer"));
    ladder.shows(
        "0.000 ! invite
        0.000 > INVITE sip:peer@192.0.2.9 +sdp
        3.000 < 100 (1 INVITE)
        20.000 < 180 (1 INVITE)
        20.000 * Ringing 180",
    );
}
