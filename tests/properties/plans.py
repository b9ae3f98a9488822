"""Plans of every procedure, made from any captured cloud."""

from collections.abc import Mapping
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st
from properties.captures import DEAD, NAMES, TARGET, captures, one_of

from stackmend.engine import planning, procedures
from stackmend.engine.plan import Lane, Plan, Verdict
from stackmend.errors import BadInput, StackmendError

PROCEDURES = (
    *("power-loss", "evacuate-host", "relocate-host", "migrate-servers", "reattach-volumes"),
    *("host-maintenance", "host-return"),
)
# These look at the servers of one host only.
_ONE_HOST = frozenset(["evacuate-host", "host-maintenance", "host-return"])
CLOUD = {"name": "sim", "auth_url": "http://cloud.example/v3"}
_MAY_BE_SAID: dict[str, st.SearchStrategy[Any]] = {
    "to": one_of(TARGET, TARGET, "c3"),
    "shared_disks": st.booleans(),
    "consent": one_of([], ["all"], ["server-0"]),
    "cold": one_of([], ["all"], [NAMES[0]]),
    "exclude": one_of([], [], ["server-0"]),
    "leave": one_of(["amphora-*"], []),
    "tag": one_of([], [], ["HA"]),
    "reserved": one_of([], [], ["c3"]),
    "fenced": st.just("its plug is in my hand"),
    "move_stopped": st.booleans(),
    "home": st.booleans(),
    "ladder": one_of("live,cold,stop", "live", "stop", "cold,stop"),
    "at_once": st.integers(1, 3),
    "again": st.booleans(),
    "ssh_reboot": st.booleans(),
    "on_deadline": one_of("abort", "wait", "force-complete"),
}


def words(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """What an operator may say of a procedure."""
    known = {parameter.name for parameter in procedures.named(name).parameters}
    said = {word: values for word, values in _MAY_BE_SAID.items() if word in known}
    always = {"host": st.just(DEAD)} if name in {*_ONE_HOST, "relocate-host"} else {}
    # A database move needs its target, and nothing fences a host in these captures as surely as being told.
    needed = {word: said.pop(word) for word in ("to", "fenced") if name == "relocate-host" and word in said}
    return st.fixed_dictionaries({**always, **needed}, optional=said)


@st.composite
def plans(draw: st.DrawFn, name: str) -> tuple[dict[str, Any], Plan]:
    """A capture, and the plan that the procedure makes of it; captures that it refuses in words are passed over."""
    captured = draw(captures(legacy=name == "power-loss"))
    given = draw(words(name))
    if name in _ONE_HOST:
        captured["servers"] = [{**server, "host": DEAD} for server in captured["servers"]]
    try:
        return captured, made(name, given, captured)
    except BadInput as refused:
        refusal(refused)
        assume(False)
        raise


def made(name: str, given: Mapping[str, Any], captured: dict[str, Any]) -> Plan:
    """The plan of one procedure for one capture: nothing is asked of any cloud."""
    return planning.make(procedures.named(name), given, {}, CLOUD, captured)


def refusal(error: StackmendError, *secrets: str) -> None:
    """Some words for an operator, and none of the secrets. (The command puts them on one line.)"""
    assert [secret for secret in secrets if secret in str(error)] == []
    assert len(str(error).split()) > 1


def sentence(text: str) -> None:
    """One sentence of ours for an operator: words on one line."""
    assert text.strip()
    assert len(text.splitlines()) == 1, text


def of_servers(plan: Plan) -> list[Verdict]:
    """The servers' verdicts; others are of their volumes."""
    return [verdict for verdict in plan.verdicts if verdict.target.startswith("server:")]


def server_of(lane: Lane) -> str | None:
    """The server that a lane works on; None of a lane for a host, or for the whole cloud."""
    kind, _, server = lane.key.partition(":")
    return server if kind in ("server", "start", "home") else None
