"""Instance actions and their events: nova's own account of what was asked and what came of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stackmend.lab.simulated.times import stamp
from stackmend.lab.simulated.web import Origin

if TYPE_CHECKING:
    from stackmend.lab.simulated.cloud import Cloud


class Failed(Exception):
    """An action failed; its text is the event's detail, the action's message becomes ``Error``."""


def begin(cloud: "Cloud", server: str, action: str, origin: Origin) -> None:
    """Write the action row, as the API does before it answers."""
    cloud.nova.insert(
        "instance_actions",
        created_at=stamp(),
        updated_at=stamp(),
        action=action,
        instance_uuid=server,
        request_id=origin.request_id,
        user_id=origin.caller.user_id or None,
        project_id=origin.caller.project_id or None,
        start_time=stamp(),
        deleted=0,
    )


@contextmanager
def event(cloud: "Cloud", server: str, name: str, host: str | None, origin: Origin) -> Iterator[None]:
    """The event of the work inside: Success when it ends, Error when it raises Failed (which stops here).

    Work that is cancelled (its nova-compute died) leaves the event without an end.
    """
    action = cloud.nova.one(
        "SELECT id FROM instance_actions WHERE instance_uuid = ? AND request_id = ?",
        server,
        origin.request_id,
    )
    event_id = cloud.nova.insert(
        "instance_actions_events",
        created_at=stamp(),
        event=name,
        action_id=action["id"] if action else None,
        start_time=stamp(),
        host=host,
        deleted=0,
    )
    try:
        yield
    except Failed as error:
        _finish(cloud, event_id, action["id"] if action else 0, "Error", str(error))
    else:
        _finish(cloud, event_id, action["id"] if action else 0, "Success", None)


def _finish(cloud: "Cloud", event_id: int, action_id: int, result: str, details: str | None) -> None:
    now = stamp()
    cloud.nova.update(
        "instance_actions_events",
        {"id": event_id},
        updated_at=now,
        finish_time=now,
        result=result,
        details=details,
    )
    columns = {"message": "Error"} if result == "Error" else {}
    cloud.nova.update("instance_actions", {"id": action_id}, updated_at=now, **columns)


def fault(cloud: "Cloud", server: str, message: str) -> None:
    """What a server in error shows as its fault."""
    cloud.nova.insert("instance_faults", created_at=stamp(), instance_uuid=server, code=500, message=message, deleted=0)
