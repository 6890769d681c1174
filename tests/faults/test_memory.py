"""What many subscriptions weigh: 10,000 lamps, the most that are held without a change of the configuration."""

import re
import time

from harness.agent import Agent
from harness.server import Server
from harness.watcher import Watcher

LAMPS, HEAVY = 10_000, 6_000


def weight(server):
    """Octets that are the server's own (PSS)."""
    with open(f"/proc/{server.process.pid}/smaps_rollup") as rollup:
        return int(re.search(r"^Pss: +(\d+)", rollup.read(), re.M).group(1)) * 1024


def light(agent, lamps):
    """So many subscriptions of one watcher, each with its first NOTIFY answered."""
    first = Watcher(agent, agent.user, "dialog")
    first.hears()
    challenge = Challenged(agent, agent.user, "dialog").first
    for _ in range(lamps - 1):
        lamp = Proving(agent, agent.user, "dialog", challenge)
        assert lamp.first.status == 200, lamp.first.raw
        lamp.hears()


class Challenged(Watcher):
    """Does not go on after its challenge."""

    def __init__(self, agent, target, event):
        answer_to, agent.answer_to = agent.answer_to, lambda *_: ""
        try:
            super().__init__(agent, target, event)
        finally:
            agent.answer_to = answer_to


class Proving(Watcher):
    """Proves its password at once, by a nonce that it has."""

    def __init__(self, agent, target, event, challenge):
        proof = agent.answer_to(challenge, "SUBSCRIBE", f"sip:{target}@{agent.domain}")
        super().__init__(agent, target, event, extra=proof)


def test_ten_thousand_subscriptions_are_not_heavy():
    with Server(environment={"OFFHOOK_EVENTS__SUBSCRIPTIONS_PER_ENDPOINT": str(LAMPS)}) as server:
        with Agent(server, server.endpoint("lamps")[0]) as agent:
            assert agent.register().status == 200
            before, begun = weight(server), time.monotonic()
            light(agent, LAMPS)
            each = (weight(server) - before) / LAMPS
            print(f"{LAMPS} subscriptions in {time.monotonic() - begun:.1f} s weigh {each:.0f} octets each (PSS)")
            assert each < HEAVY
            # One more has no place.
            assert Watcher(agent, agent.user, "dialog").first.status == 503
