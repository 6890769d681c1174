"""D19: a network that loses, in a namespace of its own: calls and registrations come through by retransmission."""

import os

import pytest

from harness import wait
from harness.network import Internet
from harness.phone import free_port
from harness.server import Server
from harness.sipp import Sipp
from sipp.test_calls import PASSWORD, pair

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may make network namespaces")

CALLS = 4
# What is repeated comes when something else is expected.
PATIENT = {"timeout": 90, "options": ("-default_behaviors", "all,-abortunexp")}


def test_d19_every_call_succeeds_over_a_network_that_loses_a_tenth():
    with Internet() as internet, internet.inside(), Server() as server:
        internet.lose(10)
        for _ in range(CALLS):
            caller, callee, port = pair(server)
            with Sipp(server, "answer_patiently", port, callee, PASSWORD, **PATIENT) as two, \
                    Sipp(server, "call_patiently", free_port(), caller, PASSWORD, called=callee, **PATIENT) as one:
                one.finish()
                two.finish()

        def all_done():
            rows = server.finished_calls()
            return len(rows) >= 2 * CALLS and rows
        rows = wait.until(all_done, "the records", 60)
        assert [row["hangup_cause_code"] for row in rows] == [4000] * 2 * CALLS
