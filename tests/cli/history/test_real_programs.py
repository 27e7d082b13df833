"""The verbs after real programs, and with a server of PostgreSQL."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.history_databases import opened
from tests.support.postgres_server import PostgresServer

from taskloom.history import tables
from taskloom.history.location import parse_target

pytestmark = pytest.mark.long

JOBS = """
taskloom: {name: night, history: ./night of mine.sqlite}
jobs:
  good: {task: countdown, params: {start: 2, interval: 1ms}}
  bad: {task: countdown, params: {start: 2, interval: 1ms, failures: 5}}
"""
FOR_EVER = """
jobs:
  stuck: {task: countdown, params: {start: 100000, interval: 10ms}}
"""


@pytest.fixture
def cli(taskloom_cli: Callable[..., Any], child_env: dict[str, str], tmp_path: Path) -> Callable[..., Any]:
    """Call taskloom where the history is the one that the job files name."""
    child_env.pop("TASKLOOM_HISTORY", None)
    (tmp_path / "night.yaml").write_text(JOBS)
    (tmp_path / "ever.yaml").write_text(FOR_EVER)
    return taskloom_cli


def test_the_report_is_what_run_showed_and_the_log_is_that_of_the_run(cli: Callable[..., Any]) -> None:
    ran = cli("run", "night.yaml")
    report = cli("report", "--path", "night.yaml")
    log = cli("logs", "--run", "bad#1", "--history", "./night of mine.sqlite")
    shown = json.loads(cli("history", "-p", "night.yaml", "-o", "json").stdout)

    assert ran.returncode == 1, ran.stderr
    assert report.returncode == log.returncode == 0
    assert report.stdout
    assert ran.stderr.endswith(report.stdout)
    assert "exit code 1" in report.stderr
    assert "attempt 1 fails because of failures: 5" in log.stdout
    assert {run["run"]: run["outcome"] for run in shown["runs"]} == {"good#1": "succeeded", "bad#1": "failed"}
    assert [(start["how"], start["exit_code"]) for start in shown["starts"]] == [("ended", 1)]


def test_after_a_kill_the_runs_are_lost_before_and_after_the_next_start(
    cli: Callable[..., Any], child_env: dict[str, str], tmp_path: Path
) -> None:
    place = ("--history", "./killed.sqlite")
    command = [sys.executable, "-m", "taskloom", "run", "ever.yaml", *place]
    with subprocess.Popen(command, cwd=tmp_path, env=child_env, stderr=subprocess.PIPE, text=True) as program:
        assert program.stderr is not None
        found: list[dict[str, Any]] = []
        for line in program.stderr:
            if line.rstrip()[-1:].isdigit():
                runs = cli("history", *place, "-o", "json")
                found = json.loads(runs.stdout)["runs"] if runs.returncode == 0 else []
            if found:
                break
        assert [run["outcome"] for run in found] == [None]
        os.kill(program.pid, signal.SIGKILL)
        program.wait()

    before = json.loads(cli("history", *place, "--failed", "-o", "json").stdout)
    report = json.loads(cli("report", *place, "-o", "json").stdout)

    assert [(run["run"], run["outcome"]) for run in before["runs"]] == [("stuck#1", "lost")]
    assert [run["run"] for run in report["alive"]] == ["stuck#1"]
    assert (report["start"]["how"], report["report"]) == ("lost", None)


def test_a_history_of_postgresql(cli: Callable[..., Any], child_env: dict[str, str], postgres: PostgresServer) -> None:
    url = postgres.make_database()
    with opened(parse_target(url), "night") as database, database.begin() as connection:
        start = {"name": "night", "start": "aaaa1111", "since": 1.0, "pid": 1, "alive_at": 2.0, "how": "running"}
        tables.upsert(connection, tables.starts, [start])
        run = {"name": "night", "start": "aaaa1111", "run": "web#1", "job": "web", "queued_at": 1.0, "outcome": None}
        tables.upsert(connection, tables.runs, [{**run, "is_unrecorded": False, "folded": 1}])
    child_env["TASKLOOM_HISTORY"] = url.replace("postgres@", "postgres:a password@")

    with opened(parse_target(url), "night"):
        running = json.loads(cli("history", "-o", "json").stdout)
    killed = cli("history", "-o", "json")
    postgres.stop()
    gone = cli("history")

    assert [run["outcome"] for run in running["runs"]] == [None]
    assert [run["outcome"] for run in json.loads(killed.stdout)["runs"]] == ["lost"]
    assert json.loads(killed.stdout)["history"] == url
    assert gone.returncode == 4
    assert gone.stderr.count("\n") == 1
    assert "a password" not in f"{gone.stderr}{killed.stdout}{killed.stderr}"
