"""Fixtures of the core's tests."""

from __future__ import annotations

import pytest

from taskloom.testing.stage import Stage, make_job


@pytest.fixture
def stage() -> Stage:
    """A stage with a non-daemon job `a`, a daemon job `d`, and five seconds for each to stop."""
    stage = Stage()
    stage.add(make_job("a", within=5), make_job("d", daemon=True, within=5))
    return stage
