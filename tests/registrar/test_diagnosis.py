"""The explainer: what the phone must not be told, its owner is."""

import re
import uuid

import pytest

from harness import wait
from harness.agent import Agent, Udp
from harness.phone import Phone


@pytest.fixture
def phone(shared_server):
    user, _, endpoint_id = shared_server.endpoint("phone")
    with Agent(shared_server, user) as agent:
        agent.path = f"/Endpoint/{endpoint_id}"
        yield agent


def diagnosis(phone):
    answer = phone.server.plivo("GET", f"{phone.path}/Diagnosis/")
    assert answer.status_code == 200, answer.text
    return answer.json()


def newest(phone, cause):
    """The newest attempt, once it is of this cause."""
    wait.until(lambda: [a["cause"] for a in diagnosis(phone)["attempts"][:1]] == [cause], f"{cause} to be named")
    return diagnosis(phone)["attempts"][0]


def answers(phone, question):
    return [f["code"] for f in diagnosis(phone)["findings"] if f["question"] == question]


def masked(message):
    """A message without what differs from one to the next."""
    text = re.sub(r'nonce="[^"]*"|tag=\w+|branch=\w+|rport=\d+|127\.0\.0\.1:\d+', "*", message.raw.decode())
    return re.sub(r"(?im)^call-id:.*$", "", text)


def test_a_wrong_password_an_unknown_user_and_a_disabled_endpoint_look_the_same_to_a_stranger(phone):
    """S67, S68."""
    seen = []
    for user in (phone.user, "x" * len(phone.user)):
        with Agent(phone.server, user, "wrong") as stranger:
            first, second = stranger.challenge(), stranger.register()
            assert second.status == 401
            seen.append([masked(m).replace(user, "USER") for m in (first, second)])
    assert seen[0] == seen[1]
    attempt = newest(phone, "wrong_password")
    assert (attempt["username"], attempt["domain"], attempt["transport"]) == (phone.user, phone.domain, "udp")
    assert attempt["source_address"].startswith("127.0.0.1:") and attempt["remedy"]
    assert answers(phone, "log_in") == ["wrong_password"]
    assert "not_registered" in answers(phone, "receive_calls")
    strangers = phone.server.plivo("GET", "/Diagnosis/").json()["attempts"]
    assert ("x" * len(phone.user), "unknown_user") in [(a["username"], a["cause"]) for a in strangers]


def test_a_real_phone_with_a_wrong_password_is_named_with_its_program(shared_server):
    user, _, endpoint = shared_server.endpoint("desk")
    path = f"/Endpoint/{endpoint}/Diagnosis/"

    def attempts():
        return shared_server.plivo("GET", path).json()["attempts"]

    with Phone(shared_server, user, "wrong", 600) as desk:
        with pytest.raises(AssertionError):
            desk.register()
        wait.until(attempts, "the attempt")
    assert attempts()[0]["cause"] == "wrong_password" and attempts()[0]["user_agent"].startswith("baresip")


def test_each_refusal_is_named(phone):
    server = phone.server
    host, port = server.sip_address()
    assert phone.register(expires=5).status == 423
    newest(phone, "expires_too_short")
    assert phone.register(f"Contact: <sip:{phone.user}@{host}:{port}>\n").status == 403
    newest(phone, "contact_points_here")
    assert phone.register(extra="User-Agent: VaxSIPUserAgent/4\n").status == 403
    assert newest(phone, "refused_user_agent")["user_agent"] == "VaxSIPUserAgent/4"
    assert phone.register("".join(f"Contact: <sip:a@127.0.0.1:{7000 + n}>\n" for n in range(11))).status == 403
    newest(phone, "too_many_bindings")
    call_id = uuid.uuid4().hex
    assert phone.register(call_id=call_id, cseq=10).status == 200
    newest(phone, "registered")
    assert phone.register(call_id=call_id, cseq=5).status == 500
    newest(phone, "out_of_order")
    challenge = phone.challenge()
    uri = f"sip:{phone.domain}"
    line = phone.answer_to(challenge, "REGISTER", uri, realm="asterisk")
    call_id = uuid.uuid4().hex
    phone.send(phone.text("REGISTER", uri, call_id, 1, f"<sip:{phone.user}@{phone.domain}>", extra=line))
    assert phone.final(call_id, (1, "REGISTER")).status == 401
    newest(phone, "wrong_realm")
    assert phone.register(domain="elsewhere.example").status == 404
    newest(phone, "wrong_domain")
    shown = str(diagnosis(phone))
    assert "correct-horse" not in shown and challenge.get("www-authenticate").split('nonce="')[1][:32] not in shown


def test_the_whole_user_name_and_the_endpoints_own_credentials_are_asked_for(phone):
    server = phone.server
    with Agent(server, server.api["auth_id"], server.api["auth_token"], transport=Udp) as confused:
        assert confused.register().status == 401
    wait.until(lambda: "account_credentials" in answers(phone, "log_in"), "the account's credentials to be noticed")
    with Agent(server, "phone") as partial:
        assert partial.register().status == 401
    wait.until(lambda: "partial_user_name" in answers(phone, "log_in"), "the partial name to be noticed")
    text = next(f["text"] for f in diagnosis(phone)["findings"] if f["code"] == "partial_user_name")
    assert phone.user in text


def test_a_call_that_no_answer_url_serves_and_one_that_never_rings_are_explained(shared_server, customer):
    server = shared_server
    app = server.application("Broken", answer_url=customer.url("/missing"))
    customer.documents["/missing"] = (404, "")
    user, _, endpoint = server.endpoint("maker", application=app)
    with Agent(server, user) as maker:
        maker.path = f"/Endpoint/{endpoint}"
        assert maker.register().status == 200
        assert answers(maker, "log_in") == ["registered"]
        maker.invite("15550123").refused()
        wait.until(lambda: "answer_url_failed" in answers(maker, "make_calls"), "the answer URL to be blamed")
    user, _, endpoint = server.endpoint("silent")
    caller, _, _ = server.endpoint("caller")
    with Agent(server, user) as silent, Agent(server, caller) as agent:
        silent.path = f"/Endpoint/{endpoint}"
        assert silent.register().status == 200 and agent.register().status == 200
        call = agent.invite(user)
        silent.incoming().refuse(408)
        call.refused()
        wait.until(lambda: "never_rang" in answers(silent, "receive_calls"), "the silence to be noticed")
