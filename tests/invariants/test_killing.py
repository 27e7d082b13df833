"""The rules of runs that are killed, each broken on purpose in a history that is correct otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.support.every_case import every_case
from tests.support.falsified_history import Events, drop, edit, tampered
from tests.support.random_jobs import in_process

from taskloom.core import actions
from taskloom.core.actions import Action
from taskloom.core.events import Event, EventName
from taskloom.core.inputs import Tick
from taskloom.core.model import Outcome
from taskloom.core.policies import Dependency
from taskloom.testing import Behaviour, History, Step, check, check_events, make_job, simulate

NEVER = float("inf")
DEAF = Behaviour(reaction=NEVER, killed_after=0.25)
Change = Callable[[Step, Action], list[Action]]


def correct_history() -> History:
    """Stop a deaf run, one that ends by TERM, one that KILL does not end, and one that no stop waits for."""
    jobs = [
        in_process(make_job("base", within=4.0)),
        in_process(make_job("deaf", within=10.0, after=[Dependency("base")])),
        in_process(make_job("tame", within=5.0, after=[Dependency("base")])),
        in_process(make_job("stuck", within=2.0, after=[Dependency("base")])),
        in_process(make_job("unawaited", within=0.0, after=[Dependency("base")])),
        make_job("thread", within=3.0, after=[Dependency("base")]),
    ]
    behaviours = {
        "base": DEAF,
        "deaf": DEAF,
        "tame": Behaviour(reaction=NEVER, terminated_after=0.5),
        "stuck": Behaviour(reaction=NEVER, killed_after=30.0),
        "unawaited": DEAF,
        "thread": Behaviour(work=100.0, reaction=NEVER),
    }
    return simulate(jobs, seconds=60, behaviours=behaviours, stop_within=60.0)


def move(kind: type[Action], run: str, *, times: int) -> Change:
    """Return a change that repeats an action of the run, or drops it."""
    return lambda _, action: [action] * (times if isinstance(action, kind) and run_of(action) == run else 1)


def replaced(kind: type[Action], run: str, new: Action) -> Change:
    return lambda _, action: [new] if isinstance(action, kind) and run_of(action) == run else [action]


def run_of(action: Action) -> object:
    return getattr(action, "run", None)


def is_of(action: Action, name: EventName, run: str) -> bool:
    return isinstance(action, Event) and action.event is name and action.run == run


def test_a_correct_history_of_killed_runs_breaks_no_rule() -> None:
    history = correct_history()
    found = [action for step in history.steps for action in step.actions]

    assert check(history) == []
    assert check_events(history.as_dicts(), is_whole=True) == []
    assert [action.run for action in found if isinstance(action, actions.TerminateRun)] == [
        "stuck#1", "tame#1", "deaf#1", "unawaited#1", "base#1"
    ]  # fmt: skip
    assert [action.run for action in found if isinstance(action, actions.KillRun)] == [
        "stuck#1", "deaf#1", "unawaited#1", "base#1"
    ]  # fmt: skip
    assert {event.run for event in history.events if event.outcome is Outcome.ABANDONED} == {"stuck#1"}


TERM, KILL = actions.TerminateRun, actions.KillRun


@every_case(
    ("text", "change"),
    [
        ("TerminateRun of deaf#1 was due at", move(TERM, "deaf#1", times=0)),
        ("KillRun of deaf#1, but no TerminateRun came before", move(TERM, "deaf#1", times=0)),
        ("TerminateRun of deaf#1, which is not awaited, may not be killed, or got TERM", move(TERM, "deaf#1", times=2)),
        ("TerminateRun of thread#1, which is not awaited, may not", replaced(TERM, "deaf#1", TERM("thread#1"))),
        ("KillRun of deaf#1 was expected now", move(KILL, "deaf#1", times=0)),
        ("deaf#1, whose stack was not just captured, or again", move(KILL, "deaf#1", times=2)),
        ("KillRun of thread#1, whose stack was not", replaced(KILL, "deaf#1", KILL("thread#1"))),
        ("KillRun of unawaited#1 was expected now", move(KILL, "unawaited#1", times=0)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_step_of_the_ladder_is_found(text: str, change: Change) -> None:
    found = check(tampered(correct_history(), change), is_whole=False)

    assert any(text in violation.text for violation in found), found[:3]


def test_term_at_another_time_is_found() -> None:
    def late(step: Step, action: Action) -> list[Action]:
        return [] if isinstance(action, TERM) and action.run == "deaf#1" else [action]

    history = tampered(correct_history(), late)
    index = next(
        number
        for number, step in enumerate(history.steps)
        if any(isinstance(action, actions.CaptureStack) and action.run == "deaf#1" for action in step.actions)
    )
    step = history.steps[index]
    history.steps[index] = step._replace(actions=(TERM("deaf#1"), *step.actions))

    assert any("TerminateRun of deaf#1 at 1m10s, due at 1m8s" in one.text for one in check(history, is_whole=False))


def test_a_run_that_is_given_up_before_it_was_killed_or_too_early_is_found() -> None:
    history = correct_history()

    def without_kill(_: Step, action: Action) -> list[Action]:
        return [] if isinstance(action, KILL) and action.run == "stuck#1" else [action]

    found = check(tampered(history, without_kill), is_whole=False)
    assert any("stuck#1 was given up, but no KillRun came before" in one.text for one in found)

    early = History(history.seed, [*history.steps])
    index = next(n for n, s in enumerate(early.steps) if any(is_of(a, EventName.BLOCKED, "stuck#1") for a in s.actions))
    early.steps[index] = early.steps[index]._replace(now=early.steps[index].now._replace(mono=62.5))
    assert any("the end of a run that KILL did not end" in one.text for one in check(early, is_whole=False))


def test_a_run_that_is_never_given_up_is_found() -> None:
    history = correct_history()
    steps = [step for step in history.steps if not any(is_of(a, EventName.BLOCKED, "stuck#1") for a in step.actions)]
    found = check(History(history.seed, [*steps, Step(steps[-1].now, Tick(), ())]), is_whole=False)

    assert any("the end of a run that KILL did not end of stuck#1 was due at 1m5s" in one.text for one in found)


def test_a_level_that_is_stopped_before_the_killed_runs_of_the_one_above_are_gone_is_found() -> None:
    history = correct_history()

    def is_asked(step: Step) -> bool:
        return any(is_of(action, EventName.CANCEL_REQUESTED, "base#1") for action in step.actions)

    def is_killed(step: Step) -> bool:
        return any(isinstance(action, KILL) and action.run == "unawaited#1" for action in step.actions)

    asked = next(n for n, step in enumerate(history.steps) if is_asked(step))
    killed = next(n for n, step in enumerate(history.steps) if is_killed(step))
    early = [action for action in history.steps[asked].actions if action not in history.steps[killed].actions]
    wrong = [action for action in early if is_of(action, EventName.CANCEL_REQUESTED, "base#1")]
    steps = [*history.steps]
    steps[killed] = steps[killed]._replace(actions=(*steps[killed].actions, *wrong))

    found = check(History(history.seed, steps[: killed + 1]), is_whole=False)

    assert any("job base was cancelled before" in one.text and "unawaited#1" in one.text for one in found)


@pytest.mark.parametrize(
    ("text", "change"),
    [
        ("ended lost without an error", edit("ended", "deaf#1", outcome="lost", error=None)),
        ("the shutdown finished while deaf#1 was being killed", drop("ended", "deaf#1")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_events_alone_show_it(text: str, change: Callable[[Events], Events]) -> None:
    events: Any = change(correct_history().as_dicts())

    assert any(text in violation.text for violation in check_events(events, is_whole=True))
