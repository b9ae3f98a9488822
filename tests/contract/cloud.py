"""One cloud, whichever it is, and short words for what every test needs of it."""

import itertools
from typing import Any

import requests
from contract.calls import NOVA, Calls, Lab
from waiting import until

from stackmend.lab.openstack.releases import NEWEST

_QUOTAS = {
    "compute": ("instances", "cores", "ram", "server_groups", "server_group_members"),
    "block-storage": ("volumes", "gigabytes"),
}
_NUMBERS = itertools.count(1)


class Cloud(Calls):
    """One cloud and what was made in it; ``release`` is OpenStack's name of its release.

    The simulated cloud is like the newest.
    """

    def __init__(self, lab: Lab, names: tuple[str, str]) -> None:
        super().__init__(lab, names)
        self.release = str(lab.description.get("release", NEWEST))
        self._servers: list[str] = []
        self._kept: list[str] = []
        self._volumes: list[str] = []
        services = self.nova("GET", "/os-services?binary=nova-compute").json()["services"]
        self.hosts = sorted(service["host"] for service in services)
        flavors = self.nova("GET", "/flavors/detail").json()["flavors"]
        self.flavors = [flavor["id"] for flavor in sorted(flavors, key=lambda flavor: flavor["ram"])]
        self.image = self.call("image", "GET", "/v2/images").json()["images"][0]["id"]
        self.network = self.neutron("GET", "/networks?name=net1").json()["networks"][0]["id"]

    def sweep(self) -> None:
        """Ask for the deletion of the servers that were made since the last time, and of volumes that are free.

        Nobody waits for it: a volume that is still in use is refused, and asked for the next time.
        """
        self._volumes = [v for v in self._volumes if self.cinder("DELETE", f"/volumes/{v}").status_code == 400]
        for server in self._servers:
            self.nova("DELETE", f"/servers/{server}")
        self._servers.clear()

    def lift_quotas(self) -> None:
        """Let every project have as much as it asks for."""
        for project in self.call("identity", "GET", "/projects").json()["projects"]:
            for service, kinds in _QUOTAS.items():
                body = {"quota_set": dict.fromkeys(kinds, -1)}
                self.call(service, "PUT", f"/os-quota-sets/{project['id']}", json=body)

    def close(self) -> None:
        """Let the last servers go, and hang up."""
        self._servers += self._kept
        self.sweep()
        self.hang_up()

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

    def ask_boot(
        self, host: str | None = None, *, root: str | None = None, member: bool = False, keep: bool = False, **more: Any
    ) -> str:
        """Ask for a server on a host, from the image or from a ``root`` volume; its id, before it is there.

        It goes with the module that asked for it, unless it is to ``keep``.
        """
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
        made = str(answer.json()["server"]["id"])
        (self._kept if keep else self._servers).append(made)
        return made

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
