"""The layout of the run store: made where there is none, brought up to date, refused where it can't be shared.

Controllers of two releases work on one store while they are upgraded one after the other. So what a release needs
more is added (a table, a column that may be empty), and whoever does not know of it goes on without.
"""

import sqlalchemy as sa

from stackmend.engine import tables
from stackmend.errors import StoreError


def prepare(engine: sa.Engine) -> None:
    """Give the store what this release knows of. Raises StoreError where it is laid out for other releases."""
    while not _up_to_date(engine):
        try:
            with engine.connect().execution_options(stackmend_writes=True) as link, link.begin():
                _bring_up_to_date(link)
        except sa.exc.DBAPIError:
            # Of two who do so at the same moment one may fail; what it wanted is there then.
            if not _up_to_date(engine):
                raise


def _up_to_date(engine: sa.Engine) -> bool:
    # One look where all is well: every command begins with it.
    with engine.connect() as link:
        try:
            found = link.execute(sa.select(tables.LAYOUT)).first()
        except sa.exc.DBAPIError:
            link.rollback()
            if sa.inspect(link).has_table(tables.LAYOUT.name):
                raise
            return False
    if found is not None and found.layout != tables.LAYOUT_NUMBER:
        raise StoreError(
            f"the run store {engine.url.render_as_string(hide_password=True)} has layout {found.layout}, and this "
            f"stackmend knows layout {tables.LAYOUT_NUMBER}: use the release that made it, or another store"
        )
    return found is not None and found.revision >= tables.REVISION


def _bring_up_to_date(link: sa.Connection) -> None:
    tables.METADATA.create_all(link)
    _add_columns(link)
    known = link.execute(sa.update(tables.LAYOUT).values(revision=tables.REVISION)).rowcount
    if not known:
        link.execute(sa.insert(tables.LAYOUT).values(layout=tables.LAYOUT_NUMBER, revision=tables.REVISION))


def _add_columns(link: sa.Connection) -> None:
    look, quoted = sa.inspect(link), link.dialect.identifier_preparer
    for table in tables.METADATA.tables.values():
        there = {column["name"] for column in look.get_columns(table.name)}
        for column in table.columns:
            if column.name not in there:
                defined = sa.schema.CreateColumn(column).compile(dialect=link.dialect)
                link.exec_driver_sql(f"ALTER TABLE {quoted.format_table(table)} ADD COLUMN {defined}")
