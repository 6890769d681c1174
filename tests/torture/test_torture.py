"""The messages of RFC 4475 and RFC 5118, sent as they stand to the running server: the answer is what the RFC asks of this
kind of server, and the next REGISTER is served."""

import socket
import time

import pytest

from harness.agent import Agent, Message, Tcp, Udp
from harness.server import ROOT, Server

MESSAGES = ROOT / "crates" / "sip" / "tests"

# The domains of the messages are ours, so that they get past the question whose they are. Nobody is registered there.
OURS = "example.com,example.net,example.org"

# Statuses that are right; None is silence. 401 and 407: it is understood, and who sends it has to say a password. 404: it is
# understood, and there is no such user. A second entry is for TCP, where the length of a message says where it ends.
RFC4475 = {
    "wsinv": {481},                     # §3.1.1.1 understood: its To names a dialog that nobody has
    "intmeth": {405, 501},              # §3.1.1.2
    "esc01": {404, 407},                # §3.1.1.3
    "escnull": {401},                   # §3.1.1.4 two Contacts with %00: asked for a password like any other
    "esc02": {405, 501},                # §3.1.1.5 another method, not REGISTER
    "lwsdisp": {200},                   # §3.1.1.6
    "longreq": {404, 407},              # §3.1.1.7
    "dblreq": {401},                    # §3.1.1.8
    "semiuri": {200},                   # §3.1.1.9
    "transports": {200},                # §3.1.1.10
    "mpart01": {405, 407, 403},         # §3.1.1.11
    "unreason": {None},                 # §3.1.1.12 answers to nothing that we asked
    "noreason": {None},                 # §3.1.1.13
    "badinv01": {400},                  # §3.1.2.1
    "clerr": ({400}, {None, 400}),      # §3.1.2.2 on a stream the rest is still to come
    "ncl": {400},                       # §3.1.2.3
    "scalar02": {400},                  # §3.1.2.4
    "scalarlg": {None},                 # §3.1.2.5
    "quotbal": {400},                   # §3.1.2.6
    "ltgtruri": {400},                  # §3.1.2.7
    "lwsruri": {400},                   # §3.1.2.8
    "lwsstart": {400},                  # §3.1.2.9
    "trws": {400},                      # §3.1.2.10
    "escruri": {400},                   # §3.1.2.11
    "baddate": {404, 407, 400},         # §3.1.2.12
    "regbadct": {400},                  # §3.1.2.13
    "badaspec": {200, 400},             # §3.1.2.14
    "baddn": ({400}, {None, 400}),      # §3.1.2.15 its head does not end
    "badvers": {505},                   # §3.1.2.16
    "mismatch01": {400},                # §3.1.2.17
    "mismatch02": {400, 501},           # §3.1.2.18
    "bigcode": {None},                  # §3.1.2.19
    "badbranch": {200},                 # §3.2.1
    "insuf": {400},                     # §3.3.1
    "unkscm": {416},                    # §3.3.2
    "novelsc": {416},                   # §3.3.3
    "unksm2": {400, 401, 404},          # §3.3.4
    "bext01": {420},                    # §3.3.5
    "invut": {415},                     # §3.3.6
    "regaut01": {401},                  # §3.3.7
    "multi01": {400},                   # §3.3.8
    "mcl01": {400},                     # §3.3.9
    "bcast": {None},                    # §3.3.10
    "zeromf": {483, 200},               # §3.3.11
    "cparam01": {401},                  # §3.3.12
    "cparam02": {401},                  # §3.3.13
    "regescrt": {401},                  # §3.3.14
    "sdp01": {404, 407, 406, 488},      # §3.3.15
    "inv2543": ({404, 407}, {400}),     # §3.4.1 no Content-Length, which a stream needs
}

RFC5118 = {
    "ipv6-good": {404},                       # §4.1 a domain that is not ours
    "ipv6-bad": {400},                        # §4.2
    "port-ambiguous": {404},                  # §4.3 well-formed; the port belongs to the address
    "port-unambiguous": {404},                # §4.4
    "via-received-param-with-delim": {481},   # §4.5
    "via-received-param-no-delim": {200},     # §4.5
    "ipv6-in-sdp": {403, 404, 407},           # §4.6
    "mult-ip-in-header": {481},               # §4.7
    "mult-ip-in-sdp": {403, 404, 407},        # §4.8
    "ipv4-mapped-ipv6": {404, 407, 403},      # §4.9
    "ipv6-bug-abnf-3-colons": {400, 200},     # §4.10 may be taken
    "ipv6-correct-abnf-2-colons": {200},      # §4.10
}

CASES = [(folder, name, expected) for folder, table in (("torture", RFC4475), ("torture6", RFC5118))
         for name, expected in table.items()]


@pytest.fixture(scope="module")
def target():
    with Server(environment={"OFFHOOK_SIP__ALIASES": OURS, "OFFHOOK_SIP__MAX_BINDINGS": "1000"}) as server:
        server.user, server.password, _ = server.endpoint("tortured")
        yield server


def statuses(wire, seconds):
    """Final statuses that come within this time; the first ends the wait."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        message = wire.read(left)
        if message is None:
            if getattr(wire, "closed", False):
                break
            continue
        if message.status and message.status >= 200:
            return message
    return None


@pytest.mark.parametrize("transport", [Udp, Tcp], ids=["udp", "tcp"])
@pytest.mark.parametrize("folder,name,expected", CASES, ids=[case[1] for case in CASES])
def test_torture(target, folder, name, expected, transport):
    data = (MESSAGES / folder / f"{name}.dat").read_bytes()
    expected = expected if isinstance(expected, tuple) else (expected, expected)
    expected = expected[transport is Tcp]
    wire = transport(target)
    wire.send(data)
    answer = statuses(wire, 2.0 if None not in expected else 0.3)
    assert (answer.status if answer else None) in expected, answer and answer.raw
    wire.socket.close()
    started = time.monotonic()
    with Agent(target, target.user, target.password, transport=transport) as phone:
        assert phone.register(expires=60).status == 200
    assert time.monotonic() - started < 1.0
    assert target.process.poll() is None


def test_every_message_has_a_case():
    for folder, table in (("torture", RFC4475), ("torture6", RFC5118)):
        assert {path.stem for path in (MESSAGES / folder).glob("*.dat")} == set(table)


def test_torture_in_pieces_over_tcp(target):
    """RFC 4475 §3.1.1.1 octet by octet: the answer comes when the message is whole, and once."""
    data = (MESSAGES / "torture" / "wsinv.dat").read_bytes()
    wire = Tcp(target)
    wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for at in range(0, len(data) - 1):
        wire.send(data[at:at + 1])
    assert wire.read(0.2) is None
    wire.send(data[-1:])
    answer = wire.read(2.0)
    assert isinstance(answer, Message) and answer.status == 481
    assert wire.read(0.2) is None
