"""Who hears of registrations: the customer's URL, in order, and a dashboard's stream."""

import contextlib
import json
import queue
import threading

import pytest
import requests

from harness import wait
from harness.agent import Agent, Tcp


def told(customer, endpoint=None):
    heard = customer.received("/registration")
    return [f["RegistrationEvent"] + (f":{f['Reason']}" if "Reason" in f else "") for f in heard
            if endpoint is None or f["EndpointID"] == endpoint]


@pytest.fixture
def phone(shared_server, customer):
    app = shared_server.application("Told", answer_url=customer.url("/answer"), registration_url=customer.url("/registration"))
    user, _, endpoint_id = shared_server.endpoint("phone", application=app)
    with Agent(shared_server, user) as agent:
        agent.id, agent.path = endpoint_id, f"/Endpoint/{endpoint_id}"
        yield agent


def test_a_url_hears_the_six_events_in_order(phone, customer):
    server = phone.server
    policy = {"registration_refreshed": True, "min_expires": 1}
    assert server.plivo("POST", f"{phone.path}/Policy/", json=policy).status_code == 202
    call_id = "one-boot@phone"
    assert phone.register(call_id=call_id, cseq=1).status == 200
    assert phone.register(call_id=call_id, cseq=3).status == 200
    phone.password = "wrong"
    for _ in range(3):
        assert phone.register().status == 401
    phone.password = "correct-horse"
    assert phone.register("Contact: *\n", expires=0).status == 200
    with Agent(server, phone.user, transport=Tcp) as other:
        assert other.register().status == 200
    wait.until(lambda: told(customer)[-1:] == ["flow_lost"], "the lost connection to be told")
    assert phone.register(expires=1).status == 200
    # A binding that lapses is told at the next sweep.
    wait.until(lambda: told(customer)[-1:] == ["expired"], "the lapse to be told", 45)
    assert told(customer) == ["registered", "refreshed", "auth_failed:wrong_password", "unregistered", "registered",
                              "flow_lost", "registered", "expired"]
    first = customer.received("/registration")[0]
    assert list(first) == sorted(first)
    expected = {"Event": "Registration", "EndpointID": phone.id, "Username": phone.user, "Transport": "udp",
                "SIPURI": f"sip:{phone.user}@{phone.domain}", "SIPSourceIP": "127.0.0.1", "SIPSourcePort": str(phone.port),
                "Contact": phone.contact.strip("<>"), "AuthID": server.api["auth_id"]}
    assert expected.items() <= first.items()


def test_refreshes_are_not_told_unless_asked_and_a_url_that_fails_is_asked_again(phone, customer):
    customer.documents["/registration"] = (503, "")
    assert phone.register(call_id="b@phone", cseq=1).status == 200
    assert phone.register(call_id="b@phone", cseq=3).status == 200
    assert phone.register("Contact: *\n", expires=0).status == 200
    customer.wait_for("/registration", 2, timeout=20)
    assert set(told(customer)) == {"registered"}
    customer.documents["/registration"] = ""
    wait.until(lambda: told(customer)[-1:] == ["unregistered"], "the second event behind the first", 40)
    assert told(customer).index("unregistered") == len(told(customer)) - 1


def test_bandwidth_tells_in_its_own_spelling(shared_server, customer):
    keys = shared_server.api["bandwidth"]
    auth, users = (keys["token"], keys["secret"]), f"{shared_server.base_url}/v1/users/{keys['user_id']}"

    def create(path, **body):
        answer = requests.post(users + path, json=body, auth=auth, timeout=5)
        assert answer.status_code == 201, answer.text
        return answer.headers["Location"].rsplit("/", 1)[1]

    domain = create("/domains", name="told")
    endpoint = create(f"/domains/{domain}/endpoints", name="front_desk", credentials={"password": "correct-horse"})
    policy = requests.post(f"{users}/domains/{domain}/policy", json={"registrationUrl": customer.url("/b")}, auth=auth, timeout=5)
    assert policy.status_code == 200, policy.text
    with Agent(shared_server, "front_desk", domain=f"told.{shared_server.domain}") as agent:
        assert agent.register().status == 200
        wait.until(lambda: customer.received("/b"), "the event")
        raw = next(r["raw"] for r in customer.requests if r["path"] == "/b")
        event = json.loads(raw)
        assert (event["eventType"], event["event"], event["endpointId"]) == ("registration", "registered", endpoint)
        listed = requests.get(f"{users}/domains/{domain}/endpoints/{endpoint}/registrations", auth=auth, timeout=5).json()
        assert [r["id"] for r in listed] == [event["registrationId"]]


@contextlib.contextmanager
def stream(url, **credentials):
    """Events as a plain HTTP client reads them: (name, data)."""
    heard = queue.Queue()
    response = requests.get(url, stream=True, timeout=(5, 60), **credentials)
    assert response.status_code == 200 and response.headers["content-type"] == "text/event-stream", response.text

    def read():
        name = None
        with contextlib.suppress(Exception):
            for line in response.iter_lines(chunk_size=1, decode_unicode=True):
                kind, _, value = line.partition(": ")
                if kind == "event":
                    name = value
                elif kind == "data":
                    heard.put((name, json.loads(value)))
        heard.put(None)

    threading.Thread(target=read, daemon=True).start()
    try:
        yield heard
    finally:
        response.close()


def test_a_dashboard_reads_its_accounts_events_from_a_stream(shared_server):
    server, auth_id = shared_server, shared_server.api["auth_id"]
    user, _, endpoint_id = server.endpoint("watched")
    url = f"{server.base_url}/v1/Account/{auth_id}/Registration/Event/"
    credentials = (auth_id, server.api["auth_token"])
    with stream(url, auth=credentials) as heard, Agent(server, user) as phone:
        assert phone.register().status == 200
        name, event = heard.get(timeout=5)
        assert (name, event["event"], event["endpoint_id"]) == ("registered", "registered", endpoint_id)
        assert event["source_address"] == f"127.0.0.1:{phone.port}"
        phone.password = "wrong"
        for _ in range(5):
            assert phone.register().status == 401
        phone.password = "correct-horse"
        assert server.plivo("DELETE", f"/Endpoint/{endpoint_id}/Registration/").status_code == 204
        name, event = heard.get(timeout=5)
        assert (name, event["reason"]) == ("auth_failed", "wrong_password")
        assert heard.get(timeout=5)[0] == "unregistered"
    assert requests.get(url, auth=(auth_id, "wrong"), timeout=5).status_code == 401
    assert requests.get(url.replace(auth_id, "MA" + "X" * 18), auth=credentials, timeout=5).status_code == 401


def test_a_stream_ends_when_the_server_stops_and_holds_nothing_up(server):
    url = f"{server.base_url}/v1/Account/{server.api['auth_id']}/Registration/Event/"
    with stream(url, auth=(server.api["auth_id"], server.api["auth_token"])) as heard:
        assert server.stop(timeout=4) == 0
        assert heard.get(timeout=5) is None
