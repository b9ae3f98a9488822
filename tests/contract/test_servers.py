"""Servers: their states, locks, metadata and lists."""

import uuid

from contract.cloud import Cloud


def refusal(cloud: Cloud, server: str, *actions: str) -> list[str]:
    """The words with which each of these actions is refused with 409."""
    words = []
    for action in actions:
        answer = cloud.act(server, {action: None})
        assert answer.status_code == 409, answer.text
        words.append(answer.json()["conflictingRequest"]["message"])
    return words


def test_a_server_that_was_booted(cloud: Cloud, server: str) -> None:
    view = cloud.server(server)
    assert (view["OS-EXT-STS:vm_state"], view["OS-EXT-STS:power_state"]) == ("active", 1)
    assert view["OS-EXT-SRV-ATTR:host"] == view["OS-EXT-SRV-ATTR:hypervisor_hostname"] == cloud.hosts[0]
    assert (view["host_status"], view["image"]["id"], view["locked"]) == ("UP", cloud.image, False)
    action = cloud.nova("GET", f"/servers/{server}/os-instance-actions").json()["instanceActions"][-1]
    assert action["action"] == "create"
    (event,) = cloud.action(server, action["request_id"])["events"]
    assert (event["event"], event["result"]) == ("compute__do_build_and_run_instance", "Success")


def test_what_a_running_server_refuses(cloud: Cloud, server: str) -> None:
    assert refusal(cloud, server, "os-start", "unpause", "resume", "confirmResize") == [
        f"Cannot '{verb}' instance {server} while it is in vm_state active"
        for verb in ("start", "unpause", "resume", "confirmResize")
    ]


def test_stop_and_start(cloud: Cloud, server: str) -> None:
    answer = cloud.act(server, {"os-stop": None})
    assert (answer.status_code, answer.content) == (202, b"")
    view = cloud.settled(server, "SHUTOFF")
    assert (view["OS-EXT-STS:vm_state"], view["OS-EXT-STS:power_state"]) == ("stopped", 4)
    assert refusal(cloud, server, "os-stop", "pause") == [
        f"Cannot '{verb}' instance {server} while it is in vm_state stopped" for verb in ("stop", "pause")
    ]
    assert cloud.act(server, {"os-start": None}).status_code == 202
    assert cloud.settled(server)["OS-EXT-STS:power_state"] == 1


def test_unknown_actions(cloud: Cloud, server: str) -> None:
    answer = cloud.act(server, {"nonsense": None})
    assert (answer.status_code, answer.json()) == (
        400,
        {"badRequest": {"code": 400, "message": "There is no such action: nonsense"}},
    )


def test_a_lock_holds_the_member_and_not_the_admin(cloud: Cloud, theirs: str) -> None:
    assert cloud.act(theirs, {"lock": {"locked_reason": "hands off"}}).status_code == 202
    view = cloud.server(theirs)
    assert (view["locked"], view["locked_reason"]) == (True, "hands off")
    for action in ({"reboot": {"type": "HARD"}}, {"os-stop": None}):
        answer = cloud.act(theirs, action, member=True)
        message = f"Instance {theirs} is locked"
        assert (answer.status_code, answer.json()["conflictingRequest"]["message"]) == (409, message)
    assert [event["result"] for event in cloud.reboot(theirs)] == ["Success"]
    assert cloud.server(theirs)["locked"]
    refused = cloud.act(theirs, {"unlock": None}, member=True)
    assert (refused.status_code, "unlock_override" in refused.text) == (403, True)
    answer = cloud.act(theirs, {"unlock": None})
    action = cloud.action(theirs, answer.headers["x-openstack-request-id"])
    assert [(event["event"], event["result"]) for event in action["events"]] == [("api_unlock", "Success")]


def test_what_a_member_may_not_do_to_a_server_of_its_own(cloud: Cloud, theirs: str) -> None:
    for action, rule in (
        ({"evacuate": {}}, "os-evacuate"),
        ({"os-migrateLive": {"host": None, "block_migration": "auto"}}, "os-migrate-server:migrate_live"),
        ({"migrate": None}, "os-migrate-server:migrate"),
        ({"os-resetState": {"state": "active"}}, "os-admin-actions:reset_state"),
    ):
        answer = cloud.act(theirs, action, member=True)
        message = f"Policy doesn't allow os_compute_api:{rule} to be performed."
        assert (answer.status_code, answer.json()) == (403, {"forbidden": {"code": 403, "message": message}})


def test_what_a_member_may_not_see(cloud: Cloud, server: str, theirs: str) -> None:
    for path, rule in (
        ("/os-services", "os-services:list"),
        ("/os-hypervisors", "os-hypervisors:list"),
        ("/os-migrations", "os-migrations:index"),
        ("/os-aggregates", "os-aggregates:index"),
        (f"/servers/{theirs}/migrations", "servers:migrations:index"),
        ("/servers/detail?all_tenants=1", "servers:detail:get_all_tenants"),
        ("/servers?all_tenants=1", "servers:index:get_all_tenants"),
    ):
        answer = cloud.nova("GET", path, member=True)
        message = f"Policy doesn't allow os_compute_api:{rule} to be performed."
        assert (answer.status_code, answer.json()["forbidden"]["message"]) == (403, message)
    assert cloud.nova("GET", f"/servers/{server}", member=True).status_code == 404
    view = cloud.nova("GET", f"/servers/{theirs}", member=True).json()["server"]
    assert not {"OS-EXT-SRV-ATTR:host", "host_status", "OS-EXT-SRV-ATTR:instance_name"} & set(view)


def test_metadata(cloud: Cloud, server: str) -> None:
    path = f"/servers/{server}/metadata"
    assert cloud.nova("POST", path, {"metadata": {"a": "1", "b": "2"}}).json() == {"metadata": {"a": "1", "b": "2"}}
    assert cloud.nova("PUT", f"{path}/a", {"meta": {"a": "3"}}).json() == {"meta": {"a": "3"}}
    assert cloud.nova("PUT", f"{path}/a", {"meta": {"b": "3"}}).status_code == 400
    assert cloud.nova("DELETE", f"{path}/a").status_code == 204
    missing = cloud.nova("DELETE", f"{path}/a")
    assert (missing.status_code, missing.json()["itemNotFound"]["message"]) == (404, "Metadata item was not found")
    assert cloud.nova("PUT", path, {"metadata": {"c": "x"}}).json() == {"metadata": {"c": "x"}}
    assert cloud.server(server)["metadata"] == {"c": "x"}
    for wrong in ({"a": 1}, {"a": "x" * 256}):
        assert cloud.nova("POST", path, {"metadata": wrong}).status_code == 400
    rows = cloud.rows("nova", "SELECT * FROM instance_metadata WHERE instance_uuid = :server", server=server)
    assert {row["key"]: row["value"] for row in rows if not row["deleted"]} == {"c": "x"}


def listed(cloud: Cloud, query: str) -> list[str]:
    """The ids of a list of servers."""
    return [one["id"] for one in cloud.nova("GET", f"/servers?{query}").json()["servers"]]


def test_lists_and_their_filters(cloud: Cloud, server: str, theirs: str) -> None:
    assert server in listed(cloud, "")
    assert theirs not in listed(cloud, "")
    assert {server, theirs} <= set(listed(cloud, "all_tenants=1"))
    project = cloud.server(theirs)["tenant_id"]
    assert listed(cloud, f"all_tenants=1&project_id={project}") == [theirs]
    here = listed(cloud, f"all_tenants=1&host={cloud.hosts[0]}")
    assert server in here
    assert listed(cloud, f"all_tenants=1&node={cloud.hosts[0]}") == here
    assert listed(cloud, f"all_tenants=1&uuid={server}") == [server]
    assert server in listed(cloud, "all_tenants=1&status=ACTIVE")
    assert server in listed(cloud, "all_tenants=1&vm_state=active")


def test_filters_that_there_are_not(cloud: Cloud) -> None:
    for query in ("nonsense=1", f"compute_host={cloud.hosts[0]}", f"hypervisor_hostname={cloud.hosts[0]}"):
        answer = cloud.nova("GET", f"/servers?{query}")
        message = f"'{query.partition('=')[0]}' does not match any of the regexes: '^_'"
        assert (answer.status_code, answer.json()["badRequest"]["message"]) == (400, message)
    answer = cloud.nova("GET", "/servers?all_tenants=1&status=NONSENSE")
    assert (answer.status_code, answer.json()["badRequest"]["message"]) == (400, "Invalid status value")


def test_a_member_is_not_told_that_its_filter_by_host_is_passed_over(cloud: Cloud, theirs: str) -> None:
    found = cloud.nova("GET", "/servers?host=nowhere", member=True).json()["servers"]
    assert theirs in [one["id"] for one in found]


def test_pages(cloud: Cloud, server: str, theirs: str) -> None:
    whole = listed(cloud, "all_tenants=1")
    page = cloud.nova("GET", "/servers?all_tenants=1&limit=1").json()
    assert [one["id"] for one in page["servers"]] == whole[:1]
    assert page["servers_links"][0]["href"].endswith(f"marker={whole[0]}")
    assert listed(cloud, f"all_tenants=1&marker={whole[0]}") == whole[1:]
    assert listed(cloud, "limit=0") == []
    nowhere = str(uuid.uuid4())
    answer = cloud.nova("GET", f"/servers?marker={nowhere}")
    assert (answer.status_code, answer.json()["badRequest"]["message"]) == (400, f"marker [{nowhere}] not found")
    assert cloud.nova("GET", "/servers?limit=-1").status_code == 400


def test_versions_that_are_too_new(cloud: Cloud) -> None:
    nova = cloud.nova("GET", "/servers", at="2.999")
    assert nova.status_code == 406
    assert nova.json()["computeFault"]["message"].startswith(
        "Version 2.999 is not supported by the API. Minimum is 2.1"
    )
    cinder = cloud.cinder("GET", "/volumes", at="3.999")
    assert cinder.status_code == 406
    assert cinder.json()["computeFault"]["message"].startswith("Version 3.999 is not supported by the API.")
    placement = cloud.call("placement", "GET", "/resource_providers", "1.999")
    assert (placement.status_code, "max_version" in placement.json()["errors"][0]) == (406, True)


def test_what_nobody_serves(cloud: Cloud) -> None:
    assert cloud.nova("GET", "/nothing").status_code == 404
    nothing = str(uuid.uuid4())
    answer = cloud.cinder("GET", f"/volumes/{nothing}")
    message = f"Volume {nothing} could not be found."
    assert (answer.status_code, answer.json()) == (404, {"itemNotFound": {"code": 404, "message": message}})
