"""Transfers by phones: RFC 3515, RFC 4488; the two that are left talk, and nobody is lost when it fails."""

import re
import subprocess
import time
import urllib.parse

import pytest
import requests

from harness import wait
from harness.agent import Agent, Rtp, sdp
from harness.server import BINARY

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
    def heard(socket, mark):
        def came():
            # The first packets may overtake the answer to a re-INVITE.
            one.send(to_one, b"1")
            two.send(to_two, b"2")
            packet = socket.receive(0.05)
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
def test_a_transferor_may_hang_up_without_waiting_for_the_answer(phone, who):
    """REFER and BYE in one breath: the REFER is accepted, and who is left gets the target."""
    alice, bob, carol = phone("alice"), phone("bob"), phone("carol")
    call, rings, _ = up(alice, bob)
    by, left = (rings, call) if who == "callee" else (call, rings)
    number = by.request("REFER", extra=f"Refer-To: <sip:{carol.user}@{carol.domain}>\n")
    goodbye = by.request("BYE")
    assert by.agent.final(by.call_id, number).status == 202
    assert by.agent.final(by.call_id, goodbye).status == 200
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


def test_an_application_is_a_target_like_any_other(phone, shared_server, customer):
    server = shared_server
    application = vobiz_application(server, customer)
    alice, bob, dave = phone("alice"), phone("bob"), phone("dave")
    customer.documents["/answer"] = dials(dave.user, server.domain)
    call, rings, _ = up(alice, bob)
    found = server.plivo("GET", f"/Application/{application}/").json()["sip_uri"]
    assert refer(rings, found).status == 202
    assert progress(rings) == [(100, ACTIVE), (200, OVER)]
    rings.hears_bye()
    assert customer.wait_for("/answer")[0]["Event"] == "StartApp"
    third = dave.incoming()
    third.answer()
    reinvited(call, 40000)
    assert third.bye() == 200
    call.hears_bye()


# Attended transfers and pick-up: RFC 3891.


def tag(address):
    return re.search(r"tag=([^;>]+)", address).group(1)


def replaces(dialog, flags=""):
    """The value that names this dialog to the server."""
    return f"{dialog.call_id};to-tag={tag(dialog.remote)};from-tag={tag(dialog.local)}{flags}"


def attended(target, dialog):
    """A Refer-To that names a dialog."""
    return f"{target}?Replaces={urllib.parse.quote(replaces(dialog))}"


def call_to(caller, callee, one, two):
    """A call between sockets: both sides, and the ports at which the server takes what they send."""
    call, rings, ok = up(caller, callee, one.port, two.port)
    return call, rings, ok.audio_port, rings.invite.audio_port


@pytest.mark.parametrize("consults", ["caller", "callee"])
@pytest.mark.parametrize("who", ["caller", "callee"])
def test_an_attended_transfer_joins_the_two_others(phone, shared_server, who, consults):
    """alice talks with bob and carol and lets the two talk; `who`, `consults`: her part in the one and the other call."""
    alice, bob, carol = phone("alice"), phone("bob"), phone("carol")
    with Rtp() as b, Rtp() as c, Rtp() as spare:
        if who == "caller":
            mine, bobs, _, to_bob = call_to(alice, bob, spare, b)
        else:
            bobs, mine, to_bob, _ = call_to(bob, alice, b, spare)
        if consults == "caller":
            other, carols, _, to_carol = call_to(alice, carol, spare, c)
        else:
            carols, other, to_carol, _ = call_to(carol, alice, c, spare)
        assert refer(mine, attended(carol.contact.strip("<>"), other)).status == 202
        assert progress(mine) == [(100, ACTIVE), (200, OVER)]
        mine.hears_bye()
        other.hears_bye()
        assert "a=sendrecv" in reinvited(bobs, b.port).body
        assert "a=sendrecv" in reinvited(carols, c.port).body
        hear_each_other(b, to_bob, c, to_carol)
        # Either holds, and the other hears of it. What meets our own re-INVITEs gets 491 (RFC 3261 §14.2): not at once.
        time.sleep(0.3)
        number = carols.request("INVITE", sdp(c.port, direction="sendonly", version=3))
        asked = bobs.asks("INVITE")
        assert "a=sendonly" in asked.body
        bobs.reply(asked, 200, sdp(b.port, direction="recvonly", version=3))
        assert "a=recvonly" in carol.final(carols.call_id, number).body
        carols.request("ACK", cseq=number[0])
        bobs.asks("ACK")
        assert bobs.bye() == 200
        carols.hears_bye()
    rows = wait.until(lambda: len(r := records(shared_server, alice.user, bob.user, carol.user)) == 4 and r, "four records")
    assert {r["hangup_cause_code"] for r in rows} <= {4000, 4010}


def test_who_was_held_before_an_attended_transfer_talks(phone):
    alice, bob, carol = phone("alice"), phone("bob"), phone("carol")
    call, rings, _ = up(alice, bob)
    number = call.request("INVITE", sdp(40000, direction="sendonly", version=2))
    asked = rings.asks("INVITE")
    rings.reply(asked, 200, sdp(40002, direction="recvonly", version=2))
    assert alice.final(call.call_id, number).status == 200
    call.request("ACK", cseq=number[0])
    rings.asks("ACK")
    other, carols, _ = up(alice, carol, 40004, 40006)
    assert refer(call, attended(f"sip:{carol.user}@{carol.domain}", other)).status == 202
    assert progress(call)[-1] == (200, OVER)
    assert "a=sendrecv" in reinvited(rings, 40002).body
    reinvited(carols, 40006)
    assert carols.bye() == 200
    rings.hears_bye()


def test_a_transferor_may_leave_both_calls_at_once(phone):
    alice, bob, carol = phone("alice"), phone("bob"), phone("carol")
    call, rings, _ = up(alice, bob)
    other, carols, _ = up(alice, carol, 40004, 40006)
    assert refer(call, attended(f"sip:{carol.user}@{carol.domain}", other)).status == 202
    call.request("BYE")
    other.hears_bye()
    reinvited(rings, 40002)
    reinvited(carols, 40006)
    assert rings.bye() == 200
    carols.hears_bye()


def ringing(caller, callee, port):
    """A call that still rings: both sides; the caller's names the dialog."""
    call = caller.invite(callee.user, body=sdp(port))
    rings = callee.incoming()
    rings.ring()
    call.remote = call.hears(180).get("to")
    return call, rings


@pytest.mark.parametrize("who", ["caller", "callee"])
def test_an_attended_transfer_to_a_phone_that_still_rings(phone, shared_server, who):
    """alice talks with bob, calls carol and lets bob have her before she has answered."""
    alice, bob, carol = phone("alice"), phone("bob"), phone("carol")
    with Rtp() as b, Rtp() as c, Rtp() as spare:
        if who == "caller":
            mine, bobs, _, to_bob = call_to(alice, bob, spare, b)
        else:
            bobs, mine, to_bob, _ = call_to(bob, alice, b, spare)
        other, carols = ringing(alice, carol, spare.port)
        assert refer(mine, attended(f"sip:{carol.user}@{carol.domain}", other)).status == 202
        assert other.refused().status == 487
        assert progress(mine, 2) == [(100, ACTIVE), (180, ACTIVE)]
        carol.silent(0.3, lambda m: m.method in ("CANCEL", "BYE"))
        carols.answer(sdp(c.port))
        assert progress(mine) == [(200, OVER)]
        mine.hears_bye()
        assert "a=sendrecv" in reinvited(bobs, b.port).body
        reinvited(carols, c.port)
        hear_each_other(b, to_bob, c, carols.invite.audio_port)
        assert carols.bye() == 200
        bobs.hears_bye()
    rows = wait.until(lambda: len(r := records(shared_server, alice.user, bob.user, carol.user)) == 4 and r, "four records")
    assert sorted(r["hangup_cause_code"] for r in rows)[0] == 1000


@pytest.mark.parametrize("why", [486, 603])
def test_a_phone_that_still_rings_and_refuses_leaves_the_call_as_it_was(phone, why):
    alice, bob, carol = phone("alice"), phone("bob"), phone("carol")
    with Rtp() as a, Rtp() as b:
        call, rings, ok = up(alice, bob, a.port, b.port)
        other, carols = ringing(bob, carol, 40010)
        assert refer(rings, attended(f"sip:{carol.user}@{carol.domain}", other)).status == 202
        assert other.refused().status == 487
        carols.refuse(why)
        assert progress(rings)[-1] == (why, OVER)
        hear_each_other(a, ok.audio_port, b, rings.invite.audio_port)
        assert call.bye() == 200
        rings.hears_bye()


def test_a_transferor_may_leave_both_calls_while_the_one_rings(phone):
    """CANCEL and BYE right behind the 202, as phones send them: by then the other call has heard of the transfer."""
    alice, bob, carol = phone("alice"), phone("bob"), phone("carol")
    call, rings, _ = up(alice, bob)
    other, carols = ringing(bob, carol, 40010)
    assert refer(rings, attended(f"sip:{carol.user}@{carol.domain}", other)).status == 202
    other.cancel()
    assert rings.bye() == 200
    assert other.refused().status == 487
    carol.silent(0.3, lambda m: m.method in ("CANCEL", "BYE"))
    carols.answer(sdp(40020))
    reinvited(call, 40000)
    reinvited(carols, 40020)
    assert call.bye() == 200
    carols.hears_bye()


def test_who_is_transferred_to_a_ringing_phone_may_leave(phone):
    alice, bob, carol = phone("alice"), phone("bob"), phone("carol")
    call, rings, _ = up(alice, bob)
    other, carols = ringing(bob, carol, 40010)
    assert refer(rings, attended(f"sip:{carol.user}@{carol.domain}", other)).status == 202
    assert other.refused().status == 487
    assert call.bye() == 200
    carols.cancelled()
    rings.hears_bye()


def across(alice, bob, carol):
    """bob and carol talk across two calls, because alice has transferred the one to the other."""
    call, bobs, _ = up(alice, bob, 40000, 40002)
    other, carols, _ = up(alice, carol, 40004, 40006)
    assert refer(call, attended(f"sip:{carol.user}@{carol.domain}", other)).status == 202
    assert progress(call)[-1] == (200, OVER)
    call.hears_bye()
    other.hears_bye()
    reinvited(bobs, 40002)
    reinvited(carols, 40006)
    return bobs, carols


@pytest.mark.parametrize("who", ["the first", "the second"])
def test_who_talks_across_two_calls_transfers_once_more(phone, shared_server, who):
    alice, bob, carol, dave = phone("alice"), phone("bob"), phone("carol"), phone("dave")
    with Rtp() as left_rtp, Rtp() as d:
        bobs, carols = across(alice, bob, carol)
        by, left = (bobs, carols) if who == "the first" else (carols, bobs)
        # One that fails first.
        assert refer(by, dave.user).status == 202
        dave.incoming().refuse(486)
        assert progress(by) == [(100, ACTIVE), (486, OVER)]
        assert refer(by, "sip:mallory@elsewhere.example").status == 202
        assert progress(by)[-1] == (403, OVER)
        asked = f"Referred-By: <sip:{by.agent.user}@{by.agent.domain}>\n"
        assert refer(by, dave.user, asked).status == 202
        third = dave.incoming()
        assert third.invite.get("referred-by") == f"<sip:{by.agent.user}@{by.agent.domain}>"
        assert refer(by, alice.user).status == 491
        third.ring()
        third.answer(sdp(d.port))
        assert progress(by)[-1] == (200, OVER)
        by.hears_bye()
        again = reinvited(left, left_rtp.port)
        hear_each_other(left_rtp, again.audio_port, d, third.invite.audio_port)
        # Holding still works, when our own re-INVITE is over (RFC 3261 §14.2).
        time.sleep(0.3)
        number = third.request("INVITE", sdp(d.port, direction="sendonly", version=3))
        held = left.asks("INVITE")
        assert "a=sendonly" in held.body
        left.reply(held, 200, sdp(left_rtp.port, direction="recvonly", version=3))
        assert "a=recvonly" in dave.final(third.call_id, number).body
        third.request("ACK", cseq=number[0])
        left.asks("ACK")
        assert left.bye() == 200
        third.hears_bye()


@pytest.mark.parametrize("named", ["the dialog of the new call", "the dialog of the old call"])
@pytest.mark.parametrize("who", ["the first", "the second"])
def test_who_talks_across_two_calls_transfers_attended_once_more(phone, who, named):
    alice, bob, carol, dave = phone("alice"), phone("bob"), phone("carol"), phone("dave")
    with Rtp() as d, Rtp() as left_rtp:
        bobs, carols = across(alice, bob, carol)
        by, left = (bobs, carols) if who == "the first" else (carols, bobs)
        third, daves, _ = up(by.agent, dave, 40020, d.port)
        asks, other = (by, third) if named == "the dialog of the new call" else (third, by)
        assert refer(asks, attended(f"sip:{dave.user}@{dave.domain}", other)).status == 202
        assert progress(asks)[-1] == (200, OVER)
        asks.hears_bye()
        other.hears_bye()
        # Who is left by the call that was asked is offered first.
        both = [(left, left_rtp), (daves, d)]
        if asks is third:
            both.reverse()
        ports = {rtp: reinvited(side, rtp.port).audio_port for side, rtp in both}
        hear_each_other(left_rtp, ports[left_rtp], d, ports[d])
        assert daves.bye() == 200
        left.hears_bye()


def test_a_dialog_of_nobody_or_of_another_account_replaces_nothing(phone, shared_server):
    """S75."""
    alice, bob = phone("alice"), phone("bob")
    call, rings, _ = up(alice, bob)
    unknown = f"sip:{bob.user}@{bob.domain}?Replaces=nothing%3Bto-tag%3D1%3Bfrom-tag%3D2"
    assert refer(call, unknown).status == 202
    assert progress(call) == [(100, ACTIVE), (481, OVER)]
    assert refer(call, attended(f"sip:{bob.user}@{bob.domain}", call)).status == 202
    assert progress(call)[-1] == (481, OVER)
    assert call.bye() == 200
    rings.hears_bye()


def foreign(server):
    """A phone of a second account, which the command line makes beside the running server."""
    made = subprocess.run([BINARY, "account", "create", "--name", "second", "--data-dir", server.data_dir],
                          capture_output=True, text=True, timeout=20, check=True).stdout
    owner, token = (re.search(rf"^{name} +(\S+)$", made, re.M).group(1) for name in ("auth id", "auth token"))
    body = {"username": "stranger", "password": PASSWORD, "alias": "stranger"}
    answer = wait.until(lambda: (found := requests.post(f"{server.base_url}/v1/Account/{owner}/Endpoint/", auth=(owner, token),
                                                        json=body, timeout=5)).status_code == 201 and found, "the account")
    made = requests.get(f"{server.base_url}/v1/Account/{owner}/Endpoint/{answer.json()['endpoint_id']}/", auth=(owner, token),
                        timeout=5).json()
    user, domain = made["sip_uri"].removeprefix("sip:").split("@")
    agent = Agent(server, user, domain=domain)
    assert agent.register().status == 200
    return agent


def test_a_phone_of_another_account_takes_over_nothing(phone, shared_server):
    """S75: it proves its password and knows all tags of the dialog; it is refused, and the call goes on untouched."""
    alice, bob = phone("alice"), phone("bob")
    with foreign(shared_server) as stranger, Rtp() as a, Rtp() as b:
        call, rings, ok = up(alice, bob, a.port, b.port)
        for leg in (call, rings):
            for target in (f"sip:{bob.user}@{bob.domain}", stranger.user):
                tried = stranger.invite(target, extra=f"Replaces: {replaces(leg)}\n")
                assert tried.refused().status in (403, 481)
        for agent in (alice, bob):
            agent.silent(0.2, lambda m: m.method in ("BYE", "INVITE"))
        hear_each_other(a, ok.audio_port, b, rings.invite.audio_port)
        assert call.bye() == 200
        rings.hears_bye()


def test_a_phone_takes_over_a_call_of_another_one(phone, shared_server):
    """INVITE with Replaces: what phones send that finish a transfer by themselves."""
    alice, bob, carol = phone("alice"), phone("bob"), phone("carol")
    with Rtp() as a, Rtp() as c, Rtp() as spare:
        call, rings, to_alice, _ = call_to(alice, bob, a, spare)
        mine = carol.invite(bob.user, body=sdp(c.port), extra=f"Replaces: {replaces(rings)}\nRequire: replaces\n")
        ok = mine.answered()
        rings.hears_bye()
        reinvited(call, a.port)
        hear_each_other(a, to_alice, c, ok.audio_port)
        assert mine.bye() == 200
        call.hears_bye()


def test_a_phone_picks_up_what_rings_at_another_one(phone):
    alice, bob, carol = phone("alice"), phone("bob"), phone("carol")
    with Rtp() as a, Rtp() as c:
        call = alice.invite(bob.user, body=sdp(a.port))
        rings = bob.incoming()
        rings.ring()
        call.hears(180)
        mine = carol.invite(bob.user, body=sdp(c.port), extra=f"Replaces: {replaces(rings, ';early-only')}\n")
        cancel = rings.cancelled()
        assert "completed elsewhere" in cancel.get("reason")
        ok, mine_ok = call.answered(), mine.answered()
        number = None
        while (again := alice.expect(lambda m: m.method == "INVITE" or m.method == "BYE", "a re-INVITE")).method != "INVITE":
            number = again
        assert number is None
        call.reply(again, 200, sdp(a.port, version=2))
        call.asks("ACK")
        hear_each_other(a, ok.audio_port, c, mine_ok.audio_port)
        assert call.bye() == 200
        mine.hears_bye()


def test_who_may_not_replace_a_dialog_is_told_why(phone, shared_server):
    """RFC 3891 §3."""
    alice, bob, carol = phone("alice"), phone("bob"), phone("carol")
    call, rings, _ = up(alice, bob)

    def refusal(value, prove=True, agent=carol):
        return agent.invite(bob.user, extra=f"Replaces: {value}\n", prove=prove).refused().status

    assert refusal(replaces(rings, ";early-only")) == 486
    assert refusal(f"{rings.call_id};to-tag=1;from-tag=2", prove=False) == 481
    assert refusal(replaces(rings), prove=False) == 407
    with Agent(shared_server, "stranger", domain="elsewhere.example") as stranger:
        call_ = stranger.invite(bob.user, extra=f"Replaces: {replaces(rings)}\n", prove=False, domain=bob.domain)
        assert call_.refused().status == 403
    assert call.bye() == 200
    rings.hears_bye()
    assert refusal(replaces(rings), prove=False) in (481, 603)
