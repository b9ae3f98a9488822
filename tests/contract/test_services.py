"""nova's services and their switches, hypervisors, aggregates."""

import uuid

from contract.cloud import Cloud
from contract.hosts import service, switch
from waiting import until


def test_services_by_binary_and_host(cloud: Cloud) -> None:
    found = cloud.nova("GET", "/os-services?binary=nova-compute").json()["services"]
    assert sorted(one["host"] for one in found) == cloud.hosts
    one = service(cloud, cloud.hosts[0])
    assert (one["state"], one["status"], one["forced_down"], one["zone"]) == ("up", "enabled", False, "nova")
    assert cloud.nova("GET", "/os-services?host=nowhere").json() == {"services": []}
    others = {one["binary"] for one in cloud.nova("GET", "/os-services").json()["services"]}
    assert {"nova-conductor", "nova-scheduler", "nova-compute"} <= others


def test_disable_with_a_reason_and_enable(cloud: Cloud) -> None:
    host = cloud.hosts[2]
    told = switch(cloud, host, status="disabled", disabled_reason="maintenance").json()["service"]
    assert (told["status"], told["disabled_reason"], told["state"]) == ("disabled", "maintenance", "up")
    told = switch(cloud, host, status="disabled").json()["service"]
    assert (told["status"], told["disabled_reason"]) == ("disabled", None)
    told = switch(cloud, host, status="enabled").json()["service"]
    assert (told["status"], told["disabled_reason"]) == ("enabled", None)


def test_a_disabled_host_takes_no_server_and_shows_at_its_own(cloud: Cloud, server: str) -> None:
    host = cloud.hosts[0]
    switch(cloud, host, status="disabled")
    try:
        assert cloud.server(server)["host_status"] == "MAINTENANCE"
        refused = cloud.ask_boot(host)
        cloud.settled(refused, "ERROR")
    finally:
        switch(cloud, host, status="enabled")
    # It is in error a moment before it says why.
    view = until(lambda: "fault" in cloud.server(refused) and cloud.server(refused), "the server says why")
    assert view["fault"]["message"].startswith("No valid host was found.")
    assert view["OS-EXT-SRV-ATTR:host"] is None
    assert [event["result"] for event in cloud.reboot(server)] == ["Success"]


def test_switches_that_are_refused(cloud: Cloud) -> None:
    host = cloud.hosts[0]
    nothing = "No updates were requested. Fields 'status' or 'forced_down' should be specified."
    for changes, words in (
        (
            {"status": "enabled", "disabled_reason": "x"},
            "Specifying 'disabled_reason' with status 'enabled' is invalid.",
        ),
        ({"disabled_reason": "x"}, nothing),
        ({}, nothing),
        ({"status": "nonsense"}, "Invalid input for field/attribute status. Value: nonsense."),
    ):
        answer = switch(cloud, host, **changes)
        assert answer.status_code == 400
        assert answer.json()["badRequest"]["message"].startswith(words)
    missing = str(uuid.uuid4())
    answer = cloud.nova("PUT", f"/os-services/{missing}", {"status": "enabled"})
    message = f"Service {missing} could not be found."
    assert (answer.status_code, answer.json()["itemNotFound"]["message"]) == (404, message)


def test_a_switch_moves_updated_at_but_is_no_heartbeat(cloud: Cloud) -> None:
    host = cloud.hosts[1]
    assert switch(cloud, host, forced_down=True).json()["service"]["state"] == "down"
    sql = "SELECT updated_at, last_seen_up, forced_down FROM services WHERE host = :host"
    before = cloud.row("nova", sql, host=host)
    # It lives, and goes on reporting itself; nothing but the switch brings it up again.
    until(lambda: cloud.row("nova", sql, host=host)["last_seen_up"] > before["last_seen_up"], "it reported itself")
    assert service(cloud, host)["state"] == "down"
    assert switch(cloud, host, forced_down=False).json()["service"]["state"] == "up"
    cloud.execute("nova", "UPDATE services SET updated_at = '2020-01-01 00:00:00' WHERE host = :host", host=host)
    assert service(cloud, host)["state"] == "up"


def test_a_host_with_servers_keeps_its_service(cloud: Cloud, server: str) -> None:
    assert cloud.server(server)["OS-EXT-SRV-ATTR:host"] == cloud.hosts[0]
    answer = cloud.nova("DELETE", f"/os-services/{service(cloud, cloud.hosts[0])['id']}")
    assert answer.status_code == 409
    assert "Unable to delete compute service that is hosting instances." in answer.text


def test_hypervisors(cloud: Cloud) -> None:
    found = cloud.nova("GET", "/os-hypervisors/detail").json()["hypervisors"]
    assert sorted(one["hypervisor_hostname"] for one in found) == cloud.hosts
    (one,) = cloud.nova("GET", f"/os-hypervisors/detail?hypervisor_hostname_pattern={cloud.hosts[0]}").json()[
        "hypervisors"
    ]
    assert (one["state"], one["status"], one["service"]["host"]) == ("up", "enabled", cloud.hosts[0])
    assert one["service"]["id"] == service(cloud, cloud.hosts[0])["id"]
    row = cloud.row("nova", "SELECT uuid FROM compute_nodes WHERE host = :host AND deleted = 0", host=cloud.hosts[0])
    assert one["id"] == row["uuid"]
    nowhere = cloud.nova("GET", "/os-hypervisors?hypervisor_hostname_pattern=nowhere")
    message = "No hypervisor matching 'nowhere' could be found."
    assert (nowhere.status_code, nowhere.json()["itemNotFound"]["message"]) == (404, message)


def test_hypervisors_with_their_servers_and_in_pages(cloud: Cloud, server: str) -> None:
    path = f"/os-hypervisors?hypervisor_hostname_pattern={cloud.hosts[0]}&with_servers=true"
    (one,) = cloud.nova("GET", path).json()["hypervisors"]
    assert server in [known["uuid"] for known in one["servers"]]
    page = cloud.nova("GET", "/os-hypervisors?limit=1").json()
    marker = page["hypervisors"][0]["id"]
    assert page["hypervisors_links"][0]["href"].endswith(f"limit=1&marker={marker}")
    rest = cloud.nova("GET", f"/os-hypervisors?marker={marker}").json()["hypervisors"]
    assert len(rest) == len(cloud.hosts) - 1


def test_aggregates(cloud: Cloud) -> None:
    name = f"rack-{uuid.uuid4()}"
    made = cloud.nova("POST", "/os-aggregates", {"aggregate": {"name": name}}).json()["aggregate"]
    path, host = f"/os-aggregates/{made['id']}", cloud.hosts[0]
    added = cloud.nova("POST", f"{path}/action", {"add_host": {"host": host}}).json()["aggregate"]
    assert (added["name"], added["hosts"]) == (name, [host])
    again = cloud.nova("POST", f"{path}/action", {"add_host": {"host": host}})
    assert (again.status_code, f"already has host {host}." in again.text) == (409, True)
    assert cloud.nova("POST", f"{path}/action", {"add_host": {"host": "nowhere"}}).status_code == 404
    listed = {one["name"]: one["hosts"] for one in cloud.nova("GET", "/os-aggregates").json()["aggregates"]}
    assert listed[name] == [host]
    assert cloud.nova("DELETE", path).status_code == 400
    assert cloud.nova("POST", f"{path}/action", {"remove_host": {"host": host}}).json()["aggregate"]["hosts"] == []
    assert cloud.nova("DELETE", path).status_code == 200
    assert cloud.nova("GET", path).status_code == 404


def test_server_groups(cloud: Cloud) -> None:
    group = cloud.make_group("anti-affinity")
    first, second = (cloud.ask_boot(group=group) for _ in range(2))
    hosts = {cloud.settled(server)["OS-EXT-SRV-ATTR:host"] for server in (first, second)}
    assert len(hosts) == 2
    shown = cloud.nova("GET", f"/os-server-groups/{group}").json()["server_group"]
    assert (shown["policy"], shown["rules"], set(shown["members"])) == ("anti-affinity", {}, {first, second})
    assert cloud.server(first)["server_groups"] == [group]
    refused = cloud.nova("POST", "/os-server-groups", {"server_group": {"name": "x", "policy": "nonsense"}})
    assert refused.status_code == 400
