"""sipp as both phones, direct dial between them: the expected statuses exactly (RFC 3261 §9, §13, §17)."""

import pytest

from harness import wait
from harness.phone import free_port
from harness.sipp import Sipp
from harness.wire import Wire

PASSWORD = "correct-horse"


def pair(server):
    """Two endpoints; the second one's sipp contact is registered on the returned port."""
    caller, _, _ = server.endpoint("caller")
    callee, _, _ = server.endpoint("callee")
    port = free_port()
    with Sipp(server, "register", port, callee, PASSWORD) as registration:
        registration.finish()
    return caller, callee, port


def run(server, calling, called):
    caller, callee, port = pair(server)
    with Sipp(server, called, port, callee, PASSWORD, timeout=60) as two:
        with Sipp(server, calling, free_port(), caller, PASSWORD, called=callee, timeout=60) as one:
            one.finish()
        two.finish()
    return caller, callee


def legs_between(server, caller, callee):
    """(A leg, B leg) of the one finished call from `caller` to `callee`."""
    def found():
        rows = server.finished_calls()
        a = [r for r in rows if caller in r["from_number"] and not r["parent_call_uuid"]]
        b = [r for r in rows if callee in r["to_number"] and r["parent_call_uuid"]]
        return a and b and (a, b)
    a, b = wait.until(found, "the finished legs in REST")
    assert len(a) == len(b) == 1
    assert b[0]["parent_call_uuid"] == a[0]["call_uuid"]
    return a[0], b[0]


@pytest.mark.parametrize("calling,called,cause,source,answered", [
    ("call", "answer", 4000, "Caller", True),
    ("call_late_ack", "answer", 4000, "Caller", True),
    ("call", "answer_then_bye_lost", 4000, "Caller", True),
    ("call_cancel", "ring_until_cancelled", 1000, "Caller", False),
    ("call_busy", "busy", 3010, "Callee", False),
    ("call_declined", "decline", 3020, "Callee", False),
])
def test_a_call_ends_as_the_scenarios_say_and_the_cdr_agrees(shared_server, calling, called, cause, source, answered):
    caller, callee = run(shared_server, calling, called)
    a, b = legs_between(shared_server, caller, callee)
    assert (a["hangup_cause_code"], a["hangup_source"]) == (cause, source)
    assert (b["answer_time"] is not None, a["answer_time"] is not None) == (answered, answered)


def test_no_answer_within_the_dials_timeout_is_480(shared_server, customer):
    server = shared_server
    caller, callee, port = pair(server)
    customer.documents["/answer"] = \
        f"<Response><Dial timeout=\"2\"><User>sip:{callee}@{server.domain}</User></Dial></Response>"
    app = server.application("No-Answer", answer_url=customer.url("/answer"), hangup_url=customer.url("/hangup"))
    endpoint = next(e for e in server.plivo("GET", "/Endpoint/").json()["objects"] if e["username"] == caller)
    server.plivo("POST", f"/Endpoint/{endpoint['endpoint_id']}/", json={"app_id": app})
    with Sipp(server, "ring_until_cancelled", port, callee, PASSWORD) as two, \
            Sipp(server, "call_no_answer", free_port(), caller, PASSWORD, called=callee) as one:
        one.finish()
        two.finish()
    _, b = legs_between(server, caller, callee)
    assert b["hangup_cause_code"] == 6010
    assert customer.wait_for("/hangup")[0]["Event"] == "Hangup"


def test_nobody_by_that_name_is_404_and_nobody_at_home_is_480(shared_server):
    caller, _, _ = shared_server.endpoint("caller")
    absent, _, _ = shared_server.endpoint("absent")
    with Sipp(shared_server, "call_unknown", free_port(), caller, PASSWORD, called="nobody-at-all") as one:
        one.finish()
    with Sipp(shared_server, "call_unregistered", free_port(), caller, PASSWORD, called=absent) as one:
        one.finish()


def test_an_ack_that_never_comes_ends_the_call_with_bye(shared_server):
    """S78; RFC 3261 §13.3.1.4: after 64*T1 without ACK the session is ended with BYE."""
    caller, callee = run(shared_server, "call_no_ack", "answer")
    a, _ = legs_between(shared_server, caller, callee)
    assert a["hangup_cause_code"] != 4000 or a["hangup_source"] != "Caller"


def test_wrong_password_and_unknown_user_are_refused_alike(shared_server):
    """S67, S68."""
    known, _, _ = shared_server.endpoint("known")
    for user, password in ((known, "wrong-password"), ("nobody000000000000", "wrong-password")):
        with Sipp(shared_server, "register_refused", free_port(), user, password) as one:
            one.finish()


def shape(message):
    """Status line and header names with the values that may not differ between users."""
    lines = message.split("\r\n")
    return [lines[0]] + [line.split(":", 1)[0] for line in lines[1:] if line]


def test_the_refusals_for_known_and_unknown_users_have_one_shape(shared_server):
    known, _, _ = shared_server.endpoint("known")
    seen = []
    for user in (known, "n" + known[1:]):
        with Wire(shared_server) as wire:
            uri = f"sip:{shared_server.domain}"
            wire.send(wire.request("REGISTER", uri, user, shared_server.domain))
            challenge = wire.receive()
            line = wire.authorization(challenge, "REGISTER", uri, user, "wrong-password")
            wire.send(wire.request("REGISTER", uri, user, shared_server.domain, 2, extra=line))
            refusal = wire.receive()
            seen.append((shape(challenge), shape(refusal), len(challenge), len(refusal)))
    assert seen[0][:2] == seen[1][:2]
    assert seen[0][0][0] == "SIP/2.0 401 Unauthorized"
    assert abs(seen[0][2] - seen[1][2]) <= 2 and abs(seen[0][3] - seen[1][3]) <= 2


SDP = ("v=0\nо=w 1 1 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 40000 RTP/AVP 0\n"
       "a=rtpmap:0 PCMU/8000\n").replace("о", "o")


def test_repeated_invite_and_bye_make_one_call(shared_server):
    """Exactly repeated datagrams (RFC 3261 §17.2): one call, the same answers again."""
    server = shared_server
    caller, callee, port = pair(server)
    with Sipp(server, "answer", port, callee, PASSWORD) as two, Wire(server) as wire:
        uri, call_id = f"sip:{callee}@{server.domain}", "repeat" + caller
        to = f"<{uri}>"
        wire.send(wire.request("INVITE", uri, caller, server.domain, 1, call_id, extra="Content-Type: application/sdp\n",
                               body=SDP, to=to))
        challenge = next(m for m in iter(wire.receive, None) if " 407 " in m.split("\r\n")[0])
        line = wire.authorization(challenge, "INVITE", uri, caller, PASSWORD)
        invite = wire.request("INVITE", uri, caller, server.domain, 2, call_id, body=SDP, to=to,
                              extra=line + "Content-Type: application/sdp\n")
        for _ in range(3):
            wire.send(invite)
        ok = next(m for m in iter(lambda: wire.receive(5), None) if m.startswith("SIP/2.0 200"))
        tag_to = next(h for h in ok.split("\r\n") if h.lower().startswith("to:")).split(":", 1)[1].strip()
        contact = next(h for h in ok.split("\r\n") if h.lower().startswith("contact:")).split("<")[1].split(">")[0]
        wire.send(wire.request("ACK", contact, caller, server.domain, 2, call_id, to=tag_to))
        bye = wire.request("BYE", contact, caller, server.domain, 3, call_id, to=tag_to)
        for _ in range(3):
            wire.send(bye)
        answers = [m for m in iter(lambda: wire.receive(1), None) if "CSeq: 3 BYE" in m]
        assert len(answers) == 3 and {m.split("\r\n")[0] for m in answers} == {"SIP/2.0 200 OK"}
        two.finish()
    legs_between(server, caller, callee)
