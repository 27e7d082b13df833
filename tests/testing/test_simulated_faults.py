"""Faults of a simulated machine, and runs that stop polling."""

from __future__ import annotations

import pytest
from tests.support.fake_calendar import FakeCalendar

from taskloom.core.inputs import Reload, RestartJob
from taskloom.core.model import Reason, ReasonKind
from taskloom.core.policies import RestartPolicy, RestartWhen, Schedule, Watchdog, WatchdogThen
from taskloom.testing import At, Behaviour, ClockStep, History, Stall, make_job, simulate
from taskloom.testing.clock import FIRST_WALL_SECONDS

EVERY_MINUTE = Schedule(calendar=FakeCalendar(FIRST_WALL_SECONDS + 60.0, 60.0))


def starts(history: History) -> list[float]:
    return [event["mono"] for event in history.as_dicts() if event["event"] == "started"]


def events_of(history: History, *names: str) -> list[tuple[float, str]]:
    return [(event["mono"], event["event"]) for event in history.as_dicts() if event["event"] in names]


def test_a_wall_clock_that_is_set_moves_the_firings_of_calendars_and_no_others() -> None:
    jobs = [make_job("c", schedule=EVERY_MINUTE), make_job("e", schedule=Schedule(every=50.0))]
    runs = {"c": Behaviour.returns(1.0), "e": Behaviour.returns(1.0)}

    history = simulate(jobs, seconds=160, script=[At(70.0, ClockStep(30.0))], behaviours=runs)

    assert starts(history) == [50, 60, 90, 100, 150, 150]


def test_nothing_happens_during_a_stall() -> None:
    job = make_job("e", schedule=Schedule(every=10.0))

    history = simulate([job], seconds=45, script=[At(15.0, Stall(12.0))], behaviours={"e": Behaviour.returns(1.0)})

    assert starts(history) == [10, 27, 30, 40]


def test_a_reload_in_the_script_replaces_the_declarations() -> None:
    script = [At(10.0, Reload((make_job("b"),)))]

    history = simulate([make_job("a")], seconds=20, script=script, behaviours={"a": Behaviour(), "b": Behaviour()})

    assert events_of(history, "reloaded", "job_added", "job_removed") == [
        (0, "job_added"), (10, "reloaded"), (10, "job_added"), (10, "job_removed"),
    ]  # fmt: skip


def test_a_run_that_stops_polling_is_unresponsive_at_the_next_full_second_and_recovers() -> None:
    job = make_job("a", watchdog=Watchdog(2.5))

    history = simulate([job], seconds=60, behaviours={"a": Behaviour(silent_after=1.25, silent_for=10.0)})

    assert events_of(history, "unresponsive", "responsive") == [(4, "unresponsive"), (12, "responsive")]


def test_a_gap_that_the_watchdog_allows_is_not_reported() -> None:
    job = make_job("a", watchdog=Watchdog(5.0))

    history = simulate([job], seconds=60, behaviours={"a": Behaviour(silent_after=1.0, silent_for=4.0)})

    assert events_of(history, "unresponsive", "responsive") == []


def test_a_run_that_stops_polling_is_restarted_by_its_watchdog() -> None:
    job = make_job(
        "a", watchdog=Watchdog(2.0, WatchdogThen.RESTART), restart=RestartPolicy(RestartWhen.NEVER, jitter=0.0)
    )
    runs = [Behaviour(silent_after=1.0), Behaviour()]

    history = simulate([job], seconds=60, behaviours={"a": runs})

    assert events_of(history, "unresponsive", "restart_scheduled", "started") == [
        (0, "started"), (4, "unresponsive"), (4, "restart_scheduled"), (4.5, "started"),
    ]  # fmt: skip


def test_a_watchdog_that_a_reload_adds_applies_to_the_live_run() -> None:
    script = [At(5.0, Reload((make_job("a", watchdog=Watchdog(2.0)),)))]
    runs = {"a": Behaviour(silent_after=10.0, silent_for=20.0)}

    history = simulate([make_job("a")], seconds=60, script=script, behaviours=runs)

    assert events_of(history, "unresponsive") == [(13, "unresponsive")]


def test_a_restart_command_starts_a_new_run_without_delay() -> None:
    script = [At(5.0, RestartJob("a", Reason(ReasonKind.USER, "again")))]

    history = simulate([make_job("a")], seconds=60, script=script, behaviours={"a": Behaviour.obeys(1.5)})

    assert starts(history) == [0, 6.5]


def test_a_simulation_whose_time_does_not_advance_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskloom.testing.simulator.STUCK_STEPS", 10)
    jobs = [make_job(f"j{number}") for number in range(11)]

    with pytest.raises(RuntimeError, match="virtual time does not advance: 10 steps at second 0"):
        simulate(jobs, seconds=1, behaviours={job.name: Behaviour() for job in jobs})


def test_a_fake_calendar_has_only_its_own_instants() -> None:
    calendar = FakeCalendar(100.0, 10.0, last=120.0)

    assert [calendar.after(wall) for wall in (0.0, 100.0, 105.0, 110.0, 119.9, 120.0)] == [
        100, 110, 110, 120, 120, None,
    ]  # fmt: skip
    assert [calendar.latest(wall) for wall in (99.9, 100.0, 109.9, 110.0, 500.0)] == [None, 100, 100, 110, 120]
