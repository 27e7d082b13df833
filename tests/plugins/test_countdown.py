"""The task `countdown`."""

from __future__ import annotations

from taskloom.testing import FakeContext, VirtualClock
from taskloom_plugins.countdown import Countdown


def test_it_counts_down_and_logs_its_message() -> None:
    ctx = FakeContext(clock=VirtualClock())

    Countdown(start=3, message="go").run(ctx)

    assert ctx.messages == ["3", "2", "1", "go"]
    assert [(call.done, call.total) for call in ctx.progress_calls] == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_it_waits_for_the_interval_between_the_numbers_and_before_the_message() -> None:
    clock = VirtualClock()
    before = clock.now().mono

    Countdown(start=600, interval=2.5).run(FakeContext(clock=clock))

    assert clock.now().mono - before == 1500.0


def test_a_cancelled_countdown_logs_no_message() -> None:
    ctx = FakeContext(clock=VirtualClock(), cancel_after=1.5)

    Countdown(start=5).run(ctx)

    assert ctx.messages == ["5", "4"]


def test_from_zero_only_the_message_is_logged_unless_it_is_empty() -> None:
    ctx = FakeContext(clock=VirtualClock())

    Countdown(start=0, message="now").run(ctx)
    Countdown(start=0, message="").run(ctx)

    assert ctx.messages == ["now"]


def test_a_deaf_countdown_does_not_look_whether_it_is_cancelled() -> None:
    ctx = FakeContext(clock=VirtualClock(), cancel_after=0.0)

    Countdown(start=3, interval=0.001, deaf=True, message="done").run(ctx)

    assert ctx.messages == ["3", "2", "1", "done"]
    assert ctx.polls == 0
