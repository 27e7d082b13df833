"""Fixtures for the tests of the runner of processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.fake_supervisor import ProcessBench


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[ProcessBench]:
    """Return a runner whose supervisors the test plays."""
    made = ProcessBench()
    monkeypatch.setattr("taskloom.runners.process.connection.launch", made.launch)
    yield made
    made.close()
    assert made.bugs == []
