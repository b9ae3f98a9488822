"""The files a running cloud leaves for its users: cloud.json, clouds.yaml and the services' configuration."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from stackmend.lab.simulated.identity import PASSWORD

if TYPE_CHECKING:
    from stackmend.lab.simulated.cloud import Cloud


def write_all(cloud: "Cloud", control_url: str, ssh_port: int) -> None:
    """Write every file; cloud.json last and whole, because it says that the cloud is ready."""
    directory = cloud.directory
    (directory / "clouds.yaml").write_text(yaml.safe_dump(_clouds(cloud)))
    for name in ("nova", "cinder", "neutron"):
        (directory / f"{name}.conf").write_text(f"[database]\nconnection = {database_url(directory, name)}\n")
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
        "journal": str(directory / "journal.jsonl"),
        "schema": "legacy" if cloud.legacy else "modern",
    }
    draft = directory / ".cloud.json"
    draft.write_text(json.dumps(description, indent=2))
    draft.rename(directory / "cloud.json")


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
