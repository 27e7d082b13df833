"""A stop logs the runs it waits for after two seconds and then every three, here in virtual time."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.asked_api import until_stopped
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.core.events import EventName
from taskloom.core.model import WAIT_FOR_EVER
from taskloom.runners import Stack
from taskloom.scheduler.stop_progress import log_stop_progress
from taskloom.testing import VirtualClock

SOON = 20.0


class Lines(logging.Handler):
    """Keeps log records and waits for them."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()
        self._records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        with self._changed:
            self._records.append(record)
            self._changed.notify_all()

    def all(self) -> list[logging.LogRecord]:
        with self._changed:
            return list(self._records)

    def first(self, count: int) -> list[logging.LogRecord]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._records) >= count, SOON)
            return self._records[:count]


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler = Lines()
    logger = logging.getLogger("taskloom.stop")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


class Deaf:
    """Runs that ignore the stop until they are released."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.let_go = threading.Event()

    def run(self, ctx: Any) -> None:
        self.entered.release()
        self.let_go.wait(SOON * 2)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def scheduler(clock: VirtualClock) -> Iterator[WatchedScheduler]:
    scheduler = WatchedScheduler(clock=clock)
    yield scheduler
    scheduler.finish(SOON)


@pytest.fixture
def deaf(scheduler: WatchedScheduler) -> Iterator[Deaf]:
    task = Deaf()
    yield task
    task.let_go.set()


def pass_time(scheduler: WatchedScheduler, clock: VirtualClock, seconds: float) -> None:
    """Let virtual time pass, and wake the scheduler's thread, which sleeps by the real clock."""
    clock.advance(seconds)
    scheduler._engine.post(None)


def test_a_progress_line_has_elapsed_time_time_left_poll_age_and_place(
    scheduler: WatchedScheduler, clock: VirtualClock, deaf: Deaf, lines: Lines
) -> None:
    scheduler.add_function("deaf", deaf.run).start()
    assert deaf.entered.acquire(timeout=SOON)
    scheduler.request_stop()
    scheduler.wait_for(EventName.CANCEL_REQUESTED)

    pass_time(scheduler, clock, 2.0)
    [first] = lines.first(1)
    pass_time(scheduler, clock, 3.0)
    second = lines.first(2)[1]
    deaf.let_go.set()

    place = re.escape(__file__) + r":\d+ in run"
    assert re.fullmatch(
        rf"still stopping after 2\.0 s, 8\.0 s left, no poll for \d\.\d s, currently at {place}", first.getMessage()
    )
    assert second.getMessage().startswith("still stopping after 5.0 s, 5.0 s left, no poll for 5.0 s, currently at ")
    assert (first.levelno, first.__dict__["job"], first.__dict__["run"]) == (logging.WARNING, "deaf", "deaf#1")


def test_five_runs_are_named_and_the_others_counted(
    scheduler: WatchedScheduler, clock: VirtualClock, deaf: Deaf, lines: Lines
) -> None:
    for number in range(8):
        scheduler.add_function(f"deaf{number}", deaf.run, within=WAIT_FOR_EVER).start()
    for _ in range(8):
        assert deaf.entered.acquire(timeout=SOON)
    scheduler.request_stop(within=float("inf"))
    scheduler.wait_for(EventName.CANCEL_REQUESTED)

    pass_time(scheduler, clock, 2.0)
    records = lines.first(6)
    deaf.let_go.set()

    assert [record.__dict__["job"] for record in records[:5]] == [f"deaf{number}" for number in range(5)]
    assert all("no deadline" in record.getMessage() for record in records[:5])
    assert records[5].getMessage() == "still stopping 3 more runs"


def test_a_log_handler_that_blocks_does_not_delay_the_stop(
    scheduler: WatchedScheduler, clock: VirtualClock, deaf: Deaf, lines: Lines
) -> None:
    is_blocked, unblock = threading.Event(), threading.Event()

    def block(record: logging.LogRecord) -> bool:
        is_blocked.set()
        return unblock.wait(SOON)

    lines.addFilter(block)
    scheduler.add_function("deaf", deaf.run).start()
    assert deaf.entered.acquire(timeout=SOON)
    scheduler.request_stop()
    scheduler.wait_for(EventName.CANCEL_REQUESTED)
    pass_time(scheduler, clock, 2.0)
    assert is_blocked.wait(SOON)

    deaf.let_go.set()
    is_over = scheduler.wait_stopped(SOON)
    unblock.set()

    assert is_over


def test_a_run_that_has_ended_since_it_was_located_is_left_out(lines: Lines) -> None:
    """A runner may take a while to say where a process is, and the run may have been killed by then."""
    scheduler = WatchedScheduler(log=False)
    jobs = [scheduler.add_function(name, until_stopped) for name in ("ended", "alive")]
    for job in jobs:
        job.start()
        scheduler.wait_for(EventName.READY, job.name)
    located = [(live, Stack("", "")) for live in scheduler._engine.executor.live.values()]
    jobs[0].stop()

    log_stop_progress(located, 0, located[0][0].record.queued.mono)

    scheduler.finish()
    assert [vars(record)["job"] for record in lines.all()] == ["alive"]
