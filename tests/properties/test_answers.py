"""What the cloud answers: whatever is missing in it, or of another kind, a plan is made or refused in a sentence."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from desk import Desk, MakeDesk
from hypothesis import given
from hypothesis import strategies as st
from properties.commands import refused_or_done
from properties.examples import few
from properties.outside import mutated, with_value
from properties.proxy import Proxy

_SERVICES = {"compute": "compute", "volume": "block_storage", "network": "network", "placement": "placement"}
_PROCEDURES = (["power-loss"], ["migrate-servers", "--host", "sim-c01"], ["evacuate-host", "sim-c01", "--fenced", "x"])
Through = Callable[[str], tuple[Desk, Proxy]]


@pytest.fixture
def through(make_desk: MakeDesk, monkeypatch: pytest.MonkeyPatch) -> Iterator[Through]:
    """A desk that reaches one service of its cloud through a proxy, which has seen what a plan asks for."""
    opened: list[Proxy] = []

    def make(service: str) -> tuple[Desk, Proxy]:
        servers = [{"name": "db", "root": "volume", "volumes": [{"name": "v"}]}, {"name": "idle", "status": "SHUTOFF"}]
        desk = make_desk(hosts=2, servers=servers)
        desk.settings(patience=0.05)
        proxy = Proxy(desk.cloud.description["urls"][service])
        opened.append(proxy)
        clouds = yaml.safe_load(Path(desk.cloud.description["clouds_yaml"]).read_text(encoding="utf-8"))
        version = "/v2.0" if service == "network" else ""
        clouds["clouds"]["sim"][f"{_SERVICES[service]}_endpoint_override"] = proxy.url + version
        Path(desk.path("clouds.yaml")).write_text(yaml.safe_dump(clouds), encoding="utf-8")
        monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", desk.path("clouds.yaml"))
        for words in _PROCEDURES:
            assert desk.stackmend("plan", *words).code == 0
        return desk, proxy

    yield make
    for proxy in opened:
        proxy.close()


@pytest.mark.parametrize("service", _SERVICES)
def test_any_answer_of_a_service(through: Through, service: str) -> None:
    desk, proxy = through(service)
    whole = dict(proxy.answers)
    assert whole

    @few(8)
    @given(data=st.data())
    def tried(data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(sorted(whole)))
        proxy.instead = {path: data.draw(mutated(whole[path]))}
        refused_or_done(desk, "plan", *data.draw(st.sampled_from(_PROCEDURES)))

    tried()


def test_a_list_that_never_ends(through: Through) -> None:
    """A service that ignores the place from which it is to go on was once asked for ever."""
    desk, proxy = through("compute")
    group = {"id": "g", "name": "g", "members": [], "policies": []}
    proxy.instead = {_path(proxy, "/os-server-groups"): {"server_groups": [group]}}
    assert refused_or_done(desk, "plan", "power-loss") == 7


def test_a_server_whose_cell_is_down(through: Through) -> None:
    """Nova lists it all the same, with hardly more than its id."""
    desk, proxy = through("compute")
    server = {"id": "s", "status": "UNKNOWN", "tenant_id": "t", "created": "2026-01-01T00:00:00Z", "links": []}
    proxy.instead = {_path(proxy, "/servers/detail"): {"servers": [server]}}
    assert refused_or_done(desk, "plan", "power-loss") == 7


def test_text_that_is_no_unicode(through: Through) -> None:
    desk, proxy = through("compute")
    path = _path(proxy, "/servers/detail")
    proxy.instead = {path: with_value(proxy.answers[path], ("servers", 0, "metadata"), {"stackmend:after": "\ud800"})}
    assert refused_or_done(desk, "plan", "power-loss") == 7
    assert refused_or_done(desk, "capture", "-o", desk.path("capture.json")) == 7


def _path(proxy: Proxy, end: str) -> str:
    return next(path for path in proxy.answers if path.endswith(end))
