"""One cloud, whichever it is: plain calls to its APIs, its rows, and short words for what every test needs."""

import itertools
import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

import requests
import sqlalchemy
import yaml
from keystoneauth1.adapter import Adapter
from keystoneauth1.identity import v3
from keystoneauth1.session import Session

T = TypeVar("T")
NOVA, CINDER, PLACEMENT = "2.100", "3.71", "1.39"
_NUMBERS = itertools.count(1)


class Lab(Protocol):
    """What SimulatedCloud and the real lab have in common."""

    description: dict[str, Any]

    def environment(self, cloud: str = ...) -> dict[str, str]: ...
    def host(self, name: str, do: str, binary: str = "nova-compute") -> dict[str, Any]: ...
    def service(self, name: str, *, up: bool) -> dict[str, Any]: ...
    def power_cut(self, hosts: Iterable[str] = ()) -> dict[str, Any]: ...


def until(condition: Callable[[], T], what: str, seconds: float = 30.0) -> T:
    """Wait for a condition and return what it gave; fails with ``what`` after the deadline."""
    deadline = time.monotonic() + seconds
    pause = 0.01
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.25)


class Cloud:
    """The APIs and the rows of one cloud. Every call answers its response, whatever the status."""

    def __init__(self, lab: Lab, names: tuple[str, str]) -> None:
        self.lab = lab
        admin, member = (self._session(name) for name in names)
        self._sessions = {False: admin, True: member}
        self._engines = {
            name: sqlalchemy.create_engine(url) for name, url in lab.description["databases"].items() if url
        }
        self._servers: list[str] = []
        self._volumes: list[str] = []
        services = self.nova("GET", "/os-services?binary=nova-compute").json()["services"]
        self.hosts = sorted(service["host"] for service in services)
        flavors = self.nova("GET", "/flavors/detail").json()["flavors"]
        self.flavors = [flavor["id"] for flavor in sorted(flavors, key=lambda flavor: flavor["ram"])]
        self.image = self.call("image", "GET", "/v2/images").json()["images"][0]["id"]
        self.network = self.neutron("GET", "/networks?name=net1").json()["networks"][0]["id"]

    def _session(self, name: str) -> Session:
        with open(self.lab.description["clouds_yaml"], encoding="utf-8") as file:
            auth = yaml.safe_load(file)["clouds"][name]["auth"]
        return Session(v3.Password(**auth))

    def sweep(self) -> None:
        """Ask for the deletion of every server that was made since the last time; nobody waits for it."""
        for server in self._servers:
            self.nova("DELETE", f"/servers/{server}")
        self._servers.clear()

    def close(self) -> None:
        """Hang up."""
        for engine in self._engines.values():
            engine.dispose()

    def call(
        self,
        service: str,
        method: str,
        path: str,
        at: str | None = None,
        *,
        member: bool = False,
        **more: Any,
    ) -> requests.Response:
        """A call to a service of the catalogue at a microversion."""
        adapter = Adapter(self._sessions[member], service_type=service, interface="public")
        return adapter.request(path, method, microversion=at, raise_exc=False, **more)

    def nova(self, method: str, path: str, body: Any = None, *, at: str = NOVA, **more: Any) -> requests.Response:
        """A call to nova."""
        return self.call("compute", method, path, at, json=body, **more)

    def cinder(self, method: str, path: str, body: Any = None, *, at: str = CINDER, **more: Any) -> requests.Response:
        """A call to cinder."""
        return self.call("block-storage", method, path, at, json=body, **more)

    def neutron(self, method: str, path: str, body: Any = None, **more: Any) -> requests.Response:
        """A call to neutron."""
        return self.call("network", method, f"/v2.0{path}", json=body, **more)

    def placement(self, method: str, path: str, body: Any = None, **more: Any) -> requests.Response:
        """A call to placement."""
        return self.call("placement", method, path, PLACEMENT, json=body, **more)

    def rows(self, database: str, sql: str, **values: Any) -> list[dict[str, Any]]:
        """The rows of a query."""
        with self._engines[database].connect() as link:
            return [dict(row) for row in link.execute(sqlalchemy.text(sql), values).mappings()]

    def row(self, database: str, sql: str, **values: Any) -> dict[str, Any]:
        """The only row of a query."""
        (found,) = self.rows(database, sql, **values)
        return found

    def execute(self, database: str, sql: str, **values: Any) -> int:
        """Run a statement as an operator at the database would; how many rows it changed."""
        with self._engines[database].begin() as link:
            return link.execute(sqlalchemy.text(sql), values).rowcount

    def act(self, server: str, action: dict[str, Any], *, at: str = NOVA, **more: Any) -> requests.Response:
        """POST a server action."""
        return self.nova("POST", f"/servers/{server}/action", action, at=at, **more)

    def server(self, server: str) -> dict[str, Any]:
        """A server as an admin sees it."""
        found: dict[str, Any] = self.nova("GET", f"/servers/{server}").json()["server"]
        return found

    def volume(self, volume: str) -> dict[str, Any]:
        """A volume as an admin sees it."""
        found: dict[str, Any] = self.cinder("GET", f"/volumes/{volume}").json()["volume"]
        return found

    def ask_boot(self, host: str | None = None, *, root: str | None = None, member: bool = False, **more: Any) -> str:
        """Ask for a server on a host, from the image or from a ``root`` volume; its id, before it is there."""
        name = f"contract-{next(_NUMBERS)}"
        server: dict[str, Any] = {"name": name, "flavorRef": self.flavors[0], "networks": [{"uuid": self.network}]}
        if root:
            disk = {"uuid": root, "source_type": "volume", "destination_type": "volume", "boot_index": 0}
            server["block_device_mapping_v2"] = [{**disk, "delete_on_termination": False}]
        else:
            server["imageRef"] = self.image
        if host:
            server["host"] = host
        hints = {"OS-SCH-HNT:scheduler_hints": {"group": more.pop("group")}} if "group" in more else {}
        answer = self.nova("POST", "/servers", {"server": {**server, **more}, **hints}, member=member)
        assert answer.status_code == 202, answer.text
        self._servers.append(answer.json()["server"]["id"])
        return self._servers[-1]

    def settled(self, server: str, status: str = "ACTIVE", seconds: float = 60.0) -> dict[str, Any]:
        """Wait until a server has a status and nothing goes on with it."""

        def found() -> dict[str, Any] | None:
            view = self.server(server)
            return view if view["status"] == status and view["OS-EXT-STS:task_state"] is None else None

        try:
            view = until(found, "", seconds)
        except AssertionError as error:
            raise AssertionError(f"not {status} within {seconds} s: {self.server(server)}") from error
        assert view is not None
        return view

    def boot(self, host: str | None = None, **more: Any) -> str:
        """A running server; its id."""
        server = self.ask_boot(host, **more)
        self.settled(server)
        return server

    def boot_each(self, *hosts: str, **more: Any) -> list[str]:
        """One running server on each of these hosts."""
        servers = [self.ask_boot(host, **more) for host in hosts]
        for server in servers:
            self.settled(server)
        return servers

    def make_volume(self, *, member: bool = False, bootable: bool = False, **more: Any) -> str:
        """An available volume of 1 GB; its id."""
        body = {"volume": {"size": 1, "name": f"contract-{next(_NUMBERS)}", **more}}
        answer = self.cinder("POST", "/volumes", body, member=member)
        assert answer.status_code == 202, answer.text
        volume = str(answer.json()["volume"]["id"])
        self._volumes.append(volume)
        until(lambda: self.volume(volume)["status"] == "available", f"volume {volume} is available")
        if bootable:
            self.cinder("POST", f"/volumes/{volume}/action", {"os-set_bootable": {"bootable": True}})
        return volume

    def make_group(self, policy: str) -> str:
        """A server group; its id."""
        body = {"server_group": {"name": f"contract-{next(_NUMBERS)}", "policy": policy}}
        answer = self.nova("POST", "/os-server-groups", body)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["server_group"]["id"])

    def ask_attach(self, server: str, volume: str, *, at: str = NOVA, **more: Any) -> requests.Response:
        """POST a volume attachment."""
        path = f"/servers/{server}/os-volume_attachments"
        return self.nova("POST", path, {"volumeAttachment": {"volumeId": volume, **more}}, at=at)

    def attach(self, server: str, volume: str, **more: Any) -> dict[str, Any]:
        """Attach a volume, and what nova lists of it once cinder has it in use."""
        answer = self.ask_attach(server, volume, **more)
        assert answer.status_code == 200, answer.text
        until(lambda: self.attached_to(volume, server), f"volume {volume} is attached to {server}")
        return self.device(server, volume)

    def attached_to(self, volume: str, server: str) -> bool:
        """True when cinder has the volume in use by the server."""
        seen = self.volume(volume)
        return seen["status"] == "in-use" and any(a["server_id"] == server for a in seen["attachments"])

    def devices(self, server: str) -> list[dict[str, Any]]:
        """nova's volume attachments of a server."""
        answer = self.nova("GET", f"/servers/{server}/os-volume_attachments")
        found: list[dict[str, Any]] = answer.json()["volumeAttachments"]
        return found

    def device(self, server: str, volume: str) -> dict[str, Any]:
        """nova's attachment of a volume to a server."""
        (found,) = [device for device in self.devices(server) if device["volumeId"] == volume]
        return found

    def action(self, server: str, request_id: str) -> dict[str, Any]:
        """One instance action with its events."""
        answer = self.nova("GET", f"/servers/{server}/os-instance-actions/{request_id}")
        found: dict[str, Any] = answer.json()["instanceAction"]
        return found

    def finished(self, server: str, request_id: str, seconds: float = 60.0) -> list[dict[str, Any]]:
        """Wait until each event of an action has ended, and return them."""

        def ended() -> list[dict[str, Any]] | None:
            events: list[dict[str, Any]] = self.action(server, request_id)["events"]
            return events if events and all(event["finish_time"] for event in events) else None

        events = until(ended, f"the events of {request_id} have ended", seconds)
        assert events is not None
        return events

    def ports(self, server: str) -> list[dict[str, Any]]:
        """The ports of a server."""
        found: list[dict[str, Any]] = self.neutron("GET", f"/ports?device_id={server}").json()["ports"]
        return found

    def ask_reboot(self, server: str, kind: str = "HARD", **more: Any) -> requests.Response:
        """POST a reboot."""
        return self.act(server, {"reboot": {"type": kind}}, **more)

    def reboot(self, server: str, kind: str = "HARD") -> list[dict[str, Any]]:
        """Reboot a server; the events of that action, once the server is up again."""
        answer = self.ask_reboot(server, kind)
        assert answer.status_code == 202, answer.text
        events = self.finished(server, answer.headers["x-openstack-request-id"])
        self.settled(server)
        return events

    def reset(self, volume: str, **states: str) -> requests.Response:
        """POST cinder's os-reset_status."""
        return self.cinder("POST", f"/volumes/{volume}/action", {"os-reset_status": states})

    def mappings(self, server: str, volume: str) -> list[dict[str, Any]]:
        """nova's live block device mappings of a volume to a server."""
        sql = "SELECT * FROM block_device_mapping WHERE instance_uuid = :server AND volume_id = :volume AND deleted = 0"
        return self.rows("nova", sql, server=server, volume=volume)

    def attachments(self, volume: str) -> list[dict[str, Any]]:
        """cinder's live attachments of a volume."""
        return self.rows(
            "cinder", "SELECT * FROM volume_attachment WHERE volume_id = :volume AND deleted = 0", volume=volume
        )

    def set_states(self, server: str, **columns: Any) -> None:
        """Write a server's vm_state, task_state or another column behind nova's back."""
        sets = ", ".join(f"{name} = :{name}" for name in columns)
        self.execute("nova", f"UPDATE instances SET {sets} WHERE uuid = :server", server=server, **columns)
