"""Who may do what: a member sees its own project, and is refused with each service's own words."""

from typing import TYPE_CHECKING

import pytest
import requests

if TYPE_CHECKING:
    from conftest import Bench

RESET = {"os-reset_status": {"status": "error"}}


@pytest.mark.parametrize(
    ("service", "method", "path", "words"),
    [
        (
            "compute",
            "GET",
            "/servers/detail?all_tenants=1",
            "Policy doesn't allow os_compute_api:servers:detail:get_all_tenants to be performed.",
        ),
        (
            "compute",
            "GET",
            "/os-services",
            "Policy doesn't allow os_compute_api:os-services:list to be performed.",
        ),
        (
            "compute",
            "GET",
            "/os-hypervisors",
            "Policy doesn't allow os_compute_api:os-hypervisors:list to be performed.",
        ),
        (
            "compute",
            "GET",
            "/os-migrations",
            "Policy doesn't allow os_compute_api:os-migrations:index to be performed.",
        ),
        (
            "block-storage",
            "GET",
            "/os-services",
            "Policy doesn't allow volume_extension:services:index to be performed.",
        ),
        (
            "identity",
            "GET",
            "/projects",
            "You are not authorized to perform the requested action: identity:list_projects.",
        ),
        (
            "placement",
            "GET",
            "/resource_providers",
            "Policy does not allow placement:resource_providers:list to be performed.",
        ),
    ],
)
def test_members_are_refused(bench: "Bench", service: str, method: str, path: str, words: str) -> None:
    answer = bench.call(service, method, path, member=True)
    assert answer.status_code == 403
    assert words in answer.text


def test_members_see_their_own_project_only(bench: "Bench") -> None:
    own = bench.cloud.seed(hosts=1, servers=[{"name": "mine", "volumes": [{"size": 1}]}])
    listed = bench.compute("GET", "/servers/detail", member=True).json()["servers"]
    assert [server["name"] for server in listed] == ["mine"]
    assert "OS-EXT-SRV-ATTR:host" not in listed[0]
    volumes = bench.cinder("GET", "/volumes/detail?all_tenants=1", member=True).json()["volumes"]
    assert [volume["name"] for volume in volumes] == ["mine-vol1"]
    assert "os-vol-host-attr:host" not in volumes[0]
    assert bench.compute("GET", f"/servers/{bench.servers['app-1']}", member=True).status_code == 404
    assert bench.cinder("GET", f"/volumes/{bench.volumes['web-1-vol1']}", member=True).status_code == 404
    refused = bench.cinder("POST", f"/volumes/{own['volumes']['mine-vol1']}/action", member=True, json=RESET)
    assert (refused.status_code, refused.json()["forbidden"]["message"]) == (
        403,
        "Policy doesn't allow volume_extension:volume_admin_actions:reset_status to be performed.",
    )


def test_a_member_may_reboot_its_own_server(bench: "Bench") -> None:
    server = bench.cloud.seed(hosts=1, servers=[{"name": "mine"}])["servers"]["mine"]
    answer = bench.compute("POST", f"/servers/{server}/action", member=True, json={"reboot": {"type": "HARD"}})
    assert answer.status_code == 202
    assert bench.cloud.journal("server.reboot")[0]["target"] == server


def test_a_locked_server_refuses_its_member_but_not_the_administrator(bench: "Bench") -> None:
    server = bench.cloud.seed(hosts=1, servers=[{"name": "mine"}])["servers"]["mine"]
    path = f"/servers/{server}/action"
    assert bench.compute("POST", path, json={"lock": {"locked_reason": "recovery"}}).status_code == 202
    refused = bench.compute("POST", path, member=True, json={"reboot": {"type": "HARD"}})
    assert (refused.status_code, refused.json()["conflictingRequest"]["message"]) == (
        409,
        f"Instance {server} is locked",
    )
    assert bench.compute("GET", f"/servers/{server}").json()["server"]["locked_reason"] == "recovery"
    assert bench.compute("POST", path, json={"reboot": {"type": "HARD"}}).status_code == 202


def test_without_a_token_every_service_answers_401(bench: "Bench") -> None:
    for service, path in (
        ("compute", "/v2.1/servers"),
        ("volume", "/v3/volumes"),
        ("network", "/v2.0/ports"),
    ):
        answer = requests.get(bench.cloud.description["urls"][service] + path, timeout=5)
        assert answer.status_code == 401
        assert answer.json()["error"]["message"] == "The request you have made requires authentication."
        assert answer.headers["WWW-Authenticate"].startswith("Keystone uri=")
