//! The messages of RFC 4475, each with the outcome that the RFC demands or, where it leaves a choice, allows.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use sip::{Framing, Message, Name, ParseError, Refusal, Request};

/// What becomes of a message.
#[derive(Debug, PartialEq)]
enum Outcome {
    /// Taken, and written back octet for octet.
    Same,
    /// Taken, and written back with the same meaning: long names, no folds, one blank after the colon.
    Tidied,
    /// Refused by the message layer with this status and phrase.
    Refused(u16, &'static str),
    /// Not answered.
    Dropped,
}

use Outcome::{Dropped, Refused, Same, Tidied};

/// Name, section, what the message layer does.
const CASES: &[(&str, &str, Outcome)] = &[
    ("wsinv", "3.1.1.1", Tidied),
    ("intmeth", "3.1.1.2", Tidied),
    ("esc01", "3.1.1.3", Tidied),
    ("escnull", "3.1.1.4", Tidied),
    ("esc02", "3.1.1.5", Tidied),
    ("lwsdisp", "3.1.1.6", Tidied),
    ("longreq", "3.1.1.7", Tidied),
    ("dblreq", "3.1.1.8", Tidied),
    ("semiuri", "3.1.1.9", Tidied),
    ("transports", "3.1.1.10", Tidied),
    ("mpart01", "3.1.1.11", Same),
    ("unreason", "3.1.1.12", Same),
    ("noreason", "3.1.1.13", Same),
    ("badinv01", "3.1.2.1", Refused(400, "Bad Via")),
    (
        "clerr",
        "3.1.2.2",
        Refused(400, "Content-Length Larger Than Message"),
    ),
    ("ncl", "3.1.2.3", Refused(400, "Bad Content-Length")),
    ("scalar02", "3.1.2.4", Refused(400, "Bad CSeq")),
    ("scalarlg", "3.1.2.5", Dropped),
    ("quotbal", "3.1.2.6", Refused(400, "Bad To")),
    ("ltgtruri", "3.1.2.7", Refused(400, "Bad Request-URI")),
    ("lwsruri", "3.1.2.8", Refused(400, "Bad Request-URI")),
    ("lwsstart", "3.1.2.9", Refused(400, "Bad Request-URI")),
    ("trws", "3.1.2.10", Refused(400, "Bad Request-Line")),
    (
        "escruri",
        "3.1.2.11",
        Refused(400, "Headers In Request-URI"),
    ),
    // Date is not used, so it is not judged.
    ("baddate", "3.1.2.12", Same),
    ("regbadct", "3.1.2.13", Refused(400, "Bad Contact")),
    // Blanks inside the brackets are left aside, as the RFC allows.
    ("badaspec", "3.1.2.14", Tidied),
    // Unquoted display names are taken, but this one's head has no end.
    (
        "baddn",
        "3.1.2.15",
        Refused(400, "No Blank Line After Headers"),
    ),
    ("badvers", "3.1.2.16", Refused(505, "Version Not Supported")),
    (
        "mismatch01",
        "3.1.2.17",
        Refused(400, "CSeq Method Differs"),
    ),
    (
        "mismatch02",
        "3.1.2.18",
        Refused(400, "CSeq Method Differs"),
    ),
    ("bigcode", "3.1.2.19", Dropped),
    // The transaction layer matches it as one of RFC 2543.
    ("badbranch", "3.2.1", Tidied),
    ("insuf", "3.3.1", Refused(400, "Missing Call-ID")),
    // The UAS refuses these: 416, 416, 400 or 404, 420.
    ("unkscm", "3.3.2", Same),
    ("novelsc", "3.3.3", Same),
    ("unksm2", "3.3.4", Tidied),
    ("bext01", "3.3.5", Same),
    // The application refuses these: 415, 401.
    ("invut", "3.3.6", Same),
    ("regaut01", "3.3.7", Tidied),
    ("multi01", "3.3.8", Refused(400, "Repeated CSeq")),
    ("mcl01", "3.3.9", Refused(400, "Repeated Content-Length")),
    // The transaction layer has no request for it.
    ("bcast", "3.3.10", Same),
    // The UAS answers 483.
    ("zeromf", "3.3.11", Same),
    ("cparam01", "3.3.12", Tidied),
    ("cparam02", "3.3.13", Tidied),
    ("regescrt", "3.3.14", Tidied),
    ("sdp01", "3.3.15", Same),
    ("inv2543", "3.4.1", Tidied),
];

#[test]
fn every_message_has_its_outcome() {
    for (name, section, expected) in CASES {
        assert_eq!(&outcome(name), expected, "{name}, RFC 4475 §{section}");
    }
}

#[test]
fn every_file_has_a_case() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torture");
    let mut files: Vec<String> = fs::read_dir(folder)
        .expect("the folder")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter_map(|file| file.strip_suffix(".dat").map(str::to_owned))
        .collect();
    files.sort();
    let mut cases: Vec<&str> = CASES.iter().map(|(name, ..)| *name).collect();
    cases.sort_unstable();
    assert_eq!(files, cases);
}

#[test]
fn a_refusal_carries_what_its_answer_needs() {
    for (name, status) in [("badvers", 505), ("ncl", 400), ("ltgtruri", 400)] {
        let error = parse(name).expect_err(name);
        let answer = error.partial.expect(name).respond(error.status);
        assert_eq!(answer.status.0, status, "{name}");
        for header in [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq] {
            assert!(answer.headers.get(&header).is_some(), "{name}: {header}");
        }
    }
}

/// RFC 4475 §3.1.1.1.
#[test]
fn the_tortuous_invite_is_understood() {
    let request = request("wsinv");
    let vias: Vec<_> = request.headers.values(&Name::Via).collect();
    assert_eq!(vias.len(), 3);
    let top = request.via().expect("Via");
    assert_eq!((&*top.transport, &*top.sent_by_host), ("UDP", "192.0.2.2"));
    assert_eq!(top.branch().as_deref(), Some("390skdjuw"));
    assert!(!top.has_magic_branch());
    let from = request.from().expect("From");
    assert_eq!(from.display_unquoted().as_deref(), Some("J Rosenberg \\\""));
    assert_eq!(from.tag().as_deref(), Some("98asjd8"));
    assert_eq!(
        request.to().expect("To").tag().as_deref(),
        Some("1918181833n")
    );
    assert_eq!(request.max_forwards(), Some(68));
    assert_eq!(request.cseq().expect("CSeq").to_string(), "9 INVITE");
    let contacts = request.contacts().expect("Contact");
    let contact = contacts.first().expect("one");
    assert_eq!(contact.q(), 330);
    assert_eq!(contact.param("newparam").as_deref(), Some("newvalue"));
    assert_eq!(contact.param("secondparam").as_deref(), Some(""));
    assert_eq!(request.body.len(), 150);
}

/// RFC 4475 §3.1.1.3, §3.1.1.9.
#[test]
fn escapes_belong_to_the_user_part() {
    let uri = request("esc01").uri_parsed().expect("URI");
    assert_eq!(uri.user_decoded().as_deref(), Some("sips:user@example.com"));
    assert_eq!(uri.host, "example.net");
    let uri = request("semiuri").uri_parsed().expect("URI");
    assert_eq!(
        uri.user_decoded().as_deref(),
        Some("user;par=u@example.net")
    );
    assert!(uri.params.is_empty());
}

/// RFC 4475 §3.1.1.5: what looks escaped is another method and another header.
#[test]
fn escapes_in_tokens_are_not_decoded() {
    let request = request("esc02");
    assert!(request.method.is_unknown());
    assert_eq!(request.contacts().expect("Contact").as_slice().len(), 2);
}

/// RFC 4475 §3.1.1.8.
#[test]
fn of_two_requests_in_a_datagram_the_first_counts() {
    let request = request("dblreq");
    assert_eq!(request.method.as_str(), "REGISTER");
    assert!(request.body.is_empty());
}

/// RFC 4475 §3.3.12, §3.3.13.
#[test]
fn brackets_decide_whose_parameter_it_is() {
    let of = |name: &str| {
        let contacts = request(name).contacts().expect("Contact");
        let contact = contacts.first().expect("one").clone();
        (
            contact.params.has("unknownparam"),
            contact.uri.param("unknownparam").is_some(),
        )
    };
    assert_eq!(of("cparam01"), (true, false));
    assert_eq!(of("cparam02"), (false, true));
}

fn outcome(name: &str) -> Outcome {
    let refused = |refusal: Refusal| Refused(refusal.status.0, refusal.why);
    let message = match parse(name) {
        Ok(message) => message,
        Err(error) if error.partial.is_some() => return Refused(error.status.0, error.why),
        Err(_) => return Dropped,
    };
    match &message {
        Message::Request(request) => {
            if let Err(refusal) = request.validate() {
                return refused(refusal);
            }
        }
        Message::Response(response) => {
            if response.validate().is_err() {
                return Dropped;
            }
        }
    }
    let written = message.write();
    let again = Message::parse(written.clone(), Framing::Stream).expect("reads back");
    assert_eq!(again.write(), written, "{name} changes again");
    if written == bytes(name) { Same } else { Tidied }
}

fn request(name: &str) -> Request {
    match parse(name) {
        Ok(Message::Request(request)) => {
            request.validate().expect(name);
            request
        }
        other => panic!("{name}: {other:?}"),
    }
}

fn parse(name: &str) -> Result<Message, ParseError> {
    Message::parse(bytes(name), Framing::Datagram)
}

fn bytes(name: &str) -> Bytes {
    let file = format!("{}/tests/torture/{name}.dat", env!("CARGO_MANIFEST_DIR"));
    fs::read(&file).expect(&file).into()
}
