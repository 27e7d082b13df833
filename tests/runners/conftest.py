"""Fixtures for the tests of runners: they run plain functions through a runner and keep its reports."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from tests.support.dask_cluster import SLOTS, DaskCluster

from taskloom.core.inputs import RunEnded, RunStartFailed
from taskloom.core.model import ErrorInfo, How
from taskloom.runners import Report, RunHandle, Runner, RunOrder
from taskloom.runners.binding import Binding, Body
from taskloom.runners.thread import ThreadRunner
from taskloom.runners.thread_cache import ThreadCache
from taskloom.sync.cancel_token import CancelToken
from taskloom.sync.latch import Latch

SOON = 20.0


class Bench:
    """Runs plain functions through a runner; `reports` has all reports of the runner, in order."""

    def __init__(self, runner: Runner, options: Mapping[str, Any] = MappingProxyType({})) -> None:
        self.runner = runner
        self._options = options
        self.reports: list[Report] = []
        self.handles: list[RunHandle] = []
        self.tokens: list[CancelToken] = []
        self._changed = threading.Condition()

    def emit(self, report: Report) -> None:
        with self._changed:
            self.reports.append(report)
            self._changed.notify_all()

    def start(
        self,
        run: Callable[[Any], object],
        terminate: Callable[[], object] | None = None,
        *,
        make: Callable[[], Body] | None = None,
        token: CancelToken | None = None,
        daemon: bool | None = None,
        terminate_returned: Latch | None = None,
    ) -> RunHandle:
        token = token or CancelToken()
        is_daemon = bool(self._options) if daemon is None else daemon
        binding = Binding(make or (lambda: Body(run, terminate)), has_terminate=terminate is not None)
        name = f"job#{len(self.handles) + 1}"
        order = RunOrder(
            name, "job", "function", 1, 1, is_daemon, 0.5, binding, self._options, terminate_returned=terminate_returned
        )
        self.tokens.append(token)
        handle = self.runner.start(order, token, self.emit)
        self.handles.append(handle)
        return handle

    def end(self, count: int = 1) -> list[RunEnded | RunStartFailed]:
        """Wait until `count` runs have ended, and return their reports."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.ends()) >= count, SOON)
        for handle in self.handles:
            assert handle.join(SOON)
        return self.ends()

    def ends(self) -> list[RunEnded | RunStartFailed]:
        return [report for report in self.reports if isinstance(report, RunEnded | RunStartFailed)]

    def outcome_of(self, run: Callable[[Any], object]) -> tuple[How, ErrorInfo | None]:
        """Run a function to its end; return how it ended."""
        self.start(run)
        [report] = self.end()
        assert isinstance(report, RunEnded)
        return report.how, report.error

    def finish(self) -> None:
        """Wait for all runs to end, and close the runner."""
        for handle in self.handles:
            assert handle.join(SOON)
        self.runner.close()
        assert self.runner.join(SOON)


class Kind(NamedTuple):
    """A runner and the options that a job gives it."""

    make: Callable[[], Runner]
    options: Mapping[str, Any] = MappingProxyType({})
    name: str = ""


REUSING = Kind(ThreadRunner, {"reuse": True}, "ThreadRunner-reuse")

# Add each new runner here, and each new option of one: then the contract is tested for it.
RUNNERS = [Kind(ThreadRunner), REUSING]


@pytest.fixture(params=RUNNERS, ids=lambda kind: kind.name or kind.make.__name__)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A bench for each way to run in threads."""
    bench = Bench(request.param.make(), request.param.options)

    yield bench

    bench.finish()


@pytest.fixture
def thread_bench() -> Iterator[Bench]:
    """A bench for the thread runner with a new thread for each run."""
    bench = Bench(ThreadRunner())

    yield bench

    bench.finish()


@pytest.fixture
def reusing_bench() -> Iterator[Bench]:
    """A bench for the thread runner with reused threads."""
    bench = Bench(ThreadRunner(), REUSING.options)

    yield bench

    bench.finish()


class Piece:
    """A piece of work that records its thread; `is_done` is set when the thread is free again."""

    def __init__(self, do: Callable[[], object] = lambda: None, name: str = "piece") -> None:
        self.name = name
        self.is_done = threading.Event()
        self.thread: threading.Thread | None = None
        self._do = do

    def execute(self) -> None:
        self.thread = threading.current_thread()
        self._do()

    def thread_freed(self) -> None:
        self.is_done.set()


class Lender:
    """A thread cache whose threads are joined at the end."""

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
        """Start a piece of work, wait for it, and return its thread."""
        piece = self.begin(do)
        assert piece.is_done.wait(SOON)
        assert piece.thread is not None
        return piece.thread

    def await_asleep(self, count: int) -> None:
        """Wait until `count` threads sleep; a thread falls asleep a moment after it has become free."""
        while len(self.cache._sleeping) < count:
            pass

    def end(self) -> None:
        for piece in self.pieces:
            assert piece.is_done.wait(SOON)
        self.cache.close()
        assert self.cache.join(SOON)


@pytest.fixture
def lender() -> Iterator[Lender]:
    lender = Lender()

    yield lender

    lender.end()


@pytest.fixture
def arrived() -> threading.Event:
    """Set by a run at the place where the test cancels it."""
    return threading.Event()


@pytest.fixture(scope="session")
def cluster_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    """One cluster for all tests of this process that break nothing. Tests use `cluster`, which finds it whole."""
    with DaskCluster(tmp_path_factory.mktemp("cluster")) as cluster:
        cluster.add_workers("a", "b", slots=SLOTS)
        yield cluster


@pytest.fixture
def cluster(cluster_process: DaskCluster) -> DaskCluster:
    """A cluster with the workers `a` and `b` of ten slots each; the test leaves it as it is."""
    cluster_process.replace_ended(slots=SLOTS)
    return cluster_process
