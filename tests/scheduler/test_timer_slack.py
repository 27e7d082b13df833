from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from taskloom.scheduler import timer as timer_module
from taskloom.scheduler.timer import Timer
from taskloom.testing import VirtualClock

SOON = 20.0


def reach_a_deadline(check: Callable[[], object]) -> None:
    """Let a timer reach a deadline, and call `check` on its thread then."""
    is_over = threading.Event()

    def tick(is_due: bool) -> None:
        if is_due:
            check()
            is_over.set()

    timer = Timer(VirtualClock(), tick, lambda: None, lambda _: None)
    timer.set_deadline(0.0)
    assert is_over.wait(SOON)
    timer.close()
    timer.join(SOON)


def slack_file() -> Path:
    return Path(f"/proc/{threading.get_native_id()}/timerslack_ns")


def test_the_timer_minimizes_the_slack_of_its_own_thread_only() -> None:
    if not slack_file().exists():
        pytest.skip("LOUD: this system has no timer slack that can be set")
    before = slack_file().read_text()
    found: list[str] = []

    reach_a_deadline(lambda: found.append(slack_file().read_text().strip()))

    assert found == ["1"]
    assert slack_file().read_text() == before


def test_a_timer_works_if_the_slack_cannot_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timer_module, "_SLACK_FILE", f"{tmp_path}/nowhere/{{thread}}")
    ticks: list[None] = []

    reach_a_deadline(lambda: ticks.append(None))

    assert ticks
