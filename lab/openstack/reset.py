"""Back to the clean state, with as few restarts as that takes."""

import shutil
from pathlib import Path

from stackmend.lab.openstack import state
from stackmend.lab.openstack.cluster import Cluster
from stackmend.lab.openstack.services.base import STORES
from stackmend.lab.openstack.services.cinder import VOLUME
from stackmend.lab.openstack.services.nova import Nova

_REMEMBERING = (*STORES, VOLUME)


def reset(cluster: Cluster, clean: Path) -> None:
    """Put the data of the clean state in place of the lab's, and let nothing remember what was before.

    Guests, claims and plans live in nova's processes, gigabytes handed out in cinder's volume service, messages
    for hosts that were away on the bus: these are killed and started again. The APIs and neutron keep nothing,
    and go on. Every fault ends. ``clean`` is a state of the cache.
    """
    for name in cluster.daemons:
        cluster.processes.resume(name)
    for switch in (*cluster.silent.iterdir(), *cluster.slow.iterdir()):
        switch.unlink()
    nova = [daemon.name for service in cluster.services if isinstance(service, Nova) for daemon in service.daemons()]
    cluster.processes.kill(*_REMEMBERING, *(name for name in nova if name != Nova.api))
    shutil.rmtree(cluster.site.run / "rabbitmq", ignore_errors=True)
    state.lay(clean, cluster.site)
    cluster.configure()
    cluster.start(["mariadbd"])
    state.move_in(cluster.site)
    cluster.start(cluster.daemons)
