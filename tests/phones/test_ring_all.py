"""Several phones of one endpoint, several endpoints in one Dial: who rings, who wins, who is told to stop."""

import uuid

import pytest
import requests

from harness import wait
from harness.agent import Agent, Tcp, Udp, WebSocket

PASSWORD = "correct-horse"


@pytest.fixture
def caller(shared_server):
    with Agent(shared_server, shared_server.endpoint("caller")[0]) as agent:
        yield agent


def bandwidth_endpoint(server):
    """An endpoint of the Bandwidth face, which rings on all its phones: (user, domain)."""
    bandwidth = server.api["bandwidth"]
    credentials = (bandwidth["token"], bandwidth["secret"])
    domains = f"{server.base_url}/v1/users/{bandwidth['user_id']}/domains"

    def create(url, body):
        answer = requests.post(url, json=body, auth=credentials, timeout=5)
        assert answer.status_code == 201, answer.text
        return answer.headers["location"].rsplit("/", 1)[1]

    domain = create(domains, {"name": "d" + uuid.uuid4().hex[:8]})
    endpoint = create(f"{domains}/{domain}/endpoints", {"name": "jane", "credentials": {"password": PASSWORD}})
    seen = requests.get(f"{domains}/{domain}/endpoints/{endpoint}", auth=credentials, timeout=5).json()
    return seen["credentials"]["username"], seen["credentials"]["realm"]


def leg_causes(server, call):
    """Causes of the B legs and of the A leg, when all records are there."""
    def found():
        rows = server.finished_calls()
        a = [r for r in rows if call.agent.user in r["from_number"] and not r["parent_call_uuid"]][:1]
        return a and ([r["hangup_cause_code"] for r in rows if r["parent_call_uuid"] == a[0]["call_uuid"]],
                      a[0]["hangup_cause_code"])
    return wait.until(found, "the finished legs")


@pytest.fixture
def two_phones(shared_server):
    user, domain = bandwidth_endpoint(shared_server)
    with Agent(shared_server, user, domain=domain) as one, Agent(shared_server, user, domain=domain) as two:
        assert one.register().status == two.register().status == 200
        yield f"sip:{user}@{domain}", one, two


def test_all_phones_ring_and_the_first_to_answer_wins(caller, two_phones):
    target, one, two = two_phones
    call = caller.invite(target)
    first, second = one.incoming(), two.incoming()
    first.ring()
    second.ring()
    call.hears(180)
    second.answer()
    call.answered()
    assert "cause=200" in first.cancelled().get("reason")
    assert call.bye() == 200
    second.hears_bye()
    one.silent(0.1)
    assert leg_causes(caller.server, call) == ([4000], 4000)


def test_two_answers_at_once_make_one_call_and_the_loser_gets_ack_and_bye(caller, two_phones):
    """S79."""
    target, one, two = two_phones
    call = caller.invite(target)
    calls = [one.incoming(), two.incoming()]
    for ringing in calls:
        ringing.answer(ack=False)
    call.answered()
    for ringing in calls:
        ringing.asks("ACK")
    loser = wait.until(lambda: next((c for c in calls if said_bye(c)), None), "BYE for the loser", step=0.01)
    winner = next(c for c in calls if c is not loser)
    assert not said_bye(winner)
    assert call.bye() == 200
    winner.hears_bye()
    assert leg_causes(caller.server, call) == ([4000], 4000)


def said_bye(call):
    try:
        call.hears_bye(0.05)
    except AssertionError:
        return False
    return True


def test_the_caller_hears_a_refusal_only_when_all_have_refused(caller, two_phones):
    target, one, two = two_phones
    call = caller.invite(target)
    first, second = one.incoming(), two.incoming()
    first.refuse(486)
    caller.silent(0.2, lambda message: message.status and message.status >= 300)
    second.refuse(486)
    assert call.refused().status == 486


def test_the_newest_login_rings_and_a_refresh_is_no_login(caller):
    server = caller.server
    user, _, _ = server.endpoint("callee")
    with Agent(server, user) as one, Agent(server, user) as two:
        boot = uuid.uuid4().hex
        one.register(call_id=boot)
        two.register()

        def rings(agent, silent):
            call = caller.invite(user)
            agent.incoming().refuse(486)
            silent.silent(0.1)
            assert call.refused().status == 486

        rings(two, one)
        one.register(call_id=boot, cseq=10)
        rings(two, one)
        one.register()
        rings(one, two)
        assert one.register(contact="Contact: *\n", expires=0).status == 200
        assert caller.invite(user).refused().status == 480


def test_two_users_in_one_dial_have_a_record_each(shared_server, customer):
    server = shared_server
    users = [server.endpoint("callee")[0] for _ in range(2)]
    customer.documents["/answer"] = (
        f"<Response><Dial action=\"{customer.url('/done')}\" redirect=\"false\">"
        + "".join(f"<User>sip:{user}@{server.domain}</User>" for user in users) + "</Dial></Response>")
    app = server.application("Both", answer_url=customer.url("/answer"))
    with Agent(server, server.endpoint("caller", application=app)[0]) as caller, \
            Agent(server, users[0]) as one, Agent(server, users[1]) as two:
        one.register()
        two.register()
        call = caller.invite("whoever")
        first, second = one.incoming(), two.incoming()
        second.answer()
        call.answered()
        first.ring()
        first.cancelled()
        assert call.bye() == 200
        second.hears_bye()
        causes, cause = leg_causes(server, call)
        assert (sorted(causes), cause) == ([4000, 9000], 4000)
        done = customer.wait_for("/done")[0]
        assert (done["DialStatus"], done["DialHangupCause"]) == ("completed", "NORMAL_CLEARING")


@pytest.mark.parametrize("calling,called", [(Tcp, Udp), (Udp, Tcp), (WebSocket, Udp), (Udp, WebSocket)])
def test_a_phone_is_reached_on_the_connection_it_came_by(shared_server, calling, called):
    server = shared_server
    with Agent(server, server.endpoint("caller")[0], transport=calling) as one, \
            Agent(server, server.endpoint("callee")[0], transport=called) as two:
        two.register()
        call = one.invite(two.user, extra="".join(f"X-PH-H{n}: {'v' * 60}\n" for n in range(30)))
        rings = two.incoming()
        assert len(rings.invite.raw) > 1300 and rings.invite.get("x-ph-h29")
        rings.ring()
        call.hears(180)
        rings.answer()
        call.answered()
        assert rings.bye() == 200
        call.hears_bye()


@pytest.mark.parametrize("who", ["caller", "callee"])
def test_a_connection_that_dies_while_it_rings_ends_the_call(shared_server, who):
    server = shared_server
    with Agent(server, server.endpoint("caller")[0], transport=WebSocket) as one, \
            Agent(server, server.endpoint("callee")[0], transport=WebSocket) as two:
        two.register()
        call = one.invite(two.user)
        rings = two.incoming()
        rings.ring()
        call.hears(180)
        if who == "caller":
            one.close()
            rings.cancelled()
        else:
            two.close()
            assert call.refused().status == 503
        wait.until(lambda: server.health()["calls"] == 0, "the call to be over")
