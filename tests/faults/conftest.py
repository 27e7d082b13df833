"""Fixtures of the fault tests: a scheduler whose history is checked, and a neighbour job that must not be affected."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.watched_scheduler import WatchedScheduler

from taskloom.core.model import Outcome

SOON = 20.0


class Neighbour:
    """A job beside the faulty one. It beats on request, so that a test needs no wall clock to see that it works."""

    def __init__(self, scheduler: WatchedScheduler) -> None:
        self._requested = threading.Semaphore(0)
        self._done = threading.Semaphore(0)
        self.run = scheduler.add_function("neighbour", self._beat).start()

    def _beat(self, ctx: Any) -> None:
        while not ctx.cancelled:
            if self._requested.acquire(timeout=0.05):
                self._done.release()

    def must_beat(self, times: int = 3) -> None:
        for _ in range(times):
            self._requested.release()
            assert self._done.acquire(timeout=SOON), "the neighbour job does not respond"


@pytest.fixture
def scheduler() -> Iterator[WatchedScheduler]:
    """A scheduler with real threads; at the end it is stopped and its history is checked."""
    watched = WatchedScheduler()
    yield watched
    watched.finish()


@pytest.fixture
def neighbour(scheduler: WatchedScheduler) -> Iterator[Neighbour]:
    """A job that beats before and after the test, and is cancelled normally at the end."""
    neighbour = Neighbour(scheduler)
    neighbour.must_beat()
    yield neighbour
    if not scheduler.wait_stopped(0):
        neighbour.must_beat()
    scheduler.finish()
    assert neighbour.run.outcome is Outcome.CANCELLED
