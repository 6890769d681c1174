"""D02: a restart forgets no phone, and never says that one is not registered which is."""

import pytest

from harness.agent import Agent
from harness.phone import free_port
from harness.server import Server

PHONES = 40


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_d02_every_phone_rings_from_the_first_call_after_a_restart(end):
    with Server(sip=f"127.0.0.1:{free_port()}") as server:
        caller = Agent(server, server.endpoint("caller")[0])
        phones = [Agent(server, server.endpoint("phone")[0]) for _ in range(PHONES)]
        for phone in phones:
            assert phone.register().status == 200
        getattr(server, end)()
        server.start()
        for phone in phones:
            call = caller.invite(phone.user)
            phone.incoming().refuse(486)
            assert call.refused().status == 486
            phone.close()
        caller.close()
