"""What customers' URLs hear of a real call, and what happens when they do not listen (plivo-rest.md §14, vobiz-rest.md §8,
bandwidth-v1.md §7; hard cases X10, D20)."""

import requests

from harness import wait
from harness.agent import Agent
from harness.customer_app import CustomerApp
from harness.server import Server

BUSY = '<Response><Hangup reason="busy"/></Response>'


def phone(server, name, application):
    user, password, _ = server.endpoint(name, application=application)
    agent = Agent(server, user, password)
    assert agent.register().status == 200
    return agent


def refused(agent):
    return agent.invite("15550123").refused().status


def test_an_endpoint_without_a_display_name_is_called_by_its_user_at_every_face(shared_server, customer):
    server, base = shared_server, shared_server.base_url
    customer.documents["/plivo"] = customer.documents["/vobiz"] = BUSY
    agent = phone(server, "nameless", server.application("Nameless", answer_url=customer.url("/plivo")))
    assert refused(agent) == 486
    told = customer.wait_for("/plivo", 2)
    assert [(f["Event"], f["CallerName"]) for f in told] == [("StartApp", agent.user), ("Hangup", agent.user)]

    headers = {"X-Auth-ID": server.api["auth_id"], "X-Auth-Token": server.api["auth_token"]}
    vobiz = f"{base}/api/v1/Account/{server.api['auth_id']}"
    app = requests.post(f"{vobiz}/Application/", headers=headers, timeout=5,
                        json={"app_name": "v", "answer_url": customer.url("/vobiz")}).json()["app_id"]
    made = requests.post(f"{vobiz}/Endpoint/", headers=headers, timeout=5,
                         json={"username": "lobby_1", "password": "correct-horse", "application": int(app)})
    assert made.status_code == 201, made.text
    agent = Agent(server, "lobby_1")
    assert agent.register().status == 200 and refused(agent) == 486
    assert customer.wait_for("/vobiz")[0]["CallerName"] == "lobby_1"

    keys = server.api["bandwidth"]
    auth, users = (keys["token"], keys["secret"]), f"{base}/v1/users/{keys['user_id']}"

    def create(path, **body):
        answer = requests.post(users + path, json=body, auth=auth, timeout=5)
        assert answer.status_code == 201, answer.text
        return answer.headers["Location"].rsplit("/", 1)[1]

    app = create("/applications", name="b", incomingCallUrl=customer.url("/bandwidth"))
    domain = create("/domains", name="callbacks")
    create(f"/domains/{domain}/endpoints", name="front_desk", applicationId=app, credentials={"password": "correct-horse"})
    agent = Agent(server, "front_desk", domain=f"callbacks.{server.domain}")
    assert agent.register().status == 200
    refused(agent)
    customer.wait_for("/bandwidth")

    heard = {r["path"]: r for r in customer.requests}
    first = next(r for r in customer.requests if r["path"] == "/bandwidth")
    assert '"eventType":"incomingcall"' in first["raw"] and '"displayName":"front_desk"' in first["raw"]
    lower = {path: {k.lower(): v for k, v in r["headers"].items()} for path, r in heard.items()}
    assert lower["/vobiz"]["user-agent"] == "Vobiz"
    assert lower["/bandwidth"]["user-agent"].startswith("BandwidthAPI/v1 (")
    assert lower["/bandwidth"]["content-type"] == "application/json; charset=utf-8"
    assert lower["/plivo"]["content-type"] == "application/x-www-form-urlencoded"


def test_get_merges_the_query_and_a_fragment_says_how_often(shared_server, customer):
    customer.documents["/answer"] = BUSY
    customer.documents["/hangup"] = (500, "")
    app = shared_server.application("Merged", answer_url=customer.url("/answer?z=1&B=x"), answer_method="GET",
                                    hangup_url=customer.url("/hangup#rc=2&rp=5xx"))
    assert refused(phone(shared_server, "merged", app)) == 486
    names = list(customer.wait_for("/answer")[0])
    assert names == sorted(names) and {"B", "z", "CallUUID", "Event"} < set(names)
    assert len({f["CallUUID"] for f in customer.wait_for("/hangup", 3)}) == 1


def test_a_receiver_that_hangs_holds_up_nobody_and_a_hangup_is_told_again_after_a_crash():
    first = Server().start()
    with CustomerApp() as customer, CustomerApp() as dead:
        released = dead.hold("/hangup")
        customer.documents["/answer"] = BUSY
        customer.documents["/again"] = (500, "")
        doomed = phone(first, "doomed", first.application("Doomed", answer_url=customer.url("/answer"),
                                                          hangup_url=dead.url("/hangup")))
        for _ in range(40):
            assert refused(doomed) == 486
        dead.wait_for("/hangup")
        again = first.application("Again", answer_url=customer.url("/answer"), hangup_url=customer.url("/again"))
        assert refused(phone(first, "again", again)) == 486
        before = customer.wait_for("/again")
        first.kill()
        customer.documents["/again"] = ""
        try:
            with Server(data_dir=first.data_dir):
                after = customer.wait_for("/again", len(before) + 1, timeout=20)
                assert after[-1] == before[0]
                wait.until(lambda: len(dead.received("/hangup")) >= 9, "the dead receiver is asked again")
                released.set()
        finally:
            first._own.cleanup()
