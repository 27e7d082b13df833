"""A scheduler with real threads, whose events are checked at the end of each test."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from tests.support.watched_scheduler import WatchedScheduler


@pytest.fixture
def scheduler() -> Iterator[WatchedScheduler]:
    """A scheduler with real threads. At the end it is stopped, and its events are checked against the rules."""
    watched = WatchedScheduler()
    yield watched
    watched.finish()


@pytest.fixture
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the local time zone to UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()

    yield

    monkeypatch.undo()
    time.tzset()
