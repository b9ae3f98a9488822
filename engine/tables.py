"""The tables of the run store: TaskFlow's own three, and what a run needs beside them.

TaskFlow's tables are built once for the process: building them for each connection, as the stock
backend does, defeats SQLAlchemy's statement cache and costs most of its time.
"""

import sqlalchemy as sa

from stackmend.engine import taskflow_tables

METADATA = sa.MetaData()
TASKFLOW = taskflow_tables.make(METADATA)
LOGBOOKS = TASKFLOW.logbooks
FLOWS = TASKFLOW.flowdetails
ATOMS = TASKFLOW.atomdetails
sa.Index("stackmend_atoms_by_flow", ATOMS.c.parent_uuid)
sa.Index("stackmend_flows_by_book", FLOWS.c.parent_uuid)

_LONG = taskflow_tables.LONG

# Counts what was added to the tables below: a release that knows less goes on without it (engine.layout).
REVISION = 1
# Another one only where a release that knows less could not go on.
LAYOUT_NUMBER = 2
LAYOUT = sa.Table(
    "stackmend_layout",
    METADATA,
    sa.Column("layout", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("revision", sa.Integer, nullable=False),
)

RUNS = sa.Table(
    "stackmend_runs",
    METADATA,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("key", sa.String(255), nullable=False),
    sa.Column("procedure", sa.String(64), nullable=False),
    sa.Column("version", sa.String(32), nullable=False),
    sa.Column("cloud", sa.String(255), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    # All of it but its lanes.
    sa.Column("plan", _LONG, nullable=False),
    sa.Column("created_at", sa.String(32), nullable=False),
    sa.Column("created_by", sa.String(255), nullable=False),
    sa.Column("started_at", sa.String(32)),
    sa.Column("ended_at", sa.String(32)),
    # How the run ended (engine.status.Outcome), NULL while it has not.
    sa.Column("outcome", sa.String(32)),
    sa.Column("epoch", sa.Integer, nullable=False, default=0),
    sa.Column("owner", sa.Text),
    sa.Column("lease_until", sa.Double),
)

LANES = sa.Table(
    "stackmend_lanes",
    METADATA,
    sa.Column("run_id", sa.String(36), sa.ForeignKey("stackmend_runs.id"), primary_key=True),
    sa.Column("key", sa.String(160), primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
    # uuid of the lane's logbook and of the one flow in it; the rows come with the lane's admission.
    sa.Column("flow_uuid", sa.String(36), nullable=False),
    # The lane as it was planned. A row each: a plan of thousands of servers is more than a server takes at once.
    sa.Column("planned", _LONG, nullable=False),
)

LOCKS = sa.Table(
    "stackmend_locks",
    METADATA,
    sa.Column("target", sa.String(255), primary_key=True),
    sa.Column("run_id", sa.String(36), sa.ForeignKey("stackmend_runs.id"), nullable=False, index=True),
    sa.Column("since", sa.String(32), nullable=False),
)

APPROVALS = sa.Table(
    "stackmend_approvals",
    METADATA,
    sa.Column("run_id", sa.String(36), sa.ForeignKey("stackmend_runs.id"), primary_key=True),
    # Empty: the plan itself; else the stage that was held until somebody approved it.
    sa.Column("stage", sa.String(64), primary_key=True),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("approved_by", sa.String(255), nullable=False),
    sa.Column("approved_at", sa.String(32), nullable=False),
    sa.Column("reason", sa.Text),
)

# What an operator did to a run, in order: started, resumed, took over, skipped, abandoned, ...
EVENTS = sa.Table(
    "stackmend_events",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("run_id", sa.String(36), sa.ForeignKey("stackmend_runs.id"), nullable=False, index=True),
    sa.Column("at", sa.String(32), nullable=False),
    sa.Column("who", sa.String(255), nullable=False),
    sa.Column("what", sa.String(64), nullable=False),
    sa.Column("detail", sa.Text),
)

# What was asked for by those who can't wait (engine.orders), and what became of it.
ORDERS = sa.Table(
    "stackmend_orders",
    METADATA,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("key", sa.String(255), nullable=False),
    sa.Column("verb", sa.String(16), nullable=False),
    # NULL where it is about a run that exists.
    sa.Column("procedure", sa.String(64)),
    sa.Column("parameters", _LONG, nullable=False),
    sa.Column("approved", sa.Boolean, nullable=False),
    sa.Column("asked_by", sa.String(255), nullable=False),
    sa.Column("asked_at", sa.String(32), nullable=False),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("run_id", sa.String(36), index=True),
    sa.Column("why", sa.Text),
    # The worker that carries it out, and until when (epoch seconds) it is believed to live.
    sa.Column("claimed_by", sa.String(255)),
    sa.Column("claimed_until", sa.Double),
)

# Lanes that workers share (engine.sharing): what is to be done with each, and who may write what comes of it.
LANE_WORK = sa.Table(
    "stackmend_lane_work",
    METADATA,
    sa.Column("run_id", sa.String(36), sa.ForeignKey("stackmend_runs.id"), primary_key=True),
    sa.Column("lane", sa.String(160), primary_key=True),
    # execute, retry or revert.
    sa.Column("what", sa.String(16), nullable=False),
    # posted, begun, ended; or revoked, when one process took the whole run for itself.
    sa.Column("state", sa.String(16), nullable=False),
    # Raised by whoever begins it: the writes of an earlier one are refused from then on.
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("worker", sa.String(255)),
)

# Every alarm that came, and what became of it (alarms.ledger).
ALARMS = sa.Table(
    "stackmend_alarms",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    # Made from the delivery's own id where it has one: the same delivery is kept once.
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("received_at", sa.String(32), nullable=False, index=True),
    sa.Column("source", sa.String(16), nullable=False),
    # What it is about, as its source names it: an alarm that resolves another bears the same one.
    sa.Column("event", sa.String(255), nullable=False, index=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("severity", sa.String(32), nullable=False),
    sa.Column("labels", _LONG, nullable=False),
    # When that began; empty where the source says no more than that it goes on.
    sa.Column("began_at", sa.String(32), nullable=False),
    sa.Column("verdict", sa.String(16), nullable=False, index=True),
    sa.Column("why", sa.Text),
    sa.Column("rule", sa.String(64)),
    # What is recovered; with the time of the first alarm it is the key that is ordered under.
    sa.Column("target", sa.String(255), index=True),
    sa.Column("key", sa.String(255)),
    # What is started, as JSON; and not before (epoch seconds).
    sa.Column("start", _LONG),
    sa.Column("due", sa.Double),
    # The order's id, or that of Mistral's execution.
    sa.Column("started_id", sa.String(36)),
    sa.Column("decided_at", sa.String(32)),
)


@sa.event.listens_for(ALARMS, "after_create")
def _any_text(table: sa.Table, connection: sa.Connection, **_: object) -> None:
    # Whatever the database's own is: what others send must not fail to be stored. (As an option of the table it would
    # have SQLAlchemy import its MySQL dialect at each start of a command, whatever the database is.)
    if connection.dialect.name in ("mysql", "mariadb"):
        connection.exec_driver_sql(f"ALTER TABLE {table.name} CONVERT TO CHARACTER SET utf8mb4")


# Who has a turn holds its row to the end of the transaction: two of them never decide at the same time.
TURNS = sa.Table(
    "stackmend_turns",
    METADATA,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("taken", sa.BigInteger, nullable=False),
)
