"""Every error an operator can meet, and the exit code each one ends the command with.

    StackmendError                  1   unexpected, or no better word
    +-- BadInput                    2   the command, a parameter, a plan file or a name is wrong
    |   +-- PlanRefused             2   the plan file was edited, or belongs to another cloud or version
    |   +-- UnknownRun              2   no run of that name in this store
    +-- NeedsHands                  4   the cloud is in a state no rule may decide; a person must
    |   +-- ChangedSince            4   a revert found that somebody else changed what it would restore
    |   +-- PastNoReturn            4   a revert was asked beyond the point of no return
    +-- Held                        5   another run or process holds what was asked for
    |   +-- LeaseLost               5   this process no longer owns the run; it writes and calls nothing more
    +-- NotApproved                 6   the run waits for an approval
    +-- CloudError                  7   the cloud could not be reached, or refused
    |   +-- Unreachable             7   no answer, after the retries that are safe
    |   +-- Unauthorized            7   the credentials or the rights are not enough
    |   +-- Refused                 7   the service answered, and said no: nothing happened
    |   +-- AnswerLost              7   the call was sent, its answer never came: it may have happened
    +-- StoreError                  8   the run database is missing, corrupt, locked or not writable
    +-- HostUnreachable             9   SSH: no connection, or the host key is not the known one

Exit codes 0 (done), 3 (done with exceptions) and 130 (interrupted, can be resumed) belong to no error.
Messages are one sentence for an operator: what was found, where, what to do.
"""


class StackmendError(Exception):
    """The root of every error of ours; its text is shown to the operator as it is."""

    exit_code = 1


class BadInput(StackmendError):
    """The command, a parameter, a file or a name is wrong; nothing was changed."""

    exit_code = 2


class PlanRefused(BadInput):
    """A plan that must not run: edited, or made for another cloud or procedure version."""


class UnknownRun(BadInput):
    """The store holds no run of that name."""


class NeedsHands(StackmendError):
    """The cloud is in a state that no rule may decide."""

    exit_code = 4


class ChangedSince(NeedsHands):
    """What a revert would restore has been changed by somebody else since."""


class PastNoReturn(NeedsHands):
    """The step that was asked to revert, or one after it, can't be taken back."""


class Held(StackmendError):
    """Another run or another process holds what was asked for."""

    exit_code = 5


class LeaseLost(Held):
    """This process no longer owns the run: it must write nothing and call nothing more."""


class NotApproved(StackmendError):
    """The run waits for a durable approval of its plan."""

    exit_code = 6


class CloudError(StackmendError):
    """The cloud could not be reached, or refused."""

    exit_code = 7


class Unreachable(CloudError):
    """No answer after every retry that is safe; nothing is known to have happened."""


class Unauthorized(CloudError):
    """The credentials are wrong, or their rights are not enough."""


class Refused(CloudError):
    """The service answered and refused: it says so itself, so nothing happened.

    ``status`` is the HTTP status it answered with.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status

    def __reduce__(self) -> tuple[type, tuple[str, int]]:
        return (type(self), (str(self), self.status))


class AnswerLost(CloudError):
    """A call was sent and its answer never came: only the cloud knows whether it happened."""


class StoreError(StackmendError):
    """The run database is missing, corrupt, locked or not writable."""

    exit_code = 8


class HostUnreachable(StackmendError):
    """SSH: no connection, no rights, or a host key that is not the known one."""

    exit_code = 9
