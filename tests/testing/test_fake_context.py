from __future__ import annotations

import select
import threading
from collections.abc import Callable

import pytest

from taskloom import Cancelled, Context, Duration, Task, param
from taskloom.core.model import Reason, ReasonKind
from taskloom.testing import FakeContext, ProgressCall, VirtualClock


class Counting(Task):
    """Count down."""

    start: int = param(3)
    every: Duration = param("1s")

    def run(self, ctx: Context) -> None:
        for left in range(self.start, 0, -1):
            ctx.log.info("%d", left)
            if ctx.wait(self.every):
                ctx.log.info("cancelled")
                return


def test_it_is_a_context() -> None:
    assert isinstance(FakeContext(), Context)


def test_a_countdown_of_ten_minutes_takes_no_time_in_virtual_time() -> None:
    clock = VirtualClock()
    ctx = FakeContext(clock=clock)

    Counting(start=600, every=1.0).run(ctx)

    assert clock.now().mono == 600
    assert len(ctx.messages) == 600
    assert not ctx.cancelled


def test_cancel_after_ends_a_virtual_wait_at_that_second() -> None:
    clock = VirtualClock()
    ctx = FakeContext(clock=clock, cancel_after=2.5)

    Counting(start=600, every=1.0).run(ctx)

    assert clock.now().mono == 2.5
    assert ctx.messages == ["600", "599", "598", "cancelled"]
    assert ctx.reason == Reason(ReasonKind.USER, "cancel_after")


def test_an_endless_virtual_wait_jumps_to_the_cancel() -> None:
    clock = VirtualClock()
    ctx = FakeContext(clock=clock, cancel_after=3600)

    was_cancelled = ctx.wait()

    assert was_cancelled
    assert clock.now().mono == 3600


def test_a_poll_sees_a_cancel_after_once_the_clock_was_advanced_past_it() -> None:
    clock = VirtualClock()
    ctx = FakeContext(clock=clock, cancel_after=5)
    before = ctx.cancelled

    clock.advance(5)

    assert not before
    assert ctx.cancelled


def test_a_wait_after_the_cancel_takes_no_virtual_time() -> None:
    clock = VirtualClock()
    ctx = FakeContext(clock=clock)
    ctx.cancel()

    assert ctx.wait(60)
    assert clock.now().mono == 0


def test_cancel_after_without_a_clock_is_refused() -> None:
    with pytest.raises(ValueError, match=r"cannot cancel after 5 virtual seconds without clock=VirtualClock\(\)"):
        FakeContext(cancel_after=5)


@pytest.mark.parametrize("wait", [lambda ctx: ctx.cancelled, lambda ctx: ctx.wait(1)], ids=["poll", "wait"])
def test_cancel_after_polls_makes_exactly_that_poll_true(wait: Callable[[FakeContext], bool]) -> None:
    ctx = FakeContext(clock=VirtualClock(), cancel_after_polls=3)

    assert [wait(ctx) for _ in range(4)] == [False, False, True, True]
    assert ctx.polls == 4


def test_the_first_reason_wins_and_the_cancel_stays() -> None:
    ctx = FakeContext()

    ctx.cancel(reason="enough")
    ctx.cancel(reason="more than enough")

    assert ctx.cancelled
    assert ctx.reason == Reason(ReasonKind.USER, "enough")
    with pytest.raises(Cancelled):
        ctx.raise_if_cancelled()
    with pytest.raises(Cancelled):
        ctx.sleep(60)


def test_cancel_wakes_a_blocked_wait() -> None:
    ctx = FakeContext()
    seen: list[bool] = []
    thread = threading.Thread(target=lambda: seen.append(ctx.wait()))
    thread.start()

    ctx.cancel()

    thread.join(10)
    assert seen == [True]


def test_callbacks_run_once_in_the_caller_of_cancel_and_their_errors_are_kept() -> None:
    ctx = FakeContext()
    called: list[str] = []
    ctx.on_cancel(lambda: called.append("kept"))
    ctx.on_cancel(lambda: called.append("taken back")).close()
    ctx.on_cancel(lambda: 1 / 0)

    ctx.cancel()
    ctx.cancel()
    ctx.on_cancel(lambda: called.append("late"))

    assert called == ["kept", "late"]
    assert [type(error) for error in ctx.callback_errors] == [ZeroDivisionError]


def test_the_descriptor_is_readable_once_cancelled() -> None:
    with FakeContext() as ctx:
        descriptor = ctx.fileno()
        before, _, _ = select.select([descriptor], [], [], 0)

        ctx.cancel()

        after, _, _ = select.select([descriptor], [], [], 0)
        assert (before, after) == ([], [descriptor])


def test_reports_of_the_task_are_kept() -> None:
    ctx = FakeContext(job="tick", attempt=2, replica=3, poll_interval=0.5)

    ctx.log.warning("low on %s", "ink")
    ctx.count("frames")
    ctx.count("frames", 4)
    ctx.progress(1, 2, "pages")
    ctx.ready()
    ctx.hurry()

    assert [(record.levelname, record.getMessage()) for record in ctx.records] == [("WARNING", "low on ink")]
    assert ctx.counts == {"frames": 5}
    assert ctx.progress_calls == [ProgressCall(1, 2, "pages")]
    assert ctx.is_ready.is_set()
    assert ctx.urgent
    assert (ctx.job, ctx.run_id, ctx.attempt, ctx.replica, ctx.poll_interval) == ("tick", "tick#1", 2, 3, 0.5)


def test_log_lines_have_job_and_run_and_the_extra_values_of_the_task() -> None:
    ctx = FakeContext(job="tick")

    ctx.log.info("a frame", extra={"peer": "::1"})

    (record,) = ctx.records
    assert (vars(record)["job"], vars(record)["run"], vars(record)["peer"]) == ("tick", "tick#1", "::1")


def test_two_contexts_do_not_share_log_lines() -> None:
    one, two = FakeContext(job="one"), FakeContext(job="two")

    one.log.debug("mine")

    assert (one.messages, two.messages) == (["mine"], [])


def test_caplog_sees_the_lines_too(caplog: pytest.LogCaptureFixture) -> None:
    FakeContext().log.error("boo")

    assert caplog.messages == ["boo"]


def test_track_polls_and_reports_at_each_item() -> None:
    ctx = FakeContext(cancel_after_polls=3)
    seen: list[str] = []

    with pytest.raises(Cancelled):
        seen.extend(ctx.track(["a", "b", "c", "d"], unit="letters"))

    assert seen == ["a", "b"]
    assert ctx.progress_calls == [ProgressCall(1, 4, "letters"), ProgressCall(2, 4, "letters")]
