//! The messages of RFC 5118, each with what the message layer makes of it.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use sip::{Framing, Message, Name, Request};

/// Name, section, and the phrase of the refusal; none where it is taken.
const CASES: &[(&str, &str, Option<&str>)] = &[
    ("ipv6-good", "4.1", None),
    ("ipv6-bad", "4.2", Some("Bad Request-URI")),
    ("port-ambiguous", "4.3", None),
    ("port-unambiguous", "4.4", None),
    ("via-received-param-with-delim", "4.5", None),
    ("via-received-param-no-delim", "4.5", None),
    ("ipv6-in-sdp", "4.6", None),
    ("mult-ip-in-header", "4.7", None),
    ("mult-ip-in-sdp", "4.8", None),
    ("ipv4-mapped-ipv6", "4.9", None),
    // RFC 5118 §4.10 allows to take it; an address with three colons is none.
    ("ipv6-bug-abnf-3-colons", "4.10", Some("Bad To")),
    ("ipv6-correct-abnf-2-colons", "4.10", None),
];

#[test]
fn every_message_has_its_outcome() {
    for (name, section, refusal) in CASES {
        let outcome = match Message::parse(bytes(name), Framing::Datagram) {
            Ok(Message::Request(request)) => request.validate().err().map(|refusal| refusal.why),
            Ok(Message::Response(_)) => panic!("{name} is a request"),
            Err(error) => Some(error.why),
        };
        assert_eq!(outcome, *refusal, "{name}, RFC 5118 §{section}");
    }
}

#[test]
fn every_file_has_a_case() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torture6");
    let files = fs::read_dir(folder).expect("the folder").map(|entry| {
        let name = entry.expect("an entry").file_name();
        name.to_string_lossy().into_owned()
    });
    let mut files: Vec<String> = files
        .filter_map(|file| file.strip_suffix(".dat").map(str::to_owned))
        .collect();
    files.sort();
    let mut cases: Vec<&str> = CASES.iter().map(|(name, ..)| *name).collect();
    cases.sort_unstable();
    assert_eq!(files, cases);
}

/// RFC 5118 §4.3, §4.4: a port is one only outside of the brackets.
#[test]
fn the_brackets_say_where_an_address_ends() {
    let address = |name| {
        let uri = request(name).uri_parsed().expect("a URI");
        (uri.host.to_string(), uri.port)
    };
    let ambiguous = ("[2001:db8::10:5070]".to_owned(), None);
    assert_eq!(address("port-ambiguous"), ambiguous);
    let unambiguous = ("[2001:db8::10]".to_owned(), Some(5070));
    assert_eq!(address("port-unambiguous"), unambiguous);
}

/// RFC 5118 §4.5.
#[test]
fn received_is_read_with_brackets_and_without() {
    for name in [
        "via-received-param-with-delim",
        "via-received-param-no-delim",
    ] {
        let via = request(name).via().expect("a Via");
        assert_eq!(&*via.sent_by_host, "[2001:db8::9:1]", "{name}");
        assert!(via.branch().is_some(), "{name}");
    }
}

/// RFC 5118 §4.7, §4.9.
#[test]
fn addresses_of_both_families_stand_side_by_side() {
    assert_eq!(
        request("mult-ip-in-header")
            .headers
            .values(&Name::Via)
            .count(),
        3
    );
    let via = request("ipv4-mapped-ipv6").via().expect("a Via");
    assert_eq!(
        (&*via.sent_by_host, via.port),
        ("[::ffff:192.0.2.10]", Some(19823))
    );
}

fn request(name: &str) -> Request {
    match Message::parse(bytes(name), Framing::Datagram) {
        Ok(Message::Request(request)) => request,
        other => panic!("{name}: {other:?}"),
    }
}

fn bytes(name: &str) -> Bytes {
    let file = format!("{}/tests/torture6/{name}.dat", env!("CARGO_MANIFEST_DIR"));
    fs::read(&file).expect(&file).into()
}
