"""Phones (baresip) in homes of their own, each behind a NAT, and the server in the internet: RFC 3581, RFC 5626, RFC 4787."""

import contextlib
import os

import pytest

from harness import wait
from harness.network import SERVER, Internet
from harness.phone import Phone
from harness.server import Server
from phones.test_first_call import talk

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may make network namespaces")


@contextlib.contextmanager
def world(*kinds, **environment):
    """(server, homes): a server in the internet, and a home behind each kind of NAT."""
    with Internet(*kinds) as internet, internet.inside():
        with Server(sip=f"{SERVER}:0", environment={"OFFHOOK_MEDIA__IP": SERVER, **environment}) as server:
            yield server, internet.homes


def registrations(server, endpoint):
    return server.plivo("GET", f"/Endpoint/{endpoint}/Registration/").json()["objects"]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("kind", ["port_restricted", "symmetric"])
def test_two_phones_behind_nats_call_each_other_and_hear_each_other(kind, transport):
    with world(kind, kind) as (server, homes), contextlib.ExitStack() as stack:
        phones = []
        for name, hz, home in zip(("alice", "bob"), (1013, 613), homes):
            user, password, endpoint = server.endpoint(name)
            phone = stack.enter_context(Phone(server, user, password, hz, transport, home=home))
            phone.register()
            # The contact is kept as it was sent; who calls the phone goes to where it was seen.
            shown = server.plivo("GET", f"/Endpoint/{endpoint}/").json()
            assert f"@{home.address}:" in shown["sip_contact"]
            seen, = registrations(server, endpoint)
            assert seen["source_address"].rpartition(":")[0] == home.outside and seen["nat"]
            phones.append(phone)
        one, two = phones
        for count, (calling, called) in enumerate(((one, two), (two, one)), 1):
            calling.dial(f"sip:{called.username}@{server.domain}")
            called.wait_for("CALL_INCOMING")
            called.accept()
            for phone in phones:
                phone.wait_for("CALL_ESTABLISHED", count)
            talk(3)
            (one if transport == "udp" else two).hang_up()
            for phone in phones:
                phone.wait_for("CALL_CLOSED", count)
            one.hears(613, 2.5, count)
            two.hears(1013, 2.5, count)
        rows = wait.until(lambda: (rows := server.finished_calls()) and len(rows) >= 4 and rows, "four legs in REST")
        assert {row["hangup_cause_code"] for row in rows} == {4000}


def call(one, two):
    one.dial(f"sip:{two.username}@{one.server.domain}")
    two.wait_for("CALL_INCOMING")
    two.accept()
    for phone in (one, two):
        phone.wait_for("CALL_ESTABLISHED")


@pytest.mark.parametrize("who", ["caller", "callee"])
def test_a_call_goes_on_when_a_home_gets_another_address(who):
    """T17: the phone registers again, by datagrams from elsewhere; its call follows it, with its audio, and has one record."""
    with world("symmetric", "port_restricted", OFFHOOK_SIP__MIN_EXPIRES="5") as (server, homes), \
            contextlib.ExitStack() as stack:
        phones = []
        for name, hz, home in zip(("alice", "bob"), (1013, 613), homes):
            user, password, endpoint = server.endpoint(name)
            phone = stack.enter_context(Phone(server, user, password, hz, home=home))
            phone.endpoint = endpoint
            phones.append(phone.register(every=6))
        one, two = phones
        call(one, two)
        talk(2)
        moving = one if who == "caller" else two
        moving.home.change_address()

        def is_elsewhere():
            seen = registrations(server, moving.endpoint)
            return seen and seen[0]["source_address"].startswith(moving.home.outside + ":")
        wait.until(is_elsewhere, "the phone to register from its new address", 30)
        talk(3)
        # What the server says to the phone reaches it: the other one hangs up.
        (two if who == "caller" else one).hang_up()
        for phone in phones:
            phone.wait_for("CALL_CLOSED")
        # Two seconds before the move and three after it; what was lost in between leaves no gap in a recording.
        one.hears(613, 4)
        two.hears(1013, 4)
        rows = wait.until(lambda: (rows := server.finished_calls()) and len(rows) >= 2 and rows, "two legs in REST")
        assert [row["hangup_cause_code"] for row in rows] == [4000, 4000]


def test_a_binding_stays_reachable_through_the_pings_of_the_server():
    """RFC 5626 §4.4: a NAT that forgets a mapping in 15 seconds is reminded every 10."""
    with world("symmetric", "symmetric", OFFHOOK_SIP__PING_SECONDS="10") as (server, homes), contextlib.ExitStack() as stack:
        phones = []
        for name, hz, home in zip(("alice", "bob"), (1013, 613), homes):
            home.forget_after(15)
            user, password, _ = server.endpoint(name)
            phones.append(stack.enter_context(Phone(server, user, password, hz, home=home)).register())
        talk(25)
        one, two = phones
        call(one, two)
        two.hang_up()
        for phone in phones:
            phone.wait_for("CALL_CLOSED")
