"""Instants written for people, shared by the tests of calendars."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import pytest


def utc(text: str) -> float:
    """Return the seconds of `2026-03-29T01:00Z`."""
    return datetime.fromisoformat(text).timestamp()


@pytest.fixture(name="utc")
def _utc() -> Callable[[str], float]:
    return utc
