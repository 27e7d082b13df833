from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.support.hand_driven_core import HandDrivenCore

from taskloom.core.inputs import RunResponsive, RunUnresponsive
from taskloom.core.model import Moment, Reason, ReasonKind
from taskloom.core.policies import Watchdog
from taskloom.core.records import RunRecord
from taskloom.scheduler.heartbeats import HeartbeatMonitor, HeartbeatTrack
from taskloom.sync.cancel_token import CancelToken
from taskloom.testing import make_job

News = RunUnresponsive | RunResponsive


class Alarm:
    """Counts how often the timer was rung for."""

    def __init__(self) -> None:
        self.rings = 0

    def __call__(self) -> None:
        self.rings += 1


def record_of(*, ready: float | None = 0.0, after: float | None = None) -> RunRecord:
    """Return the record of a run: since when it is ready, and how long its watchdog lets it go without a poll."""
    watchdog = Watchdog(after) if after is not None else None
    stage = HandDrivenCore()
    stage.add(make_job("a", watchdog=watchdog))
    record = stage.lifecycle.runs[stage.start("a")]
    record.ready = Moment(ready, ready) if ready is not None else None
    return record


def track_of(token: CancelToken, *, is_unobserved: bool = False) -> HeartbeatTrack:
    return HeartbeatTrack(record_of(), token, 0.0, is_unobserved=is_unobserved)


def sampler_of(alarm: Callable[[], None]) -> HeartbeatMonitor:
    """Return a sampler that has nobody to tell: none of its runs has a watchdog."""
    news: list[News] = []
    return HeartbeatMonitor(alarm, news.append)


def test_the_age_of_a_run_that_never_polls_grows() -> None:
    track = track_of(CancelToken())

    assert [track.age(now) for now in (0.0, 1.0, 50.0)] == [0.0, 1.0, 50.0]
    assert track.worst_gap == 50.0


def test_a_poll_brings_the_age_down_to_the_time_since_the_look_that_saw_it() -> None:
    token = CancelToken()
    track = track_of(token)
    ages = [track.age(10.0)]

    assert not token.cancelled
    ages += [track.age(12.0), track.age(15.0)]

    assert ages == [10.0, 0.0, 3.0]
    assert track.worst_gap == 10.0


def test_the_age_is_zero_inside_a_token_wait_and_counts_from_its_end() -> None:
    token = CancelToken()
    track = track_of(token)

    waiter = token.add_waiter()
    ages = [track.age(10.0), track.age(1000.0)]
    token.remove_waiter(waiter)
    ages += [track.age(1001.0), track.age(1004.0)]

    assert ages == [0.0, 0.0, 0.0, 3.0]


def test_the_worst_gap_stays_when_the_run_polls_again() -> None:
    token = CancelToken()
    track = track_of(token)
    for now in (0.0, 7.0):
        track.update(now)
    assert not token.cancelled
    for now in (8.0, 9.0):
        track.update(now)

    assert track.worst_gap == 7.0


def test_a_run_with_terminate_is_unobserved_until_it_polls() -> None:
    token = CancelToken()
    track = track_of(token, is_unobserved=True)
    ages = [track.age(10.0)]

    assert not token.cancelled
    ages += [track.age(11.0), track.age(13.0)]

    assert ages == [None, 0.0, 2.0]


def test_a_look_says_whether_the_run_is_outside_a_token_wait() -> None:
    token = CancelToken()
    track = track_of(token)

    outside = [track.update(1.0)]
    waiter = token.add_waiter()
    outside.append(track.update(2.0))
    token.remove_waiter(waiter)
    outside.append(track.update(3.0))

    assert outside == [True, False, True]


def test_the_sampler_goes_idle_when_every_run_waits_and_is_roused_by_the_first_that_stops() -> None:
    alarm = Alarm()
    sampler = sampler_of(alarm)
    tokens = [CancelToken(sampler) for _ in range(3)]
    for number, token in enumerate(tokens):
        sampler.add(str(number), track_of(token))
    rings = [alarm.rings]

    waiters = [token.add_waiter() for token in tokens]
    sampler.sample(1.0)
    idle = [sampler.is_idle]
    for token, waiter in zip(tokens, waiters, strict=True):
        token.remove_waiter(waiter)
    idle.append(sampler.is_idle)
    rings.append(alarm.rings)

    assert idle == [True, False]
    assert rings == [1, 2], "one ring wakes the timer; the runs that stop waiting after that ring no more"


def test_the_sampler_goes_on_while_one_run_is_outside_a_wait() -> None:
    sampler = sampler_of(Alarm())
    waiting, busy = CancelToken(sampler), CancelToken(sampler)
    for name, token in (("waiting", waiting), ("busy", busy)):
        sampler.add(name, track_of(token))
    waiting.add_waiter()

    sampler.sample(1.0)
    sampler.sample(2.0)

    assert not sampler.is_idle
    assert sampler.tracks["busy"].worst_gap == 2.0


def test_a_run_that_stops_waiting_while_it_is_sampled_is_sampled_again() -> None:
    # 1. the sampler looks at the run: it waits
    # 2. the run stops waiting; it must see that the sampler is about to go idle
    # 3. the sampler has looked at all
    alarm = Alarm()
    sampler = sampler_of(alarm)
    token = CancelToken(sampler)
    waiter = token.add_waiter()

    class LyingTrack(HeartbeatTrack):
        __slots__ = ()

        def update(self, now: float) -> bool:
            is_outside = super().update(now)
            token.remove_waiter(waiter)
            return is_outside

    sampler.add("run", LyingTrack(record_of(), token, 0.0, is_unobserved=False))
    rings = alarm.rings

    sampler.sample(1.0)

    assert not sampler.is_idle
    assert alarm.rings == rings + 1


def test_a_run_that_is_forgotten_is_looked_at_no_more() -> None:
    sampler = sampler_of(Alarm())
    track = track_of(CancelToken(sampler))
    sampler.add("run", track)

    sampler.remove("run")
    sampler.remove("run")
    sampler.sample(9.0)

    assert track.worst_gap == 0.0
    assert sampler.is_idle


@pytest.mark.parametrize("is_asked", [False, True])
def test_every_kind_of_poll_counts(is_asked: bool) -> None:
    token = CancelToken()
    if is_asked:
        token.request(Reason(ReasonKind.USER))
    track = track_of(token)
    now = 0.0
    polls: list[Callable[[], object]] = [lambda: token.cancelled, lambda: token.wait(0), lambda: token.wait(-1)]
    for poll in polls:
        now += 10
        poll()

        assert track.age(now) == 0.0


# -- the watchdog


class Watched:
    """A run under a sampler that looks at it once a second; a watchdog allows `after` seconds without a poll."""

    def __init__(self, *, after: float | None = 3.0, ready: float | None = 0.0, is_unobserved: bool = False) -> None:
        self.told: list[tuple[float, News]] = []
        self.now = 0.0
        self.sampler = HeartbeatMonitor(Alarm(), lambda news: self.told.append((self.now, news)))
        self.token = CancelToken(self.sampler)
        self.record = record_of(ready=ready, after=after)
        self.sampler.add("a#1", HeartbeatTrack(self.record, self.token, 0.0, is_unobserved=is_unobserved))

    def pass_time(self, seconds: int) -> list[tuple[float, News]]:
        """Let time pass, and return all that was told so far."""
        for _ in range(seconds):
            self.now += 1.0
            self.sampler.sample(self.now)
        return self.told


def test_the_watchdog_is_told_once_that_a_run_does_not_poll_and_once_that_it_does_again() -> None:
    watched = Watched()

    silent = list(watched.pass_time(10))
    assert not watched.token.cancelled
    heard = list(watched.pass_time(3))
    silent_again = list(watched.pass_time(10))

    assert silent == [(4.0, RunUnresponsive("a#1", 4.0))]
    assert heard[1:] == [(11.0, RunResponsive("a#1"))]
    assert silent_again[2:] == [(15.0, RunUnresponsive("a#1", 4.0))]


def test_a_run_that_polls_often_enough_is_never_told_of() -> None:
    watched = Watched()

    for _ in range(20):
        watched.pass_time(3)
        assert not watched.token.cancelled

    assert watched.told == []


def test_the_watchdog_acts_only_after_ready_and_counts_from_then() -> None:
    watched = Watched(ready=None)

    unready = list(watched.pass_time(20))
    watched.record.ready = Moment(20.0, 20.0)
    ready = list(watched.pass_time(4))

    assert unready == []
    assert ready == [(24.0, RunUnresponsive("a#1", 4.0))]


def test_a_run_that_waits_on_its_token_is_not_missed_and_counts_from_the_end_of_its_wait() -> None:
    watched = Watched()
    waiter = watched.token.add_waiter()

    waiting = list(watched.pass_time(3600))
    watched.token.remove_waiter(waiter)
    working = list(watched.pass_time(5))

    assert waiting == []
    assert working == [(3605.0, RunUnresponsive("a#1", 4.0))]


def test_a_missed_run_that_comes_to_wait_is_heard_again_before_the_sampler_goes_idle() -> None:
    watched = Watched()
    watched.pass_time(4)

    watched.token.add_waiter()
    watched.pass_time(1)

    assert watched.told[1:] == [(5.0, RunResponsive("a#1"))]
    assert watched.sampler.is_idle


def test_a_run_that_a_stop_would_wake_is_not_missed_and_counts_from_when_none_would() -> None:
    """A read for an hour under a registered callback, and then work that has gone on for less than a second."""
    watched = Watched()
    handle = watched.token.on_cancel(lambda: None)

    reading = list(watched.pass_time(3600))
    handle.close()
    working = list(watched.pass_time(3))
    silent = list(watched.pass_time(1))

    assert (reading, working) == ([], [])
    assert silent == [(3604.0, RunUnresponsive("a#1", 4.0))]


def test_a_run_that_is_unobserved_is_not_missed_until_it_has_polled_once() -> None:
    watched = Watched(is_unobserved=True)

    unobserved = list(watched.pass_time(60))
    assert not watched.token.cancelled
    observed = list(watched.pass_time(5))

    assert unobserved == []
    assert observed == [(65.0, RunUnresponsive("a#1", 4.0))]


def test_without_a_watchdog_nobody_is_told() -> None:
    assert Watched(after=None).pass_time(3600) == []


def test_a_watchdog_that_a_reload_brings_counts_from_then_on() -> None:
    watched = Watched(after=None)
    watched.pass_time(100)

    watched.record.spec = replace(watched.record.spec, watchdog=Watchdog(3.0))

    assert watched.pass_time(4) == [(104.0, RunUnresponsive("a#1", 4.0))]


def test_a_run_is_responsive_again_once_a_reload_takes_its_watchdog_away() -> None:
    watched = Watched()
    watched.pass_time(4)

    watched.record.spec = replace(watched.record.spec, watchdog=None)

    assert watched.pass_time(1)[1:] == [(5.0, RunResponsive("a#1"))]
