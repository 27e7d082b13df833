"""What a runner is tested with: orders to run plain functions, and an ear for its reports."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from taskloom.core.inputs import RunEnded, RunReady, RunStarted, RunStartFailed
from taskloom.core.model import ErrorInfo, How
from taskloom.runners import RunHandle, Runner, RunOrder
from taskloom.runners.binding import Binding, Body
from taskloom.runners.thread import ThreadRunner
from taskloom.runners.thread_cache import ThreadCache
from taskloom.sync.cancel_token import CancelToken

Report = RunStarted | RunReady | RunEnded | RunStartFailed

SOON = 20.0


class Bench:
    """Runs plain functions through a runner; `reports` is all that the runner said, in order."""

    def __init__(self, runner: Runner, options: Mapping[str, Any] = MappingProxyType({})) -> None:
        self.runner = runner
        self._options = options
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
        daemon: bool | None = None,
    ) -> RunHandle:
        token = token or CancelToken()
        is_daemon = bool(self._options) if daemon is None else daemon
        binding = Binding(make or (lambda: Body(run, terminate)), has_terminate=terminate is not None)
        name = f"job#{len(self.handles) + 1}"
        order = RunOrder(name, "job", "function", 1, 1, is_daemon, 0.5, binding, self._options)
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

    def finish(self) -> None:
        """See that everything goes."""
        for handle in self.handles:
            assert handle.join(SOON)
        self.runner.close()
        assert self.runner.join(SOON)


class Kind(NamedTuple):
    """A runner and the options that a job may give it."""

    make: Callable[[], Runner]
    options: Mapping[str, Any] = MappingProxyType({})
    name: str = ""


REUSING = Kind(ThreadRunner, {"reuse": True}, "ThreadRunner-reuse")

# A new runner, or a new form of one, joins here, and has its contract tested.
RUNNERS = [Kind(ThreadRunner), REUSING]


@pytest.fixture(params=RUNNERS, ids=lambda kind: kind.name or kind.make.__name__)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A bench for each runner."""
    bench = Bench(request.param.make(), request.param.options)

    yield bench

    bench.finish()


@pytest.fixture
def thread_bench() -> Iterator[Bench]:
    """A bench for the thread runner, a fresh thread for each run."""
    bench = Bench(ThreadRunner())

    yield bench

    bench.finish()


@pytest.fixture
def reusing_bench() -> Iterator[Bench]:
    """A bench for the thread runner, threads reused."""
    bench = Bench(ThreadRunner(), REUSING.options)

    yield bench

    bench.finish()


class Piece:
    """A piece of work that notes its thread; `has_left` is set when the thread says that it is free."""

    def __init__(self, do: Callable[[], object] = lambda: None, name: str = "piece") -> None:
        self.name = name
        self.has_left = threading.Event()
        self.thread: threading.Thread | None = None
        self._do = do

    def execute(self) -> None:
        self.thread = threading.current_thread()
        self._do()

    def thread_freed(self) -> None:
        self.has_left.set()


class Lender:
    """A cache whose threads are joined."""

    Work = Piece

    def __init__(self) -> None:
        self.cache = ThreadCache()
        self.pieces: list[Piece] = []

    def begin(self, do: Callable[[], object] = lambda: None, name: str = "piece") -> Piece:
        piece = Piece(do, name)
        self.pieces.append(piece)
        self.cache.start(piece)
        return piece

    def do(self, do: Callable[[], object] = lambda: None) -> threading.Thread:
        """See a piece of work done, and return its thread."""
        piece = self.begin(do)
        assert piece.has_left.wait(SOON)
        assert piece.thread is not None
        return piece.thread

    def await_asleep(self, count: int) -> None:
        """Wait until so many threads sleep; one does so a moment after it has said that it is free."""
        while len(self.cache._sleeping) < count:
            pass

    def end(self) -> None:
        for piece in self.pieces:
            assert piece.has_left.wait(SOON)
        self.cache.close()
        assert self.cache.join(SOON)


@pytest.fixture
def lender() -> Iterator[Lender]:
    lender = Lender()

    yield lender

    lender.end()
