"""The checker finds each wrong history of a lost run, of a place and of lost contact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.support.every_case import every_case
from tests.support.random_jobs import in_process

from taskloom.core.actions import Action
from taskloom.core.events import Event
from taskloom.core.inputs import RunReleased
from taskloom.core.model import How
from taskloom.core.policies import RestartPolicy, RestartWhen
from taskloom.testing import Behaviour, History, Step, check, make_job, simulate

ON_FAILURE = RestartPolicy(RestartWhen.ON_FAILURE, delay=2.0, factor=1.0, jitter=0.0)
JOB = in_process(make_job("a", restart=ON_FAILURE))
# Lost after 10 s, and again 10 s after its restart: each time something of it may be left for 30 s.
LOST = Behaviour(
    work=10.0, how=How.LOST, left=30.0, placed_after=1.0, unreachable_after=2.0, unreachable_for=4.0, is_woken=False
)
Change = Callable[[Event], Event | None]


def history(**behaviour: Any) -> History:
    return simulate([JOB], seconds=100, behaviours={"a": replace(LOST, **behaviour)})


def test_a_correct_history_has_every_event_and_no_violation() -> None:
    found = history()

    names = {action.event.value for step in found.steps for action in step.actions if isinstance(action, Event)}
    assert names >= {"placed", "unreachable", "reachable", "blocked", "released", "restart_scheduled"}
    assert not check(found)
    assert not check(history(confirmed_after=5.0))


def changed(found: History, name: str, change: Change) -> History:
    """Return the history with the first event of this name changed, or left out."""
    steps: list[Step] = []
    is_done = False
    for step in found.steps:
        actions: list[Action] = []
        for action in step.actions:
            if not is_done and isinstance(action, Event) and action.event.value == name:
                is_done = True
                new = change(action)
                actions += [new] if new is not None else []
            else:
                actions.append(action)
        steps.append(step._replace(actions=tuple(actions)))
    assert is_done
    return replace(found, steps=steps)


def with_data(**data: Any) -> Change:
    return lambda event: event._replace(data={**event.data, **data})


WRONG: list[tuple[str, str, Change]] = [
    ("blocked", "blocked of a#1 was expected now and did not come", lambda _: None),
    ("blocked", "blocked of a#1 has until", with_data(until="1970-01-01T00:00:00Z")),
    ("blocked", "was blocked by a#7, which was not just lost", lambda event: event._replace(run="a#7")),
    ("released", "a#2 was queued while a#1 is live", lambda _: None),
    ("released", "it is wrong whether that is confirmed", with_data(confirmed=True)),
    ("released", "its event does not have whether that is confirmed", with_data(confirmed="no")),
    ("released", "was released after 30s, but its event says 5", lambda event: event._replace(seconds=5.0)),
    ("restart_scheduled", "a#1 has seconds 2.0", lambda event: event._replace(seconds=2.0)),
    ("placed", "placed of a#1 was expected now and did not come", lambda _: None),
    ("placed", "placed of a#1 has host", with_data(host="elsewhere")),
    ("unreachable", "unreachable of a#1 has since", with_data(since="1970-01-01T00:00:00Z")),
    ("reachable", "reachable of a#1 has seconds", lambda event: event._replace(seconds=99.0)),
    ("reachable", "was unreachable for 4s, but its event says 1", lambda event: event._replace(seconds=1.0)),
]


@every_case(("name", "text", "change"), WRONG, ids=[f"{name}: {text}" for name, text, _ in WRONG])
def test_a_wrong_history_is_found(name: str, text: str, change: Change) -> None:
    violations = check(changed(history(), name, change))

    assert any(text in str(violation) for violation in violations), violations


def test_a_confirmation_that_releases_nothing_is_found() -> None:
    found = history(confirmed_after=5.0)
    steps = [
        step._replace(actions=()) if isinstance(step.message, RunReleased) and step.actions else step
        for step in found.steps
    ]

    violations = check(replace(found, steps=steps))

    assert any("nothing is left of a#1, but its job is still blocked" in str(violation) for violation in violations)
