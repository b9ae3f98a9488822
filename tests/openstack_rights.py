"""An account of a real OpenStack that may do just what one procedure needs: its role, policies and database grants."""

import re
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import yaml
from openstack.config import OpenStackConfig
from openstack.connection import Connection

from stackmend.flows.rights import RIGHTS, statements
from stackmend.lab.openstack.control import OpenStackLab
from stackmend.lab.openstack.site import PASSWORD, REGION

ROLE = "recovery"
SERVICES = ("nova", "cinder", "neutron", "placement", "glance")
_PAGE = Path(__file__).parents[1] / "doc" / "guide" / "rights.md"
_OPENED = f"role:{ROLE} or "


class Account:
    """It has one role, in a project of its own; ``environment`` signs in as it."""

    def __init__(self, lab: OpenStackLab, directory: Path) -> None:
        self._lab = lab
        self._policies = _policies(lab, directory)
        clouds = directory / "clouds.yaml"
        self.environment = {"OS_CLIENT_CONFIG_FILE": str(clouds), "OS_CLOUD": ROLE}
        auth = {"auth_url": lab.description["auth_url"], "username": ROLE, "password": PASSWORD, "project_name": ROLE}
        named = {**auth, "user_domain_name": "Default", "project_domain_name": "Default"}
        cloud = {"auth": named, "region_name": REGION, "identity_api_version": 3}
        clouds.write_text(yaml.safe_dump({"clouds": {ROLE: cloud}}), encoding="utf-8")

    def may(self, procedure: str, but: Sequence[str] = ()) -> None:
        """Let the role do what a procedure needs, ``but`` these rules; the services read it with their next call.

        Rules are named alone, or as SERVICE/RULE.
        """
        for service, told in self._policies.items():
            kept = {"context_is_admin", *RIGHTS[procedure].all_rules(service)}
            kept -= {name for name in told if {name, f"{service}/{name}"} & {*but}}
            rules = {name: text if name in kept else text.removeprefix(_OPENED) for name, text in told.items()}
            self._file(service).write_text(yaml.safe_dump(rules), encoding="utf-8")

    def unknown(self) -> set[str]:
        """Rules that procedures ask for, and that this release's services do not have."""
        known = {name for told in self._policies.values() for name in told}
        return {rule for service in SERVICES for rule in _wanted(service)} - known

    def grants(self, procedure: str) -> dict[str, str]:
        """The databases, as an account that has a procedure's grants reaches them."""
        with _as_owner(self._lab) as link:
            link.execute(sa.text(f"DROP USER IF EXISTS '{ROLE}'@'%'"))
            link.execute(sa.text(f"CREATE USER '{ROLE}'@'%' IDENTIFIED BY '{PASSWORD}'"))
            for statement in statements(procedure, f"'{ROLE}'@'%'"):
                link.execute(sa.text(statement))
        named = {table.partition(".")[0] for table in RIGHTS[procedure].grants}
        return {name: _url(self._lab, name) for name in sorted(named)}

    def revoke(self, what: str) -> None:
        """Take a right at a database away."""
        with _as_owner(self._lab) as link:
            link.execute(sa.text(f"REVOKE {what} FROM '{ROLE}'@'%'"))

    def leave(self) -> None:
        """The services are as they were: a running one that misses its file refuses nearly everything."""
        for service in self._policies:
            self._file(service).write_text("{}\n", encoding="utf-8")

    def _file(self, service: str) -> Path:
        return self._lab.directory / "etc" / service / "policy.yaml"


@contextmanager
def account_of(lab: OpenStackLab, directory: Path) -> Iterator[Account]:
    """The account, for as long as it is needed."""
    found = Account(lab, directory)
    config = OpenStackConfig(config_files=[lab.description["clouds_yaml"]], load_envvars=False).get_one("lab")
    with Connection(config=config) as cloud:
        _enrol(cloud.identity)
    try:
        yield found
    finally:
        found.leave()


def _enrol(identity: Any) -> None:
    """What the guide's commands do."""
    role = identity.create_role(name=ROLE)
    project = identity.create_project(name=ROLE, domain_id="default")
    user = identity.create_user(name=ROLE, password=PASSWORD, domain_id="default")
    identity.assign_project_role_to_user(project, user, role)


def _policies(lab: OpenStackLab, directory: Path) -> dict[str, dict[str, str]]:
    """What the guide's script prints for each service, with the rules that any procedure needs."""
    (script,) = re.findall(r"^```python\n(.*?)^```", _PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    file = directory / "role_policy.py"
    file.write_text(script, encoding="utf-8")
    python = Path(lab.client).parent / "python"

    def told(service: str) -> dict[str, str]:
        command = [python, "-W", "ignore", file, service, ROLE, *_wanted(service)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
        found: dict[str, str] = yaml.safe_load(done.stdout)
        return found

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(SERVICES, pool.map(told, SERVICES), strict=True))


def _wanted(service: str) -> list[str]:
    return sorted({rule for rights in RIGHTS.values() for rule in rights.all_rules(service)})


@contextmanager
def _as_owner(lab: OpenStackLab) -> Iterator[sa.Connection]:
    engine = sa.create_engine(lab.description["databases"]["nova"])
    try:
        with engine.begin() as link:
            yield link
    finally:
        engine.dispose()


def _url(lab: OpenStackLab, name: str) -> str:
    url = sa.make_url(lab.description["databases"][name]).set(username=ROLE, password=PASSWORD)
    return url.render_as_string(hide_password=False)
