"""What is written by SQL: rows that the plan names, and no others; nothing of servers that were not asked for."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from desk import Desk, MakeDesk
from hypothesis import given
from hypothesis import strategies as st
from properties.captures import one_of
from properties.examples import few

_HOSTS = ("sim-c01", "sim-c02")
_OF_VOLUMES = (
    *("volume-available", "volume-error", "volume-reserved", "volume-error_deleting", "bdm-deleted"),
    *("volume-attach-status-detached", "volume-available-detached", "volume-attachments-deleted"),
)
_OF_SERVERS = ("server-error", "server-stuck-image_snapshot", "server-stuck-migrating", "server-stuck-powering-off")
Rows = dict[tuple[str, str], dict[str, Any]]


@st.composite
def towns(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[tuple[str, str]], list[str]]:
    """Servers on two hosts with their volumes, what is damaged of them, and the scope of the recovery."""
    names = [f"s{number}" for number in range(draw(st.integers(2, 5)))]
    servers = [
        {
            "name": name,
            "host": draw(st.sampled_from(_HOSTS)),
            "root": draw(one_of("image", "volume")),
            "status": draw(one_of("ACTIVE", "ACTIVE", "SHUTOFF")),
            "volumes": draw(one_of([], [{"name": f"{name}-v"}], [{"name": f"{name}-v"}, {"shared": "common"}])),
        }
        for name in names
    ]
    volumes = [f"{one['name']}-root" for one in servers if one["root"] == "volume"]
    volumes += sorted({disk.get("name") or disk["shared"] for one in servers for disk in one["volumes"]})
    kinds = [st.tuples(st.sampled_from(_OF_SERVERS), st.sampled_from(names))]
    kinds += [st.tuples(st.sampled_from(_OF_VOLUMES), st.sampled_from(volumes))] if volumes else []
    damage = draw(st.lists(st.one_of(kinds), max_size=4))
    return servers, damage, draw(one_of([], ["--server", "s0"], ["--host", servers[0]["host"]]))


def by_key(desk: Desk) -> Rows:
    """Every row of every table, by its table and whole primary key."""
    return {(table, _key(row)): row for table, rows in desk.rows().items() for row in rows}


def _key(row: Mapping[str, Any]) -> str:
    return str(row["id"]) if "id" in row else f"{row['port_id']} {row['host']}"


def changed(before: Rows, after: Rows) -> set[tuple[str, str]]:
    """The rows that came, went, or hold something else."""
    return {place for place in before.keys() | after.keys() if before.get(place) != after.get(place)}


def statements(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """What the plan says will be written by SQL."""
    effects = (effect for lane in plan["lanes"] for step in lane["steps"] for effect in step["effects"])
    return (effect for effect in effects if effect["text"].startswith(("UPDATE", "INSERT", "DELETE")))


def owners(row: Mapping[str, Any]) -> set[Any]:
    """The servers and volumes that a row tells of."""
    return {row.get(name) for name in ("uuid", "instance_uuid", "device_id", "port_id", "id", "volume_id")}


@few(5)
@given(town=towns())
def test_only_the_rows_that_the_plan_names_are_written(make_desk: MakeDesk, town: Any) -> None:
    servers, damage, scope = town
    desk = make_desk(hosts=2, servers=servers)
    for kind, name in damage:
        desk.cloud.damage(kind, {**desk.servers, **desk.volumes}[name])
    desk.cloud.clear_journal()
    plan, before = desk.plan(*desk.sql, *scope), by_key(desk)
    path = Path(desk.path("plan.json"))
    path.write_text(json.dumps(plan), encoding="utf-8")
    # A store of its own: what another example's run could not end still holds its servers.
    store = f"sqlite:///{desk.path(plan['digest'])}.sqlite"
    ended = desk.stackmend("run", "--plan", str(path), "--yes", "--store", store, *desk.sql)
    assert ended.code in (0, 3), ended
    # What stackmend itself wrote: exactly statements of the plan.
    planned = {(f"{item['database']}.{item['table']}", str(item["key"]["id"])) for item in statements(plan)}
    written = {(f"{effect['database']}.{effect['table']}", effect["target"]) for effect in desk.cloud.journal("sql.")}
    assert written <= planned
    # What the services wrote meanwhile: rows of the servers that have a lane, and of their volumes and ports.
    lanes = [lane for lane in plan["lanes"] if lane["stage"] == "recover"]
    mine = {lane["facts"]["id"] for lane in lanes}
    mine |= {disk["volume_id"] for lane in lanes for disk in lane["facts"]["disks"]}
    mine |= {desk.ports[name] for name, server in desk.servers.items() if server in mine}
    after = by_key(desk)
    for place in changed(before, after):
        assert owners(after.get(place, {})) & mine or owners(before.get(place, {})) & mine, place
