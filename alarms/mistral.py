"""Starting a workflow of Mistral's, once, however often it is asked for."""

import warnings
from typing import Any

from keystoneauth1 import exceptions
from keystoneauth1.adapter import Adapter
from openstack.config import OpenStackConfig
from openstack.config.cloud_region import CloudRegion
from openstack.exceptions import SDKException

from stackmend.errors import CloudError

_SERVICE = "workflow"
_SECONDS = 30.0


class Mistral:
    """Mistral's API behind an adapter that is signed in; ``execute`` is alarms.decider.Execute."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter

    def execute(self, workflow: str, given: dict[str, Any], execution: str) -> None:
        """Start ``workflow`` as the execution of that id: Mistral answers with the one that is there, if it is.

        Raises CloudError when it is not known to have been taken.
        """
        body = {"id": execution, "workflow_name": workflow, "input": given, "description": "started by an alarm"}
        try:
            answer = self._adapter.post("/executions", json=body, raise_exc=False, timeout=_SECONDS)
        except exceptions.ClientException as error:
            raise CloudError(f"Mistral could not be asked for {workflow}: {_line(str(error))}") from error
        if not answer.ok:
            raise CloudError(f"Mistral did not start {workflow}: it said {answer.status_code}, {_line(answer.text)}")


def connected(cloud: str | None, region: str | None) -> Mistral:
    """Mistral of the cloud in clouds.yaml, or of OS_*; nothing is asked of it yet. Raises CloudError."""
    wanted: dict[str, Any] = {"cloud": cloud, "region_name": region}
    try:
        with warnings.catch_warnings():
            # openstacksdk warns about parts of itself that are not used here.
            warnings.simplefilter("ignore", PendingDeprecationWarning)
            config = OpenStackConfig(app_name="stackmend")
            found = config.get_one(**{name: value for name, value in wanted.items() if value})
            return Mistral(_adapter(found))
    except (exceptions.ClientException, SDKException) as error:
        raise CloudError(f"there are no credentials to ask Mistral with: {_line(str(error))}") from error


def _adapter(cloud: CloudRegion) -> Adapter:
    # What get_session_client() gives answers only to a whole Connection.
    return Adapter(
        cloud.get_session(),
        service_type=_SERVICE,
        interface=cloud.get_interface(_SERVICE),
        region_name=cloud.get_region_name(_SERVICE),
        endpoint_override=cloud.get_endpoint(_SERVICE),
        connect_retries=0,
    )


def _line(text: str) -> str:
    return " ".join(text.split())[:300]
