"""A real OpenStack that stands already, behind the verbs of SimulatedCloud; OpenStackLab takes its place."""

import configparser
import os
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from keystoneauth1.adapter import Adapter
from keystoneauth1.identity import v3
from keystoneauth1.session import Session

_MEMBER = "contract-member"
_CONFS = {
    "nova": ("nova/nova.conf", "database"),
    "nova_api": ("nova/nova.conf", "api_database"),
    "cinder": ("cinder/cinder.conf", "database"),
    "neutron": ("neutron/neutron.conf", "database"),
    "placement": ("placement/placement.conf", "placement_database"),
}
_PROCESSES = {
    "identity": "keystone",
    "compute": "nova",
    "volume": "cinder",
    "network": "neutron",
    "placement": "placement",
    "image": "glance",
}


class StandingLab:
    """The lab in the directory that ``STACKMEND_LAB_DIRECTORY`` names; it is neither started nor stopped here."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._clouds = Path(tempfile.mkdtemp(prefix="contract-")) / "clouds.yaml"
        self._short = {self._conf(path)["DEFAULT"]["host"]: path.stem for path in sorted(self._etc("nova/c*.conf"))}
        self.description: dict[str, Any] = {
            "clouds_yaml": str(self._clouds),
            "databases": {
                name: self._conf(self._only(conf))[part]["connection"] for name, (conf, part) in _CONFS.items()
            },
            "hosts": list(self._short),
        }
        self._write_clouds()

    @staticmethod
    def stands_in(directory: Path) -> bool:
        """True for a directory that holds such a lab: it has a script of its own."""
        return (directory / "lab").is_file()

    def _etc(self, pattern: str) -> list[Path]:
        return list((self._directory / "etc").glob(pattern))

    def _only(self, name: str) -> Path:
        return self._directory / "etc" / name

    def _conf(self, path: Path) -> configparser.ConfigParser:
        conf = configparser.ConfigParser(interpolation=None, strict=False, default_section="nowhere")
        conf.read(path)
        return conf

    def _database(self, path: str, part: str) -> str:
        return self._conf(self._only(path))[part]["connection"]

    def _write_clouds(self) -> None:
        admin = yaml.safe_load(self._only("clouds.yaml").read_text())["clouds"]["lab"]
        _make_member(admin["auth"])
        changed = {"username": _MEMBER, "password": _MEMBER, "project_name": _MEMBER}
        member = {**admin, "auth": {**admin["auth"], **changed}}
        self._clouds.write_text(yaml.safe_dump({"clouds": {"lab": admin, "lab-member": member}}))

    def environment(self, cloud: str = "lab") -> dict[str, str]:
        """This process's environment with the client's variables pointing at ``cloud`` (``lab-member``)."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        return {**inherited, "OS_CLIENT_CONFIG_FILE": self.description["clouds_yaml"], "OS_CLOUD": cloud}

    def _lab(self, *words: str) -> None:
        subprocess.run([self._directory / "lab", *words], check=True, stdout=subprocess.DEVNULL)

    def host(self, name: str, do: str, binary: str = "nova-compute") -> dict[str, Any]:
        """Do one thing to a host: kill or start a process, partition, join, power-off, power-on."""
        compute = f"nova-compute-{self._short[name]}"
        verbs = {"kill": "kill", "start": "run", "partition": "pause", "join": "unpause", "power-off": "kill"}
        if do in ("partition", "power-off") or (do == "kill" and binary != "nova-compute"):
            self._agent(name, silent=True)
        if do in ("join", "power-on") or (do == "start" and binary != "nova-compute"):
            self._agent(name, silent=False)
        if binary == "nova-compute":
            self._lab({**verbs, "power-on": "run"}[do], compute)
        return {"name": name}

    def _agent(self, host: str, *, silent: bool) -> None:
        switch = self._directory / "run" / "agents-off" / host
        if silent:
            switch.parent.mkdir(exist_ok=True)
            switch.touch()
        else:
            switch.unlink(missing_ok=True)

    def service(self, name: str, *, up: bool) -> dict[str, Any]:
        """Stop (connections are refused) or start one API: identity, compute, volume, ..."""
        self._lab("run" if up else "stop", _PROCESSES[name])
        return {"name": name}

    def power_cut(self, hosts: Iterable[str] = ()) -> dict[str, Any]:
        """Cut the power of these hosts, or (none given) of all: their guests are gone."""
        for host in tuple(hosts) or self.description["hosts"]:
            self.host(host, "power-off")
        return {}

    def power_on(self, *, hosts: Iterable[str] = ()) -> dict[str, Any]:
        """Give these hosts, or all, power again."""
        for host in tuple(hosts) or self.description["hosts"]:
            self.host(host, "power-on")
        return {}


def _adapter(auth: dict[str, str], service: str) -> Adapter:
    return Adapter(Session(v3.Password(**auth)), service_type=service, interface="public")


def _make_member(auth: dict[str, str]) -> None:
    """A project's member, and networks that everybody may use."""
    keystone = _adapter(auth, "identity")
    if not keystone.get(f"/users?name={_MEMBER}").json()["users"]:
        project = keystone.post("/projects", json={"project": {"name": _MEMBER}}).json()["project"]["id"]
        account = {"name": _MEMBER, "password": _MEMBER, "default_project_id": project}
        user = keystone.post("/users", json={"user": account}).json()["user"]["id"]
        role = keystone.get("/roles?name=member").json()["roles"][0]["id"]
        keystone.put(f"/projects/{project}/users/{user}/roles/{role}")
    network = _adapter(auth, "network")
    for net in network.get("/v2.0/networks").json()["networks"]:
        network.put(f"/v2.0/networks/{net['id']}", json={"network": {"shared": True}})
