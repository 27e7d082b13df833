"""The tables of the history, the same for SQLite and PostgreSQL.

Times are seconds since the epoch. A row belongs to a `name`, the name of the program: several programs may share one
PostgreSQL database. There the tables are in a schema of their own, `taskloom`, which is all of the search path.

A change here needs a revision in `migrations/versions`, which keeps the rows, and HEAD.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Dialect,
    Double,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    TypeDecorator,
    false,
    text,
)
from sqlalchemy.dialects import sqlite

from taskloom.text import to_json

__all__ = [
    "HEAD",
    "REVISIONS",
    "SCHEMA",
    "actions",
    "events",
    "jobs",
    "log_tails",
    "metadata",
    "runs",
    "starts",
    "upsert",
    "versions",
]

REVISIONS = ("0001", "0002", "0003")
"""Every revision that this version can read or bring up to date, oldest first."""
HEAD = REVISIONS[-1]
SCHEMA = "taskloom"
"""The schema in PostgreSQL. The tables of other programs, and their `alembic_version`, may be in the same database."""


class AnyText(TypeDecorator[str]):
    """Text from anywhere. PostgreSQL refuses NUL, and UTF-8 refuses half a surrogate pair: both become `?`."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return the text as it is stored."""
        if value is None or (value.isascii() and "\0" not in value):
            return value
        return value.replace("\0", "?").encode("utf-8", "replace").decode()


class Json(TypeDecorator[Any]):
    """A JSON value as text, in ASCII: all that a task reports can be stored, and one row is read as one value."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Return the value as it is stored; None is stored as NULL."""
        return None if value is None else to_json(value, is_ascii=True)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Return the value that was stored; None if it is damaged: one row must not keep all others from their use."""
        try:
            return None if value is None else json.loads(value)
        except (ValueError, TypeError, RecursionError):
            return None


metadata = MetaData()

starts = Table(
    "starts",
    metadata,
    Column("name", AnyText, nullable=False),
    Column("start", AnyText, nullable=False),  # the id that the control API shows
    Column("since", Double, nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("host", AnyText),
    Column("version", AnyText),  # of Taskloom
    Column("paths", Json),
    Column("command", Json),  # masked
    Column("boot_id", AnyText),  # of the machine: after a power loss another one
    Column("alive_at", Double, nullable=False),  # the last heartbeat
    Column("ended_at", Double),
    Column("exit_code", BigInteger),
    Column("how", AnyText, nullable=False),  # running, ended or lost
    Column("stop_reason", AnyText),
    Column("report", Json),  # the stop report with its runs
    PrimaryKeyConstraint("name", "start", name="starts_pkey"),
    Index("starts_since", "name", "since"),
)

runs = Table(
    "runs",
    metadata,
    Column("name", AnyText, nullable=False),
    Column("start", AnyText, nullable=False),
    Column("run", AnyText, nullable=False),  # tick#3
    Column("job", AnyText, nullable=False),
    Column("attempt", BigInteger),
    Column("replica", BigInteger),
    Column("runner", AnyText),
    Column("instant", Double),  # of the schedule; NULL if no schedule has started it
    Column("is_unrecorded", Boolean, nullable=False, server_default=false()),
    Column("queued_at", Double),
    Column("started_at", Double),
    Column("ready_at", Double),
    Column("ended_at", Double),
    Column("seconds", Double),
    Column("outcome", AnyText),  # NULL while it is alive
    Column("reason_kind", AnyText),
    Column("reason_text", AnyText),
    Column("error_type", AnyText),
    Column("error_message", AnyText),
    Column("error_traceback", AnyText),
    Column("last_polled", Double),
    Column("counters", Json),
    Column("progress", Json),
    Column("stuck_at", AnyText),  # FILE:LINE
    Column("stuck_stack", AnyText),
    Column("folded", BigInteger, nullable=False, server_default=text("1")),  # the number of runs that this row is for
    Column("folded_seconds", Double),  # their seconds in total
    Column("host", AnyText),  # if it executed elsewhere: there, with the worker and the main process
    Column("worker", AnyText),
    Column("pid", BigInteger),
    PrimaryKeyConstraint("name", "start", "run", name="runs_pkey"),
    Index("runs_of_job", "name", "job", "queued_at"),
    Index("runs_queued", "name", "queued_at"),
)

events = Table(
    "events",
    metadata,
    Column("name", AnyText, nullable=False),
    Column("start", AnyText, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("at", Double, nullable=False),
    Column("event", AnyText, nullable=False),
    Column("job", AnyText),
    Column("run", AnyText),
    Column("data", Json),  # masked
    PrimaryKeyConstraint("name", "start", "seq", name="events_pkey"),
    Index("events_at", "name", "at"),
)

actions = Table(
    "actions",
    metadata,
    Column("name", AnyText, nullable=False),
    Column("start", AnyText, nullable=False),
    Column("id", BigInteger, nullable=False),  # counted from 1 in each start
    Column("at", Double, nullable=False),
    Column("action", AnyText, nullable=False),
    Column("jobs", Json),
    Column("caller", Json),
    Column("reason", AnyText),
    Column("result", AnyText),
    PrimaryKeyConstraint("name", "start", "id", name="actions_pkey"),
    Index("actions_at", "name", "at"),
)

log_tails = Table(
    "log_tails",
    metadata,
    Column("name", AnyText, nullable=False),
    Column("start", AnyText, nullable=False),
    Column("run", AnyText, nullable=False),
    Column("at", Double, nullable=False),  # when the run ended: the oldest tails are removed first
    Column("text", AnyText, nullable=False),  # masked
    Column("truncated", BigInteger, nullable=False, server_default=text("0")),  # bytes before it that are not kept
    PrimaryKeyConstraint("name", "start", "run", name="log_tails_pkey"),
    Index("log_tails_at", "name", "at"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("name", AnyText, nullable=False),
    Column("job", AnyText, nullable=False),
    Column("fingerprint", AnyText, nullable=False),
    Column("armed_at", Double, nullable=False),
    Column("last_instant", Double),
    Column("paused_since", Double),
    Column("paused_reason", AnyText),
    Column("restarts", Json),  # a list of times
    Column("restart_delay", Double),
    Column("updated_at", Double, nullable=False),
    PrimaryKeyConstraint("name", "job", name="jobs_pkey"),
)

# Alembic's own table, exactly as it would make it.
versions = Table(
    "alembic_version",
    metadata,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


def upsert(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert these rows. Of a row whose primary key exists, update the columns that are given, and no others.

    All rows have the same columns. A column that is not null and has no default has to be among them.
    """
    if not rows:
        return
    keys = [column.name for column in table.primary_key]
    given = [column for column in rows[0] if column not in keys]
    statement = _dialect_of(connection).insert(table)
    if given:
        updated = {column: statement.excluded[column] for column in given}
        statement = statement.on_conflict_do_update(index_elements=keys, set_=updated)
    else:
        statement = statement.on_conflict_do_nothing(index_elements=keys)
    connection.execute(statement, [dict(row) for row in rows])


def _dialect_of(connection: Connection) -> Any:
    if connection.dialect.name != "postgresql":
        return sqlite
    # Its connection has imported it already. It takes as long as a fifth of SQLAlchemy, which SQLite does not need.
    from sqlalchemy.dialects import postgresql

    return postgresql
