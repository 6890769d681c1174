"""Foreign phones (baresip) that transfer their calls: who is left hears each other."""

import threading

import pytest

from harness.phone import Phone


@pytest.fixture
def three(shared_server):
    server, phones = shared_server, []
    for name, hz in (("one", 1013), ("two", 613), ("three", 1513)):
        user, password, _ = server.endpoint(name)
        phones.append(Phone(server, user, password, hz).start().register())
    yield phones
    for phone in phones:
        phone.stop()


@pytest.mark.parametrize("who", ["caller", "callee"])
def test_a_blind_transfer(three, who):
    one, two, third = three
    one.dial(f"sip:{two.username}@{two.domain}")
    two.wait_for("CALL_INCOMING")
    two.accept()
    one.wait_for("CALL_ESTABLISHED")
    two.wait_for("CALL_ESTABLISHED")
    by, left, left_hz = (one, two, 613) if who == "caller" else (two, one, 1013)
    by.command("transfer", f"sip:{third.username}@{third.domain}")
    third.wait_for("CALL_INCOMING")
    third.accept()
    third.wait_for("CALL_ESTABLISHED")
    by.wait_for("CALL_CLOSED")
    threading.Event().wait(2.5)
    third.hang_up()
    left.wait_for("CALL_CLOSED")
    third.hears(left_hz, 2.0)
    left.hears(1513, 2.0)
