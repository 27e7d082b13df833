"""A runner whose runs are threads that pretend to be in processes: a test gives the numbers and sees the signals."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any

from taskloom.core.model import RunnerSpec
from taskloom.runners import Emit, ProcessInfo, RunHandle, RunOrder, Stack
from taskloom.runners.thread import ThreadRunner
from taskloom.sync.cancel_token import CancelToken

__all__ = ["INFO", "PROCESS", "PretendedProcesses", "hog"]

PROCESS = RunnerSpec("process")
INFO = ProcessInfo(4242, 2, 38 << 20, 1.25, "sleeping")


def hog(_: Any) -> None:
    """Hold the interpreter lock for ever, at once."""
    max(itertools.repeat(0))


class PretendedProcesses(ThreadRunner):
    """The runner. `read` is called by each look at the processes of a run, on the thread that looks."""

    def __init__(self) -> None:
        self.signals: list[tuple[str, int]] = []
        """The job and the number of each signal that was sent."""
        self.looks: list[tuple[str, int]] = []
        """The job and the thread of each look."""
        self.read: Callable[[], Any] = lambda: INFO
        self.stack = Stack("worker.py:3 in run", "")

    def start(self, order: RunOrder, token: CancelToken, emit: Emit) -> Any:
        return _Handle(self, order.job, super().start(order, token, emit))

    def stacks(self, handles: Sequence[RunHandle], texts: int) -> list[Stack]:
        return [self.stack] * len(handles)


class _Handle:
    """The handle of a thread with what that of a process has."""

    def __init__(self, runner: PretendedProcesses, job: str, thread: RunHandle) -> None:
        self._runner, self._job, self._thread = runner, job, thread

    def __getattr__(self, name: str) -> Any:
        return getattr(self._thread, name)

    @property
    def process(self) -> ProcessInfo | None:
        self._runner.looks.append((self._job, threading.get_ident()))
        found: ProcessInfo | None = self._runner.read()
        return found

    def signal(self, number: int) -> None:
        self._runner.signals.append((self._job, number))

    def terminate(self) -> None:
        raise AssertionError("no test lets a run become late")

    kill = terminate

    def set_urgent(self) -> None:
        self._thread.gauges  # noqa: B018 - a run in a thread has no such flag of its own

    def set_poll_interval(self, seconds: float) -> None:
        self._thread.gauges.poll_interval = seconds
