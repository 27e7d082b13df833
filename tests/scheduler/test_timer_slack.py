from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from taskloom.scheduler import timer as timer_module
from taskloom.scheduler.timer import Timer
from taskloom.testing import VirtualClock

SOON = 20.0


def keep_a_deadline(look: Callable[[], object]) -> None:
    """Have a timer sleep towards a deadline and wake, and look at something on its thread."""
    is_over = threading.Event()

    def tick(is_due: bool) -> None:
        if is_due:
            look()
            is_over.set()

    timer = Timer(VirtualClock(), tick, lambda: None, lambda _: None)
    timer.set_deadline(0.0)
    assert is_over.wait(SOON)
    timer.close()
    timer.join(SOON)


def slack_file() -> Path:
    return Path(f"/proc/{threading.get_native_id()}/timerslack_ns")


def test_the_timers_sleeps_end_on_time_and_nobody_elses_are_changed() -> None:
    if not slack_file().exists():
        pytest.skip("LOUD: this system has no timer slack to be set")
    before = slack_file().read_text()
    found: list[str] = []

    keep_a_deadline(lambda: found.append(slack_file().read_text().strip()))

    assert found == ["1"]
    assert slack_file().read_text() == before


def test_a_timer_keeps_time_where_the_slack_cannot_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timer_module, "_SLACK_FILE", f"{tmp_path}/nowhere/{{thread}}")
    ticks: list[None] = []

    keep_a_deadline(lambda: ticks.append(None))

    assert ticks
