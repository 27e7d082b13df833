"""The console limits lines that come too fast: some are written, the others counted, each traceback once."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from taskloom.core.events import Event, EventName
from taskloom.core.model import ErrorInfo, Outcome
from taskloom.observe.console import Console

BOOM = ErrorInfo("ValueError", "boom", "Traceback\n  here\n")


class Log:
    """A console, the lines that it wrote, and the timers that it set."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.wakes: list[tuple[float, Callable[[], None]]] = []
        self.console = Console(
            self._put, is_colored=False, call_later=lambda seconds, callback: self.wakes.append((seconds, callback))
        )

    def _put(self, text: bytes, at: float | None = None, run: str = "", *, is_start: bool = False) -> None:
        self.lines += [re.sub(r"^\S+ ", "", line) for line in text.decode().splitlines()]

    def event(self, name: EventName, job: str, mono: float, *, run: int = 2, **fields: object) -> None:
        self.console(Event(1, 1000.0 + mono, mono, name, job, f"{job}#{run}", 1, **fields))  # type: ignore[arg-type]

    def fail(self, job: str, mono: float, error: ErrorInfo | None = None) -> None:
        self.event(EventName.ENDED, job, mono, outcome=Outcome.FAILED, seconds=0.1, error=error or BOOM)

    def having(self, text: str) -> list[str]:
        return [line for line in self.lines if text in line]


@pytest.fixture
def log() -> Log:
    return Log()


def test_of_five_thousand_failures_at_once_a_hundred_are_logged(log: Log) -> None:
    for number in range(5000):
        log.fail(f"job-{number}", 1.0)

    assert len(log.having("failed after")) == 100
    assert len(log.having("Traceback")) == 20
    assert log.having("more") == []


def test_the_count_is_logged_with_the_first_event_after_it_is_due(log: Log) -> None:
    for number in range(4421):
        log.fail(f"job-{number}", 1.0)
    log.event(EventName.READY, "other", 5.9)
    assert log.having("more") == []

    log.event(EventName.READY, "other", 6.0)

    assert log.lines[-2:] == [
        "ERROR   taskloom     and 4,321 more runs failed in the last 5s, of 4,321 jobs",
        "INFO    taskloom     and 80 more tracebacks were left out in the last 5s, of 80 jobs",
    ]


def test_the_count_is_logged_by_a_timer_if_no_event_follows(log: Log) -> None:
    for number in range(101):
        log.fail(f"job-{number}", 1.0)
    [(seconds, wake)] = log.wakes

    wake()

    assert seconds == 5.0
    assert log.having("more runs") == []
    assert log.having("1 more run failed") == ["ERROR   taskloom     and 1 more run failed in the last 5s, of 1 job"]
    assert len(log.wakes) == 1


def test_at_most_one_timer_is_pending(log: Log) -> None:
    for number in range(300):
        log.fail(f"job-{number}", 1.0)
    for number in range(300):
        log.event(EventName.STARTED, f"job-{number}", 3.0)
    assert len(log.wakes) == 1

    log.wakes[0][1]()

    assert [seconds for seconds, _ in log.wakes] == [5.0, 2.0]
    assert log.having("started in the last") == []
    log.wakes[1][1]()
    assert log.having("and 200 more runs started in the last 5s, of 200 jobs")


def test_the_end_of_the_scheduler_logs_all_counts(log: Log) -> None:
    for number in range(150):
        log.fail(f"job-{number}", 1.0)

    log.console(Event(9, 1002.0, 2.0, EventName.SCHEDULER_STOPPED))

    assert log.having("and 50 more runs failed in the last 1s, of 50 jobs")


def test_repeated_failures_are_logged_at_a_limited_rate(log: Log) -> None:
    for second in range(60):
        for number in range(200):
            log.fail(f"job-{number}", float(second))

    written = len(log.having("failed after"))
    counted = sum(int(line.split("and ")[1].split()[0].replace(",", "")) for line in log.having("more runs failed"))
    assert written == 100 + 59 * 10
    assert written + counted > 60 * 200 * 0.9
    assert len(log.lines) < 1100


def test_the_same_traceback_of_a_job_is_not_repeated_and_another_one_is_written(log: Log) -> None:
    log.fail("job", 1.0)
    log.fail("job", 2.0)
    log.fail("job", 3.0, ErrorInfo("KeyError", "'x'", "Traceback\n  there\n"))

    assert log.lines == [
        "ERROR   job          failed after 0.1 s: ValueError: boom",
        "ERROR   job          Traceback",
        "ERROR   job            here",
        "ERROR   job          failed after 0.1 s: ValueError: boom (traceback as before)",
        "ERROR   job          failed after 0.1 s: KeyError: 'x'",
        "ERROR   job          Traceback",
        "ERROR   job            there",
    ]


def test_a_job_that_is_added_again_gets_its_traceback_again(log: Log) -> None:
    log.fail("job", 1.0)
    log.event(EventName.JOB_REMOVED, "job", 2.0)
    log.fail("job", 3.0)

    assert len(log.having("Traceback")) == 2


def test_each_of_a_thousand_first_runs_is_logged(log: Log) -> None:
    for number in range(1000):
        log.event(EventName.STARTED, f"job-{number}", 1.0, run=1)

    assert len(log.having("started")) == 1000
    assert log.wakes == []
