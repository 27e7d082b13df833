from __future__ import annotations

import pytest
from tests.support.hand_driven_core import HandDrivenCore, event_of, show

from taskloom.core.actions import CancelRun, ReportStopProgress
from taskloom.core.events import EventName
from taskloom.core.model import JobState, Otherwise, Reason, ReasonKind
from taskloom.errors import AlreadyRunning
from taskloom.testing import make_job


def test_a_job_gets_the_policy_that_a_job_file_would_give_it() -> None:
    assert make_job("a").join.otherwise is Otherwise.EXIT
    assert make_job("d", daemon=True).join.otherwise is Otherwise.ABANDON
    assert make_job("d", daemon=True, otherwise=Otherwise.EXIT).join.otherwise is Otherwise.EXIT


def test_a_refused_word_is_raised_and_kept() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("a"))
    stage.run("a")

    with pytest.raises(AlreadyRunning):
        stage.start("a")

    assert isinstance(stage.history.steps[-1].error, AlreadyRunning)
    assert stage.state("a") is JobState.RUNNING


def test_advancing_hands_in_a_tick_at_each_deadline_on_the_way() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("a", within=8))
    stage.run("a")
    stage.stop("a")
    before = len(stage.history.steps)

    stage.advance(7)

    assert [step.now.mono for step in stage.history.steps[before:]] == [2, 5, 6]
    assert stage.clock.now().mono == 7


def test_actions_are_shown_in_short() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("a"))
    stage.run("a")

    assert show(stage.stop("a")) == ["cancel_requested a#1", "CancelRun a#1"]
    assert show([CancelRun("a#1", Reason(ReasonKind.USER)), ReportStopProgress(("a#1", "b#1"), 3)]) == [
        "CancelRun a#1",
        "ReportStopProgress a#1,b#1 +3",
    ]


def test_the_one_event_of_a_name_is_found_and_none_or_two_are_refused() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("a"), make_job("b"))

    found = stage.start_all()

    assert event_of(found, EventName.SCHEDULER_STARTED).seq == 3
    for name in (EventName.ENDED, EventName.QUEUED):
        with pytest.raises(ValueError, match="values to unpack"):
            event_of(found, name)
