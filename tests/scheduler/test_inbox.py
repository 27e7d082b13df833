"""The scheduler's queue alone: its ranks, its sleep, and the timer slack of Linux."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from taskloom.core.inputs import HurryShutdown, RunReady
from taskloom.scheduler import inbox as inbox_module
from taskloom.scheduler.inbox import WAKE, Inbox


def test_a_hurry_overtakes_the_reports_that_were_queued_before_it() -> None:
    inbox = Inbox()
    for message in (RunReady("a#1"), HurryShutdown(1.0), RunReady("b#1"), WAKE):
        inbox.put(message)

    inbox.take_in()

    assert list(inbox.urgent) == [HurryShutdown(1.0)]
    assert list(inbox.reports) == [RunReady("a#1"), RunReady("b#1")]
    assert inbox.is_empty()


@pytest.mark.parametrize("seconds", [None, 1e20, 3600.0])
def test_a_message_ends_the_sleep(seconds: float | None) -> None:
    inbox = Inbox()
    threading.Thread(target=inbox.put, args=(RunReady("a#1"),)).start()

    inbox.wait(seconds)

    assert list(inbox.reports) == [RunReady("a#1")]


@pytest.mark.parametrize("seconds", [0.0, -1.0, 0.001])
def test_a_sleep_ends_without_a_message(seconds: float) -> None:
    inbox = Inbox()

    inbox.wait(seconds)

    assert not inbox.reports


# -- the timer slack of Linux


def slack_file() -> Path:
    return Path(f"/proc/{threading.get_native_id()}/timerslack_ns")


def sleep_and_read_slack() -> list[str]:
    """Sleep for a moment on a thread of its own, and return the slack of that thread."""
    found: list[str] = []

    def sleep() -> None:
        Inbox().wait(0.0)
        found.append(slack_file().read_text().strip())

    thread = threading.Thread(target=sleep)
    thread.start()
    thread.join()
    return found


def test_a_sleep_with_a_deadline_minimizes_the_slack_of_its_own_thread_only() -> None:
    if not slack_file().exists():
        pytest.skip("LOUD: this system has no timer slack that can be set")
    before = slack_file().read_text()

    assert sleep_and_read_slack() == ["1"]
    assert slack_file().read_text() == before


def test_a_sleep_works_if_the_slack_cannot_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox_module, "_SLACK_FILE", f"{tmp_path}/nowhere/{{thread}}")

    inbox = Inbox()
    inbox.wait(0.0)

    assert not inbox.reports
