"""The checker finds a reload whose added jobs do not wait, wait too long, or whose events name the wrong ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.support.hand_driven_core import HandDrivenCore

from taskloom.core.changeover import Changeover, Changeovers
from taskloom.core.records import JobRecord
from taskloom.invariants.checker import check, check_events
from taskloom.testing import make_job


def renamed() -> HandDrivenCore:
    """Rename a job, whose old run ends late; then rename it again, and that run does not end in time."""
    stage = HandDrivenCore()
    stage.add(make_job("a", within=1.0))
    stage.start_all()
    stage.started("a#1")
    stage.reload(make_job("b", within=1.0), make_job("m", manual=True))
    stage.advance(0.5)
    stage.ended("a#1")
    stage.started("b#1")
    stage.reload(make_job("c"))
    stage.advance(1.0)
    stage.stack_captured("b#1")
    return stage


def texts(stage: HandDrivenCore) -> list[str]:
    return [str(violation) for violation in check(stage.history, is_whole=False)]


def test_a_correct_changeover_breaks_no_rule() -> None:
    stage = renamed()

    names = [event["event"] for event in stage.history.as_dicts()]

    assert texts(stage) == []
    assert check_events(stage.history.as_dicts()) == []
    assert (names.count("reload_waiting"), names.count("reload_overdue")) == (2, 1)


# What is broken in the core, and the rule that finds it.
BROKEN: dict[str, tuple[type, str, Any, str]] = {
    "nothing waits": (JobRecord, "awaits_removal", property(lambda _: False), "I2"),
    "nothing begins": (Changeovers, "release", lambda *_: None, "I9"),
    "nothing is told": (Changeovers, "_emit", lambda *_: None, "I9"),
    "an overdue run is not named": (Changeovers, "_report_outlived", lambda *_: None, "I9"),
    "all is told twice": (
        Changeovers,
        "_emit",
        lambda self, name, jobs, runs: [
            self._store.emit(name, data={"jobs": [job.spec.name for job in jobs], "runs": list(runs)}) for _ in "12"
        ],
        "I9",
    ),
    "all waits for ever": (Changeover, "is_pending", property(lambda _: True), "I9"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_core_that_breaks_the_rule_is_found(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name, replacement, rule = BROKEN[case]
    monkeypatch.setattr(owner, name, replacement)
    stage = HandDrivenCore()
    stage.add(make_job("a", within=1.0))
    stage.start_all()
    stage.started("a#1")
    stage.reload(make_job("b"))
    stage.advance(1.0)
    stage.stack_captured("a#1")

    found = texts(stage)

    assert [text for text in found if text.startswith(rule)], found


@pytest.mark.parametrize(
    "edit",
    [
        lambda event: event | {"jobs": ["unknown"]},
        lambda event: event | {"runs": ["unknown#1"]},
        lambda event: event | {"jobs": []},
        lambda event: event | {"runs": []},
        lambda event: event | {"jobs": ["a"]},
    ],
)
def test_an_event_that_names_the_wrong_ones_is_found(edit: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    events = [edit(event) if event["event"] == "reload_waiting" else event for event in renamed().history.as_dicts()]

    assert "I12" in {violation.rule for violation in check_events(events)}
