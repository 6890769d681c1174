"""Bandwidth's published node library against the real binary: domains, endpoints, applications."""

import json
import pathlib
import subprocess

FOLDER = pathlib.Path(__file__).parent


def test_every_domain_endpoint_and_application_operation(shared_server):
    keys = shared_server.api["bandwidth"]
    done = subprocess.run(["node", "bandwidth.js", shared_server.base_url, keys["user_id"], keys["token"],
                           keys["secret"]], cwd=FOLDER, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr + shared_server.logged()
    out = json.loads(done.stdout)
    ids = out["ids"]
    assert ids["app"].startswith("a-") and ids["domain"].startswith("rd-") and ids["endpoint"].startswith("re-")
    assert (out["application"]["name"], out["application"]["incomingCallUrl"], out["application"]["autoAnswer"]) == \
        ("Reception", "https://hooks.example.com/calls", True)
    assert (out["applicationAfter"]["name"], out["applicationAfter"]["incomingCallUrl"]) == \
        ("Desk", "https://hooks.example.com/desk")
    assert ids["app"] in out["applications"]
    assert [d["name"] for d in out["domains"]] == ["acme-lab"]
    realm = f"acme-lab.{shared_server.domain}"
    expected = {"id": ids["endpoint"], "name": "front_desk", "description": "Lobby phone", "domainId": ids["domain"],
                "applicationId": ids["app"], "enabled": True, "sipUri": f"sip:front_desk@{realm}",
                "credentials": {"realm": realm, "username": "front_desk"}}
    assert {k: out["endpoint"].get(k) for k in expected} == expected
    assert "password" not in out["endpoint"]["credentials"]
    assert (out["endpointAfter"]["description"], out["endpointAfter"]["enabled"]) == ("Hall", False)
    assert out["pages"] == [3, 1]
    for step in ("domainTwice", "endpointTwice", "shortPassword", "gone", "domainGone", "applicationGone"):
        assert out[step] != "no error", step
    assert f"The endpoint '{ids['endpoint']}' could not be found" in out["gone"]["message"]
