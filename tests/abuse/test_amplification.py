"""What a stranger gets for a datagram: who forges its source must not make the server a louder weapon than itself."""

import time
import uuid

import pytest

from harness import wait
from harness.agent import Agent

# Octets of answers for one of the question, and answers to one question.
LOUDER = 3

CASES = {
    "register": (1, "REGISTER", "sip:{domain}", "<sip:{user}@{domain}>"),
    "options": (1, "OPTIONS", "sip:{domain}", "<sip:{user}@{domain}>"),
    "invite_of_one_of_us": (1, "INVITE", "sip:{user}@{domain}", "<sip:{user}@{domain}>"),
    "invite_of_a_stranger_to_nobody": (1, "INVITE", "sip:nobody@{domain}", "<sip:joe@elsewhere.example>"),
    "invite_to_be_relayed": (1, "INVITE", "sip:x@elsewhere.example", "<sip:joe@elsewhere.example>"),
    "message": (1, "MESSAGE", "sip:{user}@{domain}", "<sip:{user}@{domain}>"),
    "subscribe": (1, "SUBSCRIBE", "sip:{user}@{domain}", "<sip:{user}@{domain}>"),
    "publish": (1, "PUBLISH", "sip:{user}@{domain}", "<sip:{user}@{domain}>"),
    "refer": (1, "REFER", "sip:{user}@{domain}", "<sip:{user}@{domain}>"),
    "notify": (1, "NOTIFY", "sip:{user}@{domain}", "<sip:{user}@{domain}>"),
    "bye": (1, "BYE", "sip:{user}@{domain}", "<sip:{user}@{domain}>"),
    "cancel": (1, "CANCEL", "sip:{user}@{domain}", "<sip:{user}@{domain}>"),
    "ack": (0, "ACK", "sip:{user}@{domain}", "<sip:{user}@{domain}>"),
    "unknown_method": (1, "NEWMETHOD", "sip:{user}@{domain}", "<sip:{user}@{domain}>"),
}


@pytest.mark.parametrize("name", CASES)
def test_one_datagram_of_a_stranger_gets_one_small_answer_at_most(shared_server, name):
    count, method, uri, me = CASES[name]
    user, _, _ = shared_server.endpoint("known")
    names = {"user": user, "domain": shared_server.domain}
    with Agent(shared_server, user) as stranger:
        text = stranger.text(method, uri.format(**names), uuid.uuid4().hex, 1, f"<{uri.format(**names)}>",
                             from_=f"{me.format(**names)};tag=1")
        stranger.send(text)
        answers = []
        # Longer than the first repetition of a transaction would take (Timer G is T1).
        deadline = time.monotonic() + 1.2
        while (left := deadline - time.monotonic()) > 0:
            answers += filter(None, [stranger.receive(left)])
        assert len(answers) == count, answers
        assert sum(len(answer.raw) for answer in answers) <= LOUDER * len(text)


def test_what_is_no_message_is_counted_and_gets_no_answer(shared_server):
    """S01, S02, S03."""
    def counters():
        return shared_server.health()["counters"]

    before = counters()
    with Agent(shared_server) as stranger:
        for data in (b"", b"\r\n\r\n", bytes(range(256)), b"INVITE"):
            stranger.send(data)
        # A pong to the pair of line ends is all (RFC 5626 §4.4.1).
        stranger.silent(0.5, lambda message: message.raw.strip())
    wait.until(lambda: counters()["received"] >= before["received"] + 4, "the datagrams to be counted")
    assert counters()["panics"] == 0
