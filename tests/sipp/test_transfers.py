"""Transfers by phones: RFC 3515, RFC 4488; the two that are left talk, and nobody is lost when it fails."""

import pytest
import requests

from harness import wait
from harness.agent import Agent, Rtp, sdp

PASSWORD = "correct-horse"


class Phones:
    """Registered agents of one account, closed together."""

    def __init__(self, server):
        self.server, self.agents = server, []

    def __call__(self, name, application=None):
        agent = Agent(self.server, self.server.endpoint(name, application=application)[0])
        self.agents.append(agent)
        assert agent.register().status == 200
        return agent


@pytest.fixture
def phone(shared_server):
    phones = Phones(shared_server)
    yield phones
    for agent in phones.agents:
        agent.close()


def up(caller, callee, one=40000, two=40002):
    call = caller.invite(callee.user, body=sdp(one))
    rings = callee.incoming()
    rings.answer(sdp(two))
    return call, rings, call.answered()


def refer(dialog, target, extra=""):
    """The answer to a REFER."""
    target = target if ":" in target else f"sip:{target}@{dialog.agent.domain}"
    number = dialog.request("REFER", extra=f"Refer-To: <{target}>\n{extra}")
    return dialog.agent.final(dialog.call_id, number)


def progress(dialog, count=None):
    """What the NOTIFYs say, up to the last one or so many of them: status, state of the subscription."""
    told, seen = [], set()
    while not (told and told[-1][1].startswith("terminated")) and len(told) != count:
        notify = dialog.asks("NOTIFY")
        dialog.reply(notify, 200)
        if notify.cseq in seen:
            continue
        seen.add(notify.cseq)
        assert notify.get("event").startswith("refer;id=")
        assert notify.get("content-type") == "message/sipfrag;version=2.0"
        told.append((int(notify.body.split()[1]), notify.get("subscription-state")))
    return told


ACTIVE, OVER = "active;expires=300", "terminated;reason=noresource"


def reinvited(dialog, port):
    """Answers our re-INVITE and gives it."""
    asked = dialog.asks("INVITE")
    dialog.reply(asked, 200, sdp(port, version=2))
    dialog.asks("ACK")
    return asked


def hear_each_other(one, to_one, two, to_two):
    """Two sockets, and the ports at which the server takes what they send."""
    one.send(to_one, b"1")
    two.send(to_two, b"2")

    def heard(socket, mark):
        def came():
            packet = socket.receive(0.2)
            return packet and packet[:1] == mark
        wait.until(came, f"RTP {mark}", step=0)
    heard(two, b"1")
    heard(one, b"2")


def records(server, *users):
    """The finished legs of these users."""
    return [r for r in server.finished_calls() if any(u in r["from_number"] + r["to_number"] for u in users)]


@pytest.mark.parametrize("who", ["callee", "caller"])
def test_a_blind_transfer_tells_its_progress_and_joins_the_two_that_are_left(phone, shared_server, who):
    alice, bob, carol = phone("alice"), phone("bob"), phone("carol")
    with Rtp() as a, Rtp() as b, Rtp() as c:
        call, rings, ok = up(alice, bob, a.port, b.port)
        by, left, left_rtp, left_port = {
            "callee": (rings, call, a, ok.audio_port),
            "caller": (call, rings, b, rings.invite.audio_port)}[who]
        asked = f"Referred-By: <sip:{by.agent.user}@{by.agent.domain}>\n"
        assert refer(by, carol.user, asked).status == 202
        third = carol.incoming()
        named = f"<sip:{left.agent.user}@{left.agent.domain}>"
        assert named in third.invite.get("from")
        assert third.invite.get("referred-by") == f"<sip:{by.agent.user}@{by.agent.domain}>"
        third.ring()
        assert progress(by, 2) == [(100, ACTIVE), (180, ACTIVE)]
        third.answer(sdp(c.port))
        assert progress(by) == [(200, OVER)]
        by.hears_bye()
        again = reinvited(left, left_rtp.port)
        assert again.audio_port == left_port
        hear_each_other(left_rtp, left_port, c, third.invite.audio_port)
        assert third.bye() == 200
        left.hears_bye()
    rows = wait.until(lambda: len(r := records(shared_server, alice.user, bob.user, carol.user)) == 3 and r, "three records")
    assert {r["hangup_cause_code"] for r in rows} <= {4000, 4010}
    new = next(r for r in rows if carol.user in r["to_number"])
    assert left.agent.user in new["from_number"] and new["hangup_source"] == "Callee"


@pytest.mark.parametrize("who", ["callee", "caller"])
@pytest.mark.parametrize("when", ["before it rings", "while it rings"])
def test_a_transferor_may_leave_before_the_end(phone, who, when):
    alice, bob, carol = phone("alice"), phone("bob"), phone("carol")
    call, rings, _ = up(alice, bob)
    by, left = (rings, call) if who == "callee" else (call, rings)
    assert refer(by, carol.user).status == 202
    if when == "while it rings":
        third = carol.incoming()
        third.ring()
    assert by.bye() == 200
    if when == "before it rings":
        third = carol.incoming()
    left.agent.silent(0.3, lambda m: m.method == "BYE")
    third.answer()
    reinvited(left, 40010)
    assert left.bye() == 200
    third.hears_bye()


@pytest.mark.parametrize("who", ["callee", "caller"])
@pytest.mark.parametrize("why", [486, 603, 404])
def test_a_transfer_that_fails_leaves_the_call_as_it_was(phone, who, why):
    alice, bob, carol = phone("alice"), phone("bob"), phone("carol")
    with Rtp() as a, Rtp() as b:
        call, rings, ok = up(alice, bob, a.port, b.port)
        by = rings if who == "callee" else call
        target = "nobody-at-all" if why == 404 else carol.user
        assert refer(by, target).status == 202
        if why != 404:
            carol.incoming().refuse(why)
        assert progress(by)[-1] == (why, OVER)
        hear_each_other(a, ok.audio_port, b, rings.invite.audio_port)
        assert call.bye() == 200
        rings.hears_bye()


def test_who_was_put_on_hold_talks_with_the_target(phone):
    alice, bob, carol = phone("alice"), phone("bob"), phone("carol")
    call, rings, _ = up(alice, bob)
    number = rings.request("INVITE", sdp(40002, direction="sendonly", version=2))
    asked = call.asks("INVITE")
    call.reply(asked, 200, sdp(40000, direction="recvonly", version=2))
    assert rings.agent.final(rings.call_id, number).status == 200
    rings.request("ACK", cseq=number[0])
    call.asks("ACK")
    assert refer(rings, carol.user).status == 202
    third = carol.incoming()
    assert "a=sendrecv" in third.invite.body
    third.answer()
    assert progress(rings)[-1] == (200, OVER)
    rings.hears_bye()
    assert "a=sendrecv" in reinvited(call, 40000).body
    assert call.bye() == 200
    third.hears_bye()


def test_who_wants_no_notifications_gets_none(phone):
    alice, bob, carol = phone("alice"), phone("bob"), phone("carol")
    call, rings, _ = up(alice, bob)
    answer = refer(rings, carol.user, "Refer-Sub: false\nSupported: norefersub\n")
    assert (answer.status, answer.get("refer-sub")) == (202, "false")
    third = carol.incoming()
    third.ring()
    third.answer()
    rings.hears_bye()
    rings.agent.silent(0.3, lambda m: m.method == "NOTIFY")
    reinvited(call, 40010)
    assert call.bye() == 200
    third.hears_bye()


def test_a_transfer_is_as_free_as_who_transfers(phone, shared_server):
    """The permissions of the transferor decide, and the record names the one that is missing."""
    alice, bob, carol = phone("alice"), phone("bob"), phone("carol")
    call, rings, _ = up(alice, bob)
    assert refer(rings, "sip:mallory@elsewhere.example").status == 202
    assert progress(rings)[-1] == (403, OVER)
    assert refer(rings, "+4930123456").status == 202
    assert progress(rings)[-1][1] == OVER
    assert refer(rings, carol.user).status == 202
    third = carol.incoming()
    assert refer(rings, alice.user).status == 491
    third.refuse(486)
    assert progress(rings)[-1] == (486, OVER)
    assert call.bye() == 200
    rings.hears_bye()


def vobiz_application(server, customer, **fields):
    """An application of the face that has a transfer URL."""
    headers = {"X-Auth-ID": server.api["auth_id"], "X-Auth-Token": server.api["auth_token"]}
    answer = requests.post(f"{server.base_url}/api/v1/Account/{server.api['auth_id']}/Application/", headers=headers,
                           json={"app_name": "Transfers", "answer_url": customer.url("/answer"),
                                 "sip_transfer_url": customer.url("/transfer"), **fields}, timeout=5)
    assert answer.status_code == 201, answer.text
    return answer.json()["app_id"]


def dials(user, domain):
    return f"<Response><Dial><User>sip:{user}@{domain}</User></Dial></Response>"


@pytest.mark.parametrize("who", ["callee", "caller"])
def test_the_application_says_what_becomes_of_a_transferred_call(phone, shared_server, customer, who):
    server = shared_server
    alice = phone("alice", vobiz_application(server, customer))
    bob, carol, dave = phone("bob"), phone("carol"), phone("dave")
    customer.documents["/answer"] = dials(bob.user, server.domain)
    customer.documents["/transfer"] = dials(dave.user, server.domain)
    call, rings, _ = up(alice, bob)
    by, left = (rings, call) if who == "callee" else (call, rings)
    assert refer(by, carol.user).status == 202
    assert progress(by) == [(100, ACTIVE), (200, OVER)]
    by.hears_bye()
    asked = customer.wait_for("/transfer")[0]
    assert asked["ReferTo"] == f"sip:{carol.user}@{server.domain}"
    assert asked["TransferredBy"] == {"callee": "bleg", "caller": "aleg"}[who]
    assert (asked["CallStatus"], asked["Event"], asked["Direction"]) == ("in-progress", "Redirect", "inbound")
    third = dave.incoming()
    third.answer()
    reinvited(left, 40010)
    assert third.bye() == 200
    left.hears_bye()


def test_an_application_that_fails_to_say_it_leaves_the_call_as_it_was(phone, shared_server, customer):
    alice = phone("alice", vobiz_application(shared_server, customer))
    bob = phone("bob")
    customer.documents["/answer"] = dials(bob.user, shared_server.domain)
    customer.documents["/transfer"] = (200, "not a document")
    call, rings, _ = up(alice, bob)
    assert refer(rings, alice.user).status == 202
    assert progress(rings) == [(100, ACTIVE), (500, OVER)]
    assert call.bye() == 200
    rings.hears_bye()
