"""No memory at any line of Taskloom's smaller threads: each goes on, and loses at most what it had in hand."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from tempfile import TemporaryFile

import pytest
from tests.support.strikes import strike_each_line

from taskloom import Scheduler
from taskloom.cli.program.end_helper import EndHelper
from taskloom.cli.program.reload import Reloader
from taskloom.cli.program.selection import Selection
from taskloom.core.events import Event, EventName
from taskloom.core.model import ErrorInfo, Outcome
from taskloom.observe.console import Console
from taskloom.observe.output import Output
from taskloom.runners.loop_executor import LoopExecutor
from taskloom.runners.thread_cache import ThreadCache
from taskloom.scheduler.failure_log import FailureLog
from taskloom.scheduler.subscribers import Listener
from taskloom.sync.latch import Latch
from taskloom.testing import make_job

SOON = 10.0


@pytest.fixture(autouse=True)
def ends_of_threads() -> Iterator[list[str]]:
    """The names of the threads that an exception has ended."""
    before, found, others = threading.excepthook, list[str](), {*threading.enumerate()}
    threading.excepthook = lambda arguments: found.append(arguments.thread.name if arguments.thread else "")
    yield found
    # One that ends later would report its exception in another test.
    for thread in {*threading.enumerate()} - others:
        if not isinstance(thread, threading._DummyThread):  # made by a trace function that is called very late
            thread.join(SOON)
    threading.excepthook = before


# The default share of the threads with the most lines.
some_lines = pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.long)])


def struck(thread: str, places: tuple[str, ...], trial: Callable[[], object], step: int = 1) -> int:
    """Make the trial once for each `step`th line of the thread; return how many lines were struck."""
    return len(list(strike_each_line(thread, places, trial, step=step)))


def event(number: int) -> Event:
    return Event(number, 0.0, 0.0, EventName.STARTED, "job", f"job#{number}", 1)


def test_a_listener_loses_at_most_one_event_and_counts_it(ends_of_threads: list[str]) -> None:
    def deliver() -> None:
        received: list[int] = []
        listener = Listener(lambda event: received.append(event.seq))
        for number in range(4):
            listener.put(event(number))
        assert listener.flush(SOON)
        for number in range(4, 8):
            listener.put(event(number))
        assert listener.close(SOON)
        listener._thread.join(SOON)
        assert not listener._thread.is_alive()

        assert received == sorted(set(received))
        assert len(received) >= 7
        assert len(received) + listener.failed >= 8
        assert listener.failed <= 1

    assert struck("taskloom-listener", ("scheduler/subscribers", "sync/"), deliver) > 30
    assert len(ends_of_threads) <= 2, "only the lines before the first `try` end the thread"


class Handler(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def failure(number: int) -> Event:
    error = ErrorInfo("ValueError", "no", f"Traceback ...\nValueError: no {number}")
    return Event(
        number, 0.0, 0.0, EventName.ENDED, "job", f"job#{number}", 1, outcome=Outcome.FAILED, seconds=0.5, error=error
    )


@some_lines
def test_the_log_of_failures_loses_at_most_one_line_and_counts_it(ends_of_threads: list[str], step: int) -> None:
    logger, handler = logging.getLogger("tests.struck"), Handler()
    logger.addHandler(handler)

    def log_failures() -> None:
        handler.lines.clear()
        log = FailureLog(logger)
        for number in range(4):
            log.put(failure(number))
        assert log.flush(SOON)
        log.put(failure(4))
        log.finish()
        assert log.flush(SOON)

        failures = [line for line in handler.lines if "ValueError" in line]
        assert len(failures) >= 4
        assert len(failures) + log.dropped >= 5
        assert log.dropped <= 1

    assert struck("taskloom-log", ("scheduler/failure", "scheduler/rate_limit", "sync/"), log_failures, step) > 20
    assert len(ends_of_threads) <= 4, "only the lines before the first `try` end the thread"


def test_the_helper_of_the_end_does_all_its_work(ends_of_threads: list[str]) -> None:
    def work() -> None:
        done: list[int] = []
        helper = EndHelper()
        for number in range(3):
            helper.do(lambda number=number: done.append(number))  # type: ignore[misc]
        is_done = Latch()
        helper.do(is_done.open)
        assert is_done.wait(SOON)
        helper.close()

        assert sorted(set(done)) == [0, 1, 2]

    assert struck("taskloom-run-waiter", ("cli/program/end_helper", "sync/kept_thread"), work) > 20
    assert len(ends_of_threads) <= 2


def test_work_that_raises_again_is_reported_and_the_next_is_done() -> None:
    reported: list[object] = []
    threading.excepthook = lambda arguments: reported.append(arguments.exc_value)
    errors = [ValueError("first"), ValueError("second")]
    is_done = Latch()

    def fail() -> None:
        raise errors[0] if not reported and len(calls) == 1 else errors[1]

    calls: list[None] = []

    def work() -> None:
        calls.append(None)
        fail()

    helper = EndHelper()
    helper.do(work)
    helper.do(is_done.open)

    assert is_done.wait(SOON)
    helper.close()
    assert len(calls) == 2
    assert reported == [errors[1]]


@some_lines
def test_output_loses_at_most_what_was_in_hand(ends_of_threads: list[str], step: int) -> None:
    def write() -> None:
        with TemporaryFile() as data_file, TemporaryFile() as log_file:
            output = Output(data_file.fileno(), log_file.fileno())
            for number in range(4):
                output.data(b"data %d\n" % number)
                output.line(b"line %d\n" % number)
            output.close(SOON)
            assert output._ended.is_open, "the end does not come"
            data_file.seek(0)
            log_file.seek(0)
            data, lines = data_file.read().split(b"\n")[:-1], log_file.read().split(b"\n")[:-1]

        assert data == [b"data %d" % number for number in range(4)]
        assert len(lines) + output.dropped_lines + output.lost[1] >= 4

    assert struck("taskloom-output", ("observe/output", "observe/held_lines", "observe/descriptor"), write, step) > 20
    assert len(ends_of_threads) <= 2


class Work:
    """A piece of work for a cached thread."""

    name = "work"

    def __init__(self) -> None:
        self.executed = 0
        self.freed = Latch()

    def execute(self) -> None:
        self.executed += 1

    def thread_freed(self) -> None:
        self.freed.open()


def test_every_work_of_a_cached_thread_is_ended() -> None:
    """It is executed once, or ended without: then the runner reports that the run has ended by an error of ours."""

    def work() -> None:
        cache = ThreadCache()
        pieces = [Work() for _ in range(4)]
        for piece in pieces[:2]:
            cache.start(piece)
            assert piece.freed.wait(SOON), "the work is lost"
        for piece in pieces[2:]:
            cache.start(piece)
        for piece in pieces[2:]:
            assert piece.freed.wait(SOON), "the work is lost"
        cache.close()

        assert sum(piece.executed for piece in pieces) >= 3
        assert all(piece.executed <= 1 for piece in pieces)

    places = ("runners/thread_cache",)
    assert sum(1 for name in ("taskloom-idle", "work") for _ in strike_each_line(name, places, work)) > 20


def test_every_call_of_an_event_loops_thread_ends() -> None:
    """It returns or raises, and the report that all threads have ended comes."""

    def call() -> None:
        executor, ended = LoopExecutor("loop"), Latch()
        futures = [executor.submit(abs, -number) for number in range(4)]
        results = [future.exception(SOON) for future in futures]
        executor.close(ended.open)
        assert ended.wait(SOON), "the end does not come"
        executor.join()
        assert sum(result is not None for result in results) <= 1

    assert struck("loop-thread", ("runners/loop_executor", "sync/"), call) > 20


def test_a_reload_is_done_or_its_failure_is_logged() -> None:
    def reload() -> None:
        logged: list[str] = []
        has_logged = threading.Event()

        def put(text: bytes, at: float | None = None, run: str = "", *, is_start: bool = False) -> None:
            logged.append(text.decode())
            if any(word in text.decode() for word in ("nothing has changed", "added", "cannot", "internal error")):
                has_logged.set()

        class Files:
            def read(self) -> Selection:
                return Selection([make_job("a", manual=True)], [], ())

        scheduler = Scheduler(log=False)
        reloader = Reloader(Files(), scheduler, Console(put, is_colored=False), logged.append)  # type: ignore[arg-type]
        reloader.request()
        reloader.request()
        thread = reloader._thread
        assert has_logged.wait(SOON), f"nothing is said: {logged}"
        assert thread is not None
        thread.join(SOON)
        assert not reloader._requests, "the next reload would wait for ever"
        scheduler.stop()

    places = ("cli/program/reload", "sync/kept_thread")
    assert sum(1 for _ in strike_each_line("taskloom-reload", places, reload)) > 20


def test_the_timer_of_the_console_logs_the_counts_although_it_is_struck() -> None:
    def count() -> None:
        logged: list[str] = []
        timers: list[threading.Thread] = []

        def put(text: bytes, at: float | None = None, run: str = "", *, is_start: bool = False) -> None:
            logged.append(text.decode())

        def call_later(seconds: float, callback: Callable[[], None]) -> None:
            timers.append(threading.Thread(target=callback, name="taskloom-console", daemon=True))

        console = Console(put, is_colored=False, call_later=call_later)
        for number in range(200):
            console(failure(number))
        assert timers
        while timers:
            timer = timers.pop(0)
            timer.start()
            timer.join(SOON)
        console(failure(200))

        assert [line for line in logged if "more" in line or "left out" in line], logged[-1]

    assert sum(1 for _ in strike_each_line("taskloom-console", ("observe/console",), count)) > 5
