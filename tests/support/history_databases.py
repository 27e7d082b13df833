"""Histories that tests write, and what is in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

from sqlalchemy import Table, select

from taskloom.history.database import Database, connect
from taskloom.history.location import Target
from taskloom.history.tables import upsert

__all__ = ["NAME", "opened", "rows_of", "write"]

NAME = "jobs-3f2a"


@contextmanager
def opened(target: Target, name: str = NAME) -> Iterator[Database]:
    """Open a history for writing, and close it at the end."""
    with closing(connect(target, name)) as database:
        yield database


def write(database: Database, table: Table, *rows: Mapping[str, Any]) -> None:
    """Write these rows of the history's name in one transaction."""
    with database.begin() as connection:
        upsert(connection, table, [{"name": database.name, **row} for row in rows])


def rows_of(database: Database, table: Table) -> list[dict[str, Any]]:
    """Return all rows of the table, with what is not NULL in them."""
    with database.begin() as connection:
        found = connection.execute(select(table).order_by(*table.primary_key)).mappings().all()
    return [{key: value for key, value in row.items() if value is not None} for row in found]
