"""What an operator writes: parameters, settings, the inventory. It is taken, or refused in a sentence."""

from pathlib import Path
from typing import Any

import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from properties.outside import anything, mutated, odd
from properties.plans import PROCEDURES, refusal

from stackmend import settings
from stackmend.clients.inventory import Inventory
from stackmend.clients.ssh import SshSettings
from stackmend.engine import parameters, procedures
from stackmend.errors import BadInput

words = odd.filter(lambda value: isinstance(value, str) and value.isascii()) | st.text(max_size=12)
_SETTINGS: dict[str, Any] = {
    "store": "sqlite:////nowhere",
    "inventory": "hosts.yaml",
    "databases": {"nova": "/etc/nova/nova.conf"},
    "ssh": {"user": "debian", "port": 22, "key_files": ["key"], "known_hosts": "hosts", "users": {"image": "ubuntu"}},
    "lanes": 64,
    "per_host": 8,
    "calls": 32,
    "patience": 60.0,
    "poll_interval": 1.0,
    "lease": 30,
    "settle": 10,
}
_INVENTORY: dict[str, Any] = {
    "defaults": {"fence": {"agent": "fence_redfish", "options": {"username": "admin", "password_file": "bmc"}}},
    "hosts": {
        "c01": {"address": "10.0.0.11", "user": "op", "port": 22, "fence": {"options": {"ip": "10.1.0.11"}}},
        "c02": {"compute": {"container": "nova_compute", "runtime": "podman", "log": ""}},
    },
}
_PARAMETERS = [(name, item) for name in PROCEDURES for item in procedures.named(name).parameters]


@given(declared=st.sampled_from(_PARAMETERS), value=words | st.lists(words, max_size=2) | anything)
@example(declared=("power-loss", parameters.Parameter("ready_checks", "", int, 3)), value="9" * 400)
def test_a_parameter(declared: tuple[str, parameters.Parameter], value: Any) -> None:
    _, parameter = declared
    try:
        found = parameter.parse(value)
    except BadInput as refused:
        refusal(refused)
        return
    for item in found if parameter.many else [found]:
        assert isinstance(item, parameter.kind)
        assert parameter.least is None or item >= parameter.least


def as_yaml(data: Any) -> str:
    """It as a YAML file may hold it."""
    return str(yaml.safe_dump(data, allow_unicode=True))


_RAW = (
    *("2001-99-99", "a: 2001-99-99", "&a [*a]", "&a {hosts: *a}", "? [1]\n: 2", "!!python/object:os.system x", "- - -"),
    *("\0", "a: b: c", "[" * 2000, "{? {} : 1}", "!!binary x", "!!int x", "lanes: 0x", "<<: 1", "=: ="),
)
raw_yaml = st.sampled_from(_RAW) | st.text(max_size=20)


@given(text=mutated(_SETTINGS).map(as_yaml) | anything.map(as_yaml) | raw_yaml)
@example(text="lanes: 2001-99-99")
@example(text="patience: 1" + "0" * 400)
@example(text="lease: .nan")
@example(text="ssh: {connect_timeout: 1.0e+300}")
def test_the_settings(text: str, desk_directory: Path) -> None:
    path = desk_directory / "stackmend.yaml"
    path.write_bytes(text.encode(errors="surrogatepass"))
    try:
        found = settings.load(str(path))
        settings.check("the ssh setting", found.ssh, SshSettings())
        SshSettings(**found.ssh)
    except BadInput as refused:
        refusal(refused)
        return
    for name in ("patience", "poll_interval", "lease", "settle"):
        assert 0 < float(getattr(found, name)) <= settings.LONGEST


@given(text=mutated(_INVENTORY).map(as_yaml) | anything.map(as_yaml) | raw_yaml)
@example(text="hosts: {c01: {address: 2001-99-99}}")
@example(text="hosts: {c01: {compute: {unit: }}}")
def test_the_inventory(text: str, desk_directory: Path) -> None:
    path = desk_directory / "hosts.yaml"
    path.write_bytes(text.encode(errors="surrogatepass"))
    try:
        inventory = Inventory.load(str(path))
        found = [inventory.host(name) for name in ("c01", "c02", "c03")]
    except BadInput as refused:
        refusal(refused)
        return
    for host in found:
        assert all(isinstance(value, str) and value != "None" for value in vars(host.compute).values())
