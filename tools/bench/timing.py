#!/usr/bin/env python3
"""How long refusals take: a wrong password of a user who exists, of one who does not, and of one who is switched off, for
REGISTER and INVITE, in turns. Prints the median and the 90th percentile of each, and how far the medians are apart.

usage: OFFHOOK_BIN=path/to/offhook tools/bench/timing.py [tries of each]     (10000)
"""

import pathlib
import random
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests"))

from harness.agent import Agent  # noqa: E402
from harness.server import Server  # noqa: E402

TRIES = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
KINDS = ("wrong password", "unknown user", "disabled")


def requests(agent, method, user):
    """Requests of a user that prove a wrong password with one fresh nonce."""
    agent.user = user
    uri = f"sip:{agent.domain}" if method == "REGISTER" else f"sip:somebody@{agent.domain}"
    me = f"<sip:{user}@{agent.domain}>"
    to = me if method == "REGISTER" else f"<{uri}>"

    def send(number, extra=""):
        agent.send(agent.text(method, uri, f"{method}-{user}-{number}", 1, to, from_=f"{me};tag=f", extra=extra))

    def take():
        message = agent.receive(5)
        while message is None or not message.status or message.status < 200:
            message = agent.receive(5)
        return message

    send("first")
    proof = agent.answer_to(take(), method, uri)
    begun, number, seen = time.monotonic(), 0, set()
    while True:
        if time.monotonic() - begun > 60:
            send(f"again-{number}")
            proof, begun = agent.answer_to(take(), method, uri), time.monotonic()
        started = time.perf_counter()
        send(number, proof)
        answer = take()
        took = time.perf_counter() - started
        assert answer.status in (401, 407), answer
        seen.add(tuple(name for name, _ in answer.headers))
        number += 1
        yield took, seen


def main():
    with Server() as server:
        known, off = server.endpoint("known")[0], server.endpoint("disabled")
        answer = server.plivo("POST", f"/Endpoint/{off[2]}/", json={"enabled": False})
        assert answer.status_code == 202, answer.text
        users = {"wrong password": known, "unknown user": "x" * len(known), "disabled": off[0]}
        for method in ("REGISTER", "INVITE"):
            # Each kind has a socket of its own, and so perhaps another shard: the sockets change roles.
            times, headers = {kind: [] for kind in KINDS}, set()
            for _ in range(10):
                agents = {kind: Agent(server, password="wrong") for kind in KINDS}
                streams = {kind: requests(agents[kind], method, users[kind]) for kind in KINDS}
                for _ in range(TRIES // 10):
                    for kind in random.sample(KINDS, 3):
                        took, seen = next(streams[kind])
                        times[kind].append(took * 1e6)
                        headers |= seen
                for agent in agents.values():
                    agent.close()
            assert len(headers) == 1, headers
            medians = {kind: statistics.median(times[kind]) for kind in KINDS}
            for kind in KINDS:
                high = statistics.quantiles(times[kind], n=10)[8]
                print(f"{method}, {kind}: median {medians[kind]:.1f} us, p90 {high:.1f} us of {len(times[kind])}")
            apart = max(medians.values()) / min(medians.values()) - 1
            print(f"{method}: medians at most {100 * apart:.1f} % apart (bar: 5 %)")


main()
