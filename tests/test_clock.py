"""Reading the monotonic and the wall clock together."""

from __future__ import annotations

import time

import pytest

from taskloom.clock import MonotonicClock


def test_a_suspension_between_the_two_clocks_makes_no_instant_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """A calendar instant is `instant - wall` seconds after `mono`: a suspension may make it late, never early."""
    passed = [0.0]

    def read(start: float) -> float:
        passed[0] += 5.0  # the thread is suspended after every reading
        return start + passed[0]

    monkeypatch.setattr(time, "monotonic", lambda: read(100.0))
    monkeypatch.setattr(time, "time", lambda: read(1_000_000.0))

    now = MonotonicClock().now()

    assert now.wall - now.mono <= 1_000_000.0 - 100.0
