"""What these tests begin with: a cluster of which one node is a compute host of the simulated cloud."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from ha.cluster import Cluster, clustered
from hosts import nspawn
from living import LivingDesk, MakeLiving, make_living  # noqa: F401

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
