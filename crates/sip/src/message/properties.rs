//! Properties of the message layer: no input makes it panic, and what it writes it reads back the same.

use bytes::Bytes;
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, proptest};
use proptest::sample::{Index, select};

use crate::Text;
use crate::digest::{Challenge, Credentials};
use crate::framing::{Frame, Framer, FramingError};
use crate::message::header::{CSeq, Name, NameAddr, Reason, ReferTo, Replaces, Via};
use crate::message::method::Method;
use crate::message::request::Request;
use crate::message::uri::Uri;
use crate::message::{Framing, Message};

const REGISTER: &str = "REGISTER sip:example.com SIP/2.0\r\n\
    Via: SIP/2.0/UDP 10.0.0.1:5060;rport;branch=z9hG4bK1, SIP/2.0/TCP [2001:db8::1]\r\n\
    From: \"A \\\"B\" <sip:a@example.com>;tag=1\r\n\
    t: sip:a@example.com\r\n\
    Call-ID: x@y\r\n\
    CSeq: 1 REGISTER\r\n\
    Contact: <sip:a@10.0.0.1;transport=udp>;expires=60;+sip.instance=\"<urn:uuid:1>\",\r\n \
    \"x, y\" <sip:c@d>;q=0.5\r\n\
    Authorization: Digest username=\"a\",realm=\"r\",nonce=\"n\",uri=\"sip:example.com\",response=\"0\"\r\n\
    Expires: 3600\r\n\
    Content-Length: 4\r\n\r\nbody";

/// Letters that the grammar cares about.
fn scraps() -> impl Strategy<Value = String> {
    const SCRAPS: &[&str] = &[
        "<",
        ">",
        "\"",
        "\\",
        ";",
        ":",
        ",",
        "@",
        "?",
        "=",
        "%",
        "%41",
        "[",
        "]",
        "::1",
        "*",
        " ",
        "\t",
        "\r\n ",
        "sip:",
        "sips:",
        "tel:",
        "SIP/2.0/UDP ",
        "a",
        "b.example",
        "5060",
        "é",
        "\0",
        "/",
        "tag",
        "INVITE",
        "Digest ",
        "'",
        "9999999999",
    ];
    proptest::collection::vec(select(SCRAPS), 0..24).prop_map(|scraps| scraps.concat())
}

/// A good message with a few octets replaced, removed or put in.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let damage = (
        any::<Index>(),
        0..3u8,
        select(b"\r\n\0 \t:;,<>\"@?=[]\\\xff\x80aZ09-".to_vec()),
    );
    proptest::collection::vec(damage, 0..8).prop_map(|damages| {
        let mut bytes = REGISTER.as_bytes().to_vec();
        for (place, kind, byte) in damages {
            let at = place.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => {
                    bytes.remove(at);
                }
            }
        }
        bytes
    })
}

/// Asks a message everything it can be asked.
fn interrogate(message: &Message) {
    let headers = match message {
        Message::Request(request) => {
            let _ = (request.validate(), request.uri_parsed(), request.sdp());
            &request.headers
        }
        Message::Response(response) => {
            let _ = response.validate();
            &response.headers
        }
    };
    if let Ok(mut via) = headers.via() {
        let _ = (via.rport(), via.received(), via.branch());
        via.set_received(([192, 0, 2, 1], 5060).into());
        headers.clone().set_top_via(&via);
    }
    let _ = (
        headers.from(),
        headers.to(),
        headers.cseq(),
        headers.max_forwards(),
        headers.expires(),
    );
    if let Ok(contacts) = headers.contacts() {
        for contact in contacts.as_slice() {
            let _ = (
                contact.expires(),
                contact.q(),
                contact.display_unquoted(),
                contact.uri.user_decoded(),
            );
        }
    }
    for header in headers {
        let _ = headers.addresses(&header.name);
    }
}

fn stable(bytes: Bytes) -> Result<(), proptest::test_runner::TestCaseError> {
    for framing in [Framing::Datagram, Framing::Stream] {
        let Ok(message) = Message::parse(bytes.clone(), framing) else {
            continue;
        };
        interrogate(&message);
        let written = message.write();
        let again = Message::parse(written.clone(), Framing::Stream);
        prop_assert!(again.is_ok(), "{written:?}: {again:?}");
        let Ok(again) = again else { continue };
        prop_assert_eq!(again.write(), written);
        if let (Message::Request(one), Message::Request(two)) = (&message, &again) {
            prop_assert_eq!(&one.uri, &two.uri);
            prop_assert_eq!(&one.body, &two.body);
            let mut headers = (one.headers.clone(), two.headers.clone());
            headers.0.remove(&Name::ContentLength);
            headers.1.remove(&Name::ContentLength);
            prop_assert_eq!(headers.0, headers.1);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn arbitrary_octets_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        stable(bytes.into())?;
    }

    #[test]
    fn damaged_messages_are_refused_or_read_back_the_same(bytes in damaged()) {
        stable(bytes.into())?;
    }

    #[test]
    fn headers_made_of_scraps_are_refused_or_read_back_the_same(
        name in select(&["Via", "From", "To", "Contact", "CSeq", "Route", "X", "l"][..]),
        value in scraps(),
    ) {
        stable(format!("INVITE sip:a@b SIP/2.0\r\n{name}: {value}\r\n\r\n").into())?;
    }

    #[test]
    fn a_multipart_made_of_scraps_does_no_harm(scraps in proptest::collection::vec(select(&[
        "--b", "--b--", "--", "\r\n", "\r\n\r\n", "Content-Type: application/sdp", "Content-Type: multipart/x;boundary=b",
        "c:", "v=0", "\u{e9}", ":",
    ][..]), 0..24)) {
        let mut request = Request::new(Method::Invite, "sip:a@b");
        request.headers.push(Name::ContentType, "multipart/mixed;boundary=b");
        request.body = scraps.concat().into();
        if let Some(found) = request.sdp() {
            prop_assert!(found.len() < request.body.len());
        }
    }

    #[test]
    fn typed_values_read_back_the_same(scrap in scraps()) {
        let text = Text::from(scrap);
        if let Ok(uri) = Uri::parse(&text) {
            prop_assert_eq!(Uri::parse(&uri.to_string().into()), Ok(uri.clone()));
            prop_assert!(uri.same_as(&uri));
        }
        if let Ok(address) = NameAddr::parse(&text) {
            let written = address.to_string();
            prop_assert_eq!(NameAddr::parse(&written.as_str().into()).map(|a| a.to_string()), Ok(written));
        }
        if let Ok(via) = Via::parse(&text) {
            let written = via.to_string();
            prop_assert_eq!(Via::parse(&written.as_str().into()).map(|v| v.to_string()), Ok(written));
        }
        if let Ok(replaces) = Replaces::parse(&text) {
            prop_assert_eq!(Replaces::parse(&replaces.to_string().into()), Ok(replaces));
        }
        if let Ok(reason) = Reason::parse(&text) {
            let written = reason.to_string();
            prop_assert_eq!(Reason::parse(&written.as_str().into()).map(|r| r.to_string()), Ok(written));
        }
        if let Ok(refer) = ReferTo::parse(&text) {
            prop_assert!(Uri::parse(&refer.uri.to_string().into()).is_ok());
        }
        if let Ok(cseq) = CSeq::parse(&text) {
            prop_assert_eq!(CSeq::parse(&cseq.to_string().into()), Ok(cseq));
        }
        let digest = Text::from(format!("Digest {text}"));
        let _ = (Credentials::parse(&digest), Challenge::parse(&digest));
    }

    #[test]
    fn a_stream_is_cut_the_same_in_whatever_pieces_it_comes(
        messages in proptest::collection::vec(damaged(), 1..4),
        sizes in proptest::collection::vec(1..200usize, 1..40),
    ) {
        let stream = messages.concat();
        let whole = cut(&stream, &[stream.len()]);
        let pieces = cut(&stream, &sizes);
        prop_assert_eq!(whole, pieces);
    }
}

fn cut(stream: &[u8], sizes: &[usize]) -> Vec<Result<Frame, FramingError>> {
    let mut framer = Framer::new();
    let mut frames = Vec::new();
    let mut rest = stream;
    for size in sizes.iter().cycle() {
        let (piece, after) = rest.split_at((*size).min(rest.len()));
        framer.push(piece);
        frames.extend(std::iter::from_fn(|| framer.next()));
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    frames
}
