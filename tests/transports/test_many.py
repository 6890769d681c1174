"""Many idle WebSockets: what happens to a few of them is not held up by the others (T16)."""

import time

from harness.agent import Agent, WebSocket


def test_t16_events_reach_their_websockets_in_time_past_900_idle_ones(server):
    idle = [WebSocket(server) for _ in range(900)]
    assert {wire.upgrade for wire in idle} == {101}
    caller_name, _, _ = server.endpoint("caller")
    callees = []
    for number in range(9):
        name, _, _ = server.endpoint(f"callee{number}")
        agent = Agent(server, name, transport=WebSocket)
        assert agent.register().status == 200
        callees.append(agent)
    times = []
    with Agent(server, caller_name) as caller:
        for number in range(45):
            callee = callees[number % 9]
            begun = time.monotonic()
            call = caller.invite(callee.user)
            rung = callee.incoming()
            times.append(time.monotonic() - begun)
            rung.refuse(486)
            call.refused()
    # With the challenge of the INVITE in it; the machine of the tests may be busy.
    assert sorted(times)[40] < 0.25, sorted(times)[-5:]
    # The idle ones are there, and are served.
    for wire in idle[::100]:
        wire.frame(9, b"there?")
        assert wire.read_frame(3) == (10, b"there?")
    for agent in callees:
        agent.close()
    for wire in idle:
        wire.socket.close()
