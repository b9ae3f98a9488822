"""Stand-ins for the neutron-openvswitch-agent of each host: l2_agents.py --config-file ...

They report over RPC, so that the openvswitch mechanism driver binds ports to their hosts, and say of each
bound port of a server that it is wired, so that it becomes active. While a file of its host's name is in
LAB_SILENT, an agent says nothing.
"""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from oslo_service import backend

with contextlib.suppress(ValueError):
    # Older ones have eventlet's only, and take it.
    backend.init_backend(backend.BackendType.THREADING)

from neutron.agent import rpc as agent_rpc
from neutron.common import config
from neutron.conf.agent import common as agent_conf
from neutron_lib import constants, context
from neutron_lib.agent import topics
from oslo_config import cfg
from oslo_log import log
from sqlalchemy import Engine, create_engine, text

_REPORT_INTERVAL = 5.0
_WIRE_INTERVAL = 0.5
_UNWIRED = (
    "SELECT p.id, b.host FROM ports p JOIN ml2_port_bindings b ON b.port_id = p.id"
    " WHERE p.status IN ('DOWN', 'BUILD') AND p.admin_state_up = 1 AND p.device_owner LIKE 'compute:%'"
    " AND b.vif_type = 'ovs' AND b.status = 'ACTIVE'"
)
_log = log.getLogger("l2-agents")


class Agents:
    """The agents of all hosts."""

    def __init__(self, hosts: list[str], silent: Path, database: Engine) -> None:
        self._silent = silent
        self._database = database
        self._context = context.get_admin_context_without_session()
        self._reports = agent_rpc.PluginReportStateAPI(topics.REPORTS)
        self._plugin = agent_rpc.PluginApi(topics.PLUGIN)
        self._states = {host: _state(host, number) for number, host in enumerate(hosts, 1)}
        self._reported: dict[str, float] = {}

    def speaking(self) -> Iterator[str]:
        """The hosts whose agents are not silent; one that is will announce itself afresh."""
        for host, state in self._states.items():
            if (self._silent / host).exists():
                state["start_flag"] = True
                self._reported.pop(host, None)
            else:
                yield host

    def report(self, host: str) -> None:
        """Send the agent's state, if it is time to."""
        if time.monotonic() - self._reported.get(host, float("-inf")) < _REPORT_INTERVAL:
            return
        self._reports.report_state(self._context, dict(self._states[host]), use_call=True)
        self._states[host].pop("start_flag", None)
        self._reported[host] = time.monotonic()

    def wire(self, port: str, host: str) -> None:
        """Say that a port is plugged in."""
        agent = f"ovs-agent-{host}"
        self._plugin.get_device_details(self._context, port, agent, host=host)
        self._plugin.update_device_up(self._context, port, agent, host=host)
        _log.info("wired port %s on %s", port, host)

    def turn(self) -> None:
        """What each agent does again and again."""
        speaking = set(self.speaking())
        for host in speaking:
            self.report(host)
        for port, host in _unwired(self._database):
            if host in speaking:
                self.wire(port, host)


def _state(host: str, number: int) -> dict[str, Any]:
    return {
        "binary": "neutron-openvswitch-agent",
        "host": host,
        "topic": constants.L2_AGENT_TOPIC,
        "agent_type": constants.AGENT_TYPE_OVS,
        "start_flag": True,
        "resource_versions": {},
        "configurations": {
            "bridge_mappings": {"public": "br-ex"},
            "tunnel_types": ["vxlan"],
            "tunneling_ip": f"10.99.0.{number}",
            "integration_bridge": "br-int",
            "datapath_type": "system",
            "ovs_hybrid_plug": False,
            "in_distributed_mode": False,
            "devices": 0,
        },
    }


def _unwired(database: Engine) -> list[tuple[str, str]]:
    with database.connect() as link:
        return [(port, host) for port, host in link.execute(text(_UNWIRED))]


def main() -> None:
    """Be all the agents, until a signal."""
    agent_conf.register_agent_state_opts_helper(cfg.CONF)
    config.register_common_config_options()
    config.init(sys.argv[1:])
    config.setup_logging()
    database = create_engine(os.environ["LAB_DATABASE"], pool_pre_ping=True)
    agents = Agents(os.environ["LAB_HOSTS"].split(), Path(os.environ["LAB_SILENT"]), database)
    while True:
        try:
            agents.turn()
        except Exception:  # noqa: BLE001 - whatever neutron, the bus or the database say: agents try again
            _log.exception("a turn failed")
        time.sleep(_WIRE_INTERVAL)


if __name__ == "__main__":
    main()
