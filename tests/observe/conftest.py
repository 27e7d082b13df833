"""What the tests of the observers share."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest


@pytest.fixture
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have local times told as in Berlin."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()

    yield

    monkeypatch.undo()
    time.tzset()
