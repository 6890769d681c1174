"""What an endpoint may do (`allow_…`) and how much: foreign phones are refused with a cause that names the rule."""

import pytest
import requests

from harness import wait
from harness.agent import sdp
from harness.phone import Phone, free_port
from harness.sipp import Sipp
from sipp.test_dialogs import phones as agents

PASSWORD = "Correct#Horse9"


def vobiz_endpoint(server, name, **fields):
    """An endpoint of Vobiz's face, which has the flags."""
    url = f"{server.base_url}/api/v1/Account/{server.api['auth_id']}/Endpoint/"
    body = {"username": name, "password": PASSWORD, "alias": name, **fields}
    keys = {"X-Auth-ID": server.api["auth_id"], "X-Auth-Token": server.api["auth_token"]}
    answer = requests.post(url, json=body, headers=keys, timeout=5)
    assert answer.status_code == 201, answer.text
    return name


def cause(server, user, told=()):
    """(code, name, switch cause) in the record of the call that `user` made last, and the same in its hangup callback."""
    def found():
        return [r for r in server.finished_calls() if user in r["from_number"] and not r["parent_call_uuid"]]
    row = wait.until(found, f"the record of {user}")[0]
    if told:
        code, name = row["hangup_cause_code"], row["hangup_cause_name"]
        wait.until(lambda: [t for t in told.received("/hangup") if user in t["From"] and t["HangupCauseCode"] == str(code)
                            and t["HangupCauseName"] == name], "the hangup callback")
    return row["hangup_cause_code"], row["hangup_cause_name"]


@pytest.mark.parametrize("flag,target,code,name", [
    ("allow_voice", "sip:{peer}@{domain}", 2110, "Calls Not Allowed (allow_voice)"),
    ("allow_same_domain", "sip:{peer}@{domain}", 2120, "Own Domain Not Allowed (allow_same_domain)"),
    ("allow_other_domains", "sip:somebody@far.example.com", 2130, "Other Domains Not Allowed (allow_other_domains)"),
    ("allow_phones", "sip:15005550123@{domain}", 2140, "Phone Numbers Not Allowed (allow_phones)"),
    ("allow_apps", "sip:{app}@app.{domain}", 2150, "Applications Not Allowed (allow_apps)"),
])
def test_a_permission_that_is_missing_is_named_to_the_phone_and_in_the_record(shared_server, customer, flag, target, code, name):
    server = shared_server
    app = server.application("Refused", answer_url=customer.url("/answer"), hangup_url=customer.url("/hangup"))
    peer, _, _ = server.endpoint("peer")
    user = vobiz_endpoint(server, "may" + flag.replace("_", ""), application=app, **{flag: False})
    with Phone(server, user, PASSWORD, 1013) as phone:
        phone.register()
        phone.dial(target.format(peer=peer, domain=server.domain, app=app))
        assert name in phone.wait_for("CALL_CLOSED")["param"]
    assert cause(server, user, customer) == (code, name)
    assert customer.received("/answer") == []


def test_who_may_not_write_or_be_written_to_is_refused(shared_server, customer):
    server = shared_server
    app = server.application("Quiet", answer_url=customer.url("/answer"), message_url=customer.url("/message"))
    mute = vobiz_endpoint(server, "mute", application=app, allow_message=False)
    reader = vobiz_endpoint(server, "reader", application=app)
    for writer, called in ((mute, reader), (reader, mute)):
        with Sipp(server, "message_forbidden", free_port(), writer, PASSWORD, called=called) as one:
            one.finish()
    assert customer.received("/message") == []


def limit(server, endpoint, **fields):
    assert server.plivo("POST", f"/Endpoint/{endpoint}/Limit/", json=fields).status_code == 202


def test_one_call_too_many_is_refused_by_the_name_of_the_limit_and_the_other_goes_on(shared_server):
    server = shared_server
    caller, callee = agents(server)
    user, password, endpoint = server.endpoint("limited")
    limit(server, endpoint, concurrent_calls=1)
    with caller, callee, Phone(server, user, password, 1013) as phone:
        phone.register()
        phone.dial(f"sip:{callee.user}@{server.domain}")
        rings = callee.incoming()
        rings.answer(sdp(40002))
        phone.wait_for("CALL_ESTABLISHED")
        phone.dial(f"sip:{callee.user}@{server.domain}")
        assert "Limit Of Concurrent Calls Reached" in phone.wait_for("CALL_CLOSED")["param"]
        assert cause(server, user) == (2210, "Limit Of Concurrent Calls Reached")
        callee.silent(0.2)
        assert rings.bye() == 200
        phone.wait_for("CALL_CLOSED", 2)
        # There is room again.
        phone.dial(f"sip:{callee.user}@{server.domain}")
        callee.incoming().refuse(486)
        phone.wait_for("CALL_CLOSED", 3)


def test_a_number_outside_of_the_allowed_prefixes_is_refused_by_name(shared_server):
    server = shared_server
    user, password, endpoint = server.endpoint("domestic")
    limit(server, endpoint, prefixes=["1212", "44"])
    with Phone(server, user, password, 1013) as phone:
        phone.register()
        phone.dial(f"sip:18765550123@{server.domain}")
        assert "Number Outside Of The Allowed Prefixes" in phone.wait_for("CALL_CLOSED")["param"]
        assert cause(server, user) == (2240, "Number Outside Of The Allowed Prefixes")
        # One inside is not: there is no trunk, so nobody is there.
        phone.dial(f"sip:12125550123@{server.domain}")
        assert "404" in phone.wait_for("CALL_CLOSED", 2)["param"]
