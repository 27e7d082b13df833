"""Starts runs as the scheduler does, and waits for the reports of a runner: the base of `RunnerConformance`."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import SkipTest

from taskloom.catalog.params import inspect_task
from taskloom.clock import mono
from taskloom.core.inputs import RunEnded, RunReady, RunStarted, RunStartFailed
from taskloom.core.model import Reason, ReasonKind
from taskloom.runners import Report, RunHandle, Runner, RunOrder
from taskloom.runners.logs import TASK_LOGGER
from taskloom.sync.cancel_token import CancelToken
from taskloom.sync.latch import Latch
from taskloom.testing.requirement import require
from taskloom.testing.runner_tasks import ENTERED, RELEASE, RunFolder, wait_until
from taskloom.text import duration

__all__ = ["WHY", "BenchRun", "RunnerBench", "caught_log", "needs_folder", "shared_folder"]

JOB = "conformance"
WHY = Reason(ReasonKind.USER, "enough, says ünï cödé")


@dataclass(frozen=True)
class BenchRun:
    """A run that was started."""

    id: str
    handle: RunHandle
    token: CancelToken


class RunnerBench:
    """Starts runs through a runner. `reports` has what the runner has reported, in order.

    `folder` is shared with the tasks. `patience`: the seconds that a run may take to begin, and to end.
    """

    def __init__(self, runner: Runner, folder: RunFolder, options: Mapping[str, Any], patience: float) -> None:
        self.runner = runner
        self.folder = folder
        self.runs: list[BenchRun] = []
        self.reports: list[Report] = []
        self._options = options
        self._patience = patience
        self._changed = threading.Condition()
        self._callbacks: list[threading.Thread] = []

    def emit(self, report: Report) -> None:
        """Take a report of the runner; any thread may call it."""
        with self._changed:
            self.reports.append(report)
            self._changed.notify_all()

    def start(
        self,
        task: Callable[..., object],
        *,
        token: CancelToken | None = None,
        attempt: int = 1,
        replica: int = 1,
        daemon: bool = True,
        terminate_returned: Latch | None = None,
        before: Callable[[], object] = lambda: None,
        **params: Any,
    ) -> BenchRun:
        """Start a run of a task, which gets the folder if it has such a parameter.

        `before` is called when the task is bound, which creates an instance of it, and before the runner is called.
        """
        shape = inspect_task(task)
        if needs_folder(task):
            params["folder"] = str(self.folder.path)
        binding = shape.bind(params)[1]
        before()
        token = token or CancelToken()
        # A name in which nothing of an earlier run can be found.
        name = f"{JOB}#{len(self.runs) + 1}"
        order = RunOrder(
            name, JOB, shape.name, attempt, replica, daemon, 0.5, binding, self._options, terminate_returned
        )
        run = BenchRun(name, self.runner.start(order, token, self.emit), token)
        self.runs.append(run)
        return run

    def started(self, task: Callable[..., object], **options: Any) -> BenchRun:
        """Start a run and wait until its task writes that it was entered."""
        run = self.start(task, **options)
        self.await_file(ENTERED)
        return run

    def cancel(self, run: BenchRun, reason: Reason = WHY) -> None:
        """Request the stop of a run as the scheduler does: callbacks on another thread, then the wake-up."""
        request_stop(run.token, reason, self._callbacks)

    def await_file(self, name: str) -> str:
        """Return the text of a file once a task has written it."""
        found = wait_until(lambda: self.folder.has(name), self._patience)
        require(found, f"the task has not come to {name!r} within {self._limit}{self._reported()}")
        return self.folder.read(name)

    def await_true(self, is_true: Callable[[], object], claim: str) -> None:
        """Wait until the condition is true."""
        require(wait_until(lambda: bool(is_true()), self._patience), f"not within {self._limit}: {claim}")

    def end(self, run: BenchRun) -> RunEnded | RunStartFailed:
        """Wait for the end of a run, and until nothing of it is left; return the report of the end."""
        with self._changed:
            came = self._changed.wait_for(lambda: self.ends(run), self._patience)
        require(came, f"no RunEnded or RunStartFailed came within {self._limit}{self._reported()}")
        require(run.handle.join(self._patience), f"handle.join returned False {self._limit} after the end of the run")
        return self.ends(run)[0]

    def ended(self, run: BenchRun) -> RunEnded:
        """Wait for the end of a run that has begun."""
        report = self.end(run)
        if not isinstance(report, RunEnded):
            raise AssertionError(f"the run did not begin: {report.error}\n{report.error.traceback}")
        return report

    def ends(self, run: BenchRun) -> list[RunEnded | RunStartFailed]:
        """Return the reports of its end."""
        return [
            each for each in list(self.reports) if isinstance(each, RunEnded | RunStartFailed) and each.run == run.id
        ]

    def reports_of(self, run: BenchRun) -> list[Report]:
        """Return all reports about its life."""
        kinds = RunStarted | RunReady | RunEnded | RunStartFailed
        return [each for each in list(self.reports) if isinstance(each, kinds) and each.run == run.id]

    def close(self) -> bool:
        """End all runs and the runner; return whether all of it has ended in time."""
        self.folder.write(RELEASE)
        for run in self.runs:
            if run.handle.is_alive():
                self.cancel(run)
        for run in self.runs:
            if not run.handle.join(self._patience) and hasattr(run.handle, "kill"):
                run.handle.kill()
        limit = mono() + self._patience
        is_over = all(run.handle.join(max(0.0, limit - mono())) for run in self.runs)
        self.runner.close()
        for thread in self._callbacks:
            thread.join(self._patience)
        return self.runner.join(max(0.0, limit - mono())) and is_over

    @property
    def _limit(self) -> str:
        return duration(self._patience)

    def _reported(self) -> str:
        return f"; reported: {', '.join(map(str, self.reports)) or 'nothing'}"


def request_stop(token: CancelToken, reason: Reason, threads: list[threading.Thread]) -> None:
    """Request the stop; a thread for each callback, because one may block, is added to `threads`."""
    token.request(reason)
    for callback in token.take_callbacks():
        if callback.begin():
            thread = threading.Thread(target=callback, name="conformance-callback", daemon=True)
            threads.append(thread)
            thread.start()
    token.wake()


def needs_folder(task: Callable[..., object]) -> bool:
    """Return whether the task has the parameter `folder`."""
    return any(param.name == "folder" for param in inspect_task(task).params)


@contextmanager
def shared_folder() -> Iterator[RunFolder]:
    """Make a folder for the runs of one test. Its path has a blank, which a runner has to pass on as it is."""
    path = tempfile.mkdtemp(prefix="taskloom conformance ")
    try:
        yield RunFolder(path)
    finally:
        shutil.rmtree(path, ignore_errors=True)


class _Catcher(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextmanager
def caught_log() -> Iterator[list[logging.LogRecord]]:
    """Collect what tasks log; begin it before the run, because a runner may ask for the level only once."""
    logger, catcher = logging.getLogger(TASK_LOGGER), _Catcher()
    level, propagate = logger.level, logger.propagate
    logger.addHandler(catcher)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield catcher.records
    finally:
        logger.removeHandler(catcher)
        logger.setLevel(level)
        logger.propagate = propagate


class RunnerRules(ABC):
    """The base of all parts of `RunnerConformance`: makes a bench for a test."""

    # As `RunnerConformance` describes them.
    options: Mapping[str, Any]
    are_options_for_daemons: bool
    patience: float
    races: int

    @abstractmethod
    def make_runner(self) -> Runner:
        """Return a new runner."""

    def options_of(self, *, daemon: bool) -> Mapping[str, Any]:
        """Return the options of a job."""
        return self.options if daemon or not self.are_options_for_daemons else {}

    @property
    def can_kill(self) -> bool:
        """Whether the runs of this runner can be killed: it has `kills = True`."""
        return bool(getattr(self.make_runner(), "kills", False))

    def needs_kills(self) -> None:
        """Skip the test unless the runner kills."""
        if not self.can_kill:
            raise SkipTest("this runner has no `kills = True`")

    def needs_no_kills(self) -> None:
        """Skip the test if the runner kills."""
        if self.can_kill:
            raise SkipTest("this runner kills such a run")

    @contextmanager
    def bench(self) -> Iterator[RunnerBench]:
        """Make a runner, and end all its runs afterwards."""
        with shared_folder() as folder:
            bench = RunnerBench(self.make_runner(), folder, self.options, self.patience)
            try:
                yield bench
            finally:
                bench.close()


def living(pids: Sequence[int]) -> list[int]:
    """Return those processes that exist and are not zombies. On Linux."""
    return [pid for pid in pids if _state_of(pid) not in ("", "Z", "X")]


def _state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""


def own_children() -> set[int]:
    """Return the ids of the child processes of this process. On Linux; elsewhere none."""
    found: set[int] = set()
    for task in _entries("/proc/self/task"):
        try:
            found |= set(map(int, (task / "children").read_text(encoding="ascii").split()))
        except OSError:
            continue  # the thread has ended
    return found


def open_descriptors() -> set[int]:
    """Return the numbers of the open descriptors of this process. On Linux; elsewhere none."""
    return {number for number in (int(entry.name) for entry in _entries("/proc/self/fd")) if _is_open(number)}


def _is_open(number: int) -> bool:
    """Return whether it is open: the one that has listed the folder is closed by now."""
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _entries(folder: str) -> list[Path]:
    try:
        return list(Path(folder).iterdir())
    except OSError:
        return []
