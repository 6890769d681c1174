//! Requests outside of a dialog: ours with an answer to a challenge (RFC 3261 §8.1, §17.1.2, §22), theirs held until
//! they are answered (RFC 3261 §17.2.2, RFC 4320).

mod ladder;

use bytes::Bytes;
use ladder::{Ladder, ws};
use sip::digest::{self, Algorithm, Credentials};
use sip::{
    Command, Config, Destination, Login, Method, Name, Question, Request, RequestId, Response,
    Status, Text,
};

const ID: RequestId = RequestId(7);

fn question(ladder: &Ladder, method: Method) -> Question {
    Question {
        method,
        to: Destination {
            flow: ladder.flow,
            uri: Text::from_static("sip:peer@192.0.2.9"),
            route: Vec::new(),
        },
        from: Text::from_static("<sip:us@example.com>"),
        to_value: Text::from_static("<sip:peer@example.com>"),
        series: None,
        contact_user: None,
        headers: Vec::new(),
        body: Bytes::new(),
        login: None,
    }
}

fn ask(ladder: &mut Ladder, question: Question) {
    ladder.command("ask", Command::Ask { id: ID, question });
}

#[test]
fn the_answer_to_a_request_comes_up_and_its_copy_does_not() {
    let mut ladder = Ladder::new();
    let options = question(&ladder, Method::Options);
    ask(&mut ladder, options);
    ladder.at(0.6);
    ladder.get(ladder.reply(&Method::Options, Status::TRYING, ""));
    let ok = ladder.reply(&Method::Options, Status::OK, "peer");
    ladder.get(ok.clone());
    ladder.get(ok);
    ladder.at(10.0);
    ladder.shows(
        "0.000 ! ask
        0.000 > OPTIONS sip:peer@192.0.2.9
        0.500 > OPTIONS sip:peer@192.0.2.9
        0.600 < 100 (1 OPTIONS)
        0.600 < 200 (1 OPTIONS)
        0.600 * Answer 7 200
        0.600 < 200 (1 OPTIONS)",
    );
    ladder.shows_nothing_left();
}

#[test]
fn a_request_that_nobody_answers_times_out_after_64_t1() {
    let mut ladder = Ladder::new();
    ladder.flow = ws(4);
    let options = question(&ladder, Method::Options);
    ask(&mut ladder, options);
    ladder.at(100.0);
    ladder.shows(
        "0.000 ! ask
        0.000 > OPTIONS sip:peer@192.0.2.9
        32.000 * Answer 7 Timeout",
    );
    ladder.shows_nothing_left();
}

#[test]
fn a_closed_flow_ends_the_wait_at_once() {
    let mut ladder = Ladder::new();
    ladder.flow = ws(4);
    let mut options = question(&ladder, Method::Options);
    options.login = Some(login());
    ask(&mut ladder, options);
    ladder.at(1.0);
    ladder.close_flow();
    ladder.shows(
        "0.000 ! ask
        0.000 > OPTIONS sip:peer@192.0.2.9
        1.000 < closed
        1.000 * Answer 7 FlowLost",
    );
    ladder.shows_nothing_left();
}

#[test]
fn a_full_stack_sends_nothing_and_says_so() {
    let mut config = Config::for_shard(0);
    config.max_transactions = 0;
    let mut ladder = Ladder::with(config);
    let options = question(&ladder, Method::Options);
    ask(&mut ladder, options);
    ladder.shows("0.000 ! ask\n0.000 * Answer 7 NoRoom");
}

#[test]
fn a_challenge_is_answered_with_the_next_number_of_the_same_series() {
    let mut ladder = Ladder::new();
    let mut register = question(&ladder, Method::Register);
    register.login = Some(login());
    register.series = Some((Text::from_static("series"), 41));
    register.contact_user = Some(Text::from_static("line"));
    ask(&mut ladder, register);
    let challenged = challenge(&ladder, Status::UNAUTHORIZED, "n1", false);
    ladder.get(challenged);
    let second = ladder.last_request(&Method::Register).clone();
    ladder.get(ladder.reply(&Method::Register, Status::OK, "peer"));
    ladder.at(10.0);
    ladder.shows(
        "0.000 ! ask
        0.000 > REGISTER sip:peer@192.0.2.9
        0.000 < 401 (41 REGISTER)
        0.000 > REGISTER sip:peer@192.0.2.9
        0.000 < 200 (42 REGISTER)
        0.000 * Answer 7 200",
    );
    assert_eq!(second.call_id().map(|id| &**id), Some("series"));
    let contact = second.headers.get(&Name::Contact).expect("Contact");
    assert_eq!(&**contact, "<sip:line@192.0.2.1:5060>");
    assert!(proves(&second, &Name::Authorization));
    ladder.shows_nothing_left();
}

#[test]
fn a_stale_nonce_is_answered_once_more_and_a_wrong_password_is_not() {
    let mut ladder = Ladder::new();
    let mut message = question(&ladder, Method::Message);
    message.login = Some(login());
    ask(&mut ladder, message);
    let status = Status::PROXY_AUTHENTICATION_REQUIRED;
    for (nonce, stale) in [("n1", false), ("n2", true), ("n3", true)] {
        let challenged = challenge(&ladder, status, nonce, stale);
        ladder.get(challenged);
    }
    ladder.shows(
        "0.000 ! ask
        0.000 > MESSAGE sip:peer@192.0.2.9
        0.000 < 407 (1 MESSAGE)
        0.000 > MESSAGE sip:peer@192.0.2.9
        0.000 < 407 (2 MESSAGE)
        0.000 > MESSAGE sip:peer@192.0.2.9
        0.000 < 407 (3 MESSAGE)
        0.000 * Answer 7 407",
    );
    let last = ladder.last_request(&Method::Message);
    assert!(proves(last, &Name::ProxyAuthorization));

    let mut ladder = Ladder::new();
    let mut message = question(&ladder, Method::Message);
    message.login = Some(login());
    ask(&mut ladder, message);
    for nonce in ["n1", "n2"] {
        let challenged = challenge(&ladder, status, nonce, false);
        ladder.get(challenged);
    }
    ladder.shows(
        "0.000 ! ask
        0.000 > MESSAGE sip:peer@192.0.2.9
        0.000 < 407 (1 MESSAGE)
        0.000 > MESSAGE sip:peer@192.0.2.9
        0.000 < 407 (2 MESSAGE)
        0.000 * Answer 7 407",
    );
}

#[test]
fn without_a_login_a_challenge_is_the_answer() {
    let mut ladder = Ladder::new();
    let options = question(&ladder, Method::Options);
    ask(&mut ladder, options);
    let challenged = challenge(&ladder, Status::UNAUTHORIZED, "n1", false);
    ladder.get(challenged);
    ladder.shows(
        "0.000 ! ask
        0.000 > OPTIONS sip:peer@192.0.2.9
        0.000 < 401 (1 OPTIONS)
        0.000 * Answer 7 401",
    );
}

#[test]
fn a_held_request_absorbs_its_copies_and_repeats_its_answer() {
    let mut ladder = Ladder::new();
    let message = ladder.request(Method::Message, "m1");
    ladder.get(message.clone());
    hold(&mut ladder);
    ladder.at(0.5);
    ladder.get(message.clone());
    ladder.at(1.0);
    respond(&mut ladder, &message, Status::OK);
    ladder.at(1.5);
    ladder.get(message.clone());
    ladder.at(40.0);
    ladder.shows(
        "0.000 < MESSAGE sip:us@192.0.2.1
        0.000 * Request MESSAGE
        0.000 ! hold
        0.500 < MESSAGE sip:us@192.0.2.1
        1.000 ! respond
        1.000 > 200 (1 MESSAGE)
        1.500 < MESSAGE sip:us@192.0.2.1
        1.500 > 200 (1 MESSAGE)",
    );
    ladder.shows_nothing_left();
}

#[test]
fn a_held_request_is_forgotten_when_its_client_has_given_up() {
    let mut ladder = Ladder::new();
    let message = ladder.request(Method::Message, "m1");
    ladder.get(message.clone());
    hold(&mut ladder);
    ladder.at(31.9);
    assert_eq!(ladder.stack.transactions(), 1);
    ladder.at(32.0);
    ladder.shows_nothing_left();
    // RFC 4320 §4.2: no late answer.
    respond(&mut ladder, &message, Status::OK);
    ladder.shows(
        "0.000 < MESSAGE sip:us@192.0.2.1
        0.000 * Request MESSAGE
        0.000 ! hold
        32.000 ! respond",
    );
}

#[test]
fn a_held_request_goes_with_its_connection() {
    let mut ladder = Ladder::new();
    ladder.flow = ws(3);
    let message = ladder.request(Method::Message, "m1");
    ladder.get(message);
    hold(&mut ladder);
    ladder.close_flow();
    ladder.shows_nothing_left();
}

fn login() -> Login {
    Login {
        username: Text::from_static("us"),
        password: Text::from_static("secret"),
    }
}

fn challenge(ladder: &Ladder, status: Status, nonce: &str, stale: bool) -> Response {
    let last = ladder.sent.iter().rev().find_map(|message| match message {
        sip::Message::Request(request) => Some(request.method.clone()),
        sip::Message::Response(_) => None,
    });
    let mut response = ladder.reply(&last.expect("a request"), status, "peer");
    let name = match status {
        Status::UNAUTHORIZED => Name::WwwAuthenticate,
        _ => Name::ProxyAuthenticate,
    };
    // RFC 8760 §2.4: the first one that is known is taken.
    response.headers.push(
        name.clone(),
        "Digest realm=\"r\", nonce=\"n\", algorithm=NEW-1, qop=\"auth\"",
    );
    let value = digest::challenge("r", nonce, Algorithm::Sha256, stale);
    response.headers.push(name, value);
    response
}

fn proves(request: &Request, name: &Name) -> bool {
    let value = request.headers.get(name).expect("credentials");
    let credentials = Credentials::parse(value).expect("parses").expect("Digest");
    let ha1 = digest::ha1(Algorithm::Sha256, b"us", "r", b"secret");
    request.headers.all(name).count() == 1 && credentials.verify(&ha1, &request.method, b"")
}

fn hold(ladder: &mut Ladder) {
    let flow = ladder.flow;
    let request = ladder.asked.pop().expect("a request came up");
    let id = ID;
    ladder.command("hold", Command::Hold { id, request, flow });
}

fn respond(ladder: &mut Ladder, request: &Request, status: Status) {
    let response = request.respond(status);
    ladder.command("respond", Command::Respond { id: ID, response });
}
