"""Floods beside honest phones: D22, D23. What is registered goes on; the memory and the log stay small."""

import functools
import pathlib
import subprocess
import sys
import time

import pytest

from harness import wait
from harness.agent import Agent, Udp
from harness.phone import free_port
from harness.server import Server
from harness.sipp import Sipp

PASSWORD = "correct-horse"

# Sends as many a second as the last line of its input says, from several ports (the kernel deals datagrams out by their
# source), until it is killed.
FLOODER = """
import select, socket, sys, time, uuid
host, port, address, domain, kind = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5]
wires = []
for _ in range(16):
    wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    wire.bind((address, 0)); wire.connect((host, port)); wire.setblocking(False)
    wires.append(wire)
uri = f"sip:{domain}" if kind == "REGISTER" else f"sip:victim@{domain}"
def text(n):
    me = f"sip:u{n}@elsewhere.example" if kind == "INVITE" else f"sip:u{n}@{domain}"
    return (f"{kind} {uri} SIP/2.0\\r\\nVia: SIP/2.0/UDP {address}:9;branch=z9hG4bK{uuid.uuid4().hex}\\r\\nFrom: <{me}>;tag=1\\r\\n"
            f"To: <{me if kind == 'REGISTER' else uri}>\\r\\nCall-ID: {uuid.uuid4().hex}\\r\\nCSeq: 1 {kind}\\r\\n"
            f"Contact: <sip:u{n}@{address}:9>\\r\\nMax-Forwards: 70\\r\\nContent-Length: 0\\r\\n\\r\\n").encode()
texts = [text(n) for n in range(4096)]
rate, sent, begun = 0, 0, time.monotonic()
while True:
    if select.select([sys.stdin], [], [], 0.002)[0]:
        rate, sent, begun = int(sys.stdin.readline()), 0, time.monotonic()
    for _ in range(min(int((time.monotonic() - begun) * rate) - sent, 4096)):
        sent += 1
        try:
            wires[sent % 16].send(texts[sent % 4096])
        except OSError:
            pass
"""


class Flood:
    """So many processes that send requests of one kind."""

    def __init__(self, server, kind, addresses):
        host, port = server.sip_address()
        self.server = server
        self.processes = [subprocess.Popen([sys.executable, "-c", FLOODER, host, str(port), address, server.domain, kind],
                                           stdin=subprocess.PIPE, text=True) for address in addresses]

    def overload(self):
        """Doubles the flood until it is too much for the server, however fast that is."""
        for rate in (1000 * 2 ** n for n in range(9)):
            for process in self.processes:
                process.stdin.write(f"{rate}\n")
                process.stdin.flush()
            try:
                return wait.until(lambda: any("overloaded: requests are refused" in line for line in self.server.log), "", 2)
            except AssertionError:
                pass
        raise AssertionError(f"the server takes all of {rate} a second")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait(5)


def resident(server):
    """KiB."""
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def calls(server, count):
    """Calls between two registered phones (sipp sends again what is lost); gives how many went well."""
    caller, _, _ = server.endpoint("caller")
    callee, _, _ = server.endpoint("callee")
    ports = free_port(), free_port()
    for user, port in zip((caller, callee), ports):
        with Sipp(server, "register", port, user, PASSWORD) as registration:
            registration.finish()

    def call():
        with Sipp(server, "answer", ports[1], callee, PASSWORD, timeout=60) as two, \
                Sipp(server, "call", ports[0], caller, PASSWORD, called=callee, timeout=60) as one:
            one.finish()
            two.finish()

    call()
    yield
    for _ in range(count):
        call()
        yield


@pytest.mark.parametrize("kind", ["INVITE", "REGISTER"])
def test_d22_under_a_strangers_flood_registered_phones_call_on(server, kind):
    running = calls(server, 5)
    next(running)
    before = resident(server)
    with Flood(server, kind, ["127.0.0.7", "127.0.0.8"]) as flood:
        flood.overload()
        # A phone that is registered refreshes, and calls.
        assert len(list(running)) == 5
    assert server.health()["counters"]["shed"] > 1000
    # It is over when the flood is, and everybody is served again.
    with Agent(server, server.endpoint("late")[0]) as late:
        wait.until(lambda: any("overloaded no longer" in line for line in server.log), "its end", 20)
        assert late.register().status == 200
    assert resident(server) - before < 200_000
    assert sum(map(len, server.log)) < 100_000


def test_d23_brute_force_from_many_addresses_silences_them_and_nobody_else():
    with Server(environment={"OFFHOOK_ABUSE__EXEMPT": ""}) as server:
        victim, _, _ = server.endpoint("victim")
        with Agent(server, victim) as phone:
            assert phone.register().status == 200
            heard = 0
            for number in range(100):
                with Agent(server, victim, "wrong", functools.partial(Udp, address=f"127.0.1.{number + 1}")) as guesser:
                    challenge = guesser.challenge()
                    for serial in range(20):
                        call_id = f"{number}-{serial}"
                        proof = guesser.answer_to(challenge, "REGISTER", f"sip:{guesser.domain}")
                        guesser.send(guesser.text("REGISTER", f"sip:{guesser.domain}", call_id, serial + 2,
                                                  f"<sip:{victim}@{guesser.domain}>", extra=proof))
                    deadline = time.monotonic() + 0.2
                    while time.monotonic() < deadline:
                        heard += guesser.receive(0.05) is not None
            assert phone.register(cseq=2).status == 200
        # Ten points each, and not one answer more.
        assert 900 <= heard <= 1200, heard
        assert sum(map(len, server.log)) < 100_000
