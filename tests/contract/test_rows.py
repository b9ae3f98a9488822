"""The rows behind the APIs: columns that procedures read or write, and what a deletion leaves of them."""

import pytest
from contract.cloud import Cloud
from waiting import until

COLUMNS = [
    ("nova", "instances", "uuid host node compute_id vm_state task_state power_state updated_at deleted project_id"),
    ("nova", "instances", "root_device_name locked launched_on launched_at instance_type_id display_name hidden"),
    ("nova", "block_device_mapping", "id instance_uuid volume_id attachment_id boot_index device_name deleted tag"),
    ("nova", "block_device_mapping", "connection_info delete_on_termination deleted_at uuid source_type"),
    ("nova", "compute_nodes", "id uuid host hypervisor_hostname service_id deleted"),
    ("nova", "services", "id uuid host binary disabled disabled_reason forced_down last_seen_up updated_at version"),
    ("nova", "migrations", "id uuid instance_uuid source_compute source_node dest_compute dest_node status"),
    ("nova", "migrations", "migration_type old_instance_type_id new_instance_type_id deleted updated_at"),
    ("nova", "instance_actions", "id action instance_uuid request_id user_id start_time finish_time message"),
    ("nova", "instance_actions_events", "id action_id event start_time finish_time result host details"),
    ("cinder", "volumes", "id status attach_status migration_status host multiattach bootable deleted project_id"),
    ("cinder", "volume_attachment", "id volume_id instance_uuid attached_host mountpoint attach_status attach_mode"),
    ("cinder", "volume_attachment", "connector connection_info deleted deleted_at detach_time attach_time"),
    ("neutron", "ports", "id device_id device_owner status network_id standard_attr_id"),
    ("neutron", "ml2_port_bindings", "port_id host vif_type vif_details vnic_type profile status"),
    ("neutron", "ml2_port_binding_levels", "port_id host level driver segment_id"),
    ("neutron", "agents", "id host binary agent_type heartbeat_timestamp admin_state_up configurations"),
]


@pytest.mark.parametrize(("database", "table", "columns"), COLUMNS)
def test_columns(cloud: Cloud, database: str, table: str, columns: str) -> None:
    assert set(columns.split()) <= cloud.columns(database, table)


def test_flags_count_as_zero_and_one(cloud: Cloud) -> None:
    rows = cloud.rows("nova", "SELECT disabled, forced_down, deleted FROM services WHERE disabled = 0 AND deleted = 0")
    assert rows
    assert {row["deleted"] for row in rows} == {0}


def test_what_is_left_of_a_deleted_server(cloud: Cloud) -> None:
    volume = cloud.make_volume()
    server = cloud.boot(cloud.hosts[0])
    port = cloud.ports(server)[0]["id"]
    cloud.attach(server, volume)
    (mapping,), (attachment,) = cloud.mappings(server, volume), cloud.attachments(volume)
    cloud.nova("DELETE", f"/servers/{server}")
    until(lambda: cloud.nova("GET", f"/servers/{server}").status_code == 404, "the server is gone")
    until(lambda: cloud.volume(volume)["status"] == "available", "its volume is free")
    row = cloud.row("nova", "SELECT * FROM instances WHERE uuid = :server", server=server)
    assert (row["deleted"], row["vm_state"], row["task_state"]) == (row["id"], "deleted", None)
    row = cloud.row("nova", "SELECT * FROM block_device_mapping WHERE id = :id", id=mapping["id"])
    assert row["deleted"] == row["id"]
    row = cloud.row("cinder", "SELECT * FROM volume_attachment WHERE id = :id", id=attachment["id"])
    assert (bool(row["deleted"]), row["attach_status"]) == (True, "detached")
    for table, key in (("ports", "id"), ("ml2_port_bindings", "port_id"), ("ml2_port_binding_levels", "port_id")):
        assert cloud.rows("neutron", f"SELECT * FROM {table} WHERE {key} = :port", port=port) == []
    assert cloud.placement("GET", f"/allocations/{server}").json() == {"allocations": {}}
    listed = cloud.nova("GET", f"/servers/detail?all_tenants=1&changes-since={cloud_time(row['deleted_at'])}").json()
    (view,) = [one for one in listed["servers"] if one["id"] == server]
    assert view["status"] == "DELETED"


def cloud_time(value: object) -> str:
    """A row's time in a query."""
    return f"{str(value)[:19].replace(' ', 'T')}Z"
