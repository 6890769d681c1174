//! Subscriptions as a stack holds them, in virtual time: RFC 6665 §4.2, §4.4.

mod ladder;

use bytes::Bytes;
use ladder::{Ladder, ws};
use sip::{
    Command, Config, Farewell, Method, Name, News, Request, Status, SubscriptionId, Terms, Text,
};

const ID: SubscriptionId = SubscriptionId(5);

fn terms(granted: u32) -> Terms {
    Terms {
        granted,
        usual: 600,
        least: 60,
        most: 3600,
    }
}

fn subscribe(ladder: &Ladder, branch: &str) -> Request {
    let mut request = ladder.request(Method::Subscribe, branch);
    request.headers.push(Name::Event, "dialog;id=4");
    request.headers.push(Name::Expires, "600");
    request
}

fn again(ladder: &Ladder, branch: &str, cseq: u32, expires: &str) -> Request {
    let mut request = ladder.in_dialog(Method::Subscribe, branch, cseq);
    request.headers.push(Name::Event, "dialog;id=4");
    request.headers.push(Name::Expires, expires);
    request
}

fn accept(ladder: &mut Ladder, terms: Terms) {
    let flow = ladder.flow;
    let request = ladder.asked.pop().expect("a SUBSCRIBE came up");
    ladder.command(
        "subscribe",
        Command::Subscribe {
            subscription: ID,
            request,
            flow,
            terms,
            contact_user: Text::from_static("bob"),
        },
    );
}

fn notify(ladder: &mut Ladder) {
    let news = News {
        content_type: Text::from_static("text/plain"),
        body: Bytes::from_static(b"state"),
    };
    let subscription = ID;
    ladder.command("notify", Command::Tell { subscription, news });
}

fn change(ladder: &mut Ladder) {
    ladder.command("changed", Command::Changed { subscription: ID });
}

fn ok(ladder: &mut Ladder) {
    let answer = ladder.reply(&Method::Notify, Status::OK, "");
    ladder.get(answer);
}

/// A subscription whose first NOTIFY is answered; the transcript is empty.
fn subscribed(ladder: &mut Ladder) {
    let request = subscribe(ladder, "s1");
    ladder.get(request);
    accept(ladder, terms(600));
    notify(ladder);
    ok(ladder);
    ladder.shows(
        "0.000 < SUBSCRIBE sip:us@192.0.2.1
        0.000 * Request SUBSCRIBE
        0.000 ! subscribe
        0.000 > 200 (1 SUBSCRIBE)
        0.000 * Wanted 0 full
        0.000 ! notify
        0.000 > NOTIFY sip:peer@192.0.2.9:5060 active;expires=600
        0.000 < 200 (1 NOTIFY)",
    );
}

#[test]
fn a_subscription_makes_a_dialog_and_tells_its_state_at_once() {
    let mut ladder = Ladder::new();
    let request = subscribe(&ladder, "s1");
    ladder.get(request.clone());
    accept(&mut ladder, terms(600));
    let answer = ladder.last_response().clone();
    notify(&mut ladder);
    // RFC 6665 §4.2.1.1: what was granted. RFC 3261 §12.1.1: our tag and Contact.
    assert_eq!(answer.headers.expires(), Some(600));
    let contact = "<sip:bob@192.0.2.1:5060>";
    assert_eq!(answer.headers.get(&Name::Contact).unwrap(), contact);
    let told = ladder.last_request(&Method::Notify).clone();
    assert_eq!(told.headers.get(&Name::Event).unwrap(), "dialog;id=4");
    assert_eq!(told.headers.get(&Name::Contact).unwrap(), contact);
    assert_eq!(told.headers.get(&Name::ContentType).unwrap(), "text/plain");
    assert_eq!(told.call_id(), request.call_id());
    assert_eq!(told.from().unwrap().tag(), answer.to().unwrap().tag());
    assert_eq!(told.to().unwrap().tag().as_deref(), Some("peer"));
    assert_eq!(told.body, "state");
    // The same SUBSCRIBE again is absorbed, and makes no second subscription.
    ladder.get(request);
    assert_eq!(ladder.stack.subscriptions(), 1);
    ladder.shows(
        "0.000 < SUBSCRIBE sip:us@192.0.2.1
        0.000 * Request SUBSCRIBE
        0.000 ! subscribe
        0.000 > 200 (1 SUBSCRIBE)
        0.000 * Wanted 0 full
        0.000 ! notify
        0.000 > NOTIFY sip:peer@192.0.2.9:5060 active;expires=600
        0.000 < SUBSCRIBE sip:us@192.0.2.1
        0.000 > 200 (1 SUBSCRIBE)",
    );
}

#[test]
fn what_changes_while_a_notify_is_under_way_is_told_once_afterwards() {
    let mut ladder = Ladder::new();
    subscribed(&mut ladder);
    ladder.at(1.0);
    change(&mut ladder);
    notify(&mut ladder);
    for _ in 0..3 {
        change(&mut ladder);
    }
    ladder.at(1.2);
    ok(&mut ladder);
    notify(&mut ladder);
    ok(&mut ladder);
    ladder.shows(
        "1.000 ! changed
        1.000 * Wanted 1
        1.000 ! notify
        1.000 > NOTIFY sip:peer@192.0.2.9:5060 active;expires=599
        1.000 ! changed
        1.000 ! changed
        1.000 ! changed
        1.200 < 200 (2 NOTIFY)
        1.200 * Wanted 2
        1.200 ! notify
        1.200 > NOTIFY sip:peer@192.0.2.9:5060 active;expires=598
        1.200 < 200 (3 NOTIFY)",
    );
}

#[test]
fn a_refresh_lasts_from_its_own_time_and_tells_the_whole_state() {
    let mut ladder = Ladder::new();
    subscribed(&mut ladder);
    ladder.at(500.0);
    let mut refresh = again(&ladder, "s2", 2, "99999");
    refresh.headers.set(Name::Contact, "<sip:moved@192.0.2.10>");
    ladder.get(refresh);
    assert_eq!(ladder.last_response().headers.expires(), Some(3600));
    notify(&mut ladder);
    ok(&mut ladder);
    ladder.at(4099.0);
    ladder.shows(
        "500.000 < SUBSCRIBE sip:us@192.0.2.1
        500.000 > 200 (2 SUBSCRIBE)
        500.000 * Wanted 1 full
        500.000 ! notify
        500.000 > NOTIFY sip:moved@192.0.2.10 active;expires=3600
        500.000 < 200 (2 NOTIFY)",
    );
    ladder.at(4100.0);
    notify(&mut ladder);
    ladder.shows(
        "4100.000 * Wanted 2 full last
        4100.000 ! notify
        4100.000 > NOTIFY sip:moved@192.0.2.10 terminated;reason=timeout
        4100.000 * Ended Over",
    );
    ladder.at(4200.0);
    ladder.shows_nothing_left();
}

#[test]
fn a_refresh_for_too_short_is_refused_and_changes_nothing() {
    let mut ladder = Ladder::new();
    subscribed(&mut ladder);
    ladder.at(10.0);
    ladder.get(again(&ladder, "s2", 2, "59"));
    let answer = ladder.last_response();
    assert_eq!(answer.headers.get(&Name::MinExpires).unwrap(), "60");
    // RFC 3261 §12.2.2: a number that is behind.
    ladder.get(again(&ladder, "s3", 1, "600"));
    // RFC 6665 §4.5.2: another event is another subscription, which this dialog does not have.
    let mut other = again(&ladder, "s4", 3, "600");
    other.headers.set(Name::Event, "dialog");
    ladder.get(other);
    ladder.get(ladder.in_dialog(Method::Options, "s5", 4));
    ladder.shows(
        "10.000 < SUBSCRIBE sip:us@192.0.2.1
        10.000 > 423 (2 SUBSCRIBE)
        10.000 < SUBSCRIBE sip:us@192.0.2.1
        10.000 > 500 (1 SUBSCRIBE)
        10.000 < SUBSCRIBE sip:us@192.0.2.1
        10.000 > 481 (3 SUBSCRIBE)
        10.000 * Rejected 481
        10.000 < OPTIONS sip:us@192.0.2.1
        10.000 > 405 (4 OPTIONS)
        10.000 * Rejected 405",
    );
    ladder.at(600.0);
    ladder.shows("600.000 * Wanted 1 full last");
}

#[test]
fn expires_0_ends_it_with_one_last_notify_and_481_follows() {
    let mut ladder = Ladder::new();
    subscribed(&mut ladder);
    ladder.at(5.0);
    change(&mut ladder);
    notify(&mut ladder);
    // The last one waits for the one under way.
    let end = again(&ladder, "s2", 2, "0");
    ladder.get(end);
    ok(&mut ladder);
    notify(&mut ladder);
    let late = again(&ladder, "s3", 3, "600");
    ladder.get(late);
    ladder.shows(
        "5.000 ! changed
        5.000 * Wanted 1
        5.000 ! notify
        5.000 > NOTIFY sip:peer@192.0.2.9:5060 active;expires=595
        5.000 < SUBSCRIBE sip:us@192.0.2.1
        5.000 > 200 (2 SUBSCRIBE)
        5.000 < 200 (2 NOTIFY)
        5.000 * Wanted 2 full last
        5.000 ! notify
        5.000 > NOTIFY sip:peer@192.0.2.9:5060 terminated;reason=timeout
        5.000 * Ended Over
        5.000 < SUBSCRIBE sip:us@192.0.2.1
        5.000 > 481 (3 SUBSCRIBE)
        5.000 * Rejected 481",
    );
}

#[test]
fn a_fetch_gets_one_notify_and_leaves_nothing() {
    let mut ladder = Ladder::new();
    let request = subscribe(&ladder, "s1");
    ladder.get(request);
    accept(&mut ladder, terms(0));
    notify(&mut ladder);
    ok(&mut ladder);
    ladder.shows(
        "0.000 < SUBSCRIBE sip:us@192.0.2.1
        0.000 * Request SUBSCRIBE
        0.000 ! subscribe
        0.000 > 200 (1 SUBSCRIBE)
        0.000 * Wanted 0 full last
        0.000 ! notify
        0.000 > NOTIFY sip:peer@192.0.2.9:5060 terminated;reason=timeout
        0.000 * Ended Over
        0.000 < 200 (1 NOTIFY)",
    );
    ladder.at(100.0);
    ladder.shows_nothing_left();
}

#[test]
fn a_subscriber_that_knows_nothing_of_it_ends_it() {
    let mut ladder = Ladder::new();
    subscribed(&mut ladder);
    change(&mut ladder);
    notify(&mut ladder);
    let status = Status::CALL_DOES_NOT_EXIST;
    ladder.get(ladder.reply(&Method::Notify, status, ""));
    ladder.shows(
        "0.000 ! changed
        0.000 * Wanted 1
        0.000 ! notify
        0.000 > NOTIFY sip:peer@192.0.2.9:5060 active;expires=600
        0.000 < 481 (2 NOTIFY)
        0.000 * Ended Refused",
    );
    ladder.at(100.0);
    ladder.shows_nothing_left();
}

#[test]
fn a_notify_that_nobody_answers_ends_it() {
    let mut ladder = Ladder::new();
    ladder.flow = ws(2);
    let request = subscribe(&ladder, "s1");
    ladder.get(request);
    accept(&mut ladder, terms(600));
    notify(&mut ladder);
    ladder.at(100.0);
    ladder.shows(
        "0.000 < SUBSCRIBE sip:us@192.0.2.1
        0.000 * Request SUBSCRIBE
        0.000 ! subscribe
        0.000 > 200 (1 SUBSCRIBE)
        0.000 * Wanted 0 full
        0.000 ! notify
        0.000 > NOTIFY sip:peer@192.0.2.9:5060 active;expires=600
        32.000 * Ended Timeout",
    );
    ladder.shows_nothing_left();
}

#[test]
fn a_notify_that_is_refused_for_the_time_being_is_tried_again_and_tells_everything() {
    let mut ladder = Ladder::new();
    subscribed(&mut ladder);
    change(&mut ladder);
    notify(&mut ladder);
    let mut busy = ladder.reply(&Method::Notify, Status::SERVICE_UNAVAILABLE, "");
    busy.headers.push(Name::RetryAfter, "7 (a moment)");
    ladder.get(busy);
    change(&mut ladder);
    ladder.at(7.0);
    notify(&mut ladder);
    ok(&mut ladder);
    ladder.shows(
        "0.000 ! changed
        0.000 * Wanted 1
        0.000 ! notify
        0.000 > NOTIFY sip:peer@192.0.2.9:5060 active;expires=600
        0.000 < 503 (2 NOTIFY)
        0.000 ! changed
        7.000 * Wanted 2 full
        7.000 ! notify
        7.000 > NOTIFY sip:peer@192.0.2.9:5060 active;expires=593
        7.000 < 200 (3 NOTIFY)",
    );
    // Not for ever: three more tries.
    change(&mut ladder);
    for tried in 0..4 {
        assert_eq!(ladder.stack.subscriptions(), 1);
        notify(&mut ladder);
        let broken = ladder.reply(&Method::Notify, Status::SERVER_INTERNAL_ERROR, "");
        ladder.get(broken);
        ladder.at(7.0 + 5.0 * f64::from(tried + 1));
    }
    ladder.at(100.0);
    ladder.shows_nothing_left();
}

#[test]
fn a_closed_flow_ends_its_subscriptions_and_no_others() {
    let mut ladder = Ladder::new();
    ladder.flow = ws(2);
    subscribed(&mut ladder);
    ladder.flow = ws(3);
    ladder.close_flow();
    assert_eq!(ladder.stack.subscriptions(), 1);
    ladder.flow = ws(2);
    ladder.close_flow();
    ladder.shows(
        "0.000 < closed
        0.000 < closed
        0.000 * Ended FlowLost",
    );
    ladder.shows_nothing_left();
}

#[test]
fn we_end_one_with_the_reason_and_without_a_state() {
    let mut ladder = Ladder::new();
    subscribed(&mut ladder);
    let command = Command::Unsubscribe {
        subscription: ID,
        farewell: Farewell::NoResource,
    };
    ladder.command("end", command);
    assert!(ladder.last_request(&Method::Notify).body.is_empty());
    ladder.shows(
        "0.000 ! end
        0.000 > NOTIFY sip:peer@192.0.2.9:5060 terminated;reason=noresource
        0.000 * Ended Over",
    );
}

#[test]
fn a_full_table_answers_503_and_says_when_to_come_again() {
    let mut config = Config::for_shard(0);
    config.max_subscriptions = 0;
    let mut ladder = Ladder::with(config);
    let request = subscribe(&ladder, "s1");
    ladder.get(request);
    accept(&mut ladder, terms(600));
    let answer = ladder.last_response();
    assert_eq!(answer.headers.get(&Name::RetryAfter).unwrap(), "5");
    ladder.shows(
        "0.000 < SUBSCRIBE sip:us@192.0.2.1
        0.000 * Request SUBSCRIBE
        0.000 ! subscribe
        0.000 > 503 (1 SUBSCRIBE)
        0.000 * Rejected 503
        0.000 * Ended NoRoom",
    );
}

#[test]
fn ten_thousand_are_held_by_a_row_and_a_timer_each_and_all_of_them_end() {
    let mut ladder = Ladder::new();
    let all = 10_000;
    for number in 0..all {
        let branch = format!("s{number}");
        let mut request = subscribe(&ladder, &branch);
        request.headers.set(Name::CallId, format!("call-{number}"));
        ladder.get(request);
        let (flow, request) = (ladder.flow, ladder.asked.pop().expect("a SUBSCRIBE"));
        let subscription = SubscriptionId(number);
        ladder.command(
            "subscribe",
            Command::Subscribe {
                subscription,
                request,
                flow,
                terms: terms(600),
                contact_user: Text::from_static("bob"),
            },
        );
        let news = News {
            content_type: Text::from_static("text/plain"),
            body: Bytes::from_static(b"state"),
        };
        ladder.command("notify", Command::Tell { subscription, news });
        ok(&mut ladder);
        ladder.sent.clear();
    }
    ladder.at(100.0);
    // No transaction is left of them, and nothing but what is held for each.
    assert_eq!(ladder.stack.subscriptions(), all as usize);
    assert_eq!(ladder.stack.transactions(), 0);
    ladder.at(600.0);
    for number in 0..all {
        let news = News {
            content_type: Text::from_static("text/plain"),
            body: Bytes::new(),
        };
        let subscription = SubscriptionId(number);
        ladder.command("notify", Command::Tell { subscription, news });
    }
    assert_eq!(ladder.stack.subscriptions(), 0);
    ladder.at(700.0);
    ladder.shows_nothing_left();
}
