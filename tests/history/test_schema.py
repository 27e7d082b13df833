"""The tables that are made at once are those that Alembic makes, revision after revision."""

from __future__ import annotations

from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from tests.support.history_databases import NAME, opened, rows_of

from taskloom.history.database import Database, connect, read_only
from taskloom.history.errors import HistoryFailed, HistoryOutdated
from taskloom.history.location import Target
from taskloom.history.schema import stored_revision
from taskloom.history.tables import HEAD, REVISIONS, metadata, runs


def config_for(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", "taskloom.history:migrations")
    config.attributes["connection"] = connection
    return config


def go_back_to(database: Database, revision: str) -> None:
    """Make the tables of this revision in place of those that are there."""
    with database.begin() as connection:
        metadata.drop_all(connection)
        command.upgrade(config_for(connection), revision)


def described(connection: Connection) -> dict[str, Any]:
    """All that the database knows about its tables."""
    inspector = inspect(connection)
    found: dict[str, Any] = {}
    for table in inspector.get_table_names():
        columns = [
            (column["name"], str(column["type"]), column["nullable"], str(column["default"]))
            for column in inspector.get_columns(table)
        ]
        indexes = sorted((index["name"], index["column_names"]) for index in inspector.get_indexes(table))
        found[table] = columns, inspector.get_pk_constraint(table), indexes
    return found


def test_the_migrations_make_the_tables_that_are_made_at_once(database: Database) -> None:
    with database.begin() as connection:
        at_once = described(connection)

    go_back_to(database, "head")

    with database.begin() as connection:
        assert described(connection) == at_once
        assert set(at_once) == set(metadata.tables)
        assert stored_revision(connection) == HEAD


def test_alembic_finds_no_difference_to_the_tables_in_the_code(database: Database) -> None:
    from alembic.autogenerate import compare_metadata

    with database.begin() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": False})
        assert compare_metadata(context, metadata) == []


def test_every_revision_is_known_in_order() -> None:
    scripts = ScriptDirectory.from_config(config_for())

    assert tuple(script.revision for script in scripts.walk_revisions())[::-1] == REVISIONS


OLD_RUN = (
    "INSERT INTO runs (name, start, run, job, outcome, seconds) VALUES ('jobs-3f2a', 's1', 'a#1', 'a', 'failed', 2.5)"
)


def test_an_older_history_is_brought_up_to_date_and_keeps_its_rows(target: Target) -> None:
    with opened(target) as database:
        go_back_to(database, "0001")
        with database.begin() as connection:
            assert "folded" not in {column["name"] for column in inspect(connection).get_columns("runs")}
            connection.execute(text(OLD_RUN))
    with pytest.raises(HistoryOutdated) as caught, read_only(target):
        pass
    assert str(caught.value) == (
        f"cannot read the history {target.shown!r}: an older Taskloom has written it (revision 0001 instead of "
        f"{HEAD}), and the next run with this one brings it up to date"
    )

    with opened(target) as database, database.begin() as connection:
        assert stored_revision(connection) == HEAD

    with opened(target) as database:
        [row] = rows_of(database, runs)
    assert row == {
        "name": NAME,
        "start": "s1",
        "run": "a#1",
        "job": "a",
        "outcome": "failed",
        "seconds": 2.5,
        "is_unrecorded": False,
        "folded": 1,
    }


def test_a_migration_that_fails_leaves_the_older_revision_whole(target: Target) -> None:
    with opened(target) as database:
        go_back_to(database, "0001")
        with database.begin() as connection:  # what the second revision adds last
            connection.execute(text("ALTER TABLE runs ADD COLUMN folded_seconds FLOAT"))

    with pytest.raises(HistoryFailed, match="folded_seconds"):
        connect(target, NAME)

    with pytest.raises(HistoryOutdated), read_only(target):
        pass
    with pytest.raises(HistoryFailed, match="folded_seconds"):  # and the lock is free again
        connect(target, NAME)
