"""`taskloom run` with a history, as a child process: its database, what it says of it, and kills without a warning."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Program, faked_clock, small_disk, start_program, toy_packages
from tests.support.distribution import write_distribution
from tests.support.history_tasks import NAMES
from tests.support.postgres_server import PostgresServer
from tests.support.stored_history import Row, StoredHistory

from taskloom.clock import mono
from taskloom.control.client import Connection, ControlError, find

__all__ = ["faked_clock", "small_disk", "start_program", "toy_packages"]

ROOT = Path(__file__).resolve().parents[2]
# Reached only when a test fails: a start on a busy machine takes seconds, a try to heal begins after up to 30 s.
PATIENCE_SECONDS = 90.0
# What is left for the history at a stop is at most 2 s; the rest is room for a busy machine.
STOP_SECONDS = 10.0
# Runs of every kind: endless, frequent, with much output, and started by a user.
JOBS = """
jobs:
  ticking: {task: ticker, daemon: true}
  waiting: {task: waiter}
  often: {task: brief, schedule: {every: 100ms}}
  loud: {task: chatty, params: {lines: 70}, schedule: {every: 500ms}}
  asked: {task: brief, start: manual}
"""
AGAIN_SECONDS = 0.1


@pytest.fixture(scope="session")
def history_tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed tasks of tests/support/history_tasks.py."""
    source = (ROOT / "tests" / "support" / "history_tasks.py").read_text(encoding="utf-8")
    return write_distribution(tmp_path_factory.mktemp("history tasks"), "history-tasks", source, NAMES)


@pytest.fixture(params=["sqlite", "postgresql"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> StoredHistory:
    """A database of each kind, without tables yet."""
    if request.param == "sqlite":
        return StoredHistory(str(tmp_path / "runs.sqlite"))
    server: PostgresServer = request.getfixturevalue("postgres")
    return StoredHistory(server.make_database())


class Keeper:
    """One `taskloom run` with a history."""

    def __init__(self, program: Program, socket: str, stored: StoredHistory) -> None:
        self.program = program
        self.stored = stored
        self._socket = socket

    @property
    def pid(self) -> int:
        """The process id of the program."""
        return self.program.process.pid

    @property
    def has_ended(self) -> bool:
        """Whether it has ended."""
        return self.program.process.poll() is not None

    def ask(self, path: str, **body: object) -> dict[str, Any]:
        """Ask the program by its control socket: a POST if there is a body. Raises ControlError."""
        connection = Connection(find(socket=self._socket), 10.0)
        return connection.post(path, body) if body else connection.get(path)

    def history(self) -> dict[str, Any]:
        """Return how the history is, as the status says."""
        found = self.ask("/v1/program")["history"]
        assert isinstance(found, dict)
        return found

    def until(self, what: str, holds: Callable[[], Any]) -> Any:
        """Wait until `holds()` is true, and return its value; fail if the program ends meanwhile."""
        bound = mono() + PATIENCE_SECONDS
        last: ControlError | None = None
        while mono() < bound:
            try:
                if found := holds():
                    return found
            except ControlError as error:
                last = error  # it does not listen yet
            self.program.pass_time(AGAIN_SECONDS)
        raise AssertionError(f"it never came to this: {what} ({last})\n{self.program.stderr}")

    def until_state(self, state: str) -> dict[str, Any]:
        """Wait until the history is in this state, and return it as the status shows it."""
        found = self.until(f"history {state}", lambda: (it := self.history())["state"] == state and it)
        assert isinstance(found, dict)
        return found

    def until_row(self, table: str, holds: Callable[[Row], Any] = bool, **where: object) -> Row:
        """Wait until the table has such a row."""
        found = self.until(
            f"a row in {table}: {where}", lambda: [r for r in self.stored.rows(table, **where) if holds(r)]
        )
        row: Row = found[-1]
        return row

    def start_row(self) -> Row:
        """Wait for its row in the table of starts."""
        return self.until_row("starts", pid=self.pid)

    def kill(self) -> None:
        """Kill it alone, and wait until nothing of it is left."""
        handles = [os.pidfd_open(pid) for pid in self.program.relatives() if pid != self.pid]
        self.program.process.kill()
        self.program.process.wait(PATIENCE_SECONDS)
        for handle in handles:
            _wait_for_end(handle)
        self.program.kill()  # closes its pipe: there may be thousands of them

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """Stop it by a signal; return its exit code and the seconds that it took."""
        begin = self.program.send(number)
        code = self.program.end()
        return code, mono() - begin


def _wait_for_end(handle: int) -> None:
    import select

    try:
        assert select.select([handle], [], [], PATIENCE_SECONDS)[0], "a process of a killed program goes on"
    finally:
        os.close(handle)


Keep = Callable[..., Keeper]


@pytest.fixture
def keep(start_program: Callable[..., Program], history_tasks: Path, own_runtime_folder: str) -> Keep:
    """Start `taskloom run --history` with the text of a job file. Options are those of the command line."""
    socket = f"{own_runtime_folder}/s"

    def go(
        jobs: str,
        stored: StoredHistory,
        *options: str,
        env: dict[str, str] | None = None,
        is_placed: bool = True,
        **more: Any,
    ) -> Keeper:
        program = start_program(
            jobs,
            *(["--history", stored.place] if is_placed else []),
            *("--name", "kept", *([] if "--no-control" in options else ["--socket", socket]), *options),
            env={"PYTHONPATH": str(history_tasks)} | ({} if is_placed else {"TASKLOOM_HISTORY": ""}) | (env or {}),
            **more,
        )
        return Keeper(program, socket, stored)

    return go
