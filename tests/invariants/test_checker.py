"""A judge that never convicts proves nothing: each rule is broken on purpose, in a story that is sound otherwise."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.hand_driven_core import HandDrivenCore

from taskloom.core import actions
from taskloom.core.events import Event
from taskloom.core.inputs import StartJob, StopJob
from taskloom.core.model import WAIT_FOR_EVER, Reason, ReasonKind
from taskloom.testing import At, Behaviour, History, Step, Violation, check, check_events, explain, make_job, simulate

Story = list[dict[str, Any]]


def story() -> History:
    """Tell of three jobs: one is started twice, one is abandoned and exits late, one is overdue when all stops."""
    return simulate(
        [make_job("a"), make_job("d", daemon=True, within=4), make_job("s", within=2)],
        seconds=60,
        script=[
            At(10, StopJob("a", Reason(ReasonKind.USER, "enough"))),
            At(20, StartJob("a")),
            At(30, StopJob("d", Reason(ReasonKind.USER, "enough"))),
        ],
        behaviours={"a": Behaviour.obeys(1), "d": Behaviour.ignores(until=40), "s": Behaviour.ignores(until=100)},
    )


def events() -> Story:
    return copy.deepcopy(story().as_dicts())


def find(told: Story, event: str, run: str | None = None) -> int:
    return next(i for i, one in enumerate(told) if one["event"] == event and run in (None, one.get("run")))


def numbered(told: Story) -> Story:
    """Give the numbers anew, so that a missing or moved event is all that is wrong."""
    for seq, one in enumerate(told, start=1):
        one["seq"] = seq
    return told


def test_a_sound_story_breaks_no_rule() -> None:
    history = story()

    assert check(history) == []
    assert check_events(history.as_dicts(), is_whole=True, stop_within=30) == []
    assert check_events(history.events, is_whole=True) == []


def drop(event: str, run: str | None = None) -> Callable[[Story], Story]:
    return lambda told: numbered([one for one in told if one is not told[find(told, event, run)]])


def twice(event: str, run: str | None = None) -> Callable[[Story], Story]:
    def change(told: Story) -> Story:
        index = find(told, event, run)
        return numbered([*told[: index + 1], dict(told[index]), *told[index + 1 :]])

    return change


def swap(first: str, second: str, run: str) -> Callable[[Story], Story]:
    def change(told: Story) -> Story:
        one, other = find(told, first, run), find(told, second, run)
        told[one], told[other] = told[other] | {"mono": told[one]["mono"]}, told[one] | {"mono": told[other]["mono"]}
        return numbered(told)

    return change


def edit(event: str, run: str | None = None, /, **fields: Any) -> Callable[[Story], Story]:
    def change(told: Story) -> Story:
        told[find(told, event, run)].update(fields)
        return told

    return change


def late(event: str, run: str) -> Callable[[Story], Story]:
    def change(told: Story) -> Story:
        last = told[-1]
        return numbered([*told, told[find(told, event, run)] | {"mono": last["mono"]}])

    return change


BROKEN: list[tuple[str, str, Callable[[Story], Story]]] = [
    ("I4", "seq 3 follows 1", lambda told: [one for one in told if one["seq"] != 2]),
    ("I4", "the monotonic clock went back by 1 s", edit("ended", "a#1", mono=9, seconds=9)),
    ("I4", "unknown event 'exploded'", edit("ready", "a#1", event="exploded")),
    ("I4", "not an event", lambda told: [{"event": "ready"}, *told]),
    ("I4", "a#1 was queued before its job was added", drop("job_added")),
    ("I9", "job a was added twice", twice("job_added")),
    ("I1", "ended of a#1, which is not live", twice("ended", "a#1")),
    ("I1", "d#1 ended twice", twice("ended", "d#1")),
    ("I1", "started of a#1, which is not live", drop("queued", "a#1")),
    ("I3", "a#2 was queued while a#1 is live", drop("ended", "a#1")),
    ("I3", "d#2 was queued while d#1 is live", lambda told: numbered(
        [*told[: find(told, "late_exit")], told[find(told, "queued", "d#1")] | {"run": "d#2", "mono": 40},
         *told[find(told, "late_exit"):]])),
    ("I4", "a#1 started after it had started", twice("started", "a#1")),
    ("I4", "a#1 was ready before it started", swap("started", "ready", "a#1")),
    ("I4", "cancel of a#1 was requested twice", twice("cancel_requested", "a#1")),
    ("I4", "cancel of a#1 was requested without a reason", edit("cancel_requested", "a#1", reason=None)),
    ("I4", "ready of a#1 names job s", edit("ready", "a#1", job="s")),
    ("I1", "a#1 ended cancelled without a cancel request", drop("cancel_requested", "a#1")),
    ("I1", "a#1 ended succeeded but never started", lambda told: edit(
        "ended", "a#1", outcome="succeeded", reason=None, seconds=0)(
            numbered([one for one in told if one.get("run") != "a#1" or one["event"] not in ("started", "ready")]))),
    ("I1", "a#1 ended cancelled without a reason", edit("ended", "a#1", reason=None)),
    ("I1", "its cancel was first requested for ('user', 'enough')", edit(
        "ended", "a#1", reason={"kind": "user", "text": "other"})),
    ("I1", "a#1 ended after 11 s, but its event says 10.5", edit("ended", "a#1", seconds=10.5)),
    ("I1", "a#1 ended failed without an error", edit("ended", "a#1", outcome="failed")),
    ("I1", "a#1 ended start_failed but had started", edit("ended", "a#1", outcome="start_failed")),
    ("I1", "a#1 ended succeeded with an error or a reason", edit("ended", "a#1", outcome="succeeded")),
    ("I1", "a#1 ended timed_out, but its reason is not a deadline", edit("ended", "a#1", outcome="timed_out")),
    ("I1", "a#1 ended abandoned before it was overdue", edit("ended", "a#1", outcome="abandoned")),
    ("I1", "a#1 ended with an unknown outcome: finished", edit("ended", "a#1", outcome="finished")),
    ("I1", "d#1 ended abandoned before it was overdue", drop("stop_overdue", "d#1")),
    ("I7", "d#1 was overdue without a cancel request", swap("cancel_requested", "stop_overdue", "d#1")),
    ("I7", "d#1 was overdue after 4 s, but its within was 9", edit("stop_overdue", "d#1", within=9)),
    ("I7", "d#1 was overdue after 4 s, but its within was -1", edit("stop_overdue", "d#1", within=-1)),
    ("I8", "d#1 was abandoned, but its job was not blocked", lambda told: drop("blocked")(told)[
        : find(told, "late_exit") - 1]),
    ("I8", "job d was blocked by d#1, which was not just abandoned", twice("blocked")),
    ("I8", "d#1 exited 6 s late, but its event says 5", edit("late_exit", seconds=5)),
    ("I8", "the event counts 2 survivors, but 1 are live", edit("scheduler_stopped", survivors=2)),
    ("I9", "the shutdown began twice", twice("scheduler_stopping")),
    ("I4", "the shutdown began without a reason", edit("scheduler_stopping", reason=None)),
    ("I9", "scheduler_stopped after scheduler_stopped", twice("scheduler_stopped")),
    ("I9", "the scheduler started twice", twice("scheduler_started")),
    ("I9", "queued after scheduler_stopped", late("queued", "a#1")),
    ("I7", "the shutdown finished while s#1 was neither ended nor overdue", drop("stop_overdue", "s#1")),
    ("I7", "the shutdown never finished", lambda told: told[: find(told, "scheduler_stopped")]),
    ("I1", "a#2 neither ended nor was overdue", lambda told: told[: find(told, "scheduler_stopping")]),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "text", "change"), BROKEN, ids=[text for _, text, _ in BROKEN])
def test_a_broken_rule_is_found_in_the_events_alone(rule: str, text: str, change: Callable[[Story], Story]) -> None:
    told = json.loads(json.dumps(change(events())))

    found = check_events(told, is_whole=True)

    assert [one for one in found if one.rule == rule and text in one.text], "\n".join(map(str, found))


def test_a_stop_that_took_too_long_is_found() -> None:
    assert check_events(events(), stop_within=2, slack=0.5) == []
    assert [str(one) for one in check_events(events(), stop_within=1, slack=0.5)] == [
        "I7 at 0: the shutdown took 2 s, allowed are 1 s and 0.5 s"
    ]


def test_a_stop_without_a_deadline_may_wait_for_ever_for_who_may_take_for_ever() -> None:
    forever = simulate(
        [make_job("a", within=WAIT_FOR_EVER)],
        seconds=10,
        behaviours={"a": Behaviour.ignores()},
        stop_within=WAIT_FOR_EVER,
    )

    assert check(forever) == []
    assert [one.rule for one in check_events(forever.events, is_whole=True)] == ["I7", "I1"]


def test_a_stream_that_is_cut_off_is_sound_as_far_as_it_goes() -> None:
    told = events()

    assert [check_events(told[:length]) for length in range(len(told))] == [[]] * len(told)


# -- what only the actions show


def tampered(change: Callable[[Step, actions.Action], list[actions.Action]]) -> History:
    history = story()
    steps = [
        step._replace(actions=tuple(new for old in step.actions for new in change(step, old))) for step in history.steps
    ]
    return History(history.seed, steps)


def without(kind: type, run: str | None = None) -> History:
    return tampered(
        lambda step, old: [] if isinstance(old, kind) and run in (None, getattr(old, "run", None)) else [old]
    )


MISSING: list[tuple[str, str, Callable[[], History]]] = [
    ("I4", "StartRun", lambda: without(actions.StartRun)),
    ("I4", "CancelRun", lambda: without(actions.CancelRun, "a#1")),
    ("I7", "MarkUrgent of d#1 was due at 33 s", lambda: without(actions.MarkUrgent, "d#1")),
    ("I7", "d#1 was overdue, but no CaptureStack came before", lambda: without(actions.CaptureStack, "d#1")),
    ("I7", "the progress report was due at 32 s", lambda: without(actions.ReportStopProgress)),
    ("I8", "a#1 has ended, but no ReleaseRun came", lambda: without(actions.ReleaseRun, "a#1")),
    ("I9", "WorkFinished came 0 times, expected 1", lambda: without(actions.WorkFinished)),
    ("I7", "ShutdownFinished came 0 times", lambda: without(actions.ShutdownFinished)),
    ("I7", "MarkUrgent of d#1, which is not awaited or already urgent", lambda: tampered(
        lambda step, old: [old, old] if isinstance(old, actions.MarkUrgent) else [old])),
    ("I7", "a progress report names ('x#1',) and 0 more", lambda: tampered(
        lambda step, old: [
            actions.ReportStopProgress(("x#1",), 0) if isinstance(old, actions.ReportStopProgress) else old])),
    ("I8", "ReleaseRun of d#1, which is live", lambda: tampered(
        lambda step, old: [old, actions.ReleaseRun("d#1")] if isinstance(old, actions.MarkUrgent) else [old])),
    ("I4", "CancelRun of a#1 for user: other does not match its event", lambda: tampered(
        lambda step, old: [actions.CancelRun("a#1", Reason(ReasonKind.USER, "other"))]
        if isinstance(old, actions.CancelRun) and old.run == "a#1" else [old])),
    ("I9", "cancel_requested of a#1 was expected now and did not come", lambda: tampered(
        lambda step, old: [] if isinstance(step.message, StopJob) and step.message.job == "a" else [old])),
    ("I4", "a#1 has started, but no event came", lambda: tampered(
        lambda step, old: [] if isinstance(old, Event) and old.event.value == "started" else [old])),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "text", "make"), MISSING, ids=[text for _, text, _ in MISSING])
def test_a_broken_promise_is_found_in_the_history(rule: str, text: str, make: Callable[[], History]) -> None:
    found = check(make())

    assert [one for one in found if one.rule == rule and text in one.text], "\n".join(map(str, found))


def test_a_late_tick_is_a_violation_unless_it_is_allowed() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("a", within=4))
    stage.run("a")
    stage.stop("a")
    stage.clock.advance(3.5)
    stage.advance(0)

    assert [one.text for one in check(stage.history, is_whole=False)] == [
        "the progress report was due at 2 s, it is 3.5 s",
        "MarkUrgent of a#1 was due at 3 s, it is 3.5 s",
        "the progress report at 3.5 s, due at 2 s",
        "MarkUrgent of a#1 at 3.5 s, due at 3 s",
    ]
    assert check(stage.history, is_whole=False, lateness=2) == []


def test_counters_that_are_not_the_fold_of_the_events_are_found() -> None:
    history = story()
    assert history.lifecycle is not None
    history.lifecycle.jobs["a"].runs += 1

    (found,) = check(history)

    assert found.rule == "I5"
    assert found.text == "job a counts {'cancelled': 2} in 3 runs, its events {'cancelled': 2} in 2"


def test_a_violation_is_explained_by_the_shortest_prefix_that_shows_it() -> None:
    history = without(actions.MarkUrgent, "d#1")

    said = explain(history, check(history), steps=2).splitlines()

    assert said[0].startswith("seed 0: I7 at ")
    assert "MarkUrgent of d#1 was due at 33 s" in said[0]
    assert said[1].startswith("shortest prefix: ")
    assert len(said) == 4
    assert explain(history, []) == "no violation"


def test_a_violation_says_rule_place_and_what() -> None:
    assert str(Violation("I3", 7, "two at once")) == "I3 at 7: two at once"
