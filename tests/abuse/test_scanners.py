"""Attackers' own tools against the server, and the phones beside them: brute force, enumeration, scans."""

import pathlib
import subprocess
import sys
import time

import pytest

from harness import wait
from harness.agent import Agent, Tcp
from harness.server import Server

TOOLS = pathlib.Path(sys.executable).parent
SCORED = {"OFFHOOK_ABUSE__EXEMPT": ""}


@pytest.fixture
def guarded():
    """A server that does not exempt loopback, with a phone that is registered before anything happens."""
    with Server(environment=SCORED) as server, Agent(server, server.endpoint("office")[0]) as phone:
        assert phone.register().status == 200
        yield server, phone


def attack(server, tool, *arguments):
    host, port = server.sip_address()
    command = [str(TOOLS / f"sipvicious_{tool}"), *arguments, "-p", str(port), host]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return ended.stdout + ended.stderr


def words(tmp_path, lines):
    file = tmp_path / "words.txt"
    file.write_text("\n".join(lines) + "\n")
    return str(file)


def test_svmap_finds_no_server(guarded):
    server, phone = guarded
    host, port = server.sip_address()
    found = subprocess.run([str(TOOLS / "sipvicious_svmap"), "-p", str(port), host], capture_output=True, text=True, timeout=60)
    assert "SIP Device" not in found.stdout, found.stdout
    assert phone.register(cseq=2).status == 200


def test_svwar_cannot_tell_who_exists(guarded, tmp_path):
    server, phone = guarded
    known, _, _ = server.endpoint("victim")
    names = words(tmp_path, ["1000", known, "1001", "nobody"])
    for method in ("REGISTER", "INVITE", "OPTIONS"):
        printed = attack(server, "svwar", "-m", method, "-d", names)
        assert known not in printed, printed
    assert phone.register(cseq=2).status == 200


def test_svcrack_does_not_get_to_the_right_password(guarded, tmp_path):
    server, phone = guarded
    user, password, _ = server.endpoint("victim")
    guesses = words(tmp_path, [f"wrong-{number}" for number in range(200)] + [password])
    printed = attack(server, "svcrack", "-u", user, "-d", guesses)
    assert password not in printed, printed
    # The office behind the same address works on.
    assert phone.register(cseq=2).status == 200
    assert any("a source is not answered any more" in line for line in server.log)


def test_a_guesser_without_a_scanners_name_is_silenced_too(guarded):
    server, phone = guarded
    with Agent(server, server.endpoint("victim")[0], password="wrong") as guesser:
        answers = 0
        while answers < 100 and heard(guesser, answers + 1):
            answers += 1
        # Ten points, and as many again for the phone that proved its password from this address.
        assert 15 <= answers <= 25
    assert phone.register(cseq=2).status == 200


def heard(guesser, serial):
    try:
        return guesser.register(cseq=2 * serial).status == 401
    except AssertionError:
        return False


def test_what_is_silenced_stays_so_over_a_crash(tmp_path):
    with Server(data_dir=tmp_path, environment=SCORED) as server:
        assert "SIP Device" not in attack(server, "svwar", "-e", "100-103")
        deadline = time.monotonic() + 10
        while not any("a source is not answered any more" in line for line in server.log):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.3)
        server.kill()
        with Server(data_dir=tmp_path, environment=SCORED) as again, Agent(again, "nobody") as stranger:
            assert not heard(stranger, 1)


def test_who_sends_what_is_no_sip_is_silenced_and_no_phone_with_it():
    noise = bytes(range(1, 200))
    with Server(environment=SCORED) as server, Agent(server, "nobody") as stranger:
        assert heard(stranger, 1)
        for _ in range(100):
            stranger.send(noise)
        assert not heard(stranger, 2)
    # In the name of a phone's address it counts for nothing.
    with Server(environment=SCORED) as server, Agent(server, server.endpoint("office")[0]) as phone:
        assert phone.register().status == 200
        with Agent(server, "nobody") as stranger:
            for _ in range(200):
                stranger.send(noise)
            assert heard(stranger, 1)
        assert phone.register(cseq=2).status == 200


def test_noise_on_a_connection_counts_too(guarded):
    server, phone = guarded
    for _ in range(150):
        with Agent(server, "nobody", transport=Tcp) as stranger:
            stranger.send(b"\x01\x02 no SIP at all\r\n\r\n")
    wait.until(lambda: any("octets that are no SIP" in line for line in server.log), "the source to be silenced")
    assert phone.register(cseq=2).status == 200
