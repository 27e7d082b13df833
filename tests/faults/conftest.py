"""What the tests of faults share: a judged scheduler, and a neighbour whose heart must go on beating."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.core.model import Outcome

SOON = 20.0


class Neighbour:
    """A job beside the faulty one. It beats when told to: no wall clock says whether it still can."""

    def __init__(self, scheduler: WatchedScheduler) -> None:
        self._wanted = threading.Semaphore(0)
        self._beaten = threading.Semaphore(0)
        self.run = scheduler.add_function("neighbour", self._beat).start()

    def _beat(self, ctx: Any) -> None:
        while not ctx.cancelled:
            if self._wanted.acquire(timeout=0.05):
                self._beaten.release()

    def must_beat(self, times: int = 3) -> None:
        for _ in range(times):
            self._wanted.release()
            assert self._beaten.acquire(timeout=SOON), "the neighbour was hurt"


@pytest.fixture
def scheduler() -> Iterator[WatchedScheduler]:
    """A scheduler with real threads; at the end it is stopped, and its history held to the rules."""
    watched = WatchedScheduler()
    yield watched
    watched.finish()


@pytest.fixture
def neighbour(scheduler: WatchedScheduler) -> Iterator[Neighbour]:
    """A job that beats before and after whatever the test does, and is cancelled in good order at the end."""
    neighbour = Neighbour(scheduler)
    neighbour.must_beat()
    yield neighbour
    if not scheduler.wait_stopped(0):
        neighbour.must_beat()
    scheduler.finish()
    assert neighbour.run.outcome is Outcome.CANCELLED
