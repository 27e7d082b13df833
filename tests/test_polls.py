from __future__ import annotations

from collections.abc import Callable

import pytest

from taskloom.core.model import Reason, ReasonKind
from taskloom.polls import PollSampler, PollTrack
from taskloom.token import CancelToken


class Alarm:
    """Counts how often the timer was rung for."""

    def __init__(self) -> None:
        self.rings = 0

    def __call__(self) -> None:
        self.rings += 1


def track_of(token: CancelToken, *, is_unobserved: bool = False) -> PollTrack:
    return PollTrack(token, 0.0, is_unobserved=is_unobserved)


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

    waiter = token.entered()
    ages = [track.age(10.0), track.age(1000.0)]
    token.left(waiter)
    ages += [track.age(1001.0), track.age(1004.0)]

    assert ages == [0.0, 0.0, 0.0, 3.0]


def test_the_worst_gap_stays_when_the_run_polls_again() -> None:
    token = CancelToken()
    track = track_of(token)
    for now in (0.0, 7.0):
        track.look(now)
    assert not token.cancelled
    for now in (8.0, 9.0):
        track.look(now)

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

    outside = [track.look(1.0)]
    waiter = token.entered()
    outside.append(track.look(2.0))
    token.left(waiter)
    outside.append(track.look(3.0))

    assert outside == [True, False, True]


def test_the_sampler_goes_idle_when_every_run_waits_and_is_roused_by_the_first_that_stops() -> None:
    alarm = Alarm()
    sampler = PollSampler(alarm)
    tokens = [CancelToken(sampler) for _ in range(3)]
    for number, token in enumerate(tokens):
        sampler.watch(str(number), track_of(token))
    rings = [alarm.rings]

    waiters = [token.entered() for token in tokens]
    sampler.sample(1.0)
    idle = [sampler.is_idle]
    for token, waiter in zip(tokens, waiters, strict=True):
        token.left(waiter)
    idle.append(sampler.is_idle)
    rings.append(alarm.rings)

    assert idle == [True, False]
    assert rings == [1, 2], "one ring wakes the timer; the runs that stop waiting after that ring no more"


def test_the_sampler_goes_on_while_one_run_is_outside_a_wait() -> None:
    sampler = PollSampler(Alarm())
    waiting, busy = CancelToken(sampler), CancelToken(sampler)
    for name, token in (("waiting", waiting), ("busy", busy)):
        sampler.watch(name, track_of(token))
    waiting.entered()

    sampler.sample(1.0)
    sampler.sample(2.0)

    assert not sampler.is_idle
    assert sampler.tracks["busy"].worst_gap == 2.0


def test_a_run_that_stops_waiting_while_it_is_sampled_is_sampled_again() -> None:
    # 1. the sampler looks at the run: it waits
    # 2. the run stops waiting; it must see that the sampler is about to go idle
    # 3. the sampler has looked at all
    alarm = Alarm()
    sampler = PollSampler(alarm)
    token = CancelToken(sampler)
    waiter = token.entered()

    class LyingTrack(PollTrack):
        __slots__ = ()

        def look(self, now: float) -> bool:
            is_outside = super().look(now)
            token.left(waiter)
            return is_outside

    sampler.watch("run", LyingTrack(token, 0.0, is_unobserved=False))
    rings = alarm.rings

    sampler.sample(1.0)

    assert not sampler.is_idle
    assert alarm.rings == rings + 1


def test_a_run_that_is_forgotten_is_looked_at_no_more() -> None:
    sampler = PollSampler(Alarm())
    track = track_of(CancelToken(sampler))
    sampler.watch("run", track)

    sampler.forget("run")
    sampler.forget("run")
    sampler.sample(9.0)

    assert track.worst_gap == 0.0
    assert sampler.is_idle


@pytest.mark.parametrize("is_asked", [False, True])
def test_every_kind_of_poll_counts(is_asked: bool) -> None:
    token = CancelToken()
    if is_asked:
        token.ask(Reason(ReasonKind.USER))
    track = track_of(token)
    now = 0.0
    polls: list[Callable[[], object]] = [lambda: token.cancelled, lambda: token.wait(0), lambda: token.wait(-1)]
    for poll in polls:
        now += 10
        poll()

        assert track.age(now) == 0.0
