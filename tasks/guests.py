"""Guests: reboot one from inside, over SSH, and see that it answers."""

import re
import time

from stackmend.clients.ssh import Command, Ssh
from stackmend.engine.journal import Journal, Record
from stackmend.engine.step import Done, Evidence, InFlight, NotStarted, Seen, Step
from stackmend.errors import AnswerLost, HostUnreachable, NeedsHands

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_BOOT_ID = "cat /proc/sys/kernel/random/boot_id"
_LOOK_EVERY = 0.5


class RebootInside(Step):
    """Reboot a guest from inside, once it answers (admin guide, "Recover cloud after disaster", step 7).

    The kernel's boot id before and after is the evidence; uptime is not. Undo: none, it stands behind the
    server's own reboot.
    """

    slug = "guest.reboot"
    title = "reboot from inside by SSH, once the guest answers"
    burdens_host = True
    undoable = False

    def __init__(self, server: str, address: str, user: str | None, seconds: float) -> None:
        super().__init__(server)
        self.address = address
        self.user = user
        self.seconds = seconds

    def command(self) -> Command:
        """The reboot, as the plan prints it and as it is run."""
        return Command(self.address, "shutdown -r now", user=self.user, sudo=True)

    def effects(self) -> list[Command]:
        """The one command."""
        return [self.command()]

    def observe(self, record: Record, journal: Journal, ssh: Ssh) -> Seen:
        """Not begun while the guest still has the boot id it had at the intent."""
        boot_id = self._answers(journal, ssh)
        if not record.acted:
            return NotStarted({"boot_id": boot_id})
        if boot_id != record.before["boot_id"]:
            return Done({"boot_id": boot_id, "before": record.before["boot_id"]})
        return InFlight() if record.answered else NotStarted(record.before)

    def act(self, record: Record, ssh: Ssh) -> str:
        """Run it. The connection usually ends in mid-command: that is how a reboot looks from outside."""
        result = ssh.run(self.command())
        if result.exit_status != 0:
            raise NeedsHands(
                f"`{self.command().text()}` ended with {result.exit_status}: {result.stderr.strip()[:200]}; "
                "give the user that right, then retry, or skip the step"
            )
        return "accepted"

    def confirm(self, record: Record, journal: Journal, ssh: Ssh) -> Evidence:
        """The guest answers with another boot id."""
        deadline = time.monotonic() + self.seconds
        while time.monotonic() < deadline:
            boot_id = self._answers(journal, ssh)
            if boot_id != record.before["boot_id"]:
                return {"boot_id": boot_id, "before": record.before["boot_id"]}
            journal.pause(_LOOK_EVERY)
        raise NeedsHands(
            f"guest {self.address} was told to reboot and still has its old boot id after {self.seconds:.0f} s"
        )

    def _answers(self, journal: Journal, ssh: Ssh) -> str:
        deadline = time.monotonic() + self.seconds
        while True:
            journal.check()
            try:
                result = ssh.run(Command(self.address, _BOOT_ID, user=self.user))
                # What a login says besides is no boot id, and anything new would pass for a reboot.
                if found := [word for word in result.stdout.split() if _UUID.fullmatch(word)]:
                    return found[-1]
                if time.monotonic() >= deadline:
                    raise NeedsHands(f"guest {self.address} does not tell its boot id (`{_BOOT_ID}`): look at it")
            except (HostUnreachable, AnswerLost) as error:
                # A wrong host key or refused login will not mend itself by waiting.
                if getattr(error, "lasting", False) or time.monotonic() >= deadline:
                    raise
            journal.pause(_LOOK_EVERY)
