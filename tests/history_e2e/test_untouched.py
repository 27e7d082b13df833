"""Without a history no module of it is imported; a verb that only looks at jobs, or tries them, touches no state."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.history_e2e.conftest import Keep
from tests.support.stored_history import StoredHistory

pytestmark = pytest.mark.long

JOBS = """
jobs:
  brief: {task: brief}
  nightly: {task: stamped, params: {stamps: stamps}, schedule: {cron: "0 6 * * *", missed: catch-up}}
"""


@pytest.fixture
def path_env(child_env: dict[str, str], history_tasks: Path, tmp_path: Path) -> dict[str, str]:
    """The environment in which the tasks are found, and a history would be at its default place."""
    env = child_env | {"PYTHONPATH": str(history_tasks), "XDG_STATE_HOME": str(tmp_path / "state")}
    del env["TASKLOOM_HISTORY"]
    return env


def content_of(folder: Path) -> dict[str, tuple[str, int]]:
    """Return a hash of each file, and when it was written."""
    return {
        str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize(
    ("option", "is_imported"), [(["--history", "off"], False), (["--history", "./there.sqlite"], True)]
)
def test_modules_of_the_history_are_imported_only_for_a_history(
    path_env: dict[str, str], tmp_path: Path, option: list[str], is_imported: bool
) -> None:
    (tmp_path / "jobs.yaml").write_text("jobs: {seen: {task: modules_seen, params: {names: modules}}}")

    done = subprocess.run(
        [sys.executable, "-m", "taskloom", "run", "jobs.yaml", *option],
        cwd=tmp_path, env=path_env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    modules = set((tmp_path / "modules").read_text().split())
    assert ("taskloom.history.recorder" in modules) is is_imported
    assert ("sqlalchemy" in modules) is is_imported
    assert not {"alembic", "sqlalchemy.orm", "psycopg"} & modules
    assert is_imported or [name for name in modules if name.startswith("taskloom.history") or name == "sqlite3"] == []


VERBS = {
    "validate": ["validate", "jobs.yaml"],
    "plan": ["validate", "jobs.yaml", "--plan"],
    "simulate": ["simulate", "jobs.yaml", "--for", "2d"],
    "drill": ["drill", "jobs.yaml", "--budget", "5s"],
    "tasks": ["tasks"],
    "schema": ["schema"],
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("is_there", [False, True], ids=["no state yet", "with state"])
def test_a_verb_that_only_looks_or_tries_touches_no_state(
    keep: Keep, path_env: dict[str, str], need_tool: Callable[[str], str], verb: str, is_there: bool
) -> None:
    state = Path(path_env["XDG_STATE_HOME"])
    tmp_path = state.parent
    (tmp_path / "jobs.yaml").write_text(JOBS)
    if is_there:
        stored = StoredHistory(str(state / "taskloom" / "kept.sqlite"))
        keeper = keep(JOBS, stored, "--history", "on", env={"XDG_STATE_HOME": str(state)})
        keeper.until_row("runs", job="brief", outcome="succeeded")
        keeper.kill()
    before = content_of(state)
    log = tmp_path / "trace"

    done = subprocess.run(
        [need_tool("strace"), "-f", "-qq", "-s", "500", "-o", str(log), "-e", "trace=%file,connect",
         sys.executable, "-m", "taskloom", *VERBS[verb]],
        cwd=tmp_path, env=path_env, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    assert done.returncode in (0, 1), done.stderr
    assert content_of(state) == before
    calls = log.read_text(errors="replace")
    assert "jobs.yaml" in calls or verb in ("tasks", "schema")
    assert str(state) not in calls
    assert state.exists() is is_there


def test_a_reader_changes_nothing_of_a_killed_program(keep: Keep, path_env: dict[str, str], tmp_path: Path) -> None:
    """Reading may make the shared memory of SQLite again, which has no data, but never the database."""
    state = tmp_path / "state"
    stored = StoredHistory(str(state / "taskloom" / "kept.sqlite"))
    keeper = keep(JOBS, stored, "--history", "on", env={"XDG_STATE_HOME": str(state)})
    keeper.until_row("runs", job="brief", outcome="succeeded")
    keeper.kill()
    rows = stored.rows("runs")

    done = subprocess.run(
        [sys.executable, "-m", "taskloom", "history", "--name", "kept", "-o", "json"],
        cwd=tmp_path, env=path_env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "brief" in json.dumps(json.loads(done.stdout))
    assert stored.rows("runs") == rows
    assert [row["how"] for row in stored.rows("starts")] == ["running"]
