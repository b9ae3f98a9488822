"""The door to Mistral: workbooks are put there, and workflows started."""

from typing import Any

import requests
from keystoneauth1 import exceptions as ksa
from keystoneauth1.adapter import Adapter
from openstack.config.cloud_region import CloudRegion

from stackmend.clients import failures
from stackmend.clients.patience import Passing, patiently
from stackmend.clients.signin import SignIn, Timeouts
from stackmend.errors import Refused, Unreachable

CREATED, UPDATED, UNCHANGED = "created", "updated", "unchanged"
_SERVICE = "workflow"
_TEXT = {"Content-Type": "text/plain"}


class Mistral:
    """The Mistral of a cloud, as one user sees it. Raises BadInput for a cloud that can't be signed in to."""

    def __init__(self, region: CloudRegion, timeouts: Timeouts) -> None:
        self._signin = SignIn(region, timeouts)
        self._patience = timeouts.patience
        # What get_session_client() gives answers only to a whole Connection.
        self._adapter = Adapter(
            self._signin.session,
            service_type=_SERVICE,
            interface=region.get_interface(_SERVICE),
            region_name=region.get_region_name(_SERVICE),
            endpoint_override=region.get_endpoint(_SERVICE),
            connect_retries=0,
        )

    def install(self, name: str, content: str) -> str:
        """Put a workbook there; returns whether it was created, updated or unchanged.

        Raises Refused when Mistral finds fault with it, Unreachable, Unauthorized.
        """
        there = self._ask("GET", f"/workbooks/{name}")
        if there.status_code == 404:
            self._ask("POST", "/workbooks", data=content.encode(), headers=_TEXT)
            return CREATED
        if there.json()["definition"] == content:
            return UNCHANGED
        self._ask("PUT", "/workbooks", data=content.encode(), headers=_TEXT)
        return UPDATED

    def knows(self, action: str) -> bool:
        """Whether it has an action of that name. Raises CloudError."""
        return self._ask("GET", f"/actions/{action}").status_code != 404

    def execute(self, workflow: str, given: dict[str, Any], execution: str) -> None:
        """Start ``workflow`` as the execution of that id: Mistral answers with the one that is there, if it is.

        Raises CloudError when it is not known to have been taken.
        """
        body = {"id": execution, "workflow_name": workflow, "input": given, "description": "started by an alarm"}
        self._ask("POST", "/executions", json=body)

    def _ask(self, method: str, path: str, **given: Any) -> requests.Response:
        """One exchange; only a look may find nothing there."""
        answer = patiently(lambda: self._exchange(method, path, given), self._patience)
        if not answer.ok and not (method == "GET" and answer.status_code == 404):
            told = f"{method} workflow {path} was refused with {answer.status_code}: {_said(answer)}"
            raise Refused(told, answer.status_code)
        return answer

    def _exchange(self, method: str, path: str, given: dict[str, Any]) -> requests.Response:
        self._signin.headers()
        try:
            return self._adapter.request(path, method, raise_exc=False, **given)
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
