"""What a runner is tested with: orders to run plain functions, and an ear for its reports."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from taskloom.core.inputs import RunEnded, RunReady, RunStarted, RunStartFailed
from taskloom.core.model import ErrorInfo, How
from taskloom.runners import RunHandle, Runner, RunOrder
from taskloom.runners.body import Binding, Body
from taskloom.runners.thread import ThreadRunner
from taskloom.token import CancelToken

Report = RunStarted | RunReady | RunEnded | RunStartFailed

SOON = 20.0


class Bench:
    """Runs plain functions through a runner; `reports` is all that the runner said, in order."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.reports: list[Report] = []
        self.handles: list[RunHandle] = []
        self.tokens: list[CancelToken] = []
        self._said = threading.Condition()

    def emit(self, report: Report) -> None:
        with self._said:
            self.reports.append(report)
            self._said.notify_all()

    def start(
        self,
        run: Callable[[Any], object],
        terminate: Callable[[], object] | None = None,
        *,
        make: Callable[[], Body] | None = None,
        token: CancelToken | None = None,
        daemon: bool = False,
    ) -> RunHandle:
        token = token or CancelToken()
        binding = Binding(make or (lambda: Body(run, terminate)), has_terminate=terminate is not None)
        order = RunOrder(f"job#{len(self.handles) + 1}", "job", "function", 1, 1, daemon, 0.5, binding)
        self.tokens.append(token)
        handle = self.runner.start(order, token, self.emit)
        self.handles.append(handle)
        return handle

    def end(self, count: int = 1) -> list[RunEnded | RunStartFailed]:
        """Wait until so many runs have ended, and return their reports."""
        with self._said:
            assert self._said.wait_for(lambda: len(self.ends()) >= count, SOON)
        for handle in self.handles:
            assert handle.join(SOON)
        return self.ends()

    def ends(self) -> list[RunEnded | RunStartFailed]:
        return [report for report in self.reports if isinstance(report, RunEnded | RunStartFailed)]

    def outcome_of(self, run: Callable[[Any], object]) -> tuple[How, ErrorInfo | None]:
        """Run a function to its end; return how it came back."""
        self.start(run)
        [report] = self.end()
        assert isinstance(report, RunEnded)
        return report.how, report.error


# A new runner joins here, and has its contract tested.
RUNNERS: list[Callable[[], Runner]] = [ThreadRunner]


@pytest.fixture(params=RUNNERS, ids=lambda runner: runner.__name__)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A bench for each runner."""
    bench = Bench(request.param())
    yield bench
    for handle in bench.handles:
        assert handle.join(SOON)


@pytest.fixture
def thread_bench() -> Iterator[Bench]:
    """A bench for the thread runner."""
    bench = Bench(ThreadRunner())
    yield bench
    for handle in bench.handles:
        assert handle.join(SOON)
