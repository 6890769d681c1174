//! Bodies in the manner of real phones, browsers and gateways: what each is offered on to the other leg as, or why not.

use media::{Event, OfferOrAnswer};

use crate::rig::{A, B, Rig, media_part};

/// What comes of a body that was offered: our offer to the other leg without its attributes, or the reason of a 488.
fn outcome(sdp: &[u8], near: Option<&str>) -> Result<String, &'static str> {
    let mut rig = Rig::new();
    let command = media::Command::Remote {
        session: A,
        kind: OfferOrAnswer::Offer,
        sdp: bytes::Bytes::copy_from_slice(sdp),
        near: near.map(crate::rig::ip),
    };
    match rig.command(command) {
        Event::Accepted { .. } => {}
        Event::Refused {
            status: 488, why, ..
        } => return Err(why),
        other => panic!("{other:?}"),
    }
    let ours = rig.offer(B, Some(A));
    let maps = media_part(&ours)
        .lines()
        .filter_map(|line| line.strip_prefix("a=rtpmap:"));
    let direction = ours.lines().last().unwrap_or_default();
    Ok(format!(
        "{} | {}",
        maps.collect::<Vec<_>>().join(", "),
        &direction[2..]
    ))
}

#[test]
fn eighteen_foreign_bodies() {
    let bodies: [(&str, &str, Result<&str, &str>); 18] = [
        (
            "desk phone with a list of codecs",
            "v=0\r\no=- 20841 20841 IN IP4 198.51.100.31\r\ns=SDP data\r\nc=IN IP4 198.51.100.31\r\nt=0 0\r\n\
             m=audio 11800 RTP/AVP 9 0 8 18 101\r\na=rtpmap:9 G722/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
             a=rtpmap:18 G729/8000\r\na=fmtp:18 annexb=no\r\na=fmtp:101 0-15\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\na=sendrecv\r\n",
            Ok(
                "9 G722/8000, 0 PCMU/8000, 8 PCMA/8000, 18 G729/8000, 101 telephone-event/8000 | sendrecv",
            ),
        ),
        (
            "small softphone with a user name and Opus first",
            "v=0\r\no=alice 1983 678901 IN IP4 198.51.100.31\r\ns=-\r\nc=IN IP4 198.51.100.31\r\nt=0 0\r\na=tool:softphone 1.0\r\n\
             m=audio 10020 RTP/AVP 96 0 8 97\r\nb=AS:125\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 stereo=1;sprop-stereo=1\r\na=rtpmap:0 PCMU/8000\r\n\
             a=rtpmap:8 PCMA/8000\r\na=rtpmap:97 telephone-event/8000\r\na=fmtp:97 0-15\r\na=rtcp:10021\r\na=sendrecv\r\na=label:1\r\na=ptime:20\r\n",
            Ok("96 opus/48000/2, 0 PCMU/8000, 8 PCMA/8000, 97 telephone-event/8000 | sendrecv"),
        ),
        (
            "static types only, no rtpmap, bare line feeds",
            "v=0\no=user1 53655765 2353687637 IN IP4 198.51.100.31\ns=-\nc=IN IP4 198.51.100.31\nt=0 0\nm=audio 6000 RTP/AVP 0 3 18 13\n",
            Ok("0 PCMU/8000, 3 GSM/8000, 18 G729/8000, 13 CN/8000 | sendrecv"),
        ),
        (
            "o= with spaces in its user name",
            "v=0\r\no=Front Desk 2 1 1 IN IP4 198.51.100.31\r\ns=Call\r\nc=IN IP4 198.51.100.31\r\nt=0 0\r\nm=audio 6000 RTP/AVP 8\r\n",
            Ok("8 PCMA/8000 | sendrecv"),
        ),
        (
            "o= with a version beyond 64 bits, ptime with a fraction",
            "v=0\r\no=- 1 340282366920938463463374607431768211456 IN IP4 198.51.100.31\r\ns= \r\nc=IN IP4 198.51.100.31\r\nt=0 0\r\n\
             m=audio 6000 RTP/AVP 8\r\na=ptime:20.0\r\n",
            Ok("8 PCMA/8000 | sendrecv"),
        ),
        (
            "no s= and no t=, blanks at line ends",
            "v=0 \r\no=- 1 1 IN IP4 198.51.100.31 \r\nc=IN IP4 198.51.100.31 \r\nm=audio 6000 RTP/AVP 0 101 \r\na=rtpmap:101 telephone-event/8000 \r\n\r\n",
            Ok("0 PCMU/8000, 101 telephone-event/8000 | sendrecv"),
        ),
        (
            "dynamic number without a map, map in another case",
            "v=0\r\no=- 1 1 IN IP4 198.51.100.31\r\ns=-\r\nc=IN IP4 198.51.100.31\r\nt=0 0\r\n\
             m=audio 6000 RTP/AVP 105 0 110\r\na=rtpmap:0 pcmu/8000/1\r\na=rtpmap:110 speex/16000\r\n",
            Ok("0 pcmu/8000, 110 speex/16000 | sendrecv"),
        ),
        (
            "mobile gateway with AMR twice",
            "v=0\r\no=- 1 1 IN IP4 198.51.100.31\r\ns=-\r\nc=IN IP4 198.51.100.31\r\nt=0 0\r\nm=audio 6000 RTP/AVP 104 102 8 100\r\n\
             a=rtpmap:104 AMR-WB/16000\r\na=fmtp:104 mode-change-capability=2\r\na=rtpmap:102 AMR/8000\r\na=fmtp:102 octet-align=1\r\n\
             a=rtpmap:100 telephone-event/16000\r\na=maxptime:240\r\n",
            Ok("104 AMR-WB/16000, 102 AMR/8000, 8 PCMA/8000, 100 telephone-event/16000 | sendrecv"),
        ),
        (
            "conference phone with video, held for the whole session",
            "v=0\r\no=- 1 1 IN IP4 198.51.100.31\r\ns=-\r\nc=IN IP4 198.51.100.31\r\nb=AS:384\r\nt=0 0\r\na=sendonly\r\n\
             m=audio 6000 RTP/AVP 9\r\nm=video 6002 RTP/AVP 109\r\nb=TIAS:256000\r\na=rtpmap:109 H264/90000\r\na=fmtp:109 profile-level-id=42801F\r\n",
            Ok("9 G722/8000 | sendonly"),
        ),
        (
            "old hold by address, media address beside the session's",
            "v=0\r\no=CiscoSystemsSIP-GW-UserAgent 1 2 IN IP4 198.51.100.31\r\ns=SIP Call\r\nc=IN IP4 198.51.100.31\r\nt=0 0\r\n\
             m=audio 16500 RTP/AVP 0 19\r\nc=IN IP4 0.0.0.0\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:19 CN/8000\r\n",
            Ok("0 PCMU/8000, 19 CN/8000 | sendonly"),
        ),
        (
            "fax machine that offers T.38 beside audio",
            "v=0\r\no=- 1 1 IN IP4 198.51.100.31\r\ns=-\r\nc=IN IP4 198.51.100.31\r\nt=0 0\r\nm=image 6004 udptl t38\r\na=T38FaxVersion:0\r\n\
             a=T38MaxBitRate:14400\r\na=T38FaxRateManagement:transferredTCF\r\nm=audio 6000 RTP/AVP 8\r\n",
            Ok("8 PCMA/8000 | sendrecv"),
        ),
        (
            "re-INVITE to T.38 alone",
            "v=0\r\no=- 1 2 IN IP4 198.51.100.31\r\ns=-\r\nc=IN IP4 198.51.100.31\r\nt=0 0\r\nm=image 6004 udptl t38\r\na=T38FaxVersion:0\r\n",
            Err("no audio line"),
        ),
        (
            "SDES only",
            "v=0\r\no=- 1 1 IN IP4 198.51.100.31\r\ns=-\r\nc=IN IP4 198.51.100.31\r\nt=0 0\r\nm=audio 6000 RTP/SAVP 0 8\r\n\
             a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n",
            Err("SRTP is not offered here: RTP/AVP audio only"),
        ),
        (
            "SDES with a plain line below it",
            "v=0\r\no=- 1 1 IN IP4 198.51.100.31\r\ns=-\r\nc=IN IP4 198.51.100.31\r\nt=0 0\r\nm=audio 6000 RTP/SAVP 0\r\n\
             a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\nm=audio 6002 RTP/AVP 8\r\n",
            Ok("8 PCMA/8000 | sendrecv"),
        ),
        (
            "best-effort encryption on a plain line",
            "v=0\r\no=- 1 1 IN IP4 198.51.100.31\r\ns=-\r\nc=IN IP4 198.51.100.31\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0\r\n\
             a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA|2^31\r\n",
            Ok("0 PCMU/8000 | sendrecv"),
        ),
        (
            "browser",
            "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\na=extmap-allow-mixed\r\na=msid-semantic: WMS s\r\n\
             m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\n\
             a=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=ice-options:trickle\r\na=fingerprint:sha-256 00:11\r\na=setup:actpass\r\na=mid:0\r\n\
             a=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\na=ssrc:1 cname:x\r\n",
            Err("DTLS-SRTP is not offered here: RTP/AVP audio only"),
        ),
        (
            "feedback profile without encryption",
            "v=0\r\no=- 1 1 IN IP4 198.51.100.31\r\ns=-\r\nc=IN IP4 198.51.100.31\r\nt=0 0\r\nm=audio 6000 RTP/AVPF 0\r\n",
            Err("RTP/AVP audio only"),
        ),
        (
            "IP version that is not ours",
            "v=0\r\no=- 1 1 IN IP6 2001:db8::1\r\ns=-\r\nc=IN IP6 2001:db8::1\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0\r\n",
            Err("the media address is of the other IP version"),
        ),
    ];
    for (what, sdp, expected) in bodies {
        assert_eq!(
            outcome(sdp.as_bytes(), None),
            expected.map(str::to_owned),
            "{what}"
        );
    }
}

#[test]
fn a_session_name_in_latin_1_is_no_reason_to_refuse() {
    let sdp = b"v=0\r\no=- 1 1 IN IP4 198.51.100.31\r\ns=M\xfcller\r\nc=IN IP4 198.51.100.31\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0\r\n";
    assert_eq!(outcome(sdp, None), Ok("0 PCMU/8000 | sendrecv".to_owned()));
}

#[test]
fn r09_addresses_and_ports_that_cannot_be_sent_to() {
    let sdp = |address: &str, port: &str| {
        format!("v=0\r\nc=IN IP4 {address}\r\nm=audio {port} RTP/AVP 0\r\n")
    };
    let unreadable = "the session description cannot be read";
    for (address, port, near, expected) in [
        ("198.51.100.31", "0", None, Ok("0 PCMU/8000 | inactive")),
        ("0.0.0.0", "6000", None, Ok("0 PCMU/8000 | sendonly")),
        ("198.51.100.31", "65536", None, Err(unreadable)),
        ("198.51.100.31", "-1", None, Err(unreadable)),
        ("198.51.100.31", "53", None, Err("a media port below 1024")),
        (
            "224.2.17.12/127",
            "6000",
            None,
            Err("the media address is not one host's"),
        ),
        (
            "255.255.255.255",
            "6000",
            None,
            Err("the media address is not one host's"),
        ),
        (
            "127.0.0.1",
            "6000",
            Some("198.51.100.31"),
            Err("the media address is a loopback address"),
        ),
        (
            "127.0.0.1",
            "6000",
            Some("127.0.0.1"),
            Ok("0 PCMU/8000 | sendrecv"),
        ),
        (
            "192.0.2.1",
            "6000",
            Some("198.51.100.31"),
            Err("the media address is ours"),
        ),
        (
            "192.0.2.1",
            "6000",
            Some("192.0.2.1"),
            Ok("0 PCMU/8000 | sendrecv"),
        ),
        (
            "phone.example",
            "6000",
            None,
            Err("the media address is a host name"),
        ),
        (
            "phone.example",
            "6000",
            Some("198.51.100.31"),
            Ok("0 PCMU/8000 | sendrecv"),
        ),
    ] {
        let outcome = outcome(sdp(address, port).as_bytes(), near);
        assert_eq!(
            outcome,
            expected.map(str::to_owned),
            "{address}:{port}, signalling from {near:?}"
        );
    }
}
