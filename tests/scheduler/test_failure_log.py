"""Failures are logged by the scheduler itself: which ones, how, and what a bad log handler cannot do."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.watched_scheduler import WatchedScheduler

from taskloom import Job, Scheduler, TaskFailure
from taskloom.core.events import Event, EventName
from taskloom.core.model import ErrorInfo, Outcome
from taskloom.scheduler import failure_log
from taskloom.scheduler.failure_log import FailureLog
from taskloom.scheduler.failure_text import LogLine, describe_failure

SOON = 20.0


def failure(number: int = 1, job: str = "a", traceback: str = "Traceback ...\nValueError: no\n") -> Event:
    error = ErrorInfo("ValueError", "no", traceback)
    outcome = Outcome.FAILED
    return Event(number, 0.0, 0.0, EventName.ENDED, job, f"{job}#{number}", 1, None, outcome, 0.5, error)


def success() -> Event:
    return Event(1, 0.0, 0.0, EventName.ENDED, "a", "a#1", 1, None, Outcome.SUCCEEDED, 0.5)


class Handler(logging.Handler):
    """Records what it is given, and then does what the test wants."""

    def __init__(self, then: Callable[[], object]) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.threads: list[threading.Thread] = []
        self._then = then
        self._formatter = logging.Formatter("%(levelname)s %(name)s %(message)s")

    def handle(self, record: logging.LogRecord) -> bool:
        self.lines.append(self._formatter.format(record))
        self.threads.append(threading.current_thread())
        self._then()
        return True


MakeLogger = Callable[..., tuple[logging.Logger, Handler]]


@pytest.fixture
def make_logger() -> Iterator[MakeLogger]:
    """Make a logger of the test's own, with a handler that records the lines."""
    made: list[logging.Logger] = []

    def make(then: Callable[[], object] = lambda: None) -> tuple[logging.Logger, Handler]:
        logger = logging.getLogger(f"test.failures.{len(made)}")
        logger.propagate = False
        handler = Handler(then)
        logger.addHandler(handler)
        made.append(logger)
        return logger, handler

    yield make

    for logger in made:
        logger.handlers.clear()


def fail(ctx: Any) -> None:
    raise ValueError("no")


def fail_in_words(ctx: Any) -> None:
    raise TaskFailure("the disk is full")


def succeed(ctx: Any) -> None:
    pass


def wait(ctx: Any) -> None:
    ctx.wait()


def without_times(lines: list[str]) -> list[str]:
    return [re.sub(r" after \d+\.\d s", "", line) for line in lines]


# -- which events


def test_a_failed_run_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    with Scheduler() as scheduler:
        scheduler.add(Job(name="a", task=fail)).start().join(SOON)

    [record] = caplog.records
    assert (record.name, record.levelname) == ("taskloom", "ERROR")
    assert without_times([record.getMessage()]) == ["a#1: failed: ValueError: no"]
    assert (vars(record)["job"], vars(record)["run"]) == ("a", "a#1")
    assert 'raise ValueError("no")' in caplog.text
    assert caplog.text.endswith("ValueError: no\n")


def test_a_failure_that_its_message_explains_has_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    with Scheduler() as scheduler:
        scheduler.add(Job(name="a", task=fail_in_words)).start().join(SOON)

    assert "Traceback" not in caplog.text
    assert without_times(caplog.messages) == ["a#1: failed: the disk is full"]


def test_success_cancellation_and_a_clean_stop_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with Scheduler() as scheduler:
        scheduler.add(Job(name="a", task=succeed)).start().join(SOON)
        scheduler.add(Job(name="b", task=wait)).start()

    assert caplog.messages == []


def test_every_kind_of_failure_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    has_begun, let_go = threading.Event(), threading.Event()

    def deaf(ctx: Any) -> None:
        has_begun.set()
        let_go.wait(SOON)

    def unmakeable(ctx: Any) -> None:
        raise AssertionError("never called")

    with WatchedScheduler(runners={"thread": BrokenRunner()}) as broken:
        broken.add_function("broken", unmakeable).start()
    with WatchedScheduler() as scheduler:
        restart = {"when": "on-failure", "limit": {"times": 1, "within": "1m"}, "delay": "1ms"}
        scheduler.add(Job(name="again", task=fail, restart=restart))
        scheduler.add(Job(name="slow", task=wait, timeout="1ms"))
        scheduler.add(Job(name="deaf", task=deaf, daemon=True, join="1ms"))
        scheduler.start()
        scheduler.wait_for(EventName.GAVE_UP)
        scheduler.wait_for(EventName.ENDED, "slow")
        assert has_begun.wait(SOON)
        scheduler.stop()
        let_go.set()

    told = [(record.levelname, message.partition(" after")[0]) for record, message in messages(caplog)]
    assert ("ERROR", "broken#1: start_failed") in told
    assert ("ERROR", "again#1: failed") in told
    assert ("ERROR", "slow#1: timed_out") in told
    assert ("ERROR", "deaf#1: abandoned") in told
    assert any(level == "ERROR" and text.startswith("again#2: gave up: ") for level, text in told)
    assert any(level == "ERROR" and text.startswith("deaf#1: did not stop within 1ms: ") for level, text in told)
    assert any(level == "WARNING" and text.startswith("deaf#1: abandoned: its thread") for level, text in told)


def messages(caplog: pytest.LogCaptureFixture) -> list[tuple[logging.LogRecord, str]]:
    return [(record, record.getMessage()) for record in caplog.records]


class BrokenRunner:
    """A runner that can start nothing."""

    def start(self, order: Any, token: Any, emit: Any) -> Any:
        raise RuntimeError("can't start new thread")

    def stacks(self, handles: Any, texts: int) -> Any:
        return []

    def close(self) -> None:
        pass

    def join(self, timeout: float) -> bool:
        return True


def test_failures_are_logged_beside_a_listener_and_after_it_is_closed(caplog: pytest.LogCaptureFixture) -> None:
    received: list[Event] = []
    with Scheduler() as scheduler:
        listener = scheduler.listen(received.append)
        scheduler.add(Job(name="a", task=fail)).start().join(SOON)
        assert listener.close(SOON)
        scheduler.add(Job(name="b", task=fail)).start().join(SOON)

    assert without_times(caplog.messages) == [f"{run}: failed: ValueError: no" for run in ("a#1", "b#1")]
    assert {event.job for event in received} == {"a"}


def test_a_scheduler_with_log_false_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with Scheduler(log=False) as scheduler:
        scheduler.add(Job(name="a", task=fail)).start().join(SOON)

    assert caplog.messages == []


def test_a_given_logger_is_used(make_logger: MakeLogger, caplog: pytest.LogCaptureFixture) -> None:
    logger, handler = make_logger()
    with Scheduler(log=logger) as scheduler:
        scheduler.add(Job(name="a", task=fail_in_words)).start().join(SOON)

    assert without_times(handler.lines) == [f"ERROR {logger.name} a#1: failed: the disk is full"]
    assert caplog.messages == []


def test_anything_but_a_logger_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^cannot use 'taskloom' as log; expected True, False or a logging\.Logger$"):
        Scheduler(log="taskloom")  # type: ignore[arg-type]


def test_a_bug_is_logged_once_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    with Scheduler() as scheduler:
        for number in (1, 2):
            try:
                raise AssertionError(f"bug {number}")
            except AssertionError as error:
                scheduler._engine.record_bug(error)

    [record] = caplog.records
    assert (record.levelname, record.getMessage()) == ("CRITICAL", "bug 1; please report it")
    assert 'raise AssertionError(f"bug {number}")' in caplog.text


# -- the log by itself


@pytest.fixture
def let_go() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_the_thread_exists_only_while_there_is_something_to_log(make_logger: MakeLogger) -> None:
    logger, handler = make_logger()
    log = FailureLog(logger)
    log.put(success())
    before = log._thread
    log.put(failure())
    log.finish()
    assert log.flush(SOON)

    assert before is None
    assert len(handler.lines) == 1
    assert {thread.name for thread in handler.threads} == {"taskloom-log"}
    assert not any(thread.is_alive() for thread in handler.threads)
    assert log._thread is None


def test_a_failure_after_the_end_is_logged_too(make_logger: MakeLogger) -> None:
    logger, handler = make_logger()
    log = FailureLog(logger)
    log.finish()
    log.put(failure())

    assert log.flush(SOON)
    assert len(handler.lines) == 1


def test_a_handler_that_raises_affects_nothing(make_logger: MakeLogger) -> None:
    def exit_program() -> None:
        raise SystemExit(3)

    logger, handler = make_logger(exit_program)
    log = FailureLog(logger)
    log.put(failure(1))
    log.put(failure(2, job="b"))

    assert log.flush(SOON)
    assert len(handler.lines) == 2


def test_a_handler_that_blocks_delays_no_stop(make_logger: MakeLogger, let_go: threading.Event) -> None:
    is_blocked = threading.Event()

    def block() -> None:
        is_blocked.set()
        let_go.wait(SOON)

    logger, _ = make_logger(block)
    scheduler = Scheduler(log=logger)
    scheduler.add(Job(name="a", task=fail)).start().join(SOON)
    assert is_blocked.wait(SOON)
    run = scheduler.add(Job(name="b", task=wait)).start()

    report = scheduler.stop()

    assert report.is_clean
    assert run.outcome is Outcome.CANCELLED
    assert not let_go.is_set()


def test_failures_that_a_blocked_handler_keeps_waiting_are_bounded_and_counted(
    make_logger: MakeLogger, let_go: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failure_log, "QUEUE_LIMIT", 3)
    is_blocked = threading.Event()

    def block() -> None:
        is_blocked.set()
        let_go.wait(SOON)

    logger, handler = make_logger(block)
    log = FailureLog(logger)
    log.put(failure(1))
    assert is_blocked.wait(SOON)
    for number in range(2, 12):
        log.put(failure(number, job=f"job{number}"))
    let_go.set()
    log.finish()

    assert log.flush(SOON)
    assert log.dropped == 7
    assert f"WARNING {logger.name} 7 failures not logged: the log handlers are too slow, or no memory" in handler.lines


def test_a_flood_is_limited_counted_and_reported(make_logger: MakeLogger) -> None:
    logger, handler = make_logger()
    log = FailureLog(logger)
    for number in range(1, 1001):
        log.put(failure(number, job=f"job{number}"))
    log.finish()
    assert log.flush(SOON)

    first_lines = [line.partition("\n")[0] for line in handler.lines]
    told = [line for line in first_lines if ": failed after" in line]
    assert 100 <= len(told) < 1000
    assert any(f"and {1000 - len(told):,} more runs failed in the last" in line for line in first_lines)
    assert sum("Traceback" in line for line in handler.lines) <= 25


def test_the_same_traceback_of_a_job_is_logged_once(make_logger: MakeLogger) -> None:
    logger, handler = make_logger()
    log = FailureLog(logger)
    for number in (1, 2):
        log.put(failure(number))

    assert log.flush(SOON)
    assert handler.lines == [
        f"ERROR {logger.name} a#1: failed after 0.5 s: ValueError: no\nTraceback ...\nValueError: no",
        f"ERROR {logger.name} a#2: failed after 0.5 s: ValueError: no (traceback as before)",
    ]


def test_an_error_on_the_logs_own_thread_loses_one_line_only(
    make_logger: MakeLogger, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = [MemoryError()]

    def describe(event: Event) -> LogLine | None:
        if errors:
            raise errors.pop()
        return describe_failure(event)

    monkeypatch.setattr(failure_log, "describe_failure", describe)
    logger, handler = make_logger()
    log = FailureLog(logger)
    log.put(failure(1))
    log.put(failure(2))

    assert log.flush(SOON)
    assert errors == []
    assert log.dropped == 1
    assert sorted(line.partition(":")[0] for line in handler.lines) == [
        f"ERROR {logger.name} a#2",
        f"WARNING {logger.name} 1 failure not logged",
    ]


def test_failures_wait_until_a_thread_can_be_started(make_logger: MakeLogger, monkeypatch: pytest.MonkeyPatch) -> None:
    logger, handler = make_logger()
    log = FailureLog(logger)
    with monkeypatch.context() as no_threads:

        def refuse(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        no_threads.setattr(threading.Thread, "start", refuse)
        log.put(failure())
        assert not log.flush(SOON)

    assert log.flush(SOON)
    assert len(handler.lines) == 1


def test_a_level_that_is_switched_off_is_not_logged(make_logger: MakeLogger) -> None:
    logger, handler = make_logger()
    logger.setLevel(logging.CRITICAL)
    log = FailureLog(logger)
    log.put(failure())

    assert log.flush(SOON)
    assert handler.lines == []
