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
def world(*kinds):
    """(server, homes): a server in the internet, and a home behind each kind of NAT."""
    with Internet(*kinds) as internet, internet.inside():
        with Server(sip=f"{SERVER}:0", environment={"OFFHOOK_MEDIA__IP": SERVER}) as server:
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
