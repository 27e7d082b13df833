"""Which arrivals are one signal, and what the n-th one means."""

from __future__ import annotations

import signal

from tests.support.every_case import every_case

from taskloom.cli.program.signals import Arrivals, SignalAction, SignalPolicy, Way

P, W = Way.PROGRAM, Way.WATCHER
TERM, HUP = signal.SIGTERM, signal.SIGHUP


@every_case(
    ("arrivals", "counted"),
    [
        ([(TERM, 0.0, P), (TERM, 0.1, W)], 1),
        ([(TERM, 0.0, W), (TERM, 0.1, P)], 1),
        ([(TERM, 0.0, W), (TERM, 0.6, P)], 2),
        ([(TERM, 0.0, P), (HUP, 0.1, W)], 2),
        ([(HUP, 0.0, P), (HUP, 0.1, P)], 2),
        ([(HUP, 0.0, W), (HUP, 0.1, W)], 2),
        ([(HUP, 0.0, P), (HUP, 0.0, W), (HUP, 0.1, W), (HUP, 0.1, P)], 2),
        ([(HUP, 0.0, P), (HUP, 0.1, P), (HUP, 0.2, W), (HUP, 0.3, W)], 2),
        ([(HUP, 0.0, P), (HUP, 0.1, W), (HUP, 0.2, W)], 2),
        ([(HUP, 0.0, P), (HUP, 0.7, W), (HUP, 0.8, P)], 2),
    ],
)
def test_an_arrival_is_the_copy_of_one_that_came_the_other_way_within_half_a_second(
    arrivals: list[tuple[int, float, Way]], counted: int
) -> None:
    noted = Arrivals()

    assert sum(noted.is_first(number, now, way) for number, now, way in arrivals) == counted


def test_a_copy_that_the_program_has_not_handled_yet_is_paired_however_late_it_comes() -> None:
    noted = Arrivals()

    assert noted.is_first(TERM, 0.0, W, is_pending=True)
    assert not noted.is_first(TERM, 8.0, P)
    assert noted.is_first(TERM, 8.1, P)


def test_a_copy_that_never_comes_does_not_hide_a_later_signal() -> None:
    noted = Arrivals()

    assert noted.is_first(TERM, 0.0, W, is_pending=True)
    assert noted.is_first(TERM, 11.0, P)


def test_the_time_of_arrival_counts_not_the_time_of_handling() -> None:
    policy = SignalPolicy(has_terminal=False)

    actions = [policy.action_for(TERM, at) for at in (0.0, 0.4, 0.6, 0.9, 1.2)]

    assert actions == [
        *(SignalAction.STOP, SignalAction.NOTHING, SignalAction.HURRY, SignalAction.NOTHING, SignalAction.EXIT),
    ]
