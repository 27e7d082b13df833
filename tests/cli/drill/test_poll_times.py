"""Timestamps of polls: what counts as a gap, and that TimedContext behaves like the run's own context."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from taskloom import Context
from taskloom.cli.drill.poll_times import PollClock, TimedContext, with_timed_polls
from taskloom.errors import Cancelled
from taskloom.runners.binding import Binding, Body
from taskloom.testing import FakeContext


class Seconds:
    """A clock that a test moves by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def clock(seconds: Seconds) -> PollClock:
    clock = PollClock(seconds)
    clock.enter_body()
    return clock


@pytest.fixture
def fake() -> Iterator[FakeContext]:
    with FakeContext(job="timed") as ctx:
        yield ctx


@pytest.fixture
def ctx(fake: FakeContext, clock: PollClock) -> Context:
    return cast("Context", TimedContext(fake, clock))


def test_the_worst_gap_is_the_longest_time_between_two_polls(ctx: Context, clock: PollClock, seconds: Seconds) -> None:
    for gap in (0.5, 2.0, 1.0):
        seconds.pass_by(gap)
        assert not ctx.cancelled

    assert clock.longest_gap() == (2.0, "")
    assert clock.polls == 3


def test_the_time_from_the_entry_to_the_first_poll_is_a_gap(ctx: Context, clock: PollClock, seconds: Seconds) -> None:
    seconds.pass_by(3.0)

    ctx.raise_if_cancelled()

    assert clock.longest_gap() == (3.0, "")


def test_the_current_gap_counts(clock: PollClock, seconds: Seconds) -> None:
    seconds.pass_by(7.0)

    assert clock.longest_gap() == (7.0, "")
    assert clock.current_gap() == (100.0, 7.0)


def test_there_is_no_gap_inside_a_wait(clock: PollClock, seconds: Seconds) -> None:
    seconds.pass_by(0.25)
    clock.enter_wait()
    seconds.pass_by(50.0)

    assert clock.current_gap() == (0.0, 0.0)
    assert clock.longest_gap() == (0.25, "")


@pytest.mark.parametrize("poll", ["wait", "sleep", "track"])
def test_a_new_gap_begins_after_each_kind_of_poll(ctx: Context, clock: PollClock, seconds: Seconds, poll: str) -> None:
    polls: dict[str, Any] = {
        "wait": lambda: ctx.wait(0),
        "sleep": lambda: ctx.sleep(0),
        "track": lambda: next(ctx.track([1, 2])),
    }
    polls[poll]()
    seconds.pass_by(4.0)

    assert not ctx.cancelled
    assert clock.longest_gap() == (4.0, "")


@pytest.mark.parametrize("poll", ["cancelled", "raise_if_cancelled", "wait", "sleep", "track"])
def test_time_after_the_run_has_seen_the_stop_is_not_a_gap(
    ctx: Context, fake: FakeContext, clock: PollClock, seconds: Seconds, poll: str
) -> None:
    fake.cancel("enough")
    polls: dict[str, Any] = {
        "cancelled": lambda: ctx.cancelled,
        "raise_if_cancelled": ctx.raise_if_cancelled,
        "wait": ctx.wait,
        "sleep": lambda: ctx.sleep(5),
        "track": lambda: next(ctx.track([1, 2])),
    }
    try:
        assert polls[poll]() is True
    except Cancelled:
        assert poll in ("raise_if_cancelled", "sleep", "track")
    seconds.pass_by(9.0)
    assert ctx.cancelled

    assert clock.longest_gap() == (0.0, "")
    assert clock.has_seen_stop


def test_the_worst_gap_has_the_place_recorded_during_it(ctx: Context, clock: PollClock, seconds: Seconds) -> None:
    seconds.pass_by(1.0)
    clock.record_place(clock.current_gap()[0], "task.py:7 in run")
    seconds.pass_by(1.0)
    assert not ctx.cancelled
    seconds.pass_by(0.5)

    assert clock.longest_gap() == (2.0, "task.py:7 in run")


def test_a_place_of_an_older_gap_is_not_reported_for_a_worse_one(
    ctx: Context, clock: PollClock, seconds: Seconds
) -> None:
    clock.record_place(clock.current_gap()[0], "task.py:7 in run")
    seconds.pass_by(1.0)
    assert not ctx.cancelled
    seconds.pass_by(2.0)

    assert clock.longest_gap() == (2.0, "")


def test_everything_but_polls_goes_to_the_context_of_the_run(ctx: Context, fake: FakeContext, clock: PollClock) -> None:
    ctx.count("beats", 2)
    ctx.progress(1, 4, "lines")
    ctx.log.info("hello")

    assert (ctx.job, ctx.run_id, ctx.attempt) == ("timed", "timed#1", 1)
    assert fake.counts == {"beats": 2}
    assert fake.progress_calls == [(1, 4, "lines")]
    assert fake.messages == ["hello"]
    assert ctx.fileno() == fake.fileno()
    assert clock.polls == 0


def test_track_yields_every_item_and_ends(ctx: Context, fake: FakeContext) -> None:
    assert list(ctx.track("abc", unit="letters")) == ["a", "b", "c"]
    assert fake.progress_calls[-1] == (3, 3, "letters")


def test_a_timed_binding_keeps_the_attributes_of_the_task_and_times_its_run(
    fake: FakeContext, seconds: Seconds
) -> None:
    clock = PollClock(seconds)

    def work(ctx: Context) -> None:
        seconds.pass_by(6.0)

    def terminate() -> None: ...

    binding = Binding(lambda: Body(work, terminate), has_terminate=True, announces_ready=True, label="toys:Work")
    both = with_timed_polls(binding, clock)
    body = both.make()
    body.run(fake)

    assert (both.has_terminate, both.announces_ready, both.label) == (True, True, "toys:Work")
    assert body.terminate is terminate
    assert clock.longest_gap() == (6.0, "")
    assert clock.has_seen_stop
