"""What the tests of the scheduler share: a real one whose every event is judged at the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.watched_scheduler import WatchedScheduler


@pytest.fixture
def scheduler() -> Iterator[WatchedScheduler]:
    """A scheduler with real threads; at the end it is stopped, and its history held to the rules."""
    watched = WatchedScheduler()
    yield watched
    watched.finish()
