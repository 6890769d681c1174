"""Policies of registrations and registrations ended by hand: RFC 3261 §10.3, RFC 8760, hard cases S63 to S68."""

import socket
import uuid

import pytest

from harness.agent import Agent, Udp
from harness.phone import Phone
from harness.server import Server


@pytest.fixture
def phone(shared_server):
    user, _, endpoint_id = shared_server.endpoint("phone")
    with Agent(shared_server, user) as agent:
        agent.path = f"/Endpoint/{endpoint_id}"
        yield agent


@pytest.fixture
def account(shared_server):
    """The account's policy; what a test sets is gone after it."""
    def set_policy(**fields):
        answer = shared_server.plivo("POST", "/Policy/", json=fields)
        assert answer.status_code == 202, answer.text
    yield set_policy
    assert shared_server.plivo("DELETE", "/Policy/").status_code == 204


def set_policy(phone, **fields):
    answer = phone.server.plivo("POST", f"{phone.path}/Policy/", json=fields)
    assert answer.status_code == 202, answer.text


def registrations(phone):
    return phone.server.plivo("GET", f"{phone.path}/Registration/").json()["objects"]


def algorithm(response):
    return response.get("www-authenticate").split("algorithm=")[1].split(",")[0]


def test_expiry_and_the_number_of_phones_follow_the_policy(phone, account):
    account(min_expires=300, max_expires=500)
    brief = phone.register(expires=299)
    assert (brief.status, brief.get("min-expires")) == (423, "300")
    assert "expires=500" in phone.register(expires=3600).get("contact")
    set_policy(phone, min_expires=10, max_bindings=1)
    assert phone.register(expires=10).status == 200
    assert phone.register(f"Contact: <sip:{phone.user}@127.0.0.1:7001>\n").status == 403
    assert len(registrations(phone)) == 1


@pytest.mark.parametrize("wanted", ["SHA-256", "SHA-512-256"])
def test_a_client_that_can_registers_and_calls_with_the_algorithm_that_its_account_asks_for(phone, account, wanted):
    account(digest_algorithm=wanted)
    assert algorithm(phone.challenge()) == wanted
    # One that knows MD5 only is challenged again and again.
    assert phone.register().status == 401
    phone.knows = [wanted]
    assert phone.register().status == 200
    assert phone.invite("nobody").refused().status not in (401, 407)


def test_an_endpoint_asks_for_more_than_its_account_and_nobody_without_the_password_sees_it(phone):
    """S66, S67."""
    set_policy(phone, digest_algorithm="SHA-256")
    with Agent(phone.server, "stranger12345") as stranger:
        assert algorithm(stranger.challenge()) == algorithm(phone.challenge()) == "MD5"
    phone.password = "wrong"
    assert algorithm(phone.register()) == "MD5"
    phone.password = "correct-horse"
    again = phone.register()
    assert algorithm(again) == "SHA-256" and "stale" not in again.get("www-authenticate")
    assert algorithm(phone.challenge()) == "SHA-256"
    phone.knows = ["SHA-256"]
    assert phone.register().status == 200


def test_a_phone_of_another_make_registers_under_a_policy_and_is_logged_out(shared_server):
    """baresip: its binding goes on REST's word, and a call to it ends as one to nobody."""
    user, password, endpoint = shared_server.endpoint("desk")
    caller, _, _ = shared_server.endpoint("caller")
    path = f"/Endpoint/{endpoint}"
    answer = shared_server.plivo("POST", f"{path}/Policy/", json={"max_expires": 120, "max_bindings": 1})
    assert answer.status_code == 202
    with Phone(shared_server, user, password, 600) as desk, Agent(shared_server, caller) as agent:
        desk.register()
        found = shared_server.plivo("GET", f"{path}/Registration/").json()["objects"]
        assert len(found) == 1 and found[0]["user_agent"].startswith("baresip") and found[0]["reachable"] is True
        one = f"{path}/Registration/{found[0]['registration_id']}/"
        assert shared_server.plivo("DELETE", one).status_code == 204
        assert shared_server.plivo("DELETE", one).status_code == 404
        assert shared_server.plivo("GET", f"{path}/").json()["sip_registered"] == "false"
        assert agent.register().status == 200
        assert agent.invite(user).refused().status == 480


def test_all_registrations_end_at_once_and_stay_gone_after_a_crash():
    first = Server().start()
    try:
        user, _, endpoint = first.endpoint("desk")
        path = f"/Endpoint/{endpoint}/Registration/"
        for port in (7001, 7002):
            with Agent(first, user) as agent:
                assert agent.register(f"Contact: <sip:{user}@127.0.0.1:{port}>\n").status == 200
        assert len(first.plivo("GET", path).json()["objects"]) == 2
        assert first.plivo("DELETE", path).status_code == 204
        first.kill()
        with Server(data_dir=first.data_dir) as second:
            assert second.plivo("GET", path).json()["objects"] == []
    finally:
        first._own.cleanup()


class Elsewhere(Udp):
    """A phone at another address of the loopback."""

    def __init__(self, server):
        super().__init__(server)
        self.socket.close()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.2", 0))


@pytest.mark.parametrize("bound,status", [(True, 401), (False, 200)])
def test_a_nonce_moves_with_a_phone_only_where_the_account_lets_it(phone, account, bound, status):
    """S63."""
    account(bind_nonces=bound)
    first = phone.challenge()
    call_id, uri = uuid.uuid4().hex, f"sip:{phone.domain}"
    line = phone.answer_to(first, "REGISTER", uri)
    with Agent(phone.server, phone.user, transport=Elsewhere) as moved:
        moved.send(moved.text("REGISTER", uri, call_id, 1, f"<sip:{phone.user}@{phone.domain}>", extra=line))
        assert moved.final(call_id, (1, "REGISTER")).status == status


def test_a_refused_user_agent_is_told_apart_only_by_who_has_the_password(phone, account):
    account(refused_user_agents="BadPhone")
    bad = "User-Agent: BadPhone 2\n"
    assert phone.register(extra=bad).status == 403
    phone.password = "wrong"
    assert phone.register(extra=bad).status == 401
