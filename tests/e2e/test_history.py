"""The history of real programs: what is in its database after they have ended or were killed."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Program

Start = Callable[..., Program]
Cli = Callable[..., "subprocess.CompletedProcess[str]"]
Rows = Callable[[str], list[dict[str, Any]]]

POLITE = "jobs: {one: {task: polite}}"
NIGHTLY = "jobs: {nightly: {task: silent_leaver, schedule: {every: 1000s}}}"
# Of the packages that the history needs, and of the standard library what only the history needs.
FOREIGN = ("sqlalchemy", "alembic", "psycopg", "sqlite3", "taskloom.history")
NO_EXTRA = "import sys\nsys.modules['sqlalchemy'] = None\n"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state of the test"


@pytest.fixture
def start(start_program: Start, state: Path) -> Start:
    """Start a program that has a history in the folder `state`."""

    def start(jobs: str, *options: str, env: dict[str, str] | None = None, **streams: Any) -> Program:
        own = {"TASKLOOM_HISTORY": "on", "XDG_STATE_HOME": str(state)}
        return start_program(jobs, *options, env=own | (env or {}), **streams)

    return start


@pytest.fixture
def rows(state: Path) -> Rows:
    """Return the rows of a table of the only history."""

    def read(table: str) -> list[dict[str, Any]]:
        [path] = (state / "taskloom").glob("*.sqlite")
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            connection.row_factory = sqlite3.Row
            found = [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]  # noqa: S608
        connection.close()
        return found

    return read


@pytest.fixture
def without_extra(tmp_path: Path, toy_packages: Path) -> dict[str, str]:
    """The environment of a program that was installed without the extra."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(NO_EXTRA)
    return {"PYTHONPATH": f"{folder}{os.pathsep}{toy_packages}", "TASKLOOM_HISTORY": ""}


def imported(program: subprocess.CompletedProcess[str]) -> list[str]:
    lines = [line.rpartition("|")[2].strip() for line in program.stderr.splitlines() if line.startswith("import time:")]
    assert "taskloom.cli.program.program" in lines
    return [name for name in lines if name.startswith(FOREIGN)]


@pytest.mark.parametrize("options", [{"TASKLOOM_HISTORY": "off"}, None], ids=["off", "no extra"])
def test_without_a_history_nothing_of_it_is_imported_and_nothing_is_written(
    options: dict[str, str] | None,
    child_env: dict[str, str],
    without_extra: dict[str, str],
    toy_packages: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "jobs.yaml").write_text("jobs: {one: {task: silent_leaver}}")
    env = child_env | {"PYTHONPATH": str(toy_packages)} | (options or without_extra)
    command = [sys.executable, "-X", "importtime", "-m", "taskloom", "run", "jobs.yaml"]

    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=30, check=False)

    assert done.returncode == 0, done.stderr
    assert imported(done) == []
    assert list(Path(child_env["XDG_STATE_HOME"]).iterdir()) == []
    assert "history" not in "".join(line for line in done.stderr.splitlines() if not line.startswith("import time:"))


def test_a_history_that_is_set_is_refused_without_its_packages(start: Start, without_extra: dict[str, str]) -> None:
    program = start(POLITE, "--history", "on", env=without_extra)

    assert program.end() == 2
    assert program.stderr.endswith(
        "Error: cannot record the history: its packages are not installed; pip install 'taskloom[history]'\n"
    )


@pytest.mark.long
def test_jobs_run_and_the_log_says_so_if_the_history_cannot_be_written(
    start: Start, taskloom_cli: Cli, state: Path
) -> None:
    state.write_text("not a folder")
    program = start(POLITE, "--name", "hist-e2e")
    program.wait_for("started")

    shown = taskloom_cli("status", "--name", "hist-e2e")

    program.send(signal.SIGTERM)
    assert program.end() == 0
    assert program.stderr.count("WARNING taskloom     the history is degraded: ") == 1
    assert shown.stdout.startswith("history is degraded since "), shown
    assert shown.stdout.splitlines()[1].startswith("JOB ")


@pytest.mark.long
def test_a_program_that_ends_leaves_its_runs_its_report_and_the_log_of_what_failed(start: Start, rows: Rows) -> None:
    program = start("jobs: {fine: {task: silent_leaver}, bad: {task: bad, after: fine}}", "-o", "json", stdout=-1)
    assert program.process.stdout is not None
    shown = json.loads(program.process.stdout.read())
    assert program.end() == 1
    program.process.stdout.close()

    [start_row] = rows("starts")
    runs = {row["job"]: row for row in rows("runs")}
    [tail] = rows("log_tails")
    assert (start_row["how"], start_row["exit_code"], json.loads(start_row["report"])) == ("ended", 1, shown)
    assert json.loads(start_row["paths"]) == ["jobs.yaml"]
    assert {job: row["outcome"] for job, row in runs.items()} == {"fine": "succeeded", "bad": "failed"}
    assert runs["bad"]["error_type"] == "ValueError"
    assert "raise ValueError" in runs["bad"]["error_traceback"]
    assert (tail["run"], tail["truncated"]) == ("bad#1", 0)
    assert "failed after" in tail["text"]


@pytest.mark.long
def test_the_start_after_a_kill_says_which_runs_were_lost_once(start: Start, rows: Rows) -> None:
    program = start("jobs: {one: {task: polite}, two: {task: polite}}")
    program.wait_for_event("ready", "one")
    program.wait_for_event("ready", "two")
    other = start("jobs: {x: {task: silent_leaver}}", "--name", "other", "--history", "./other.sqlite")
    assert other.end() == 0
    while len(rows("runs")) < 2:
        program.pass_time(0.02)
    program.kill()

    again = start("jobs: {one: {task: polite}, two: {task: polite}}")
    again.wait_for("started")
    again.send(signal.SIGTERM)
    assert again.end() == 0
    third = start("jobs: {one: {task: silent_leaver}}")
    assert third.end() == 0

    assert "the program was killed (last seen " in again.stderr
    assert "and 2 runs were lost: " in again.stderr
    assert "one#1 (last polled " in again.stderr or "one#1 (no poll is known)" in again.stderr
    assert "was killed" not in third.stderr
    assert sorted(row["outcome"] for row in rows("runs")) == ["cancelled"] * 2 + ["lost"] * 2 + ["succeeded"]
    assert [row["how"] for row in rows("starts")] == ["lost", "ended", "ended"]


@pytest.mark.long
def test_signals_and_requests_are_recorded_with_who_sent_them(start: Start, taskloom_cli: Cli, rows: Rows) -> None:
    program = start(POLITE, "--name", "hist-act")
    program.wait_for("started")
    program.reload("jobs: {one: {task: polite}, more: {task: polite}}")
    program.wait_for("reload: 1 added (more)")
    done = taskloom_cli("stop", "more", "--name", "hist-act")
    assert done.returncode == 0, done
    program.reload("jobs: {one: {task: nothing-such}}")
    program.wait_for("reload: cannot use the job files")
    program.send(signal.SIGTERM)
    assert program.end() == 0

    actions = sorted(rows("actions"), key=lambda row: float(row["at"]))  # a reload is written when it is over
    found = [(row["action"], json.loads(row["jobs"]), row["reason"], row["result"]) for row in actions]
    callers = [json.loads(row["caller"]) for row in actions]
    assert found == [
        ("reload", [], "", "1 added (more), 1 untouched"),
        ("stop", ["more"], "", ""),
        ("reload", [], "", "cannot use the job files (1 error); nothing has changed"),
        ("shutdown", [], "", ""),
    ]
    assert [caller.get("signal") for caller in callers] == ["SIGHUP", None, "SIGHUP", "SIGTERM"]
    assert callers[1]["uid"] == os.getuid()
    assert "stop more --name hist-act" in callers[1]["command"]


@pytest.mark.long
def test_a_pause_survives_a_restart_unless_the_start_is_fresh(start: Start, taskloom_cli: Cli) -> None:
    program = start(NIGHTLY, "--name", "hist-pause")
    program.wait_for_event("job_added")
    assert taskloom_cli("pause", "nightly", "--name", "hist-pause").returncode == 0
    program.kill()  # the reply came after the commit

    again = start(NIGHTLY, "--name", "hist-pause")
    again.wait_for("nightly is paused since ")
    shown = taskloom_cli("status", "--name", "hist-pause").stdout
    again.send(signal.SIGTERM)
    assert again.end() == 0
    fresh = start(NIGHTLY, "--name", "hist-pause", "--fresh")
    fresh.wait_for_event("job_added")
    shown_fresh = taskloom_cli("status", "--name", "hist-pause").stdout
    fresh.send(signal.SIGTERM)
    assert fresh.end() == 0
    after = start(NIGHTLY, "--name", "hist-pause")
    after.wait_for_event("job_added")
    after.send(signal.SIGTERM)
    assert after.end() == 0

    assert "paused" in shown
    assert "paused" not in shown_fresh
    assert "is paused since" not in fresh.stderr + after.stderr


@pytest.mark.long
def test_an_exit_at_the_third_signal_is_an_end(start: Start, rows: Rows) -> None:
    for _ in range(4):  # a tenth of a second is left for it, which a busy machine may not have
        program = start("jobs: {one: {task: swallower, join: 100s}}", "--stop-within", "100s")
        program.wait_for("started")
        for words in ("stopping all jobs", "at most 2 more seconds"):
            program.send(signal.SIGTERM)
            program.wait_for(words)
            program.pass_time(0.6)
        program.send(signal.SIGTERM)
        assert program.end() == 143
        last = max(rows("starts"), key=lambda row: float(row["since"]))
        if last["how"] == "ended":
            break

    of_last = [row for row in rows("actions") if row["start"] == last["start"]]
    assert (last["how"], last["exit_code"]) == ("ended", 143)
    assert [row["action"] for row in sorted(of_last, key=lambda row: float(row["at"]))] == [
        "shutdown",
        "shutdown",
        "exit",
    ]
    assert [row["outcome"] for row in rows("runs") if row["start"] == last["start"]] == ["abandoned"]


FORKING = '''
import os, threading

def fork(ctx):
    """Fork a child that ends as a program does, and one that calls exit handlers."""
    for leave in (lambda: os._exit(0), lambda: __import__("sys").exit(0)):
        pid = os.fork()
        if pid == 0:
            leave()
        os.waitpid(pid, 0)
'''


@pytest.mark.long
def test_forked_children_leave_the_history_alone(start: Start, rows: Rows, tmp_path: Path, toy_packages: Path) -> None:
    folder = tmp_path / "forking"
    info = folder / "forking-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "forking.py").write_text(FORKING)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: forking\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[taskloom.tasks]\nfork = forking:fork\n")
    env = {"PYTHONPATH": f"{folder}{os.pathsep}{toy_packages}"}

    program = start("jobs: {one: {task: fork}, two: {task: silent_leaver, after: one}}", env=env)
    assert program.end() == 0, program.stderr

    assert {row["run"]: row["outcome"] for row in rows("runs")} == {"one#1": "succeeded", "two#1": "succeeded"}
    assert [row["how"] for row in rows("starts")] == ["ended"]
    assert "history" not in program.stderr


@pytest.mark.long
@pytest.mark.parametrize("verb", ["validate", "simulate", "drill", "plan"])
def test_verbs_that_only_try_something_touch_no_state(
    verb: str, taskloom_cli: Cli, tmp_path: Path, toy_packages: Path
) -> None:
    (tmp_path / "jobs.yaml").write_text(
        "jobs: {nightly: {task: silent_leaver, schedule: {cron: '0 3 * * *', missed: catch-up}}}"
    )
    state = tmp_path / "state"
    env = {"TASKLOOM_HISTORY": "on", "XDG_STATE_HOME": str(state), "PYTHONPATH": str(toy_packages)}
    arguments = ["validate", "--plan"] if verb == "plan" else [verb]

    done = taskloom_cli(*arguments, "jobs.yaml", env=env)

    assert done.returncode == 0, done
    assert not state.exists()
