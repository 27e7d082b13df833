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

Report = RunUnresponsive | RunResponsive


class TimerWakeups:
    """Counts how often the timer was woken."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


def record_of(*, ready: float | None = 0.0, after: float | None = None) -> RunRecord:
    """Return the record of a run that is ready since `ready` and has a watchdog of `after` seconds."""
    watchdog = Watchdog(after) if after is not None else None
    stage = HandDrivenCore()
    stage.add(make_job("a", watchdog=watchdog))
    record = stage.lifecycle.runs[stage.start("a")]
    record.ready = Moment(ready, ready) if ready is not None else None
    return record


def track_of(token: CancelToken, *, is_unobserved: bool = False) -> HeartbeatTrack:
    return HeartbeatTrack(record_of(), token, 0.0, is_unobserved=is_unobserved)


def sampler_of(wakeups: Callable[[], None]) -> HeartbeatMonitor:
    """Return a sampler for runs without a watchdog, which reports nothing."""
    return HeartbeatMonitor(wakeups, lambda _: None)


def test_the_age_of_a_run_that_never_polls_grows() -> None:
    track = track_of(CancelToken())

    assert [track.age(now) for now in (0.0, 1.0, 50.0)] == [0.0, 1.0, 50.0]
    assert track.worst_gap == 50.0


def test_after_a_poll_the_age_counts_from_the_sample_that_found_it() -> None:
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


def test_a_sample_returns_whether_the_run_is_outside_a_token_wait() -> None:
    token = CancelToken()
    track = track_of(token)

    outside = [track.update(1.0)]
    waiter = token.add_waiter()
    outside.append(track.update(2.0))
    token.remove_waiter(waiter)
    outside.append(track.update(3.0))

    assert outside == [True, False, True]


def test_the_sampler_becomes_idle_when_every_run_waits_and_the_first_that_stops_waiting_resumes_it() -> None:
    wakeups = TimerWakeups()
    sampler = sampler_of(wakeups)
    tokens = [CancelToken(sampler) for _ in range(3)]
    for number, token in enumerate(tokens):
        sampler.add(str(number), track_of(token))
    count = [wakeups.count]

    waiters = [token.add_waiter() for token in tokens]
    sampler.sample(1.0)
    idle = [sampler.is_idle]
    for token, waiter in zip(tokens, waiters, strict=True):
        token.remove_waiter(waiter)
    idle.append(sampler.is_idle)
    count.append(wakeups.count)

    assert idle == [True, False]
    assert count == [1, 2], "the first run wakes the timer; the runs that stop waiting after it do not"


def test_the_sampler_continues_while_one_run_is_outside_a_wait() -> None:
    sampler = sampler_of(TimerWakeups())
    waiting, busy = CancelToken(sampler), CancelToken(sampler)
    for name, token in (("waiting", waiting), ("busy", busy)):
        sampler.add(name, track_of(token))
    waiting.add_waiter()

    sampler.sample(1.0)
    sampler.sample(2.0)

    assert not sampler.is_idle
    assert sampler.tracks["busy"].worst_gap == 2.0


def test_a_run_that_stops_waiting_while_it_is_sampled_is_sampled_again() -> None:
    # 1. the sampler samples the run, which waits
    # 2. the run stops waiting; it must see that the sampler is about to become idle
    # 3. the sampler has sampled all runs
    wakeups = TimerWakeups()
    sampler = sampler_of(wakeups)
    token = CancelToken(sampler)
    waiter = token.add_waiter()

    class LyingTrack(HeartbeatTrack):
        __slots__ = ()

        def update(self, now: float) -> bool:
            is_outside = super().update(now)
            token.remove_waiter(waiter)
            return is_outside

    sampler.add("run", LyingTrack(record_of(), token, 0.0, is_unobserved=False))
    count = wakeups.count

    sampler.sample(1.0)

    assert not sampler.is_idle
    assert wakeups.count == count + 1


def test_a_removed_run_is_not_sampled() -> None:
    sampler = sampler_of(TimerWakeups())
    track = track_of(CancelToken(sampler))
    sampler.add("run", track)

    sampler.remove("run")
    sampler.remove("run")
    sampler.sample(9.0)

    assert track.worst_gap == 0.0
    assert sampler.is_idle


@pytest.mark.parametrize("is_requested", [False, True])
def test_every_kind_of_poll_counts(is_requested: bool) -> None:
    token = CancelToken()
    if is_requested:
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
    """A run that is sampled once a second; its watchdog allows `after` seconds without a poll."""

    def __init__(self, *, after: float | None = 3.0, ready: float | None = 0.0, is_unobserved: bool = False) -> None:
        self.reports: list[tuple[float, Report]] = []
        self.now = 0.0
        self.sampler = HeartbeatMonitor(TimerWakeups(), lambda report: self.reports.append((self.now, report)))
        self.token = CancelToken(self.sampler)
        self.record = record_of(ready=ready, after=after)
        self.sampler.add("a#1", HeartbeatTrack(self.record, self.token, 0.0, is_unobserved=is_unobserved))

    def pass_time(self, seconds: int) -> list[tuple[float, Report]]:
        """Let time pass, and return all reports so far."""
        for _ in range(seconds):
            self.now += 1.0
            self.sampler.sample(self.now)
        return self.reports


def test_one_report_when_a_run_becomes_unresponsive_and_one_when_it_polls_again() -> None:
    watched = Watched()

    silent = list(watched.pass_time(10))
    assert not watched.token.cancelled
    responsive = list(watched.pass_time(3))
    silent_again = list(watched.pass_time(10))

    assert silent == [(4.0, RunUnresponsive("a#1", 4.0))]
    assert responsive[1:] == [(11.0, RunResponsive("a#1"))]
    assert silent_again[2:] == [(15.0, RunUnresponsive("a#1", 4.0))]


def test_the_watchdog_does_not_count_the_time_in_which_nothing_is_heard_of_a_run_elsewhere() -> None:
    watched = Watched()
    watched.record.unreachable = Moment(0.0, 0.0)

    unreachable = list(watched.pass_time(20))
    watched.record.unreachable = None
    reachable = list(watched.pass_time(4))

    assert unreachable == []
    assert reachable == [(24.0, RunUnresponsive("a#1", 4.0))]


def test_a_run_that_is_unresponsive_and_becomes_unreachable_is_not_reported_as_responsive() -> None:
    watched = Watched()
    watched.pass_time(5)
    watched.record.unreachable = Moment(5.0, 5.0)

    assert watched.pass_time(5) == [(4.0, RunUnresponsive("a#1", 4.0))]


def test_a_run_that_polls_often_enough_is_never_reported() -> None:
    watched = Watched()

    for _ in range(20):
        watched.pass_time(3)
        assert not watched.token.cancelled

    assert watched.reports == []


def test_the_watchdog_acts_only_after_ready_and_counts_from_then() -> None:
    watched = Watched(ready=None)

    unready = list(watched.pass_time(20))
    watched.record.ready = Moment(20.0, 20.0)
    ready = list(watched.pass_time(4))

    assert unready == []
    assert ready == [(24.0, RunUnresponsive("a#1", 4.0))]


def test_a_token_wait_is_never_unresponsive_and_the_watchdog_counts_from_its_end() -> None:
    watched = Watched()
    waiter = watched.token.add_waiter()

    waiting = list(watched.pass_time(3600))
    watched.token.remove_waiter(waiter)
    working = list(watched.pass_time(5))

    assert waiting == []
    assert working == [(3605.0, RunUnresponsive("a#1", 4.0))]


def test_an_unresponsive_run_that_begins_a_wait_is_reported_responsive_before_the_sampler_becomes_idle() -> None:
    watched = Watched()
    watched.pass_time(4)

    watched.token.add_waiter()
    watched.pass_time(1)

    assert watched.reports[1:] == [(5.0, RunResponsive("a#1"))]
    assert watched.sampler.is_idle


def test_a_run_that_a_stop_would_wake_is_never_unresponsive_and_the_watchdog_counts_from_then_on() -> None:
    """An hour in a read with a registered callback, and then three seconds of work without a poll."""
    watched = Watched()
    handle = watched.token.on_cancel(lambda: None)

    reading = list(watched.pass_time(3600))
    handle.close()
    working = list(watched.pass_time(3))
    silent = list(watched.pass_time(1))

    assert (reading, working) == ([], [])
    assert silent == [(3604.0, RunUnresponsive("a#1", 4.0))]


def test_an_unobserved_run_is_never_unresponsive_until_it_has_polled_once() -> None:
    watched = Watched(is_unobserved=True)

    unobserved = list(watched.pass_time(60))
    assert not watched.token.cancelled
    observed = list(watched.pass_time(5))

    assert unobserved == []
    assert observed == [(65.0, RunUnresponsive("a#1", 4.0))]


def test_without_a_watchdog_nothing_is_reported() -> None:
    assert Watched(after=None).pass_time(3600) == []


def test_a_watchdog_that_a_reload_adds_counts_from_the_reload() -> None:
    watched = Watched(after=None)
    watched.pass_time(100)

    watched.record.spec = replace(watched.record.spec, watchdog=Watchdog(3.0))

    assert watched.pass_time(4) == [(104.0, RunUnresponsive("a#1", 4.0))]


def test_a_run_is_responsive_again_once_a_reload_removes_its_watchdog() -> None:
    watched = Watched()
    watched.pass_time(4)

    watched.record.spec = replace(watched.record.spec, watchdog=None)

    assert watched.pass_time(1)[1:] == [(5.0, RunResponsive("a#1"))]


# -- samples that come late, because the process was suspended: no run could have polled meanwhile


def sampler_with_watchdog() -> tuple[HeartbeatMonitor, list[Report]]:
    """Return a sampler of one run that never polls and has a watchdog of 5 s, and the list of its reports."""
    record = record_of(after=5.0)
    reports: list[Report] = []
    sampler = HeartbeatMonitor(lambda: None, reports.append)
    sampler.add(record.id, HeartbeatTrack(record, CancelToken(), 0.0, is_unobserved=False))
    return sampler, reports


def test_the_watchdog_does_not_count_the_time_of_a_suspension() -> None:
    sampler, reports = sampler_with_watchdog()
    sampler.sample(1.0)
    sampler.sample(2.0)

    sampler.sample(103.0, late=100.0)
    reports_before = list(reports)
    sampler.sample(104.0)
    sampler.sample(105.0)
    sampler.sample(106.5)

    assert reports_before == []
    assert reports == [RunUnresponsive("a#1", 6.5)]


def test_a_sample_that_is_a_little_late_counts_in_full() -> None:
    sampler, reports = sampler_with_watchdog()

    sampler.sample(4.9, late=0.9)
    sampler.sample(5.8, late=0.9)

    assert reports == [RunUnresponsive("a#1", 5.8)]


def test_each_sample_is_announced_after_it_was_taken() -> None:
    monitor = sampler_of(TimerWakeups())
    record, token = record_of(), CancelToken()
    monitor.add("a#1", HeartbeatTrack(record, token, 0.0, is_unobserved=False))
    seen: list[float] = []
    monitor.on_sample = lambda: seen.append(monitor.tracks["a#1"].polled_at)

    monitor.sample(1.0)
    token.polls += 1
    monitor.sample(2.0)

    assert seen == [0.0, 2.0]
