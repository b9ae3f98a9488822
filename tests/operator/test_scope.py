"""Which servers are recovered, in which order, and that all others are left alone."""

import json
from pathlib import Path
from typing import Any

import pytest
from desk import Desk, MakeDesk, verdicts


def ids(value: Any) -> set[str]:
    """Every text in a journal entry."""
    if isinstance(value, dict):
        return {found for item in value.values() for found in ids(item)}
    if isinstance(value, list):
        return {found for item in value for found in ids(item)}
    return {str(value)}


def names_touched(desk: Desk) -> set[str]:
    """The servers that any effect names, or whose volume or port it names."""
    owner = {server: name for name, server in desk.servers.items()}
    owner |= {desk.ports[name]: name for name in desk.servers}
    for row in desk.table("cinder", "volume_attachment"):
        owner[row["volume_id"]] = owner[row["id"]] = owner[row["instance_uuid"]]
    return {owner[found] for effect in desk.touched() for found in ids(effect) if found in owner}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--server", "app-1"], {"app-1"}),
        (["--server", "app-1", "--server", "cache-1"], {"app-1", "cache-1"}),
        (["-p", "server=app-2"], {"app-2"}),
        (["--host", "sim-c01"], {"db-1", "app-1"}),
        (["--project", "office"], {"files-1"}),
        (["--project", "shop", "--exclude", "web-1", "--exclude", "db-1"], {"cache-1", "app-1", "app-2"}),
        (["--host", "sim-c02", "--project", "research"], {"node-a"}),
    ],
)
def test_only_what_was_asked_for_is_touched(shop: Desk, words: list[str], expected: set[str]) -> None:
    for name in ("db-data", "files-1-vol1", "web-1-vol1"):
        shop.cloud.damage("volume-error", shop.volumes[name])
    assert shop.run(*words, *shop.sql).code == 0
    assert set(shop.rebooted()) == expected
    assert names_touched(shop) == expected


def test_a_server_named_by_its_id(pair: Desk) -> None:
    assert pair.run("--server", pair.servers["web"]).code == 0
    assert pair.rebooted() == ["web"]


def test_dependencies_are_kept(shop: Desk) -> None:
    assert shop.run("--project", "shop").code == 0
    place = {(effect["kind"], effect["target"]): effect["seq"] for effect in shop.cloud.journal()}
    waits = [("cache-1", "db-1"), ("app-1", "cache-1"), ("app-2", "db-1"), ("web-1", "app-1"), ("web-1", "app-2")]
    for later, earlier in waits:
        assert place["server.reboot", shop.servers[later]] > place["guest.boot", shop.servers[earlier]]


def test_priority_decides_where_dependencies_do_not(make_desk: MakeDesk) -> None:
    said: dict[str, str] = {"b": "2", "d": "30", "a": "4", "c": "many"}
    servers = [{"name": name, "metadata": {"stackmend:priority": text}} for name, text in said.items()]
    desk = make_desk(hosts=2, servers=[*servers, {"name": "e"}])
    desk.settings(lanes=1)
    assert desk.run().code == 0
    assert desk.rebooted() == ["b", "a", "d", "c", "e"]


def test_a_circle_of_dependencies_is_named_and_nothing_is_done(make_desk: MakeDesk) -> None:
    after = {"a": "b", "b": "c", "c": "a", "d": "a"}
    servers = [{"name": name, "metadata": {"stackmend:after": text}} for name, text in after.items()]
    desk = make_desk(hosts=1, servers=servers)
    ended = desk.run()
    assert ended.code == 2
    assert "circle" in ended.err
    circle = ended.err.partition("circle: ")[2].partition(";")[0].split(" -> ")
    assert (circle[0], set(circle), len(circle)) == (circle[-1], {"a", "b", "c"}, 4)
    assert desk.touched() == []
    assert desk.run("--exclude", "b").code == 0


class TestNames:
    """Projects name their servers as they like: two may have one name."""

    @pytest.fixture
    def namesakes(self, make_desk: MakeDesk) -> Desk:
        """Two servers called db in two projects; each project's app comes after its own."""
        after = {"metadata": {"stackmend:after": "db"}}
        servers = [{"name": f"{name}-{project}", "project": project} for name in ("db", "app") for project in "ab"]
        desk = make_desk(hosts=1, servers=[{**one, **after} if "app" in str(one["name"]) else one for one in servers])
        desk.execute("nova", "UPDATE instances SET display_name = substr(display_name, 1, length(display_name) - 2)")
        desk.cloud.clear_journal()
        return desk

    def test_a_name_that_two_servers_have_is_refused(self, namesakes: Desk) -> None:
        for option in ("--server", "--exclude"):
            ended = namesakes.run(option, "db")
            assert ended.code == 2
            assert "2 servers named db, give the id" in ended.err
        assert namesakes.touched() == []
        assert namesakes.run("--server", namesakes.servers["db-a"]).code == 0
        assert namesakes.rebooted() == ["db-a"]

    def test_a_server_waits_for_its_own_projects_namesake(self, namesakes: Desk) -> None:
        lanes = {lane["key"].removeprefix("server:"): lane["after"] for lane in namesakes.plan()["lanes"]}
        for project in "ab":
            assert lanes[namesakes.servers[f"app-{project}"]] == [f"server:{namesakes.servers[f'db-{project}']}"]

    def test_another_projects_server_is_not_waited_for(self, shop: Desk) -> None:
        plan = shop.plan("--project", "research")
        assert plan["notes"] == []
        insert = "INSERT INTO instance_metadata (key, value, instance_uuid, deleted)"
        shop.execute("nova", f"{insert} VALUES ('stackmend:after', 'db-1', ?, 0)", shop.servers["node-a"])
        plan = shop.plan()
        (lane,) = [lane for lane in plan["lanes"] if lane["title"] == "node-a"]
        assert lane["after"] == []
        assert any("node-a comes after db-1" in note for note in plan["notes"])


def test_nothing_to_do_makes_no_run(pair: Desk) -> None:
    ended = pair.run("--server", "idle")
    assert (ended.code, ended.data["lanes"]) == (0, [])
    assert [item["verdict"] for item in verdicts(ended.data).values()] == ["nothing-to-do"]
    assert "nothing to do" in ended.err
    assert pair.touched() == []
    assert json.loads(pair.stackmend("list", "-f", "json").out) == []


def test_an_impossible_server_is_left_alone_and_the_others_come_back(pair: Desk) -> None:
    pair.cloud.damage("volume-attachments-deleted", pair.volumes["db-root"])
    before = pair.rows()["nova.instances"]
    ended = pair.run()
    assert ended.code == 0
    report = pair.stackmend("report", "last", "-f", "json").data
    assert {name: item["verdict"] for name, item in verdicts(report).items()} == {
        "db": "impossible",
        "web": "ready",
        "idle": "nothing-to-do",
    }
    assert "--sql cinder" in verdicts(report)["db"]["why"]
    assert pair.rebooted() == ["web"]
    assert not {pair.servers["db"], pair.volumes["db-root"], pair.volumes["db-data"]} & ids(pair.touched())
    after = pair.rows()["nova.instances"]
    of_db = [[row for row in rows if row["display_name"] == "db"] for rows in (before, after)]
    assert of_db[0] == of_db[1]


class TestEarlierCapture:
    """Recovering to what a file says, made before anything happened."""

    @pytest.fixture
    def kept(self, pair: Desk) -> str:
        """The capture's file."""
        path = pair.path("before.json")
        assert pair.stackmend("capture", "power-loss", "-o", path, *pair.sql).code == 0
        assert Path(path).stat().st_mode & 0o077 == 0
        return path

    def test_what_the_rows_forgot_comes_from_the_file(self, pair: Desk, kept: str) -> None:
        pair.cloud.damage("bdm-deleted", pair.volumes["db-data"])
        assert pair.run("--capture", kept).code == 0
        (row,) = [
            row
            for row in pair.table("nova", "block_device_mapping")
            if row["volume_id"] == pair.volumes["db-data"] and not row["deleted"]
        ]
        assert (row["device_name"], row["tag"], row["delete_on_termination"]) == ("/dev/vdb", "data", 1)

    def test_what_ran_then_is_started_and_what_did_not_stays(self, pair: Desk, kept: str) -> None:
        pair.execute("nova", "UPDATE instances SET vm_state = 'stopped', power_state = 4")
        assert pair.run("--capture", kept).code == 0
        assert sorted(pair.rebooted()) == ["db", "web"]

    def test_servers_that_came_or_went_since_are_told_apart(self, pair: Desk, kept: str) -> None:
        pair.execute("nova", "UPDATE instances SET deleted = id, vm_state = 'deleted' WHERE display_name = 'web'")
        pair.cloud.seed(hosts=2, servers=[{"name": "young"}])
        found = verdicts(pair.plan("--capture", kept))
        assert found["web"]["verdict"] == "nothing-to-do"
        assert "deleted after the capture" in found["web"]["why"]
        assert found["young"]["verdict"] == "ready"

    def test_the_scope_holds_for_the_file_too(self, pair: Desk, kept: str) -> None:
        assert list(verdicts(pair.plan("--capture", kept, "--server", "web"))) == ["web"]


def test_a_server_may_be_named_as_ec2_called_it(shop: Desk) -> None:
    (row,) = (row for row in shop.table("nova", "instances") if row["uuid"] == shop.servers["app-1"])
    ended = shop.run("--server", f"i-{row['id']:08x}")
    assert ended.code == 0, ended.err
    assert names_touched(shop) == {"app-1"}
    assert set(verdicts(shop.plan("--exclude", f"i-{row['id']:08x}"))) == set(shop.servers) - {"app-1"}
