"""The workbooks that ship with stackmend, and their way into a Mistral."""

import re
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any

import requests
import yaml
from keystoneauth1 import exceptions as ksa
from openstack.config.cloud_region import CloudRegion

from stackmend.clients import failures
from stackmend.clients.patience import Passing, patiently
from stackmend.clients.signin import SignIn, Timeouts
from stackmend.errors import BadInput, Refused, Unreachable

CREATED, UPDATED, UNCHANGED = "created", "updated", "unchanged"
_SERVICE = "workflow"
_ACTION = re.compile(r"^ +action: (stackmend\.\w+)$", re.MULTILINE)


def texts() -> dict[str, str]:
    """The text of each workbook, by its name."""
    files = [file for file in resources.files("stackmend.workbooks").iterdir() if file.name.endswith(".yaml")]
    found = [file.read_text(encoding="utf-8") for file in files]
    return {yaml.safe_load(text)["name"]: text for text in sorted(found)}


def text(name: str) -> str:
    """The text of the workbook of that name. Raises BadInput."""
    found = texts()
    if name not in found:
        raise BadInput(f"there is no workbook {name}: `stackmend workbook list` shows {', '.join(sorted(found))}")
    return found[name]


def workflows() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every workflow that ships, by the name that it has once it is installed."""
    for name, content in sorted(texts().items()):
        for workflow, found in yaml.safe_load(content)["workflows"].items():
            yield f"{name}.{workflow}", found


class Mistral:
    """The Mistral of a cloud, as one user sees it."""

    def __init__(self, region: CloudRegion, timeouts: Timeouts) -> None:
        self._signin = SignIn(region, timeouts)
        self._patience = timeouts.patience

    def install(self, name: str, content: str) -> str:
        """Put a workbook there; returns whether it was created, updated or unchanged.

        Raises Refused when Mistral finds fault with it, Unreachable, Unauthorized.
        """
        there = self._ask("GET", f"/workbooks/{name}")
        if there.status_code == 404:
            self._ask("POST", "/workbooks", content)
            return CREATED
        if there.json()["definition"] == content:
            return UNCHANGED
        self._ask("PUT", "/workbooks", content)
        return UPDATED

    def missing_actions(self) -> list[str]:
        """The actions that the workbooks need, and that this Mistral does not know."""
        needed = {action for content in texts().values() for action in _ACTION.findall(content)}
        return [action for action in sorted(needed) if self._ask("GET", f"/actions/{action}").status_code == 404]

    def _ask(self, method: str, path: str, content: str | None = None) -> requests.Response:
        """One exchange; only a look may find nothing there."""
        answer = patiently(lambda: self._exchange(method, path, content), self._patience)
        if not answer.ok and not (method == "GET" and answer.status_code == 404):
            told = f"{method} workflow {path} was refused with {answer.status_code}: {_said(answer)}"
            raise Refused(told, answer.status_code)
        return answer

    def _exchange(self, method: str, path: str, content: str | None) -> requests.Response:
        region, session = self._signin.region, self._signin.session
        where = {"interface": region.get_interface(_SERVICE), "region_name": region.get_region_name(_SERVICE)}
        headers = {**self._signin.headers(), "Content-Type": "text/plain"}
        try:
            return session.request(
                path,
                method,
                endpoint_filter={"service_type": _SERVICE, **where},
                headers=headers,
                raise_exc=False,
                data=None if content is None else content.encode(),
            )
        except ksa.EndpointNotFound:
            raise failures.no_endpoint(_SERVICE, self._signin.name, "") from None
        except ksa.ClientException as error:
            away = Unreachable(f"{method} workflow {path} got no answer: {failures.connection_reason(error)}")
            # What is asked once more may be there already: only a second POST would be refused for it.
            raise away if method == "POST" else Passing(away) from error


def _said(answer: requests.Response) -> str:
    """Mistral's own words, which are elsewhere than other services' are."""
    try:
        told = str(answer.json()["faultstring"])
    except (ValueError, LookupError, TypeError):
        return failures.sentence(answer)
    return " ".join(told.split())
