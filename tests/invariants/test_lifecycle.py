"""Each rule of supervision is broken on purpose, in a history that is correct otherwise."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.support.every_case import every_case
from tests.support.fake_calendar import FakeCalendar
from tests.support.falsified_history import Events, drop, edit, find, numbered, tampered, twice

from taskloom.core import actions
from taskloom.core.events import Event, EventName
from taskloom.core.inputs import Reload, RestartJob, Shutdown, StartJob, Tick
from taskloom.core.model import Reason, ReasonKind
from taskloom.core.policies import (
    Condition,
    Dependency,
    Overlap,
    RestartLimit,
    RestartPolicy,
    RestartWhen,
    Schedule,
    Watchdog,
    WatchdogThen,
)
from taskloom.testing import At, Behaviour, ClockStep, History, Stall, Step, check, check_events, make_job, simulate
from taskloom.testing.clock import FIRST_WALL_SECONDS

FAILING = make_job("f", restart=RestartPolicy(RestartWhen.ON_FAILURE, delay=1.0, factor=2.0, jitter=0.0))
LIMITED = make_job(
    "l", restart=RestartPolicy(RestartWhen.ON_FAILURE, delay=1.0, jitter=0.0, limit=RestartLimit(2, 60.0))
)
SCHEDULED = make_job("s", schedule=Schedule(every=10.0))
WATCHED = make_job("w", watchdog=Watchdog(5.0))
WAITING = make_job("b", after=[Dependency("f", Condition.STARTED)])
HURRIED = make_job("t", timeout=7.0)
JOBS = [FAILING, LIMITED, SCHEDULED, WATCHED, WAITING, HURRIED]


def correct_history() -> History:
    """Simulate jobs that flap, give up, overlap and do not poll, and a reload."""
    return simulate(
        JOBS,
        seconds=60,
        script=[
            At(41.5, RestartJob("b", Reason(ReasonKind.USER, "again"))),
            At(50, Reload((FAILING, make_job("s", schedule=Schedule(every=10.0), timeout=99.0), WATCHED, WAITING))),
        ],
        behaviours={
            "f": Behaviour.fails(2.0),
            "l": Behaviour.fails(0.5),
            "s": Behaviour.returns(15.0),
            "w": Behaviour(silent_after=1.0, silent_for=9.0),
            "b": Behaviour.obeys(1.0),
            "t": Behaviour.obeys(),
        },
    )


def test_a_correct_history_of_supervision_breaks_no_rule() -> None:
    history = correct_history()

    events = {event["event"] for event in history.as_dicts()}

    assert check(history) == []
    assert check_events(history.as_dicts(), is_whole=True) == []
    assert events >= {
        "restart_scheduled", "gave_up", "missed", "unresponsive", "responsive", "job_removed", "reloaded", "flapping",
    }  # fmt: skip


BROKEN: list[tuple[str, str, Callable[[Events], Events]]] = [
    ("I6", "f#2 is attempt 2, but no restart was scheduled", drop("restart_scheduled", "f#1")),
    ("I6", "f#2 is attempt 3, after attempt 1", edit("queued", "f#2", attempt=3)),
    ("I6", "f#2 was restarted 2s too early", edit("restart_scheduled", "f#1", seconds=3.0)),
    ("I6", "a restart after f#1 was scheduled twice", twice("restart_scheduled", "f#1")),
    ("I6", "a restart after f#1 has a delay of -1 seconds", edit("restart_scheduled", "f#1", seconds=-1)),
    ("I6", "restart_scheduled of f#2, which is not its job's last run", edit("restart_scheduled", "f#1", run="f#2")),
    ("I6", "job l gave up after l#3, but a restart is scheduled", lambda events: numbered([
        *events[: find(events, "gave_up")],
        events[find(events, "gave_up")] | {"event": "restart_scheduled", "seconds": 1.0},
        *events[find(events, "gave_up"):]])),
    ("I6", "job l gave up without a cause", edit("gave_up", why="")),
    ("I6", "job w is flapping after 0 restarts", edit("flapping", job="w")),
    ("I10", "job s missed 0 instants, overlap", edit("missed", count=0)),
    ("I10", "job s missed 1 instants, bored", edit("missed", why="bored")),
    ("I10", "job x missed an instant, but was never added", edit("missed", job="x")),
    ("I4", "w#1 was unresponsive before it was ready, after its cancel request or twice", twice("unresponsive")),
    ("I4", "w#1 was responsive again, but was not unresponsive", twice("responsive")),
    ("I4", "w#1 was unresponsive for 4s, but its event says 9", edit("responsive", seconds=9.0)),
    ("I12", "job l was removed, but does not exist or has a live run", twice("job_removed")),
    ("I12", "a reload changed jobs that do not exist", edit("reloaded", apply=["x"])),
    ("I12", "a reload changed jobs that do not exist", edit("reloaded", add=["f"])),
    ("I9", "a restart after f#1 was scheduled during the shutdown", lambda events: numbered([
        *events[: find(events, "scheduler_started")],
        {"event": "scheduler_stopping", "mono": 0.0, "seq": 0, "reason": {"kind": "user", "text": ""}},
        *events[find(events, "scheduler_started"):]])),
]  # fmt: skip


@every_case(("rule", "text", "change"), BROKEN, ids=[f"{text} {n}" for n, (_, text, _) in enumerate(BROKEN)])
def test_a_broken_rule_is_found_in_the_events_alone(rule: str, text: str, change: Callable[[Events], Events]) -> None:
    events = change(copy.deepcopy(correct_history().as_dicts()))

    found = check_events(events)

    assert [one for one in found if one.rule == rule and text in one.text], "\n".join(map(str, found))


# -- rules that need the inputs and the declarations


def without(event: str, subject: str) -> History:
    return tampered(
        correct_history(),
        lambda step, old: (
            []
            if isinstance(old, Event) and old.event.value == event and subject in (old.run or "", old.job or "")
            else [old]
        ),
    )


def with_fields(event: str, subject: str, **fields: Any) -> History:
    def change(step: Step, old: actions.Action) -> list[actions.Action]:
        if isinstance(old, Event) and old.event.value == event and subject in (old.run or "", old.job or ""):
            return [old._replace(**fields)]
        return [old]

    return tampered(correct_history(), change)


def at_another_time(history: History, wanted: Callable[[Step], bool], seconds: float) -> History:
    """Move steps to a later time, as if the lifecycle had reported its deadline too late."""
    steps = [
        step._replace(now=step.now._replace(mono=step.now.mono + seconds)) if wanted(step) else step
        for step in history.steps
    ]
    return History(history.seed, steps)


def starts(run: str) -> Callable[[Step], bool]:
    return lambda step: any(isinstance(one, actions.StartRun) and one.run == run for one in step.actions)


UNMET = simulate(
    [make_job("a", manual=True), make_job("b", after=["a"])],
    seconds=10,
    script=[At(5, StartJob("b", is_now=True))],
    behaviours={"b": Behaviour()},
)


def without_is_now(step: Step) -> Step:
    return step._replace(message=StartJob("b")) if isinstance(step.message, StartJob) else step


MISSING: list[tuple[str, str, Callable[[], History]]] = [
    ("I9", "restart_scheduled of f#1 was expected now", lambda: without("restart_scheduled", "f#1")),
    ("I6", "has seconds 5.0, expected Between(low=1.0, high=1.0)", lambda: with_fields(
        "restart_scheduled", "f#1", seconds=5.0)),
    ("I7", "the restart of f was due at 3s, it is 3.5s", lambda: at_another_time(
        correct_history(), starts("f#2"), 0.5)),
    ("I9", "gave_up of l#3 was expected now", lambda: without("gave_up", "l#3")),
    ("I9", "flapping of f was expected now", lambda: without("flapping", "f")),
    ("I9", "missed of s was expected now", lambda: without("missed", "s")),
    ("I6", "has why 'late', expected 'overlap'", lambda: with_fields("missed", "s", data={"why": "late", "count": 1})),
    ("I7", "the timeout of t#1 was due at 7s", lambda: tampered(
        correct_history(),
        lambda step, old: [] if getattr(old, "run", None) == "t#1" and step.now.mono == 7 else [old])),
    ("I9", "unresponsive of w#1 was expected now", lambda: without("unresponsive", "w#1")),
    ("I9", "queued of b was expected now", lambda: without(
        "queued", "b#2")),
    ("I9", "job_removed of l was expected now", lambda: without("job_removed", "l")),
    ("I12", "ForgetJob of l, which was not removed", lambda: without("job_removed", "l")),
    ("I9", "ApplySpec of s#3 was expected now", lambda: tampered(
        correct_history(),
        lambda step, old: [] if isinstance(old, actions.ApplySpec) else [old])),
    ("I6", "reloaded of None has remove []", lambda: with_fields(
        "reloaded", "", data={"add": [], "remove": [], "apply": ["s"], "restart": []})),
    ("I6", "expected ('user', 'again')",
     lambda: with_fields("cancel_requested", "b#1", reason=Reason(ReasonKind.USER, "other"))),
    ("I11", "job b was started before its dependencies were satisfied", lambda: History(
        0, [without_is_now(step) for step in UNMET.steps])),
]  # fmt: skip


@every_case(("rule", "text", "make"), MISSING, ids=[f"{text} {n}" for n, (_, text, _) in enumerate(MISSING)])
def test_a_broken_rule_is_found_in_the_history(rule: str, text: str, make: Callable[[], History]) -> None:
    found = check(make(), is_whole=False)

    assert [one for one in found if text in one.text], "\n".join(map(str, found))
    assert rule in {one.rule for one in found}


def test_a_run_without_a_cause_is_found() -> None:
    history = simulate([make_job("a", manual=True)], seconds=10, script=[At(5, StartJob("a"))], behaviours={})
    steps = [step._replace(message=Tick()) if isinstance(step.message, StartJob) else step for step in history.steps]

    found = check(History(0, steps), is_whole=False)

    assert [one.text for one in found if one.rule == "I2"] == ["job a was started without a cause"]


def test_a_dependent_that_does_not_start_is_found() -> None:
    jobs = [make_job("a"), make_job("b", after=["a"])]
    history = simulate(jobs, seconds=10, behaviours={"a": Behaviour(), "b": Behaviour()})

    found = check(
        tampered(history, lambda step, old: [] if getattr(old, "run", None) == "b#1" else [old]), is_whole=False
    )

    assert "queued of b was expected now and did not come: attempt 1" in [one.text for one in found]


def test_a_twenty_first_restart_at_one_instant_is_found() -> None:
    policy = RestartPolicy(RestartWhen.ON_FAILURE, delay=1.0, jitter=0.0)
    jobs = [make_job(f"j{number}", restart=policy) for number in range(30)]
    history = simulate(jobs, seconds=3, behaviours={job.name: Behaviour.fails(0.0) for job in jobs})
    assert check(history) == []
    gated = [step for step in history.steps if isinstance(step.message, Tick) and step.now.mono < 1.2]
    first, second = gated[0], gated[1]
    early = second._replace(now=first.now)

    steps = [early if step is second else step for step in history.steps]
    found = check(History(0, steps), is_whole=False)

    assert any("restart 21 since 1s" in one.text for one in found)


def test_a_restart_held_back_although_the_gate_is_open_is_found() -> None:
    policy = RestartPolicy(RestartWhen.ON_FAILURE, delay=1.0, jitter=0.0)
    jobs = [make_job(f"j{number}", restart=policy) for number in range(3)]
    history = simulate(jobs, seconds=3, behaviours={job.name: Behaviour.fails(0.0) for job in jobs})

    found = check(
        tampered(
            history, lambda step, old: [] if getattr(old, "run", None) == "j2#2" and step.now.mono == 1 else [old]
        ),
        is_whole=False,
    )

    assert any("j2 had to be restarted: the gate was open" in one.text for one in found)


# -- clocks


def scheduled_by_calendar(**policies: Any) -> list[Any]:
    calendar = FakeCalendar(FIRST_WALL_SECONDS + 30.0, 60.0)
    return [make_job("c", schedule=Schedule(calendar=calendar, **policies))]


@pytest.mark.parametrize("step", [3600.0, -3600.0, 86_400.0, -86_400.0, 0.5, -0.5])
def test_a_clock_that_is_set_breaks_no_rule(step: float) -> None:
    history = simulate(
        scheduled_by_calendar(overlap=Overlap.QUEUE),
        seconds=7200,
        script=[At(1000.0, ClockStep(step)), At(5000.0, ClockStep(-step))],
        behaviours={"c": Behaviour.returns(10.0)},
    )

    assert check(history) == []


def test_a_firing_that_does_not_follow_the_clock_is_found() -> None:
    history = simulate(
        scheduled_by_calendar(),
        seconds=600,
        script=[At(100.0, ClockStep(-40.0))],
        behaviours={"c": Behaviour.returns(1.0)},
    )
    assert check(history) == []

    # As if the clock had not been set back: the instant of second 150 came 40s too late.
    steps = [step._replace(now=step.now._replace(wall=step.now.mono + FIRST_WALL_SECONDS)) for step in history.steps]
    found = check(History(0, steps), is_whole=False)

    assert found[0].text == "the firing of c was due at 2m30s, it is 3m10s"
    assert steps[found[0].where - 1].now.mono == 190


def test_a_stalled_program_is_late_and_reports_missed_instants() -> None:
    history = simulate(
        [make_job("s", schedule=Schedule(every=10.0))],
        seconds=100,
        script=[At(12.0, Stall(25.0))],
        behaviours={"s": Behaviour.returns(1.0)},
    )

    (missed,) = [event for event in history.as_dicts() if event["event"] == "missed"]

    assert (missed["mono"], missed["count"], missed["why"]) == (37, 1, "late")
    assert check(history, lateness=25.0) == []
    assert "the firing of s was due at 20s, it is 37s" in [one.text for one in check(history)]


def test_the_stop_of_a_chain_longer_than_the_stack_of_python_breaks_no_rule() -> None:
    jobs = [make_job("j0")]
    jobs += [
        make_job(f"j{number}", after=[Dependency(f"j{number - 1}", Condition.STARTED)]) for number in range(1, 1500)
    ]
    shutdown = Shutdown(Reason(ReasonKind.USER, "enough"), 30.0)

    assert check(simulate(jobs, seconds=60, script=[At(20, shutdown)])) == []


def test_a_run_that_survives_the_stop_may_poll_again_after_it() -> None:
    watched = make_job("w", watchdog=Watchdog(3.0, WatchdogThen.WARN), within=1.0)
    shutdown = Shutdown(Reason(ReasonKind.USER, "enough"), 2.0)

    history = simulate(
        [watched],
        seconds=40,
        script=[At(10, shutdown)],
        behaviours={"w": Behaviour(work=30.0, reaction=float("inf"), silent_after=1.0, silent_for=20.0)},
    )

    names = [event.event for event in history.events]
    assert names.index(EventName.SCHEDULER_STOPPED) < names.index(EventName.RESPONSIVE)
    assert check(history) == []


def test_a_job_that_was_skipped_because_of_a_replica_is_not_woken_by_the_removal_of_that_replica() -> None:
    """Found in a million job-hours: what the replica waited for is added in the same reload."""
    after_x = [Dependency("x", Condition.SUCCEEDED)]
    one, two = replace(make_job("w", after=after_x), replicas=2).replicated()
    last = make_job("d", after=[Dependency("w", Condition.READY)])
    new = (make_job("x"), replace(two, daemon=True), last)

    history = simulate(
        [one, two, last],
        seconds=30,
        script=[At(5, StartJob("w.2", is_now=True)), At(10, Reload(new))],
        behaviours=dict.fromkeys(("w.1", "w.2", "d", "x"), Behaviour.obeys()),
    )

    assert [event.job for event in history.events if event.event is EventName.SKIPPED] == ["w.1", "w.2", "d"]
    assert check(history) == []


def test_a_reload_may_wake_a_skipped_job_that_the_stop_it_causes_skips_again() -> None:
    """Found in a random history: without its schedule, the essential job that had failed fails for good."""
    essential = make_job("e", essential=True, schedule=Schedule(every=3600.0, immediately=True))
    waiting = make_job("d", after=[Dependency("x", Condition.STARTED), Dependency("b", Condition.FINISHED)])
    other = make_job("b")

    history = simulate(
        [essential, other, waiting],
        seconds=30,
        script=[At(10, Reload((replace(essential, schedule=None), other, make_job("x"), waiting)))],
        behaviours={"e": Behaviour.fails(2.0), "b": Behaviour.obeys(), "x": Behaviour.obeys()},
    )

    skipped = [
        (event.job, event.reason.kind) for event in history.events if event.event is EventName.SKIPPED and event.reason
    ]
    assert skipped == [("d", ReasonKind.DEPENDENCY), ("e", ReasonKind.RELOAD), ("d", ReasonKind.ESSENTIAL)]
    assert check(history) == []


def test_every_event_name_is_known_to_the_checker() -> None:
    events = [event.value for event in EventName]

    found = [check_events([{"seq": 1, "mono": 0.0, "event": name}]) for name in events]

    assert not [one for broken in found for one in broken if "unknown event" in one.text]


# -- jitter, which no event shows


@every_case("overlap", list(Overlap))
@every_case("jitter", [0.5, 6.0, 9.0])
def test_firings_that_jitter_break_no_rule_and_too_late_ones_do(overlap: Overlap, jitter: float) -> None:
    job = make_job("s", schedule=Schedule(every=10.0, jitter=jitter, overlap=overlap))
    history = simulate([job], seconds=600, behaviours={"s": Behaviour(work=12.0, reaction=1.5)})

    # As if each firing of the first minute had come after the end of its window.
    late = at_another_time(history, lambda step: isinstance(step.message, Tick) and step.now.mono < 60, jitter)

    assert check(history) == []
    assert any("the firing of s was due at" in one.text for one in check(late, is_whole=False))


@pytest.mark.parametrize("overlap", list(Overlap))
def test_with_more_jitter_than_time_between_two_instants_any_of_them_may_fire(overlap: Overlap) -> None:
    calendar = FakeCalendar(FIRST_WALL_SECONDS + 5.0, 5.0)
    job = make_job("s", schedule=Schedule(calendar=calendar, jitter=30.0, overlap=overlap))

    history = simulate([job], seconds=600, behaviours={"s": Behaviour(work=12.0, reaction=1.5)})

    assert check(history) == []
