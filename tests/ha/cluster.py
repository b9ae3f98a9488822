"""A cluster of Pacemaker's: two nodes, a compute host as remote node, a fence agent for each, and our alert agent."""

import xml.etree.ElementTree as Xml
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from string import Template
from typing import Any
from xml.sax.saxutils import quoteattr

from ha import bmc
from ha.machines import CONTROLLER, Compute, Node, bridge, cluster_root, forwarded
from hosts.bmc import SECRET as BMC_SECRET
from hosts.nspawn import UNIT
from listening import SECRET
from waiting import until

from stackmend.alarms import pacemaker_alert
from stackmend.lab.control import SimulatedCloud

HOST = "sim-c01"
PLACES = {"ctl-1": "10.77.0.1", "ctl-2": "10.77.0.2", HOST: "10.77.0.3"}
LISTENER, CONTROL_PORT = 8990, 8991
_FILES = Path(__file__).with_name("files")
_OURS = "hacluster:haclient"


class Cluster:
    """Who is in it. ``compute`` is the remote node, ``supply`` everybody's power."""

    def __init__(self, directory: Path, cloud: SimulatedCloud) -> None:
        self.members = [Node(directory / name, cluster_root(), name, PLACES[name]) for name in ("ctl-1", "ctl-2")]
        self.compute = Compute(directory / HOST, HOST, PLACES[HOST], cloud)
        self.nodes: Mapping[str, Node] = {node.node: node for node in (*self.members, self.compute)}
        self.supply = bmc.Supply(self.nodes, directory)
        self._cloud = cloud

    def prepare(self, certificate: str) -> None:
        """Everything that stands on their disks before they are switched on."""
        names = "".join(f"{address} {name}\n" for name, address in PLACES.items())
        for node in self.nodes.values():
            node.put("/etc/hostname", f"{node.node}\n")
            node.put("/etc/hosts", f"127.0.0.1 localhost\n{names}")
            node.put("/etc/pacemaker/authkey", "the cluster's key, the same on all of them\n", "640", _OURS)
        for member in self.members:
            member.put("/etc/corosync/corosync.conf", (_FILES / "corosync.conf").read_text())
            member.put("/var/lib/pacemaker/cib/cib.xml", cib(), "600", _OURS)
            # As doc/guide/alarms.md says it.
            member.put("/usr/local/bin/stackmend-alert", Path(pacemaker_alert.__file__).read_text(), "755")
            conf = f"secret={SECRET}\nca=/etc/stackmend/ca.crt\n"
            member.put("/etc/stackmend/pacemaker_alert.conf", conf, "600", _OURS)
            member.put("/etc/stackmend/ca.crt", certificate)
        _, _, path = self._cloud.description["control_url"].removeprefix("http://").partition("/")
        self.compute.put("/etc/nova/cloud", f"{CONTROLLER} {CONTROL_PORT} /{path} {HOST}\n")

    def boot(self) -> None:
        """Switch all of them on; back when the cluster is whole and nova-compute runs."""
        for node in self.nodes.values():
            node.switch_on()
        for node in self.nodes.values():
            node.await_boot()
        self.compute.service()
        self.compute.sh(f"systemctl enable --now {UNIT}")
        until(lambda: self.online() == set(PLACES), "the cluster is whole", 120)

    def end(self) -> None:
        """Take everybody's power away."""
        for node in self.nodes.values():
            node.end()

    def unmount(self) -> None:
        """Their disks are not needed any more."""
        for node in self.nodes.values():
            node.unmount()

    def online(self) -> set[str]:
        """The nodes that Pacemaker counts as online; none while it can't tell."""
        said = self.members[0].typed("crm_mon --one-shot --output-as=xml")
        if said.returncode != 0:
            return set()
        well = {"online": "true", "unclean": "false"}
        nodes = [node.attrib for node in Xml.fromstring(said.stdout).findall("./nodes/node")]
        return {node["name"] for node in nodes if well.items() <= node.items()}

    def fenced(self) -> list[dict[str, Any]]:
        """What Pacemaker itself keeps of the fencings of the compute host, newest first."""
        said = self.members[0].sh(f"stonith_admin --history {HOST} --output-as=xml")
        return [dict(event.attrib) for event in Xml.fromstring(said).iter("fence_event")]


@contextmanager
def clustered(directory: Path, cloud: SimulatedCloud) -> Iterator[Cluster]:
    """A cluster that is whole; a certificate for who listens is in ``directory``."""
    with ExitStack() as stack:
        stack.enter_context(bridge())
        cluster = Cluster(directory, cloud)
        stack.callback(cluster.unmount)
        bmc.certificate(directory)
        cluster.prepare((directory / "tls.crt").read_text())
        stack.enter_context(forwarded(CONTROL_PORT, cloud.description["control_url"]))
        stack.enter_context(cluster.supply.controller(directory))
        stack.callback(cluster.end)
        cluster.boot()
        yield cluster


def cib() -> str:
    """The cluster's configuration."""
    listener = f"https://{CONTROLLER}:{LISTENER}/v1/pacemaker"
    fences = "\n".join(_fence(name) for name in PLACES)
    return Template((_FILES / "cib.xml").read_text()).substitute(
        fences=fences, remote=HOST, address=PLACES[HOST], listener=listener
    )


def _fence(node: str) -> str:
    known = {**bmc.options(node), "password": BMC_SECRET, "pcmk_host_list": node, "pcmk_reboot_action": "off"}
    pairs = "".join(
        f"<nvpair id={quoteattr(f'fence-{node}-{name}')} name={quoteattr(name)} value={quoteattr(str(value))}/>"
        for name, value in known.items()
    )
    attributes = f'<instance_attributes id="fence-{node}-how">{pairs}</instance_attributes>'
    return f'<primitive id="fence-{node}" class="stonith" type="fence_redfish">{attributes}</primitive>'
