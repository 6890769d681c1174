"""Who is never silenced, and where it is shown that somebody is."""

import functools

import pytest

from harness import wait
from harness.agent import Agent, Udp
from harness.server import Server

SCORED = {"OFFHOOK_ABUSE__EXEMPT": ""}


@pytest.fixture
def guarded():
    with Server(environment=SCORED) as server:
        yield server


def at(address):
    """UDP from another address than that of everybody else."""
    return functools.partial(Udp, address=address)


def guesses_heard(server, user, address, most=40):
    """How many wrong passwords in a row get an answer."""
    with Agent(server, user, "wrong", at(address)) as guesser:
        for count in range(most):
            try:
                assert guesser.register(cseq=1 + 2 * count).status == 401
            except AssertionError:
                return count
    return most


def test_a_trunk_is_never_silenced_and_its_neighbour_is(guarded):
    user, _, _ = guarded.endpoint("victim")
    body = {"name": "carrier", "hosts": ["127.0.0.3"], "options_interval": 0, "inbound_networks": ["127.0.0.3/32"]}
    answer = guarded.plivo("POST", "/Trunk/", json=body)
    assert answer.status_code == 201, answer.text
    assert guesses_heard(guarded, user, "127.0.0.3") == 40
    assert guesses_heard(guarded, user, "127.0.0.4") < 15
    guarded.plivo("DELETE", f"/Trunk/{answer.json()['trunk_id']}/")
    assert guesses_heard(guarded, user, "127.0.0.3") < 15


def test_the_diagnosis_names_the_silenced_source_while_the_silence_lasts():
    with Server(environment={**SCORED, "OFFHOOK_ABUSE__SILENCE_SECONDS": "12"}) as server:
        user, _, endpoint = server.endpoint("victim")

        def log_in():
            found = server.plivo("GET", f"/Endpoint/{endpoint}/Diagnosis/").json()
            causes = [attempt["cause"] for attempt in found["attempts"]]
            return causes, {f["code"]: f for f in found["findings"] if f["question"] == "log_in"}

        assert guesses_heard(server, user, "127.0.0.9") < 15
        wait.until(lambda: "source_blocked" in log_in()[0], "the attempt")
        causes, findings = log_in()
        assert findings["source_blocked"]["verdict"] == "problem"
        assert findings["source_blocked"]["evidence"][0].startswith("127.0.0.9 is not answered until ")
        assert causes.count("source_blocked") == 1
        # The phone itself, elsewhere, is not hindered, and its owner still learns who tries.
        with Agent(server, user, "correct-horse") as phone:
            assert phone.register().status == 200
            assert log_in()[1]["source_blocked"]["verdict"] == "note"
        wait.until(lambda: "source_blocked" not in log_in()[1], "the end of the silence")
