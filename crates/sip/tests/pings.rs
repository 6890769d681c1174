//! Pings of phones: OPTIONS without a transaction over datagrams, CRLF on streams (RFC 3261 §11, RFC 5626 §4.4.1).

mod ladder;

use ladder::{Ladder, udp};
use sip::{
    Command, Destination, Flow, FlowId, Message, Name, Ping, PingMark, Request, Status, Transport,
};

fn ping(flow: Flow, route: Vec<sip::Text>) -> Command {
    Command::Ping(Ping {
        to: Destination {
            flow,
            uri: "sip:bob@192.0.2.9:5070".into(),
            route,
        },
        from: "<sip:example.com>".into(),
        mark: PingMark([7, 0xabc]),
    })
}

fn sent(ladder: &Ladder) -> Request {
    match ladder.sent.last() {
        Some(Message::Request(request)) => request.clone(),
        other => panic!("no request but {other:?}"),
    }
}

/// RFC 3261 §11.1, §8.1.1.
#[test]
fn any_final_answer_to_a_ping_says_that_somebody_is_there() {
    let mut ladder = Ladder::new();
    ladder.command(
        "ping",
        ping(udp(), vec!["<sip:edge.example.com;lr>".into()]),
    );
    let request = sent(&ladder);
    let text = String::from_utf8(request.write().to_vec()).expect("text");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "OPTIONS sip:bob@192.0.2.9:5070 SIP/2.0");
    assert_eq!(
        lines[1],
        "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK-ping-00000000000000070000000000000abc;rport"
    );
    assert_eq!(lines[3], "Route: <sip:edge.example.com;lr>");
    assert!(
        lines[4].starts_with("From: <sip:example.com>;tag="),
        "{text}"
    );
    ladder.get(request.respond(Status::TRYING));
    ladder.get(request.respond(Status::NOT_FOUND));
    // Nothing is kept and nothing is sent again.
    ladder.at(10.0);
    ladder.shows(
        "0.000 ! ping
        0.000 > OPTIONS sip:bob@192.0.2.9:5070 via <sip:edge.example.com;lr>
        0.000 < 100 (1 OPTIONS)
        0.000 < 404 (1 OPTIONS)
        0.000 * Pong [7, 2748]",
    );
    ladder.shows_nothing_left();
}

/// RFC 3261 §8.1.3.3: an answer with another one's Via is not for us.
#[test]
fn what_is_no_answer_to_a_ping_says_nothing() {
    let mut ladder = Ladder::new();
    ladder.command("ping", ping(udp(), Vec::new()));
    let mut foreign = sent(&ladder).respond(Status::OK);
    foreign
        .headers
        .push(Name::Via, "SIP/2.0/UDP 192.0.2.77;branch=z9hG4bKx");
    ladder.get(foreign);
    ladder.shows(
        "0.000 ! ping
        0.000 > OPTIONS sip:bob@192.0.2.9:5070
        0.000 < 200 (1 OPTIONS)",
    );
}

#[test]
fn a_stream_is_kept_open_by_a_double_crlf_and_a_datagram_flow_is_not() {
    for (transport, expected) in [
        (Transport::Tcp, 1),
        (Transport::Tls, 1),
        (Transport::Udp, 0),
        (Transport::Ws, 0),
    ] {
        let mut ladder = Ladder::new();
        let id = FlowId(u64::from(transport != Transport::Udp));
        let flow = Flow {
            transport,
            id,
            ..udp()
        };
        let mut outputs = 0;
        let now = ladder.now();
        ladder
            .stack
            .handle(now, sip::Input::Command(Command::KeepAlive { flow }));
        while let Some(output) = ladder.stack.poll_output() {
            let sip::Output::Send { flow: on, bytes } = output else {
                panic!("{output:?}");
            };
            assert_eq!((on, &*bytes), (flow, &b"\r\n\r\n"[..]));
            outputs += 1;
        }
        assert_eq!(outputs, expected, "{transport}");
    }
}
