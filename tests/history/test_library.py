"""`record`: the history of a program that brings its own scheduler."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.core.events import EventName
from taskloom.history import record
from taskloom.history.errors import HistoryError


def rows(path: Path, table: str) -> list[dict[str, Any]]:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    found = [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]  # noqa: S608
    connection.close()
    return found


def test_a_scheduler_of_a_program_has_a_history(tmp_path: Path) -> None:
    path = tmp_path / "runs here.sqlite"
    scheduler = WatchedScheduler(log=False)
    with record(scheduler, str(path), name="host"):
        scheduler.add_function("one", lambda ctx: ctx.count("lines", 3), manual=True).start()
        scheduler.wait_for(EventName.ENDED, "one")
        report = scheduler.finish()

    [start] = rows(path, "starts")
    [run] = rows(path, "runs")
    assert (start["name"], start["how"], start["exit_code"]) == ("host", "ended", 0)
    assert json.loads(start["report"])["exit_code"] == int(report.exit_code)
    assert (run["run"], run["outcome"], json.loads(run["counters"])) == ("one#1", "succeeded", {"lines": 3})


def test_runs_that_are_alive_at_the_end_of_the_block_are_abandoned(tmp_path: Path) -> None:
    path = tmp_path / "runs.sqlite"
    scheduler = WatchedScheduler(log=False)
    with record(scheduler, str(path), name="host"):
        scheduler.add_function("one", lambda ctx: ctx.wait(), manual=True).start()
        scheduler.wait_for(EventName.READY, "one")

    scheduler.finish()
    assert [(run["run"], run["outcome"]) for run in rows(path, "runs")] == [("one#1", "abandoned")]


def test_a_target_that_cannot_be_used_is_refused() -> None:
    scheduler = WatchedScheduler(log=False)
    with pytest.raises(HistoryError), record(scheduler, "mysql://host/name", name="host"):
        raise AssertionError("it was entered")
    scheduler.finish()
