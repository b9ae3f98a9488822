"""TaskFlow's persistence, made fit for a thousand lanes: entry point ``stackmend`` of ``taskflow.persistence``.

It stores what TaskFlow's SQLAlchemy backend stores, in the same tables, and differs in how often and how:

* the tables are built once and every statement is prepared once;
* an atom is written with one UPDATE, not SELECT, merge and UPDATE: a lane has a single writer, its owner;
* a flow's state is one row, written when it ends; on the way it is implied by its atoms;
* rows go through the run's Writer, which groups commits and refuses to write for a process that lost the run.

It is no subclass of that backend, whose import brings alembic and the dialects of all databases: 11 MB.
"""

import json
from typing import Any

import sqlalchemy as sa
from taskflow import states
from taskflow.persistence import base, models

from stackmend.engine import tables
from stackmend.engine.database import reading
from stackmend.engine.plan import Lane
from stackmend.engine.writer import Writer

_ENDED = frozenset([states.SUCCESS, states.FAILURE, states.REVERTED])
_UNDER_WAY = frozenset([states.RUNNING, states.REVERTING])
_WRITTEN = [
    column.name
    for column in tables.ATOMS.c
    if column.name not in ("uuid", "name", "parent_uuid", "created_at", "updated_at", "atom_type", "version")
]
_UPDATE_ATOM = (
    sa.update(tables.ATOMS)
    .where(tables.ATOMS.c.uuid == sa.bindparam("atom"))
    .values({name: sa.bindparam(name) for name in _WRITTEN})
)
_UPDATE_FLOW = (
    sa.update(tables.FLOWS).where(tables.FLOWS.c.uuid == sa.bindparam("flow")).values(state=sa.bindparam("state"))
)
_SELECT_FLOW = sa.select(tables.FLOWS).where(tables.FLOWS.c.uuid == sa.bindparam("flow"))
_SELECT_ATOMS = sa.select(tables.ATOMS).where(tables.ATOMS.c.parent_uuid == sa.bindparam("flow"))
_SELECT_PLANNED = sa.select(tables.LANES.c.planned).where(
    tables.LANES.c.run_id == sa.bindparam("run"), tables.LANES.c.key == sa.bindparam("lane")
)
_INSERT_BOOK = sa.insert(tables.LOGBOOKS)
_INSERT_FLOWS = sa.insert(tables.FLOWS)
_INSERT_ATOMS = sa.insert(tables.ATOMS)
# A statement of its own: gathered with the one above it could come before the flows of that one's atoms.
_ADD_ATOMS = sa.insert(tables.ATOMS)


class LaneBackend(base.Backend):
    """The store as one lane's TaskFlow engine sees it.

    ``conf`` is TaskFlow's; ``engine`` the run store's; ``writer`` the owner's Writer.
    """

    def __init__(self, conf: dict[str, Any], engine: sa.Engine, writer: Writer) -> None:
        super().__init__(conf)
        self._connection = LaneConnection(engine, writer)

    def get_connection(self) -> "LaneConnection":
        """The lane's one connection: it holds no database connection between two calls."""
        return self._connection

    def close(self) -> None:
        """Nothing: the engine and the writer are the run's."""


class LaneConnection:
    """What a lane asks of TaskFlow's connections: to read its flow, and to write as this module's docstring says."""

    def __init__(self, engine: sa.Engine, writer: Writer) -> None:
        self._engine = engine
        self._writer = writer
        self._known: set[str] = set()

    def close(self) -> None:
        """Nothing: it is used again for the next call."""

    def update_atom_details(self, atom_detail: models.AtomDetail) -> models.AtomDetail:
        """Save an atom; returns it."""
        row = atom_detail.to_dict()
        update = (_UPDATE_ATOM, [{"atom": row["uuid"], **{name: row[name] for name in _WRITTEN}}])
        # A crash that loses "it was queued" loses nothing: what was begun, the step's own record tells.
        if row["state"] in _UNDER_WAY and "record" not in row["meta"]:
            self._writer.write_later(update)
        else:
            self._writer.write(update)
        return atom_detail

    def update_flow_details(self, flow_detail: models.FlowDetail) -> models.FlowDetail:
        """Save a flow's own row when it has ended, and any atom that is not stored yet; returns the flow."""
        if new := [atom for atom in flow_detail if atom.uuid not in self._known]:
            self._writer.write((_ADD_ATOMS, [atom_row(atom, flow_detail.uuid) for atom in new]))
            self._known.update(atom.uuid for atom in new)
        if flow_detail.state in _ENDED:
            row = {"flow": flow_detail.uuid, "state": flow_detail.state}
            self._writer.write((_UPDATE_FLOW, [row]))
        return flow_detail

    def save_logbook(self, book: models.LogBook) -> models.LogBook:
        """Store a new lane's logbook, flow and atoms in one transaction; returns the book."""
        flows = [{**flow.to_dict(), "parent_uuid": book.uuid} for flow in book]
        atoms = [atom_row(atom, flow.uuid) for flow in book for atom in flow]
        self._writer.write((_INSERT_BOOK, [book.to_dict()]), (_INSERT_FLOWS, flows), (_INSERT_ATOMS, atoms))
        self._known.update(atom["uuid"] for atom in atoms)
        return book

    def flow_details(self, uuid: str) -> models.FlowDetail | None:
        """A stored lane's flow with its atoms; None when the lane was never admitted. Raises StoreError."""
        with reading(self._engine) as connection:
            row = connection.execute(_SELECT_FLOW, {"flow": uuid}).first()
            if row is None:
                return None
            detail = models.FlowDetail.from_dict(row._mapping)
            for atom in connection.execute(_SELECT_ATOMS, {"flow": uuid}):
                detail.add(models.atom_detail_class(atom.atom_type).from_dict(atom._mapping))
                self._known.add(atom.uuid)
        return detail

    def planned(self, run_id: str, key: str) -> Lane:
        """A lane with all that it was planned with. Raises StoreError."""
        with reading(self._engine) as connection:
            text = connection.execute(_SELECT_PLANNED, {"run": run_id, "lane": key}).scalar_one()
        return Lane.from_json(json.loads(text))


def atom_row(atom: models.AtomDetail, flow_uuid: str) -> dict[str, Any]:
    """The row of an atom that is not stored yet."""
    return {**atom.to_dict(), "parent_uuid": flow_uuid, "atom_type": models.atom_detail_type(atom)}
