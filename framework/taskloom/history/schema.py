"""The revision of the tables: new ones are made at once, older ones are brought up to date by Alembic.

Alembic takes long to import, so that is left until it is needed.
"""

from __future__ import annotations

from sqlalchemy import Connection, inspect, text

from taskloom.history.errors import HistoryOutdated, HistoryTooNew, HistoryUnusable, PackageMissing
from taskloom.history.location import Target
from taskloom.history.locks import lock_schema
from taskloom.history.tables import HEAD, REVISIONS, SCHEMA, metadata, versions

__all__ = ["bring_up_to_date", "check_revision", "stored_revision"]


def bring_up_to_date(connection: Connection, target: Target) -> None:
    """Make the tables, or change older ones and keep their rows, in the transaction of this connection.

    Raises HistoryTooNew, HistoryUnusable for a database of another program, PackageMissing, and errors of the database.
    """
    if connection.dialect.name == "postgresql":
        _make_schema(connection)
    revision = stored_revision(connection)
    if revision is None:
        if connection.dialect.name == "sqlite" and inspect(connection).get_table_names():
            raise HistoryUnusable(target.in_quotes, "it is a database of another program")
        if connection.dialect.name == "postgresql" and inspect(connection).get_table_names(SCHEMA):
            raise HistoryUnusable(target.in_quotes, f"its schema {SCHEMA} has tables of another program")
        metadata.create_all(connection)
        connection.execute(versions.insert().values(version_num=HEAD))
    elif revision != HEAD:
        if revision not in REVISIONS:
            raise HistoryTooNew(target.in_quotes, revision, HEAD)
        _migrate(connection)


def check_revision(connection: Connection, target: Target) -> bool:
    """Return whether there are tables to read. Raises HistoryTooNew, HistoryOutdated, and errors of the database."""
    revision = stored_revision(connection)
    if revision is None or revision == HEAD:
        return revision is not None
    kind = HistoryOutdated if revision in REVISIONS else HistoryTooNew
    raise kind(target.in_quotes, revision, HEAD)


def stored_revision(connection: Connection) -> str | None:
    """Return the revision of the tables; None if there are none."""
    if connection.dialect.name == "postgresql":
        asked = text("SELECT to_regclass(:table)")
        if connection.execute(asked, {"table": f"{SCHEMA}.{versions.name}"}).scalar() is None:
            return None
    elif (
        connection.execute(
            text("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = :table"), {"table": versions.name}
        ).first()
        is None
    ):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all()
    return None if not found else str(found[0])


def _make_schema(connection: Connection) -> None:
    lock_schema(connection)
    # Not IF NOT EXISTS alone: it is refused to a user who may not make one, also if it exists.
    if connection.execute(text("SELECT to_regnamespace(:schema)"), {"schema": SCHEMA}).scalar() is None:
        connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))


def _migrate(connection: Connection) -> None:
    try:
        from alembic import command
        from alembic.config import Config
    except ImportError as error:
        raise PackageMissing("alembic", "history", str(error)) from error
    config = Config()
    config.set_main_option("script_location", "taskloom.history:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
