"""A phone number goes to the account's trunk, a gateway played by sipp; without a trunk it is 404."""

import tempfile

from cli.test_binary import run
from harness.phone import free_port
from harness.server import Server
from harness.sipp import Sipp
from sipp.test_calls import PASSWORD

NUMBER = "15550123"


def test_a_number_without_a_trunk_is_404(shared_server):
    caller, _, _ = shared_server.endpoint("caller")
    with Sipp(shared_server, "call_unknown", free_port(), caller, PASSWORD, called=NUMBER) as one:
        one.finish()


def test_direct_dial_sends_numbers_to_the_accounts_trunk():
    gateway = free_port()
    with tempfile.TemporaryDirectory() as folder:
        # `dev` takes the oldest account that it finds.
        made = run("account", "create", "--name", "Trunked", "--trunk", f"sip:127.0.0.1:{gateway}", "--data-dir", folder)
        assert made.returncode == 0, made.stderr
        with Server(folder) as server:
            alice = server.ready["endpoints"][0]
            with Sipp(server, "answer", gateway, "gateway", "-") as pstn, \
                    Sipp(server, "call", free_port(), alice["username"], alice["password"], called=NUMBER) as one:
                one.finish()
                pstn.finish()
            rows = [row for row in server.finished_calls() if row["parent_call_uuid"]]
            assert [row["to_number"] for row in rows] == [NUMBER]
