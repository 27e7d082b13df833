"""Fixtures for the tests of runner dask."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.simulated_cluster import DaskBench


@pytest.fixture
def dask() -> Iterator[DaskBench]:
    """Return a runner on a simulated cluster of two workers with two slots each."""
    made = DaskBench("w1", "w2")
    yield made
    made.close()
    assert made.bugs == []
