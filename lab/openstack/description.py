"""What a lab tells of itself to those who use it."""

from typing import Any

from stackmend.lab.openstack.cluster import Cluster
from stackmend.lab.openstack.processes import STOPPED, memory
from stackmend.lab.openstack.services.neutron import AGENT, AGENTS
from stackmend.lab.openstack.site import CONTROLLER

_DATABASES = ("nova", "nova_api", "nova_cell0", "cinder", "neutron", "placement", "keystone")
_CONFS = {
    "keystone": "keystone/keystone.conf",
    "placement": "placement/placement.conf",
    "glance": "glance/glance-api.conf",
    "neutron": "neutron/neutron.conf",
    "nova": "nova/nova.conf",
    "cinder": "cinder/cinder.conf",
}


def describe(cluster: Cluster) -> dict[str, Any]:
    """Where everything is: credentials, databases, configuration, hosts, URLs, logs, versions."""
    site = cluster.site
    apis = {service.word: service for service in cluster.services if service.api}
    versions = site.release.versions
    return {
        "release": site.release.name,
        "versions": {name: versions[name] for name in ("nova", "cinder", "neutron", "keystone", "glance")},
        "clouds_yaml": str(site.clouds_yaml),
        "auth_url": site.auth_url,
        "client": site.program("openstack"),
        "databases": {name: site.database(name) for name in _DATABASES},
        "confs": {name: str(site.etc / file) for name, file in _CONFS.items()},
        "hosts": list(site.hosts),
        "controller": CONTROLLER,
        "urls": {word: site.url(service.api) for word, service in apis.items()},
        "logs": str(site.logs),
    }


def processes(cluster: Cluster) -> list[dict[str, Any]]:
    """Every process, and the agent of each host: its state (``running``, ``paused``, ``stopped``, ``silent``,
    ``slow``), process id, memory in MiB (PSS) and port.
    """
    ids = {name: cluster.processes.pid(name) for name in cluster.daemons}
    sizes = memory(pid for pid in ids.values() if pid)
    told = [_process(cluster, name, pid, sizes.get(pid or 0, 0.0)) for name, pid in ids.items()]
    return told + [_agent(cluster, host) for host in cluster.site.hosts]


def _process(cluster: Cluster, name: str, pid: int | None, size: float) -> dict[str, Any]:
    state = "slow" if pid and (cluster.slow / name).exists() else cluster.processes.state(name)
    return {"name": name, "state": state, "pid": pid, "memory": round(size), "port": cluster.site.ports.get(name)}


def _agent(cluster: Cluster, host: str) -> dict[str, Any]:
    state = "silent" if cluster.is_silent(host) else cluster.processes.state(AGENTS)
    pid = cluster.processes.pid(AGENTS) if state != STOPPED else None
    return {"name": f"{AGENT}@{host}", "state": state, "pid": pid, "memory": 0, "port": None}
