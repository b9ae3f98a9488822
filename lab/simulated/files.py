"""The files a running cloud leaves for its users: cloud.json, clouds.yaml and the services' configuration."""

import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from stackmend.lab.simulated import fence_agent
from stackmend.lab.simulated.identity import PASSWORD
from stackmend.lab.simulated.redfish import SYSTEMS, USER

if TYPE_CHECKING:
    from stackmend.lab.simulated.cloud import Cloud


def write_all(cloud: "Cloud", control_url: str, ssh_port: int) -> None:
    """Write every file; cloud.json last and whole, because it says that the cloud is ready."""
    directory = cloud.directory
    (directory / "clouds.yaml").write_text(yaml.safe_dump(_clouds(cloud)))
    for name in ("nova", "cinder", "neutron"):
        (directory / f"{name}.conf").write_text(f"[database]\nconnection = {database_url(directory, name)}\n")
    _write_fence_agent(directory)
    write_inventory(cloud)
    description = {
        "pid": os.getpid(),
        "control_url": control_url,
        "urls": {name: cloud.url(name) for name in cloud.listeners.names()},
        "databases": {name: database_url(directory, name) for name in ("nova", "cinder", "neutron")},
        "clouds_yaml": str(directory / "clouds.yaml"),
        "configuration": {name: str(directory / f"{name}.conf") for name in ("nova", "cinder", "neutron")},
        "ssh_port": ssh_port,
        "ssh_key": str(directory / "ssh" / "id_ed25519"),
        "ssh_known_hosts": str(directory / "ssh" / "known_hosts"),
        "inventory": str(directory / "inventory.yaml"),
        "journal": str(directory / "journal.jsonl"),
        "schema": "legacy" if cloud.legacy else "modern",
    }
    draft = directory / ".cloud.json"
    draft.write_text(json.dumps(description, indent=2))
    draft.rename(directory / "cloud.json")


def write_inventory(cloud: "Cloud") -> None:
    """Write the hosts as stackmend's inventory has them: where SSH answers, and their fence agent."""
    directory = cloud.directory
    options = {
        "ip": "127.0.0.1",
        "ipport": cloud.listeners["redfish"].port,
        "username": USER,
        "password_file": str(directory / "bmc_password"),
    }
    hosts = {
        row["name"]: {
            "address": row["address"],
            "port": cloud.ssh.port,
            "fence": {"options": {"systems_uri": f"{SYSTEMS}/{row['name']}"}},
        }
        for row in cloud.lab.all("SELECT name, address FROM hosts ORDER BY name")
        if row["name"] in cloud.hypervisors.names()
    }
    defaults = {"fence": {"agent": str(directory / "fence_simulated"), "options": options}}
    (directory / "inventory.yaml").write_text(yaml.safe_dump({"defaults": defaults, "hosts": hosts}, sort_keys=False))


def _write_fence_agent(directory: Path) -> None:
    (directory / "bmc_password").write_text(f"{PASSWORD}\n")
    command = shlex.join([sys.executable, "-I", "-S", fence_agent.__file__])
    script = directory / "fence_simulated"
    script.write_text(f"#!/bin/sh\nexec {command}\n")
    script.chmod(0o755)


def database_url(directory: Path, name: str) -> str:
    """The SQLAlchemy URL of one of the databases."""
    return f"sqlite:///{directory / name}.sqlite"


def _clouds(cloud: "Cloud") -> dict[str, Any]:
    return {"clouds": {"sim": _cloud(cloud, "admin", "admin"), "sim-member": _cloud(cloud, "member", "demo")}}


def _cloud(cloud: "Cloud", user: str, project: str) -> dict[str, Any]:
    auth = {
        "auth_url": f"{cloud.url('identity')}/v3",
        "username": user,
        "password": PASSWORD,
        "project_name": project,
        "user_domain_name": "Default",
        "project_domain_name": "Default",
    }
    return {"auth": auth, "region_name": "RegionOne", "identity_api_version": 3, "interface": "public"}
