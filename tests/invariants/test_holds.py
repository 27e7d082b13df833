"""Each rule of pauses and stops is broken on purpose, in a history that is correct otherwise."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.every_case import every_case
from tests.support.falsified_history import Events, drop, edit, find, numbered, tampered, twice

from taskloom.core.events import Event
from taskloom.core.inputs import Input, PauseJob, Reload, ResumeJob, StartJob, StopJob
from taskloom.core.model import Reason, ReasonKind
from taskloom.core.policies import Overlap, Schedule
from taskloom.errors import NotScheduled
from taskloom.testing import At, Behaviour, History, Step, check, check_events, make_job, simulate

WHY = Reason(ReasonKind.USER, "maintenance")
SCHEDULED = make_job("s", schedule=Schedule(every=10.0, overlap=Overlap.QUEUE))
STOPPED = make_job("t", schedule=Schedule(every=7.0))
PLAIN = make_job("p")
OTHER = make_job("other")


def correct_history() -> History:
    """Simulate pauses, stops, starts and resumes; `s` has a queued firing when it is paused."""
    return simulate(
        [SCHEDULED, STOPPED, PLAIN, OTHER],
        seconds=100,
        script=[
            At(25, PauseJob("s", WHY)),
            At(48, ResumeJob("s", WHY)),
            At(15, StopJob("t", WHY)),
            At(50, ResumeJob("t", WHY)),
            At(3, StopJob("p", WHY)),
            At(20, Reload((SCHEDULED, STOPPED, make_job("p", params={"n": 2}), OTHER))),
            At(60, StartJob("p")),
        ],
        behaviours={"s": Behaviour.returns(18.0), "t": Behaviour.returns(1.0), "p": Behaviour.returns(1.0)},
    )


def test_a_correct_history_of_holds_breaks_no_rule() -> None:
    history = correct_history()

    events = history.as_dicts()
    names = [event["event"] for event in events]
    missed = [event["why"] for event in events if event["event"] == "missed"]

    assert check(history) == []
    assert check_events(events, is_whole=True) == []
    assert (names.count("paused"), names.count("resumed")) == (1, 2)
    assert missed.count("paused") >= 3


def moved(event: str, place: str) -> Callable[[Events], Events]:
    """Return a change that moves the first event of this name right behind another."""

    def change(events: Events) -> Events:
        one = events.pop(find(events, event))
        index = find(events, place)
        events.insert(index + 1, one | {"mono": events[index]["mono"]})
        return numbered(events)

    return change


BROKEN: list[tuple[str, str, Callable[[Events], Events]]] = [
    ("I10", "job s missed an instant (paused), but is not paused", drop("paused")),
    ("I10", "job s missed an instant (late), but is paused", edit("missed", why="late")),
    ("I10", "job s was paused twice", twice("paused")),
    ("I10", "job x was paused, but was never added", edit("paused", job="x")),
    ("I10", "job x was resumed, but was never added", edit("resumed", job="x")),
    ("I4", "job s was paused without a reason", edit("paused", reason=None)),
    ("I4", "job s was resumed without a reason", edit("resumed", reason=None)),
    ("I9", "job s was paused during the shutdown", moved("paused", "scheduler_stopping")),
    ("I9", "job s was resumed during the shutdown", moved("resumed", "scheduler_stopping")),
]


@every_case(("rule", "text", "change"), BROKEN, ids=[text for _, text, _ in BROKEN])
def test_a_broken_rule_is_found_in_the_events_alone(rule: str, text: str, change: Callable[[Events], Events]) -> None:
    found = check_events(change(copy.deepcopy(correct_history().as_dicts())))

    assert (rule, text) in [(one.rule, one.text) for one in found], "\n".join(map(str, found))


def test_a_pause_ends_with_the_removal_of_the_job() -> None:
    def at(seq: int, event: str, **more: Any) -> dict[str, Any]:
        return {"seq": seq, "mono": 0.0, "event": event, "job": "s", **more}

    reason = {"kind": "user", "text": "pause"}
    events = [
        at(1, "job_added"),
        at(2, "paused", reason=reason),
        at(3, "job_removed"),
        at(4, "job_added"),
        at(5, "paused", reason=reason),
    ]

    assert check_events(events) == []


def without(event: str, job: str) -> Callable[[], History]:
    return lambda: tampered(
        correct_history(),
        lambda _, old: [] if isinstance(old, Event) and (old.event.value, old.job) == (event, job) else [old],
    )


def with_reason(event: str, reason: Reason) -> Callable[[], History]:
    return lambda: tampered(
        correct_history(),
        lambda _, old: [old._replace(reason=reason)] if isinstance(old, Event) and old.event.value == event else [old],
    )


def never_given(command: Input) -> Callable[[], History]:
    """Return the history with this command taken for another one, which has no effect."""

    def make() -> History:
        history = correct_history()
        steps = [
            step._replace(message=StopJob("other", WHY, "other#99")) if step.message == command else step
            for step in history.steps
        ]
        return History(0, steps)

    return make


def given_early(command: Input, at: float) -> Callable[[], History]:
    """Return the history in which this command came before step `at`, too, and had no effect."""

    def make() -> History:
        history = correct_history()
        index = next(i for i, step in enumerate(history.steps) if step.now.mono >= at)
        steps = list(history.steps)
        steps.insert(index, Step(steps[index].now, command, ()))
        return History(0, steps)

    return make


MISSING: list[tuple[str, str, Callable[[], History]]] = [
    ("I9", "paused of s was expected now", without("paused", "s")),
    ("I9", "resumed of t was expected now", without("resumed", "t")),
    ("I9", "missed of s was expected now", without("missed", "s")),
    ("I6", "expected ('user', 'maintenance')", with_reason("resumed", Reason(ReasonKind.USER, "other"))),
    ("I9", "paused of s has no cause", never_given(PauseJob("s", WHY))),
    ("I9", "resumed of t has no cause", never_given(ResumeJob("t", WHY))),
    ("I9", "job p was started, but a user had stopped it", never_given(StartJob("p"))),
    ("I9", "skipped of t was expected now", given_early(StopJob("t", WHY), 1.0)),
    ("I9", "job t was started, but a user had stopped it", given_early(StopJob("t", WHY), 1.0)),
    ("I9", "paused of t was expected now", given_early(PauseJob("t", WHY), 1.0)),
    ("I13", "job p was paused, but has no schedule", given_early(PauseJob("p", WHY), 1.0)),
    ("I13", "job p was resumed, but has no schedule", given_early(ResumeJob("p", WHY), 1.0)),
]


@every_case(("rule", "text", "make"), MISSING, ids=[text for _, text, _ in MISSING])
def test_a_broken_rule_is_found_in_the_history(rule: str, text: str, make: Callable[[], History]) -> None:
    found = check(make(), is_whole=False)

    assert [one for one in found if text in one.text], "\n".join(map(str, found))
    assert rule in {one.rule for one in found}


@pytest.mark.parametrize("kind", [PauseJob, ResumeJob])
def test_a_refusal_without_a_reason_is_found(kind: Callable[[str, Reason], Input]) -> None:
    history = correct_history()
    error = NotScheduled("pause", "s", "stop")
    steps = [
        step._replace(error=error, actions=()) if step.message == kind("s", WHY) else step for step in history.steps
    ]

    found = check(History(0, steps), is_whole=False)

    assert any("a pause or a resume was refused without a reason" in one.text for one in found)
