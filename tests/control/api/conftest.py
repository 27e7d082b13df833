"""A scheduler with three jobs, and its API."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.asked_api import AskedApi, ListedLines, with_jobs
from tests.support.watched_scheduler import WatchedScheduler


@pytest.fixture
def scheduler() -> Iterator[WatchedScheduler]:
    watched = WatchedScheduler(log=False)
    yield watched
    watched.finish()


@pytest.fixture
def lines() -> ListedLines:
    return ListedLines()


@pytest.fixture
def asked(scheduler: WatchedScheduler, lines: ListedLines) -> AskedApi:
    return with_jobs(scheduler, logs=lines)
