"""Every way a statement can fail, as one of our errors: can the transaction have been committed?"""

from sqlalchemy import exc
from sqlalchemy.engine import URL

from stackmend.clients.patience import Passing
from stackmend.errors import AnswerLost, BadInput, Refused, Unauthorized, Unreachable

# Codes of MySQL, MariaDB and Galera.
_ROLLED_BACK = frozenset({1205, 1213})
_AWAY = frozenset({1040, 1047, 1053, 1152, 1158, 1159, 1160, 1161, 1927, 2002, 2003, 2006, 2013, 2055})
_NO_RIGHTS = frozenset({1044, 1045, 1095, 1142, 1143, 1227, 1290, 1698})
_NO_DATABASE = 1049


def sql_failure(error: exc.SQLAlchemyError, name: str, url: URL, committing: bool) -> Exception:
    """What a failed statement, or a failed commit, means; the message never holds a parameter or password."""
    said, code = _said(error, url), _code(error)
    where = f"the {name} database ({url.render_as_string(hide_password=True)})"
    if code in _ROLLED_BACK or _sqlite_busy(said):
        return Passing(Unreachable(f"Rows of {where} stay locked by somebody else ({said}): look who holds them."))
    if committing:
        return AnswerLost(
            f"A transaction was sent to {where} and its answer is not known ({said}): "
            "it may have happened, look at the rows before repeating it."
        )
    if code in _NO_RIGHTS or "readonly database" in said:
        return Unauthorized(f"{where[0].upper()}{where[1:]} does not allow it ({said}): give this user the rights.")
    if code == _NO_DATABASE or "not a database" in said:
        return BadInput(f"There is no such database as {where} ({said}).")
    if code in _AWAY or isinstance(error, exc.TimeoutError | exc.InterfaceError) or _invalidated(error):
        return Passing(Unreachable(f"{where[0].upper()}{where[1:]} could not be reached ({said})."))
    return Refused(f"{where[0].upper()}{where[1:]} refused a statement ({said}): nothing was changed.")


def _code(error: exc.SQLAlchemyError) -> int | None:
    orig = error.orig if isinstance(error, exc.DBAPIError) else None
    code = orig.args[0] if orig is not None and orig.args else None
    return code if isinstance(code, int) else None


def _said(error: exc.SQLAlchemyError, url: URL) -> str:
    orig = error.orig if isinstance(error, exc.DBAPIError) else None
    text = str(orig.args[-1]) if orig is not None and orig.args else str(error)
    words = " ".join(text.split()).rstrip(".")
    return words.replace(url.password, "***") if url.password else words


def _sqlite_busy(said: str) -> bool:
    return said in ("database is locked", "database table is locked", "database schema is locked")


def _invalidated(error: exc.SQLAlchemyError) -> bool:
    return isinstance(error, exc.DBAPIError) and error.connection_invalidated
