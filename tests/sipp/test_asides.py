"""What is said inside a call beside the session: digits in INFO (RFC 6086) and MESSAGE (RFC 3428)."""

import pytest
from sipp.test_transfers import phone, up  # noqa: F401  (a fixture)


def says(dialog, method, kind, body):
    """Sends it and gives its name."""
    extra = f"Content-Type: {kind}\n" if kind else ""
    return dialog.request(method, body, extra)


def answer(dialog, number):
    return dialog.agent.final(dialog.call_id, number)


@pytest.mark.parametrize("who", ["caller", "callee"])
def test_digits_and_texts_reach_the_other_side(phone, who):  # noqa: F811
    alice, bob = phone("alice"), phone("bob")
    call, rings, _ = up(alice, bob)
    one, other = (call, rings) if who == "caller" else (rings, call)
    for method, kind, body, seen, status in [
            ("INFO", "application/dtmf-relay", "Signal= 5\nDuration= 200\n", "Signal=5\r\nDuration=200\r\n", 200),
            ("INFO", "application/dtmf", "#", "#", 200),
            ("MESSAGE", "text/plain;charset=UTF-8", "hello", "hello", 202),
            ("MESSAGE", "text/plain;charset=UTF-8", "again", "again", 488)]:
        number = says(one, method, kind, body)
        asked = other.asks(method)
        assert (asked.get("content-type"), asked.body) == (kind, seen)
        other.reply(asked, status)
        assert answer(one, number).status == status
    number = says(one, "INFO", "application/media_control+xml", "<media_control/>")
    refused = answer(one, number)
    assert (refused.status, refused.get("accept")) == (415, "application/dtmf-relay, application/dtmf")
    assert answer(one, says(one, "INFO", None, "")).status == 200
    assert one.bye() == 200
    other.hears_bye()


@pytest.mark.parametrize("who", ["writer", "reader"])
def test_who_may_have_no_messages_has_none_inside_a_call(phone, shared_server, who):  # noqa: F811
    alice, bob = phone("alice"), phone("bob")
    server = shared_server
    headers = {"X-Auth-ID": server.api["auth_id"], "X-Auth-Token": server.api["auth_token"]}
    call, rings, _ = up(alice, bob)
    refuse_messages(server, headers, alice.user if who == "writer" else bob.user)
    number = says(call, "MESSAGE", "text/plain", "hello")
    assert answer(call, number).status == 403
    rings.agent.silent(0.3, lambda m: m.method == "MESSAGE")
    assert call.bye() == 200
    rings.hears_bye()


def refuse_messages(server, headers, user):
    import requests
    base = f"{server.base_url}/api/v1/Account/{server.api['auth_id']}/Endpoint/"
    found = requests.get(base, headers=headers, params={"username": user}, timeout=5).json()["objects"]
    endpoint = next(e["endpoint_id"] for e in found if e["username"] == user)
    answer = requests.post(f"{base}{endpoint}/", headers=headers, json={"allow_message": False}, timeout=5)
    assert answer.status_code < 300, answer.text
