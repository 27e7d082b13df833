"""Starts workers that a test drives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from tests.support.driven_worker import DrivenWorker, spec_for


@pytest.fixture
def start_worker(child_env: dict[str, str]) -> Iterator[Callable[..., DrivenWorker]]:
    """Start a worker for a task; the options are fields of its spec. It is killed at the end of the test."""
    with ExitStack() as workers:
        yield lambda target, **fields: workers.enter_context(DrivenWorker(child_env, spec_for(target, **fields)))
