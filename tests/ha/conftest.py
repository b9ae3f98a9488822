"""What these tests begin with: a cluster of which one node is a compute host of the simulated cloud."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ha import bmc
from ha.cluster import HOST, LISTENER, Cluster, clustered
from ha.machines import CONTROLLER, accepts
from hosts import nspawn
from hosts.bmc import SECRET as BMC_SECRET
from listening import SECRET
from living import LivingDesk, MakeLiving, make_living  # noqa: F401
from waiting import until

# As doc/guide/compute-ha.md has it.
RULE: dict[str, Any] = {
    "name": "fenced by pacemaker",
    "source": "pacemaker",
    "match": {"name": "fencing", "host": {"regex": r"sim-c\d+"}},
    "procedure": "evacuate-host",
    "parameters": {"host": "{host}", "fenced": "{label.desc}", "dead": "fenced by pacemaker", "consent": "disk"},
    "approval": "not",
    "brake": {"most": 3, "seconds": 3600},
}
NEEDED = ("ip", "openssl", "fence_redfish", "systemd-socket-activate")


@pytest.fixture
def living(make_living: MakeLiving) -> LivingDesk:  # noqa: F811
    """Four servers on the compute host, one on the second of two others, which simulate everything."""
    return make_living()


@pytest.fixture
def cluster(living: LivingDesk, tmp_path: Path) -> Iterator[Cluster]:
    """All of it, running."""
    if what := missing():
        pytest.fail(what)
    (tmp_path / "cluster").mkdir()
    with clustered(tmp_path / "cluster", living.cloud) as found:
        yield found


@pytest.fixture
def operated(living: LivingDesk, cluster: Cluster, tmp_path: Path) -> LivingDesk:
    """The desk, with a listener that the cluster's agents reach and a worker."""
    (tmp_path / "bmc.secret").write_text(f"{BMC_SECRET}\n")
    known = yaml.safe_load(Path(living.cloud.description["inventory"]).read_text())
    fence = {"agent": "fence_redfish", "options": {**bmc.options(HOST), "password_file": str(tmp_path / "bmc.secret")}}
    machine = cluster.compute
    known["hosts"][HOST] = {"address": machine.address, "user": "root", "port": machine.port, "fence": fence}
    Path(living.path("inventory.yaml")).write_text(yaml.safe_dump(known))
    living.settings(inventory=living.path("inventory.yaml"), ssh=machine.ssh)
    listen(living, tmp_path / "cluster")
    living.process("worker")
    return living


def listen(desk: LivingDesk, tls: Path) -> None:
    """Start `stackmend listen` with the rule, where the cluster's nodes reach it."""
    secret = Path(desk.path("pacemaker.secret"))
    secret.write_text(f"{SECRET}\n")
    secret.chmod(0o600)
    rules = {
        "listen": f"{CONTROLLER}:{LISTENER}",
        "certificate": str(tls / "tls.crt"),
        "key": str(tls / "tls.key"),
        "sources": {"pacemaker": {"hmac": str(secret)}},
        "rules": [RULE],
    }
    Path(desk.path("alarms.yaml")).write_text(yaml.safe_dump(rules))
    process = desk.process("listen", "--rules", desk.path("alarms.yaml"))

    def answers() -> bool:
        assert process.poll() is None, process.communicate()
        return accepts(LISTENER)

    until(answers, "stackmend listen answers", 60)


def missing() -> str:
    """What is to be there first; empty when all is."""
    if what := nspawn.missing():
        return what
    if absent := [name for name in NEEDED if shutil.which(name) is None]:
        return f"{', '.join(absent)} not found: run `make test-ha`, which installs what it needs"
    # A header and no route: nobody is there whom ours could be in the way of.
    if len(Path("/proc/self/net/route").read_text().splitlines()) > 1:
        return "these tests want a network of their own: run `make test-ha`"
    return ""
