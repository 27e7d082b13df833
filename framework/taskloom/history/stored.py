"""How rows get into the tables, and what the writer thread reads from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, delete, select
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError, StatementError

from taskloom.core.remembered import RememberedJob
from taskloom.history import tables
from taskloom.history.memory import job_from_row
from taskloom.history.queue import Row

__all__ = ["is_about_a_row", "is_running", "load_jobs", "write_rows"]

_KEYS = {table.name: [each.name for each in table.primary_key][1:] for table in tables.metadata.sorted_tables}


def write_rows(connection: Connection, name: str, rows: Sequence[Row], now: float) -> None:
    """Insert or update the rows, and delete those without values. `now`: in seconds since the epoch."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row.values is not None:
            given = {**row.values, "updated_at": now} if row.table == "jobs" else row.values
            found.setdefault(row.table, []).append({**_key_of(name, row), **given})
    for table, values in found.items():
        tables.upsert(connection, tables.metadata.tables[table], values)
    for row in rows:
        if row.values is None:
            _delete(connection, tables.metadata.tables[row.table], _key_of(name, row))


def _key_of(name: str, row: Row) -> dict[str, Any]:
    return {"name": name, **dict(zip(_KEYS[row.table], row.key[1:], strict=True))}


def _delete(connection: Connection, table: Table, key: Mapping[str, Any]) -> None:
    connection.execute(delete(table).where(*(table.c[column] == value for column, value in key.items())))


def load_jobs(connection: Connection, name: str) -> dict[str, RememberedJob]:
    """Return what earlier starts have left about each job."""
    rows = connection.execute(select(tables.jobs).where(tables.jobs.c.name == name)).mappings()
    return {row["job"]: job_from_row(row) for row in rows}


def is_running(connection: Connection, name: str, start: str) -> bool:
    """Return whether the database has this start, and as one that is alive."""
    starts = tables.starts
    chosen = select(starts.c.how).where(starts.c.name == name, starts.c.start == start)
    return connection.execute(chosen).scalar() == "running"


def is_about_a_row(error: BaseException) -> bool:
    """Return whether the database has refused the values of a row, which it would do again."""
    for each in _chain(error):
        if isinstance(each, DataError | IntegrityError):
            return True
        if isinstance(each, StatementError | SQLAlchemyError):
            return type(each) is StatementError
        if isinstance(each, ValueError | TypeError | OverflowError):
            return True
    return False


def _chain(error: BaseException) -> Iterable[BaseException]:
    each: BaseException | None = error
    while each is not None:
        yield each
        each = each.__cause__
