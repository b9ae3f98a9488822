"""Compute HA, the whole way: Pacemaker fences a compute host, and stackmend brings its servers back."""

import sys
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from ha import bmc
from ha.cluster import HOST, Cluster
from hosts.compute import BACK
from living import LivingDesk
from waiting import until

from stackmend.alarms.ledger import NO_RULE, SAME, STARTED
from stackmend.engine.clock import parsed

pytestmark = pytest.mark.ha
ALL = {"disk", "db", "idle", "web"}


class Fenced:
    """Somebody kills pacemaker-remoted on the compute host, and all that follows by itself, to the end of the run."""

    def __init__(self, desk: LivingDesk, cluster: Cluster) -> None:
        self._desk = desk
        self.killed = datetime.now(UTC)
        cluster.compute.sh("systemctl kill --signal=KILL --kill-whom=main pacemaker_remote")
        until(lambda: cluster.supply.cuts, "Pacemaker has fenced the host", 90)
        self.cuts = cluster.supply.cuts
        until(self._told, "both cluster nodes have told of it", 60)
        self.order = until(self._ended, "the worker is through with it", 180)
        self.alarms = self._told()
        self.report: dict[str, Any] = self._json("report", self.order["run"])

    def _told(self) -> list[dict[str, Any]]:
        """The alarms about the fencing, oldest first, once each cluster node has told of it."""
        shown = [self._json("alarm", "show", str(row["Alarm"])) for row in fencings(self._desk, HOST)]
        return shown if {alarm["labels"]["reporter"] for alarm in shown} == {"ctl-1", "ctl-2"} else []

    def _ended(self) -> dict[str, Any]:
        """The one order, once it has."""
        keys = [row["Key"] for row in self._json("order", "list")]
        assert len(keys) <= 1
        found: dict[str, Any] = self._json("order", "show", keys[0]) if keys else {"ended": None}
        return found if found["ended"] else {}

    def _json(self, *words: str) -> Any:
        return self._desk.stackmend(*words, "-f", "json").data

    def times(self) -> str:
        """Seconds from the kill on."""
        steps = [step for lane in self.report["lanes"] for step in lane["steps"]]
        up = max(step["ended"] for step in steps if step["name"].startswith("server.verify:"))
        moments = {
            "the host is off": self.cuts[0][1],
            "the alarm is stored": parsed(self.alarms[0]["received_at"]),
            "the run begins": parsed(self.report["created_at"]),
            "the last server is up": parsed(up),
        }
        return "; ".join(f"{what} after {(at - self.killed).total_seconds():.1f} s" for what, at in moments.items())


def fencings(desk: LivingDesk, node: str) -> list[dict[str, Any]]:
    """The alarms about a node's fencing, oldest first, as they are listed."""
    rows = desk.stackmend("alarm", "list", "-f", "json").data
    return [row for row in reversed(rows) if (row["Name"], row["Host"]) == ("fencing", node)]


def verdicts(desk: LivingDesk, node: str) -> set[str]:
    """What became of them."""
    return {row["Verdict"] for row in fencings(desk, node)}


def everything_is_back(desk: LivingDesk) -> None:
    """Each server runs (or is stopped, as it was) on another host, in one place."""
    places = desk.places()
    assert HOST not in {host for host, _ in places.values()}
    states = {name: state for name, (_, state) in places.items()}
    assert states == {**dict.fromkeys(("db", "web", "disk", "peer"), "active"), "idle": "stopped"}
    assert Counter(name for name, _ in desk.guests()) == Counter(["db", "web", "disk", "peer"])


def fenced_once_and_by_pacemaker(cluster: Cluster) -> None:
    """One order to the host's controller, and it came from a cluster node."""
    (orderer,) = cluster.supply.orders(HOST)
    assert orderer in {member.address for member in cluster.members}
    assert [event["status"] for event in cluster.fenced()] == ["success"]


def migrations(desk: LivingDesk) -> dict[str, list[tuple[str, str]]]:
    """Nova's records of each server's evacuations: to which host, and how it ended."""
    names = {value: name for name, value in desk.servers.items()}
    found: dict[str, list[tuple[str, str]]] = {}
    for row in desk.table("nova", "migrations"):
        found.setdefault(names[row["instance_uuid"]], []).append((row["dest_compute"], row["status"]))
    return found


def joined(cluster: Cluster) -> None:
    """Pacemaker has the host again."""
    until(lambda: HOST in cluster.online(), "the host has joined the cluster again", 90)


def returned(desk: LivingDesk, cluster: Cluster) -> None:
    """host-return lets the host in again; its nova-compute has cleaned up, and runs on as its systemd started it."""
    ended = desk.stackmend("run", "host-return", HOST, "--yes", "-f", "json")
    assert (ended.code, ended.data["state"]) == (0, "done"), ended
    assert desk.service(HOST) == {"disabled": 0, "disabled_reason": None, "forced_down": 0}
    assert cluster.compute.state() == BACK
    cleaned = {effect["server"] for effect in desk.cloud.journal("host.cleanup")}
    assert cleaned == {desk.servers[name] for name in ALL}


def test_a_fenced_hosts_servers_come_back_and_then_the_host(
    operated: LivingDesk, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    fenced = Fenced(operated, cluster)
    assert fenced.order["state"] == "done", fenced.order
    assert Counter(alarm["verdict"] for alarm in fenced.alarms) == Counter([STARTED, SAME])
    everything_is_back(operated)
    assert operated.counted("server.evacuate") == sorted(ALL)
    fenced_once_and_by_pacemaker(cluster)
    assert not cluster.compute.on
    with capsys.disabled():
        sys.stdout.write(f"\nfrom SIGKILL of pacemaker-remoted: {fenced.times()}\n")

    bmc.fence(HOST, "on")
    cluster.compute.await_boot()
    joined(cluster)
    returned(operated, cluster)
    everything_is_back(operated)
    assert len(operated.stackmend("order", "list", "-f", "json").data) == 1


def test_a_rebuild_that_fails_is_retried_elsewhere(operated: LivingDesk, cluster: Cluster) -> None:
    """NovaEvacuate is through once nova has taken each evacuation; what nova has taken and lost is sent again here."""
    # The scheduler's first choice, being the emptiest.
    operated.cloud.settings(rebuilds_fail="sim-c03")
    fenced = Fenced(operated, cluster)
    assert fenced.order["state"] == "done", fenced.order
    everything_is_back(operated)
    fenced_once_and_by_pacemaker(cluster)
    assert migrations(operated) == {name: [("sim-c03", "failed"), ("sim-c02", "done")] for name in ALL}
    # Off as Pacemaker left it: this one is switched on by host-return itself.
    returned(operated, cluster)
    joined(cluster)


def test_a_cluster_node_that_is_fenced_is_no_compute_host(operated: LivingDesk, cluster: Cluster) -> None:
    first, second = cluster.members
    second.end()
    until(lambda: cluster.supply.orders(second.node), "Pacemaker has fenced the cluster node", 90)
    until(lambda: cluster.online() == {first.node, HOST}, "the rest of the cluster goes on", 90)
    until(lambda: verdicts(operated, second.node) == {NO_RULE}, "the one that is left has told of it: no rule", 60)
    assert operated.stackmend("order", "list", "-f", "json").data == []
    assert (cluster.compute.on, cluster.supply.orders(HOST)) == (True, [])
    assert ("db", HOST) in operated.guests()
