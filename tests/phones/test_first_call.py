"""Two foreign phones (baresip), made from endpoints that an SDK created, register, call each other and talk."""

import pytest

from harness import wait
from harness.phone import Phone
from sdk.test_plivo import client  # noqa: F401  (the SDK fixture makes the endpoints)


def made_by_the_sdk(client, name):  # noqa: F811
    created = client.endpoints.create(name, "correct-horse", name)
    return created.username, created.endpoint_id


def registration(server, endpoint_id):
    return server.plivo("GET", f"/Endpoint/{endpoint_id}/").json()


def finished(server, call_count):
    return wait.until(lambda: (rows := server.finished_calls()) and len(rows) >= call_count and rows,
                      f"{call_count} finished calls in REST")


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_two_phones_register_call_talk_hold_and_hang_up(shared_server, client, customer, transport):  # noqa: F811
    server = shared_server
    before = server.plivo("GET", "/Call/").json()["meta"]["total_count"]
    customer.documents["/answer"] = ""
    carol, carol_id = made_by_the_sdk(client, f"carol{transport}")
    dave, dave_id = made_by_the_sdk(client, f"dave{transport}")
    app = client.applications.create(f"Talk-{transport}", answer_url=customer.url("/answer"),
                                     hangup_url=customer.url("/hangup")).app_id
    client.endpoints.update(carol_id, app_id=app)
    customer.documents["/answer"] = (f"<Response><Dial callbackUrl=\"{customer.url('/dial')}\">"
                                     f"<User>sip:{dave}@{server.domain}</User></Dial></Response>")
    with Phone(server, carol, "correct-horse", 1013, transport) as one, \
            Phone(server, dave, "correct-horse", 613, transport) as two:
        one.register()
        two.register()
        seen = registration(server, carol_id)
        assert seen["sip_registered"] == "true" and "baresip" in seen["sip_user_agent"]
        assert seen["sip_contact"].startswith(f"sip:{carol}")

        one.dial(f"sip:{dave}@{server.domain}")
        two.wait_for("CALL_INCOMING")
        two.accept()
        one.wait_for("CALL_ESTABLISHED")
        two.wait_for("CALL_ESTABLISHED")
        talk(5.5)
        one.command("hold")
        talk(1.0)
        one.command("resume")
        talk(1.0)
        (one if transport == "udp" else two).hang_up()
        one.wait_for("CALL_CLOSED")
        two.wait_for("CALL_CLOSED")
        one.hears(613, 5.0)
        two.hears(1013, 5.0)

        rows = wait.until(lambda: (found := server.plivo("GET", "/Call/").json())["meta"]["total_count"] >= before + 2
                          and found["objects"][:2], "two finished legs in REST")
        leg_b = next(r for r in rows if r["parent_call_uuid"])
        leg_a = next(r for r in rows if not r["parent_call_uuid"])
        assert leg_b["parent_call_uuid"] == leg_a["call_uuid"] != leg_b["call_uuid"]
        assert (leg_a["call_direction"], leg_b["call_direction"]) == ("inbound", "outbound")
        assert leg_a["from_number"] == f"sip:{carol}@{server.domain}"
        assert leg_b["to_number"] == f"sip:{dave}@{server.domain}"
        assert leg_b["hangup_cause_code"] == 4000 and 7 <= leg_b["call_duration"] <= 30
        told = customer.wait_for("/hangup")[0]
        assert told["CallUUID"] == leg_a["call_uuid"] and told["Event"] == "Hangup"
        assert told["HangupCauseCode"] == str(leg_a["hangup_cause_code"])
        assert told["Duration"] == str(leg_a["call_duration"])
        assert told["HangupSource"] == leg_a["hangup_source"]
        assert told["CallStatus"] == "completed"
        asked = customer.received("/answer")[0]
        assert (asked["Event"], asked["Direction"], asked["CallStatus"]) == ("StartApp", "inbound", "ringing")
        assert asked["From"] == f"sip:{carol}@{server.domain}"
        actions = [r["DialAction"] for r in customer.wait_for("/dial", 3)]
        assert sorted(actions) == ["answer", "connected", "hangup"]
    gone = wait.until(lambda: (r := registration(server, carol_id))["sip_registered"] == "false" and r,
                      "the phone's own un-REGISTER to show")
    assert "sip_contact" not in gone


def talk(seconds):
    """Lets two people talk: the audio is real, so is its time."""
    import threading
    threading.Event().wait(seconds)


def test_direct_dial_is_what_a_fresh_installation_does(server):
    alice, bob = server.ready["endpoints"][:2]
    with Phone(server, alice["username"], alice["password"], 1013) as one, \
            Phone(server, bob["username"], bob["password"], 613) as two:
        one.register()
        two.register()
        one.dial(f"sip:{bob['username']}@{server.domain}")
        two.wait_for("CALL_INCOMING")
        one.wait_for("CALL_RINGING")
        two.accept()
        one.wait_for("CALL_ESTABLISHED")
        talk(2.5)
        one.command("sndcode", "5")
        assert two.wait_for("CALL_DTMF_START")["param"] == "5"
        two.command("sndcode", "#")
        assert one.wait_for("CALL_DTMF_START")["param"] == "#"
        two.hang_up()
        one.wait_for("CALL_CLOSED")
        one.hears(613, 2.0)
        two.hears(1013, 2.0)
        rows = finished(server, 2)
        assert {r["hangup_cause_code"] for r in rows} == {4000}
        assert {r["hangup_source"] for r in rows} == {"Callee"}
