"""Who watches a real OpenStack's hosts, and the listener that takes their alarms.

Aodh's API, listener and notifier are the lab's own; what puts events on its queue stands in for Ceilometer.
Alertmanager is a body of its format. Masakari's monitors are the client that they post with, openstacksdk's.
"""

import datetime
import json
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from listening import SECRET, ListenProcess, down, group, post
from openstack.connection import Connection
from openstack_mistral import Mistral
from waiting import until

from stackmend.alarms.ledger import Ledger
from stackmend.engine.store import Store
from stackmend.lab.openstack.control import OpenStackLab
from stackmend.lab.openstack.site import PASSWORD, REGION

WORKFLOW = "stackmend-incidents.host-failure"
Sends = Callable[[str], None]
# One rule for all of them. The lab has three hosts, and each dies within the hour: that is what the brake is told.
_RULE = {
    "name": "host down",
    "match": {"name": ["host-down", "HostDown", "COMPUTE_HOST"]},
    "start": "mistral",
    "workflow": WORKFLOW,
    "input": {"host": "{host}", "key": "{key}", "approved": True, "poll_seconds": 1, "most_hosts": 3},
}
# What Ceilometer's publisher does with an event, to where Aodh's listener takes it.
_PUBLISH = """
import json, sys
import oslo_messaging
from oslo_config import cfg
conf = cfg.ConfigOpts()
conf(["--config-file", sys.argv[1]], project="ceilometer", default_config_files=[], default_config_dirs=[])
way = oslo_messaging.get_notification_transport(conf)
who = oslo_messaging.Notifier(way, driver="messagingv2", publisher_id="telemetry.publisher.ctl", topics=["alarm.all"])
who.sample({}, "event", json.load(sys.stdin))
"""


class Watch:
    """A listener beside a Mistral, and those who send it alarms: ``senders``, each is given the host that died."""

    def __init__(self, lab: OpenStackLab, mistral: Mistral, process: ListenProcess, monitor: Connection) -> None:
        self._lab, self._mistral, self._monitor = lab, mistral, monitor
        self.port = process.port
        self.senders: dict[str, Sends] = {
            "aodh": self._aodh,
            "alertmanager": self._alertmanager,
            "masakari": self._masakari,
        }
        session = mistral.cloud.session
        self._project = session.get_project_id()
        answer = session.post("/v2/alarms", endpoint_filter=_ALARMING, json=self._alarm())
        self.alarm_actions = answer.json()["alarm_actions"]

    def verdicts(self, host: str) -> list[tuple[str, str | None]]:
        """What became of the alarms about a host, and which execution they started, oldest first."""
        store = Store(self._mistral.store)
        try:
            rows = [row for row in Ledger(store).alarms() if row.host == host]
            return [(row.verdict, row.started_id) for row in reversed(rows)]
        finally:
            store.close()

    def _alarm(self) -> dict[str, Any]:
        return {
            "name": "host-down",
            "type": "event",
            "severity": "critical",
            "event_rule": {"event_type": "compute.host.down"},
            "alarm_actions": [f"trust+http://127.0.0.1:{self.port}/v1/aodh"],
            "repeat_actions": True,
        }

    def _aodh(self, host: str) -> None:
        python = Path(self._lab.client).parent / "python"
        conf = self._lab.directory / "etc" / "aodh" / ".aodh" / "aodh.conf"
        event = {
            "message_id": str(uuid.uuid4()),
            "event_type": "compute.host.down",
            "generated": _now().isoformat(),
            "traits": [["project_id", 1, self._project], ["hostname", 1, host]],
            "raw": {},
        }
        command = [python, "-W", "ignore", "-c", _PUBLISH, conf]
        subprocess.run(command, input=json.dumps([event]), text=True, check=True, timeout=60)

    def _alertmanager(self, host: str) -> None:
        alert = down(host, at=_now().isoformat())
        assert post(self.port, "/v1/alertmanager", group(alert))[0] == 202

    def _masakari(self, host: str) -> None:
        told = {"event": "STOPPED", "cluster_status": "OFFLINE", "host_status": "NORMAL"}
        now = _now().replace(tzinfo=None)
        made = self._monitor.instance_ha.create_notification(
            type="COMPUTE_HOST", hostname=host, generated_time=now, payload=told
        )
        assert made.status == "new"


_ALARMING = {"service_type": "alarming", "interface": "public"}


@contextmanager
def watched(lab: OpenStackLab, mistral: Mistral) -> Iterator[Watch]:
    """A listener whose rules start Mistral's workflow; Masakari's monitors find it in the catalogue meanwhile."""
    secret = mistral.directory / "alertmanager.secret"
    secret.write_text(SECRET, encoding="utf-8")
    secret.chmod(0o600)
    trust = {
        "aodh": {"keystone": ["admin"]},
        "masakari": {"keystone": ["service"]},
        "alertmanager": {"token": str(secret)},
    }
    # Its section keystone_authtoken is as good as any service's.
    settings = {"keystone": lab.description["confs"]["nova"], "sources": trust, "rules": [_RULE]}
    with ExitStack() as stack:
        listener = ListenProcess(mistral.directory, settings, mistral.store, mistral.environment)
        stack.callback(listener.end, signal.SIGTERM)
        stack.enter_context(_shown(mistral, f"http://127.0.0.1:{listener.port}/v1"))
        monitor = stack.enter_context(_monitor(lab))
        yield Watch(lab, mistral, listener, monitor)


@contextmanager
def _shown(mistral: Mistral, url: str) -> Iterator[None]:
    """The listener in keystone's catalogue, in the place of Masakari's API."""
    identity = mistral.cloud.identity
    service = identity.create_service(name="stackmend", type="instance-ha")
    try:
        identity.create_endpoint(service_id=service.id, interface="public", url=url, region_id=REGION)
        yield
    finally:
        identity.delete_service(service)


def _monitor(lab: OpenStackLab) -> Connection:
    """Signed in as Masakari's monitors are."""
    name = {"username": "masakari", "password": PASSWORD, "project_name": "service"}
    domains = {"user_domain_name": "Default", "project_domain_name": "Default"}
    auth = {"auth_url": lab.description["auth_url"], **name, **domains}
    return Connection(auth=auth, region_name=REGION)


def all_return(lab: OpenStackLab, mistral: Mistral) -> None:
    """Every host that is held is repaired and let in again, as an operator would do it."""
    compute = mistral.cloud.compute
    for held in [row for row in compute.services(binary="nova-compute") if row.status == "disabled"]:
        lab.host(held.host, "power-on")
        compute.update_service_forced_down(held, held.host, "nova-compute", forced=False)
        compute.enable_service(held)
        until(lambda host=held.host: mistral.hears(host), f"{held.host} is up", 60)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
