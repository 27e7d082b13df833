"""The databases of these tests: one with a `target` is run with a file of SQLite, and with -m long in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.history_databases import opened

from taskloom.history.database import Database
from taskloom.history.location import Target, parse_target


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    """A place with no history yet. The folder's name has a blank, a quotation mark, and what a URL would escape."""
    if request.param == "postgresql":
        return parse_target(request.getfixturevalue("postgres").make_database())
    folder = tmp_path / "a 'b' %41?#é"
    folder.mkdir()
    return parse_target(f"{folder}/history.sqlite")


@pytest.fixture
def database(target: Target) -> Iterator[Database]:
    """A new history, open for writing."""
    with opened(target) as database:
        yield database
