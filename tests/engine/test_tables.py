"""The run store's tables: TaskFlow's three are what TaskFlow makes them."""

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.schema import CreateTable
from taskflow import states
from taskflow.persistence import models
from taskflow.persistence.backends.sqlalchemy import tables as taskflow_tables

from stackmend.engine import taskflow_states
from stackmend.engine import taskflow_tables as ours


@pytest.mark.parametrize("dialect", [sqlite.dialect(), mysql.dialect(), postgresql.dialect()], ids=lambda d: d.name)
def test_they_are_as_taskflow_defines_them(dialect: Any) -> None:
    theirs = taskflow_tables.fetch(sa.MetaData())
    for name, table in zip(theirs._fields, ours.make(sa.MetaData()), strict=True):
        expected = str(CreateTable(getattr(theirs, name)).compile(dialect=dialect))
        # Ours hold more on MySQL.
        assert str(CreateTable(table).compile(dialect=dialect)).replace("TEXT(16777216)", "TEXT") == expected


def test_their_words_are_taskflows() -> None:
    atoms = ours.make(sa.MetaData()).atomdetails.c
    assert atoms.atom_type.type.enums == list(models.ATOM_TYPES)
    assert atoms.intention.type.enums == list(states.INTENTIONS)
    words = {name: word for name, word in vars(taskflow_states).items() if name.isupper()}
    assert words == {name: getattr(states, name) for name in words}
