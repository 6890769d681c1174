"""Who may call whom, under which name, and where a call never goes: hard cases S46, S69 to S75, R01, R02."""

import re

import pytest

from harness.agent import Agent, Rtp, sdp

STRANGER = "<sip:joe@elsewhere.example>"


@pytest.fixture
def pair(shared_server):
    """A caller, and a phone that is registered."""
    with Agent(shared_server, shared_server.endpoint("caller")[0]) as caller, \
            Agent(shared_server, shared_server.endpoint("callee")[0]) as callee:
        assert callee.register().status == 200
        yield caller, callee


def answer(caller, target, **how):
    return caller.invite(target, **how).refused().status


def address(message, name):
    return re.search(r"<([^>]*)>", message.get(name)).group(1)


def test_a_stranger_rings_an_endpoint_under_its_own_name_only(pair):
    caller, callee = pair
    for shown in (STRANGER, f"<sip:{caller.user}@elsewhere.example>", "<sip:elsewhere.example>"):
        call = caller.invite(callee.user, from_=shown, prove=False)
        rings = callee.incoming()
        assert f"<{address(rings.invite, 'from')}>" == shown
        rings.refuse(486)
        assert call.refused().status == 486


def test_strangers_reach_nothing_else(pair):
    caller, callee = pair
    domain = caller.domain
    for target, status in ((f"sip:+15551234@{domain}", 404), (f"sip:nobody@{domain}", 404), (f"sip:{domain}", 404),
                           ("sip:x@elsewhere.example", 403), ("tel:+15551234", 403), ("sip:x@169.254.169.254", 403)):
        assert answer(caller, target, from_=STRANGER, prove=False) == status, target
    callee.silent(0.1)


def test_who_says_to_be_one_of_us_must_prove_it_and_is_shown_as_itself(pair):
    caller, callee = pair
    assert answer(caller, callee.user, prove=False) == 407
    claims = ("P-Asserted-Identity: <sip:+1900@x>\nRemote-Party-ID: <sip:x@y>\nDiversion: <sip:q@q>\n"
              "X-Internal: 1\nX-PH-Order: 7\nRoute: <sip:10.9.9.9;lr>\n")
    call = caller.invite(callee.user, from_=f"<sip:{callee.user}@{caller.domain}>", extra=claims)
    rings = callee.incoming()
    assert address(rings.invite, "from") == f"sip:{caller.user}@{caller.domain}"
    names = {name for name, _ in rings.invite.headers}
    assert "x-ph-order" in names
    assert not names & {"p-asserted-identity", "remote-party-id", "diversion", "x-internal", "route"}
    rings.refuse(603)
    assert call.refused().status == 603


def test_endpoints_reach_endpoints_and_no_foreign_host(pair):
    caller, callee = pair
    domain = caller.domain
    for target, status in (("sip:x@elsewhere.example", 403), ("sip:x@169.254.169.254", 403), ("http://x", 416),
                           (f"sip:+15551234@{domain}", 404), (f"sip:{callee.user.upper()}@{domain}", 404),
                           (f"sip:a%00b@{domain}", 400)):
        assert answer(caller, target) == status, target
    for host in ("phone.plivo.com", "127.0.0.1"):
        call = caller.invite(f"sip:{callee.user}@{host}")
        callee.incoming().refuse(486)
        assert call.refused().status == 486


def test_a_phone_that_challenges_us_gets_no_credentials(pair):
    """The digest leak: a challenge to us; and a redirect to somewhere else."""
    caller, callee = pair
    for status, extra, seen in ((302, "Contact: <sip:+19005551234@premium.example>\n", 480),
                                (401, 'WWW-Authenticate: Digest realm="x", nonce="y", qop="auth"\n', 403)):
        call = caller.invite(callee.user)
        callee.incoming().refuse(status, extra)
        assert call.refused().status == seen
        callee.silent(0.2)


def test_a_merged_request_is_482_and_a_repeated_one_is_absorbed(pair):
    """S70."""
    caller, callee = pair
    call = caller.invite(callee.user)
    rings = callee.incoming()
    rings.ring()
    call.hears(180)
    caller.send(call.sent.replace(call.branch, "z9hG4bKotherpath"))
    merged = caller.expect(lambda m: m.status and "otherpath" in m.get("via"), "the answer to the second path")
    assert merged.status == 482
    caller.send(call.sent)
    assert call.hears(180).status == 180
    callee.silent(0.2)
    call.cancel()
    rings.cancelled()
    assert call.hears(487).status == 487


def test_a_phone_that_calls_itself_does_not_ring_itself(pair):
    _, callee = pair
    assert answer(callee, callee.user) == 482


def tag(value):
    return re.search("tag=([^;>]+)", value).group(1)


def test_nobody_else_ends_or_takes_over_a_call(pair):
    """S75."""
    caller, callee = pair
    call, rings, _ = connected(caller, callee, 40000, 40002)
    with Agent(caller.server, "evil") as evil:
        for local, remote in (("<sip:x@y>;tag=guess", call.remote), (call.local, f"<{call.uri}>;tag=guess")):
            for method in ("BYE", "REFER", "INFO", "UPDATE"):
                evil.send(evil.text(method, call.target, call.call_id, 50, remote, from_=local, extra="Refer-To: <sip:x@y>\n"))
                assert evil.final(call.call_id, (50, method)).status == 481
        for leg in (call, rings):
            # Even who knows the tags must say who he is.
            replaces = f"Replaces: {leg.call_id};to-tag={tag(leg.remote)};from-tag={tag(leg.local)}\n"
            assert evil.invite(callee.user, extra=replaces, prove=False).refused().status == 407
    callee.silent(0.2)
    assert call.bye() == 200
    rings.hears_bye()


def connected(caller, callee, caller_port, callee_port):
    call = caller.invite(callee.user, body=sdp(caller_port))
    rings = callee.incoming()
    rings.answer(sdp(callee_port))
    return call, rings, call.answered()


@pytest.mark.parametrize("public", [True, False])
def test_an_application_is_called_by_its_address_from_outside_only_when_it_is_public(shared_server, customer, pair, public):
    caller, callee = pair
    server = shared_server
    customer.documents["/answer"] = f"<Response><Dial><User>sip:{callee.user}@{server.domain}</User></Dial></Response>"
    app = server.application("Reception", answer_url=customer.url("/answer"), public_uri=public)
    target = f"sip:{app}@app.{server.domain}"
    for from_, may in ((STRANGER, public), ("", True)):
        call = caller.invite(target, from_=from_, prove=not from_)
        if may:
            callee.incoming().refuse(486)
        assert call.refused().status == (486 if may else 404)
    # The end of a call is told to the same URL when there is no other.
    asked = [a for a in customer.received("/answer") if a["Event"] == "StartApp"]
    assert [a["From"] for a in asked] == ["sip:joe@elsewhere.example"] * public + [f"sip:{caller.user}@{server.domain}"]


def test_rtp_of_strangers_is_neither_passed_on_nor_answered(pair):
    caller, callee = pair
    with Rtp() as one, Rtp() as two, Rtp() as evil:
        call, rings, ok = connected(caller, callee, one.port, two.port)
        here, there = ok.audio_port, rings.invite.audio_port
        evil.send(here, b"E")
        evil.send(there, b"E")
        one.send(here, b"a")
        assert two.receive()[:1] == b"a"
        two.send(there, b"b")
        assert one.receive()[:1] == b"b"
        first, last = caller.server.media_ports.split("-")
        for port in range(int(first), int(last) + 1):
            evil.send(port, b"E")
        for broken in (b"", b"\x80", bytes(172), b"\x8f\0" + bytes(20), b"\x90\0" + bytes(10) + b"\0\0\xff\xff"):
            one.send(here, raw=broken)
        one.send(here, b"c")
        assert two.receive()[:1] == b"c"
        two.send(there, b"d")
        assert one.receive()[:1] == b"d"
        assert evil.receive(0.2) is None
        assert call.bye() == 200
        rings.hears_bye()


@pytest.mark.parametrize("body", [
    sdp(65536), sdp(-1), sdp(53), sdp(40000, address="224.0.0.1"), sdp(40000, address="255.255.255.255"),
    sdp(40000).replace("m=audio", "m=video"), sdp(40000).replace("RTP/AVP", "RTP/SAVP"), "v=0 hello",
    sdp(40000) + "m=audio 40002 RTP/AVP 0\r\n" * 200,
], ids=["port_65536", "port_-1", "port_53", "multicast", "broadcast", "video", "savp", "garbage", "200_m_lines"])
def test_a_description_that_cannot_be_served_is_488(pair, body):
    caller, callee = pair
    assert answer(caller, callee.user, body=body) == 488
    callee.silent(0.05)


def test_a_body_that_is_no_description_is_415(pair):
    caller, callee = pair
    call = caller.invite(callee.user, body="hello", extra="Content-Type: text/plain\n")
    refused = call.refused()
    assert (refused.status, refused.get("accept")) == (415, "application/sdp")


def test_a_stranger_may_ring_so_often_a_minute(server):
    with Agent(server, "joe") as joe:
        seen = [answer(joe, "nobody", from_=STRANGER, prove=False) for _ in range(31)]
        assert seen == [404] * 30 + [503]
        alice = server.ready["endpoints"][0]
        with Agent(server, alice["username"], alice["password"]) as own:
            assert answer(own, "nobody") == 404
