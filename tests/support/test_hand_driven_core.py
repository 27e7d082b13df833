from __future__ import annotations

import pytest
from tests.support.hand_driven_core import HandDrivenCore, event_of, show

from taskloom.core.actions import CancelRun, ReportStopProgress
from taskloom.core.events import EventName
from taskloom.core.model import JobState, Otherwise, Reason, ReasonKind
from taskloom.errors import AlreadyRunning
from taskloom.testing import make_job


def test_a_job_gets_the_default_join_policy_of_a_job_file() -> None:
    assert make_job("a").join.otherwise is Otherwise.EXIT
    assert make_job("d", daemon=True).join.otherwise is Otherwise.ABANDON
    assert make_job("d", daemon=True, otherwise=Otherwise.EXIT).join.otherwise is Otherwise.EXIT


def test_a_refused_command_raises_and_is_recorded() -> None:
    core = HandDrivenCore()
    core.add(make_job("a"))
    core.run("a")

    with pytest.raises(AlreadyRunning):
        core.start("a")

    assert isinstance(core.history.steps[-1].error, AlreadyRunning)
    assert core.state("a") is JobState.RUNNING


def test_advance_hands_in_a_tick_at_each_deadline_on_the_way() -> None:
    core = HandDrivenCore()
    core.add(make_job("a", within=8))
    core.run("a")
    core.stop("a")
    before = len(core.history.steps)

    core.advance(7)

    assert [step.now.mono for step in core.history.steps[before:]] == [2, 5, 6]
    assert core.clock.now().mono == 7


def test_show_returns_short_texts_of_actions() -> None:
    core = HandDrivenCore()
    core.add(make_job("a"))
    core.run("a")

    assert show(core.stop("a")) == ["cancel_requested a#1", "CancelRun a#1"]
    assert show([CancelRun("a#1", Reason(ReasonKind.USER)), ReportStopProgress(("a#1", "b#1"), 3)]) == [
        "CancelRun a#1",
        "ReportStopProgress a#1,b#1 +3",
    ]


def test_event_of_returns_the_only_event_and_raises_for_none_or_two() -> None:
    core = HandDrivenCore()
    core.add(make_job("a"), make_job("b"))

    found = core.start_all()

    assert event_of(found, EventName.SCHEDULER_STARTED).seq == 3
    for name in (EventName.ENDED, EventName.QUEUED):
        with pytest.raises(ValueError, match="values to unpack"):
            event_of(found, name)
