"""Each rule is broken on purpose in a correct history: a checker that finds no violation proves nothing."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable

from tests.support.every_case import every_case
from tests.support.falsified_history import Events, drop, edit, find, numbered, tampered, twice
from tests.support.hand_driven_core import HandDrivenCore

from taskloom.core import actions
from taskloom.core.events import Event
from taskloom.core.inputs import StartJob, StopJob
from taskloom.core.model import WAIT_FOR_EVER, Reason, ReasonKind
from taskloom.testing import At, Behaviour, History, Violation, check, check_events, explain, make_job, simulate


def correct_history() -> History:
    """Simulate three jobs: one is started twice, one is abandoned and exits late, one is overdue in the shutdown."""
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


def correct_events() -> Events:
    return copy.deepcopy(correct_history().as_dicts())


def test_a_correct_history_breaks_no_rule() -> None:
    history = correct_history()

    assert check(history) == []
    assert check_events(history.as_dicts(), is_whole=True, stop_within=30) == []
    assert check_events(history.events, is_whole=True) == []


def swap(first: str, second: str, run: str) -> Callable[[Events], Events]:
    def change(events: Events) -> Events:
        one, other = find(events, first, run), find(events, second, run)
        events[one], events[other] = (
            events[other] | {"mono": events[one]["mono"]},
            events[one] | {"mono": events[other]["mono"]},
        )
        return numbered(events)

    return change


def late(event: str, run: str) -> Callable[[Events], Events]:
    def change(events: Events) -> Events:
        last = events[-1]
        return numbered([*events, events[find(events, event, run)] | {"mono": last["mono"]}])

    return change


BROKEN: list[tuple[str, str, Callable[[Events], Events]]] = [
    ("I4", "seq 3 follows 1", lambda events: [one for one in events if one["seq"] != 2]),
    ("I4", "the monotonic clock went back by 1s", edit("ended", "a#1", mono=9, seconds=9)),
    ("I4", "unknown event 'exploded'", edit("ready", "a#1", event="exploded")),
    ("I4", "not an event", lambda events: [{"event": "ready"}, *events]),
    ("I4", "a#1 was queued before its job was added", drop("job_added")),
    ("I9", "job a was added twice", twice("job_added")),
    ("I1", "ended of a#1, which is not live", twice("ended", "a#1")),
    ("I1", "d#1 ended twice", twice("ended", "d#1")),
    ("I1", "started of a#1, which is not live", drop("queued", "a#1")),
    ("I3", "a#2 was queued while a#1 is live", drop("ended", "a#1")),
    ("I3", "d#2 was queued while d#1 is live", lambda events: numbered(
        [*events[: find(events, "late_exit")], events[find(events, "queued", "d#1")] | {"run": "d#2", "mono": 40},
         *events[find(events, "late_exit"):]])),
    ("I4", "a#1 started after it had started", twice("started", "a#1")),
    ("I4", "a#1 was ready before it started", swap("started", "ready", "a#1")),
    ("I4", "cancel of a#1 was requested twice", twice("cancel_requested", "a#1")),
    ("I4", "cancel of a#1 was requested without a reason", edit("cancel_requested", "a#1", reason=None)),
    ("I4", "ready of a#1 names job s", edit("ready", "a#1", job="s")),
    ("I1", "a#1 ended cancelled without a cancel request", drop("cancel_requested", "a#1")),
    ("I1", "a#1 ended succeeded but never started", lambda events: edit(
        "ended", "a#1", outcome="succeeded", reason=None, seconds=0)(
            numbered([one for one in events if one.get("run") != "a#1" or one["event"] not in ("started", "ready")]))),
    ("I1", "a#1 ended cancelled without a reason", edit("ended", "a#1", reason=None)),
    ("I1", "its cancel was first requested for ('user', 'enough')", edit(
        "ended", "a#1", reason={"kind": "user", "text": "other"})),
    ("I1", "a#1 ended after 11s, but its event says 10.5", edit("ended", "a#1", seconds=10.5)),
    ("I1", "a#1 ended failed without an error", edit("ended", "a#1", outcome="failed")),
    ("I1", "a#1 ended start_failed but had started", edit("ended", "a#1", outcome="start_failed")),
    ("I1", "a#1 ended succeeded with an error or a reason", edit("ended", "a#1", outcome="succeeded")),
    ("I1", "a#1 ended timed_out, but its reason is not a deadline", edit("ended", "a#1", outcome="timed_out")),
    ("I1", "a#1 ended abandoned before it was overdue", edit("ended", "a#1", outcome="abandoned")),
    ("I1", "a#1 ended with an unknown outcome: finished", edit("ended", "a#1", outcome="finished")),
    ("I1", "d#1 ended abandoned before it was overdue", drop("stop_overdue", "d#1")),
    ("I7", "d#1 was overdue without a cancel request", swap("cancel_requested", "stop_overdue", "d#1")),
    ("I7", "d#1 was overdue after 4s, but its within was 9", edit("stop_overdue", "d#1", within=9)),
    ("I7", "d#1 was overdue after 4s, but its within was -1", edit("stop_overdue", "d#1", within=-1)),
    ("I8", "d#1 was abandoned, but its job was not blocked", lambda events: drop("blocked")(events)[
        : find(events, "late_exit") - 1]),
    ("I8", "job d was blocked by d#1, which was not just abandoned", twice("blocked")),
    ("I8", "d#1 exited 6s late, but its event says 5", edit("late_exit", seconds=5)),
    ("I8", "the event counts 2 survivors, but 1 are live", edit("scheduler_stopped", survivors=2)),
    ("I9", "the shutdown began twice", twice("scheduler_stopping")),
    ("I4", "the shutdown began without a reason", edit("scheduler_stopping", reason=None)),
    ("I9", "scheduler_stopped after scheduler_stopped", twice("scheduler_stopped")),
    ("I9", "the scheduler started twice", twice("scheduler_started")),
    ("I9", "queued after scheduler_stopped", late("queued", "a#1")),
    ("I7", "the shutdown finished while s#1 was neither ended nor overdue", drop("stop_overdue", "s#1")),
    ("I7", "the shutdown never finished", lambda events: events[: find(events, "scheduler_stopped")]),
    ("I1", "a#2 neither ended nor was overdue", lambda events: events[: find(events, "scheduler_stopping")]),
]  # fmt: skip


@every_case(("rule", "text", "change"), BROKEN, ids=[text for _, text, _ in BROKEN])
def test_a_broken_rule_is_found_in_the_events_alone(rule: str, text: str, change: Callable[[Events], Events]) -> None:
    events = json.loads(json.dumps(change(correct_events())))

    found = check_events(events, is_whole=True)

    assert [one for one in found if one.rule == rule and text in one.text], "\n".join(map(str, found))


def test_a_shutdown_that_took_too_long_is_found() -> None:
    assert check_events(correct_events(), stop_within=2, slack=0.5) == []
    assert [str(one) for one in check_events(correct_events(), stop_within=1, slack=0.5)] == [
        "I7 at 0: the shutdown took 2s, allowed are 1s and 500ms"
    ]


def test_a_shutdown_without_a_deadline_may_wait_for_ever_for_a_run_that_may_take_for_ever() -> None:
    forever = simulate(
        [make_job("a", within=WAIT_FOR_EVER)],
        seconds=10,
        behaviours={"a": Behaviour.ignores()},
        stop_within=WAIT_FOR_EVER,
    )

    assert check(forever) == []
    assert [one.rule for one in check_events(forever.events, is_whole=True)] == ["I7", "I1"]


def test_every_prefix_of_a_correct_stream_breaks_no_rule() -> None:
    events = correct_events()

    assert [check_events(events[:length]) for length in range(len(events))] == [[]] * len(events)


# -- rules that need the actions


def without(kind: type, run: str | None = None) -> History:
    return tampered(
        correct_history(),
        lambda step, old: [] if isinstance(old, kind) and run in (None, getattr(old, "run", None)) else [old],
    )


MISSING: list[tuple[str, str, Callable[[], History]]] = [
    ("I4", "StartRun", lambda: without(actions.StartRun)),
    ("I4", "CancelRun", lambda: without(actions.CancelRun, "a#1")),
    ("I7", "MarkUrgent of d#1 was due at 33s", lambda: without(actions.MarkUrgent, "d#1")),
    ("I7", "d#1 was overdue, but no CaptureStack came before", lambda: without(actions.CaptureStack, "d#1")),
    ("I7", "the progress report was due at 32s", lambda: without(actions.ReportStopProgress)),
    ("I8", "a#1 has ended, but no ReleaseRun came", lambda: without(actions.ReleaseRun, "a#1")),
    ("I9", "WorkFinished came 0 times, expected 1", lambda: without(actions.WorkFinished)),
    ("I7", "ShutdownFinished came 0 times", lambda: without(actions.ShutdownFinished)),
    ("I7", "MarkUrgent of d#1, which is not awaited or already urgent", lambda: tampered(
        correct_history(),
        lambda step, old: [old, old] if isinstance(old, actions.MarkUrgent) else [old])),
    ("I7", "a progress report names ('x#1',) and 0 more", lambda: tampered(
        correct_history(),
        lambda step, old: [
            actions.ReportStopProgress(("x#1",), 0) if isinstance(old, actions.ReportStopProgress) else old])),
    ("I8", "ReleaseRun of d#1, which is live", lambda: tampered(
        correct_history(),
        lambda step, old: [old, actions.ReleaseRun("d#1")] if isinstance(old, actions.MarkUrgent) else [old])),
    ("I4", "CancelRun of a#1 for user: other does not match its event", lambda: tampered(
        correct_history(),
        lambda step, old: [actions.CancelRun("a#1", Reason(ReasonKind.USER, "other"))]
        if isinstance(old, actions.CancelRun) and old.run == "a#1" else [old])),
    ("I9", "cancel_requested of a#1 was expected now and did not come", lambda: tampered(
        correct_history(),
        lambda step, old: [] if isinstance(step.message, StopJob) and step.message.job == "a" else [old])),
    ("I4", "a#1 has started, but no event came", lambda: tampered(
        correct_history(),
        lambda step, old: [] if isinstance(old, Event) and old.event.value == "started" else [old])),
]  # fmt: skip


@every_case(("rule", "text", "make"), MISSING, ids=[text for _, text, _ in MISSING])
def test_a_broken_rule_is_found_in_the_history(rule: str, text: str, make: Callable[[], History]) -> None:
    found = check(make())

    assert [one for one in found if one.rule == rule and text in one.text], "\n".join(map(str, found))


def test_a_late_tick_is_a_violation_unless_it_is_allowed() -> None:
    core = HandDrivenCore()
    core.add(make_job("a", within=4))
    core.run("a")
    core.stop("a")
    core.clock.advance(3.5)
    core.advance(0)

    assert [one.text for one in check(core.history, is_whole=False)] == [
        "the progress report was due at 2s, it is 3.5s",
        "MarkUrgent of a#1 was due at 3s, it is 3.5s",
        "the progress report at 3.5s, due at 2s",
        "MarkUrgent of a#1 at 3.5s, due at 3s",
    ]
    assert check(core.history, is_whole=False, lateness=2) == []


def test_counters_that_differ_from_the_events_are_found() -> None:
    history = correct_history()
    assert history.lifecycle is not None
    history.lifecycle.jobs["a"].runs += 1

    (found,) = check(history)

    assert found.rule == "I5"
    assert found.text == "job a counts {'cancelled': 2} in 3 runs, its events {'cancelled': 2} in 2"


def test_a_violation_is_explained_by_the_shortest_prefix_that_shows_it() -> None:
    history = without(actions.MarkUrgent, "d#1")

    lines = explain(history, check(history), steps=2).splitlines()

    assert lines[0].startswith("seed 0: I7 at ")
    assert "MarkUrgent of d#1 was due at 33s" in lines[0]
    assert lines[1].startswith("shortest prefix: ")
    assert len(lines) == 4
    assert explain(history, []) == "no violation"


def test_a_violation_is_written_with_its_rule_and_place() -> None:
    assert str(Violation("I3", 7, "two at once")) == "I3 at 7: two at once"
