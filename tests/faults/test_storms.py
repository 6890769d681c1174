"""Storms on a small scale: D17 (all connections drop and come back at once), D18 (bindings that lapse together), D19 (a
network that brings datagrams twice and in another order)."""

import concurrent.futures
import heapq
import itertools
import random
import threading
import time

from harness import wait
from harness.agent import Agent, Message, Tcp, Udp, sdp
from harness.server import Server

USERS, EACH, CALLS = 40, 10, 12


def test_d17_all_connections_drop_and_come_back_at_once(server):
    users = [server.endpoint(f"phone{number}")[0] for number in range(USERS)] * EACH

    def register(user):
        agent = Agent(server, user, transport=Tcp)
        return agent, agent.register().status

    def registered():
        found = server.plivo("GET", "/Endpoint/?limit=20").json()["objects"]
        return [row["sip_registered"] for row in found if row["username"] in users]

    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        agents = []
        for _ in range(2):
            for agent in agents:
                agent.close()
            came = list(pool.map(register, users))
            agents = [agent for agent, _ in came]
            assert {status for _, status in came} == {200}
            assert set(registered()) == {"true"}
        for agent in agents:
            agent.close()
    wait.until(lambda: set(registered()) == {"false"}, "all bindings to go with their connections", 20)
    assert server.health()["counters"]["panics"] == 0


def test_d18_bindings_that_lapse_together_hold_nobody_up_and_are_told_in_order(customer):
    with Server(environment={"OFFHOOK_SIP__MIN_EXPIRES": "1"}) as server:
        application = server.application("Told", registration_url=customer.url("/registration"), answer_url=customer.url("/answer"))
        made = [server.endpoint(f"phone{number}", application=application) for number in range(USERS)]
        with Agent(server, server.endpoint("office")[0]) as phone:
            for user, _, _ in made:
                with Agent(server, user) as agent:
                    contacts = ", ".join(f"<sip:{user}@127.0.0.1:{port}>" for port in range(20000, 20000 + EACH))
                    assert agent.register(f"Contact: {contacts}\n", expires=2).status == 200
            serial = itertools.count(1, 2)

            def all_told():
                # Who registers meanwhile is answered.
                assert phone.register(cseq=next(serial)).status == 200
                return len(customer.received("/registration")) >= 2 * USERS * EACH
            wait.until(all_told, "the lapses to be told", 60)
        heard = customer.received("/registration")
        for _, _, endpoint in made:
            events = [event["RegistrationEvent"] for event in heard if event["EndpointID"] == endpoint]
            assert events == ["registered"] * EACH + ["expired"] * EACH


class Shaken(Udp):
    """A socket behind a network that brings a third of all datagrams twice, and each after a while of its own."""

    def __init__(self, server):
        super().__init__(server)
        self.random = random.Random(self.socket.getsockname()[1])
        self.coming, self.order = [], itertools.count()

    def delays(self):
        return [self.random.uniform(0, 0.2) for _ in range(1 + (self.random.random() < 0.33))]

    def send(self, data):
        for delay in self.delays():
            threading.Timer(delay, super().send, [data]).start()

    def read(self, timeout):
        deadline = time.monotonic() + timeout
        while (now := time.monotonic()) < deadline:
            if self.coming and self.coming[0][0] <= now:
                return Message(heapq.heappop(self.coming)[2])
            came = super().read(min([deadline, *(due for due, _, _ in self.coming[:1])]) - now)
            for delay in self.delays() if came else []:
                heapq.heappush(self.coming, (time.monotonic() + delay, next(self.order), came.raw))
        return None


def test_d19_datagrams_that_come_twice_and_in_another_order_change_nothing(server):
    shaken = []
    for number in range(CALLS):
        names = [server.endpoint(f"{name}{number}")[0] for name in ("caller", "callee")]
        # They stay open to the end: what is late must not meet another's socket.
        caller, callee = (Agent(server, name, transport=Shaken) for name in names)
        shaken += [caller, callee]
        assert callee.register().status == 200
        call = caller.invite(callee.user, body=sdp(40000))
        rings = callee.incoming()
        rings.ring()
        rings.answer(sdp(40002))
        call.answered()
        leaves, stays = ((call, rings), (rings, call))[number % 2]
        number = leaves.request("BYE")
        stays.hears_bye()
        assert leaves.agent.final(leaves.call_id, number).status == 200
    rows = wait.until(lambda: len(found := all_calls(server)) >= 2 * CALLS and found, "the records", 40)
    for agent in shaken:
        agent.close()
    assert server.health()["counters"]["panics"] == 0
    assert len(rows) == 2 * CALLS and {row["hangup_cause_code"] for row in rows} == {4000}


def all_calls(server):
    """Both pages of the records."""
    pages = (server.plivo("GET", f"/Call/?limit=20&offset={offset}").json()["objects"] for offset in (0, 20))
    return [row for page in pages for row in page]
