"""Others that watch hosts, told that this one is away on purpose: Masakari by its API, anybody else by a hook."""

from typing import Any

from stackmend.clients import hooks
from stackmend.clients.cloud import ApiCall, Cloud
from stackmend.clients.hooks import Hook
from stackmend.engine.journal import Journal, Record
from stackmend.engine.step import Done, Evidence, NotStarted, Seen, Step
from stackmend.errors import ChangedSince, NeedsHands
from stackmend.tasks.effects import ApiStep

Row = dict[str, Any]
_HOOK_SECONDS = 120.0


def watched_by_masakari(cloud: Cloud, host: str) -> Row | None:
    """The host as Masakari has it: segment, id, on_maintenance; None when no segment has it."""
    for segment in cloud.get("instance-ha", "/segments")["segments"]:
        for row in cloud.get("instance-ha", f"/segments/{segment['uuid']}/hosts")["hosts"]:
            if row["name"] == host:
                kept = {"segment": segment["uuid"], "id": row["uuid"], "on_maintenance": bool(row["on_maintenance"])}
                return {**kept, "segment_name": segment["name"]}
    return None


class _Masakari(ApiStep):
    """One host's on_maintenance at Masakari (instance HA API: PUT /segments/{id}/hosts/{id})."""

    wanted = True

    def __init__(self, host: str, segment: str, number: str) -> None:
        super().__init__(host)
        self.path = f"/segments/{segment}/hosts/{number}"

    def call(self) -> ApiCall:
        """The one call."""
        return self._put(self.wanted)

    def observe(self, record: Record, cloud: Cloud) -> Seen:
        """Done when Masakari shows it."""
        found = self._shown(cloud)
        if found == self.wanted:
            return Done({"on_maintenance": found, "already": not record.acted})
        return NotStarted({"on_maintenance": found})

    def confirm(self, cloud: Cloud) -> Evidence:
        """Masakari shows it. Raises NeedsHands."""
        if self._shown(cloud) != self.wanted:
            raise NeedsHands(f"Masakari took the change for {self.target} and does not show it: look there, then retry")
        return {"on_maintenance": self.wanted}

    def undo(self, record: Record, journal: Journal, cloud: Cloud) -> Evidence:
        """Set it back."""
        before = bool(record.before["on_maintenance"])
        if self._shown(cloud) == before:
            return {"already": True}
        journal.undoing(self.name, record, {})
        cloud.send(self._put(before), str(record.request_id))
        return {"on_maintenance": before}

    def _put(self, value: bool) -> ApiCall:
        return ApiCall("instance-ha", "PUT", self.path, {"host": {"on_maintenance": value}})

    def _shown(self, cloud: Cloud) -> bool:
        found = cloud.find("instance-ha", self.path)
        if found is None:
            raise ChangedSince(f"Masakari no longer has {self.target} in that segment: plan again, or skip the step")
        return bool(found["host"]["on_maintenance"])


class MuteMasakari(_Masakari):
    """Keep Masakari from recovering the host. Undo: let it again, if it was so before."""

    slug = "masakari.mute"
    title = "set on_maintenance at Masakari: it recovers nothing of this host"


class UnmuteMasakari(_Masakari):
    """Let Masakari recover the host again. Undo: keep it from that again."""

    slug = "masakari.unmute"
    title = "clear on_maintenance at Masakari: it recovers this host again"
    wanted = False


class _Hook(Step):
    """An operator's own command; after a crash it may run again, so it must do no harm then."""

    def __init__(self, host: str, line: str, back: str) -> None:
        super().__init__(host)
        self.line = line
        self.back = back

    def effects(self) -> list[Hook]:
        """The one command."""
        return [Hook(self.target, self.line)]

    def observe(self, record: Record) -> Seen:
        """Only its own end tells that it was done."""
        return Done({"said": record.answered}) if record.answered is not None else NotStarted()

    def act(self) -> str:
        """Run it."""
        return hooks.run(Hook(self.target, self.line), _HOOK_SECONDS)

    def confirm(self, record: Record) -> Evidence:
        """It ended well."""
        return {"said": record.answered}

    def undo(self, record: Record, journal: Journal) -> Evidence:
        """Run the other one."""
        journal.undoing(self.name, record, {})
        return {"said": hooks.run(Hook(self.target, self.back), _HOOK_SECONDS)}


class MuteHook(_Hook):
    """Mute whoever else watches the host, by a command of the operator's. Undo: the command that unmutes."""

    slug = "peers.mute"
    title = "mute others, by your own command"


class UnmuteHook(_Hook):
    """Unmute them, by a command of the operator's. Undo: the command that mutes."""

    slug = "peers.unmute"
    title = "unmute others, by your own command"
