"""Every (state, trigger) pair, driven through the lifecycle itself: legal as the table says, or refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from taskloom.core.inputs import RunEnded, RunReady, RunStarted, RunStartFailed, StartAll, StartJob, StopJob, Tick
from taskloom.core.model import How, JobState, Outcome, Reason, ReasonKind, WaitingFor
from taskloom.core.table import TRANSITIONS, Trigger, mermaid
from taskloom.errors import AlreadyRunning, InternalError, JobBlocked, JobDisabled, JobStopping, UsageError
from taskloom.testing.stage import BOOM, Stage, make_job

USER = Reason(ReasonKind.USER, "enough")


def disabled() -> Stage:
    stage = Stage()
    stage.add(make_job("a", enabled=False))
    return stage


def waiting() -> Stage:
    stage = Stage()
    stage.add(make_job("a"))
    return stage


def delayed() -> Stage:
    stage = Stage()
    stage.add(make_job("a", delay=5))
    stage.start_all()
    return stage


def queued() -> Stage:
    stage = Stage()
    stage.add(make_job("a", daemon=True, within=1))
    stage.start("a")
    return stage


def running() -> Stage:
    stage = queued()
    stage.started("a#1", is_ready=False)
    return stage


def stopping_queued() -> Stage:
    stage = queued()
    stage.stop("a")
    return stage


def stopping() -> Stage:
    stage = running()
    stage.stop("a")
    return stage


def blocked() -> Stage:
    stage = stopping()
    stage.advance(1)
    stage.named("a#1")
    return stage


def finished() -> Stage:
    stage = running()
    stage.ended("a#1")
    return stage


def skipped() -> Stage:
    stage = delayed()
    stage.stop("a")
    return stage


STAGES: dict[str, tuple[Callable[[], Stage], JobState]] = {
    "disabled": (disabled, JobState.DISABLED),
    "waiting": (waiting, JobState.WAITING),
    "delayed": (delayed, JobState.WAITING),
    "queued": (queued, JobState.RUNNING),
    "running": (running, JobState.RUNNING),
    "stopping before it began": (stopping_queued, JobState.STOPPING),
    "stopping": (stopping, JobState.STOPPING),
    "blocked": (blocked, JobState.BLOCKED),
    "finished": (finished, JobState.FINISHED),
    "skipped": (skipped, JobState.SKIPPED),
}

RETURNED = RunEnded("a#1", How.RETURNED, None, False, False)
STOPPED = RunEnded("a#1", How.RETURNED, None, True, False)

# (from, input) -> the state after it. A pair that is not here is refused and changes nothing.
LEGAL: dict[tuple[str, str], JobState] = {
    ("disabled", "stop"): JobState.DISABLED,
    ("waiting", "start"): JobState.RUNNING,
    ("waiting", "stop"): JobState.WAITING,
    ("delayed", "start"): JobState.RUNNING,
    ("delayed", "stop"): JobState.SKIPPED,
    ("queued", "stop"): JobState.STOPPING,
    ("queued", "started"): JobState.RUNNING,
    ("queued", "start failed"): JobState.FINISHED,
    ("queued", "ready"): JobState.RUNNING,
    ("queued", "ended"): JobState.FINISHED,
    ("running", "stop"): JobState.STOPPING,
    ("running", "ready"): JobState.RUNNING,
    ("running", "start failed"): JobState.FINISHED,
    ("running", "ended"): JobState.FINISHED,
    ("stopping before it began", "stop"): JobState.STOPPING,
    ("stopping before it began", "started"): JobState.STOPPING,
    ("stopping before it began", "ready"): JobState.STOPPING,
    ("stopping before it began", "start failed"): JobState.FINISHED,
    ("stopping before it began", "ended"): JobState.FINISHED,
    ("stopping", "stop"): JobState.STOPPING,
    ("stopping", "ready"): JobState.STOPPING,
    ("stopping", "start failed"): JobState.FINISHED,
    ("stopping", "ended"): JobState.FINISHED,
    ("blocked", "stop"): JobState.BLOCKED,
    ("blocked", "ready"): JobState.BLOCKED,
    ("blocked", "start failed"): JobState.FINISHED,
    ("blocked", "ended"): JobState.FINISHED,
    ("finished", "start"): JobState.RUNNING,
    ("finished", "stop"): JobState.FINISHED,
    ("skipped", "start"): JobState.RUNNING,
    ("skipped", "stop"): JobState.SKIPPED,
}

INPUTS: dict[str, Any] = {
    "start": StartJob("a"),
    "stop": StopJob("a", USER),
    "started": RunStarted("a#1", is_ready=True),
    "start failed": RunStartFailed("a#1", BOOM),
    "ready": RunReady("a#1"),
    "ended": RETURNED,
}

# Words about a run that nobody knows (any more) may be late, and are passed over.
PASSED_OVER = {(name, "ready") for name in ("disabled", "waiting", "delayed", "finished", "skipped")}

REFUSED_STARTS = {
    "disabled": (JobDisabled, "cannot start job 'a': it is disabled"),
    "queued": (AlreadyRunning, "cannot start job 'a': run a#1 is still running"),
    "running": (AlreadyRunning, "cannot start job 'a': run a#1 is still running"),
    "stopping before it began": (JobStopping, "cannot start job 'a': run a#1 is still stopping"),
    "stopping": (JobStopping, "cannot start job 'a': run a#1 is still stopping"),
    "blocked": (JobBlocked, "cannot start job 'a': the thread of its abandoned run a#1 is still alive"),
}

PAIRS = [(start, name) for start in STAGES for name in INPUTS]


def snapshot(stage: Stage) -> dict[str, Any]:
    """Copy all that can be seen of the lifecycle and its one job."""
    core, job = stage.lifecycle, stage.lifecycle.jobs["a"]
    run = job.last_run
    fields = {name: getattr(run, name) for name in run.__slots__} if run is not None else {}
    return fields | {
        "state": job.state,
        "waiting_for": job.waiting_for,
        "runs": job.runs,
        "why": job.reason,
        "outcomes": dict(job.outcomes),
        "live": list(core.runs),
        "stopping": list(core.stopping),
        "phase": core.phase,
        "deadline": core.next_deadline(),
        "work over": core.is_work_over,
    }


@pytest.mark.parametrize(("start", "name"), PAIRS, ids=[f"{name} while {start}" for start, name in PAIRS])
def test_every_input_in_every_state_is_legal_or_changes_nothing(start: str, name: str) -> None:
    make, state = STAGES[start]
    stage = make()
    assert stage.state("a") is state
    before = snapshot(stage)

    if (start, name) in LEGAL:
        stage.tell(INPUTS[name])

        assert stage.state("a") is LEGAL[start, name]
    elif (start, name) in PASSED_OVER:
        assert stage.tell(INPUTS[name]) == []
        assert snapshot(stage) == before
    else:
        with pytest.raises((UsageError, InternalError)):
            stage.tell(INPUTS[name])

        assert snapshot(stage) == before


@pytest.mark.parametrize("start", REFUSED_STARTS)
def test_a_refused_start_says_why(start: str) -> None:
    kind, message = REFUSED_STARTS[start]
    stage = STAGES[start][0]()

    with pytest.raises(kind) as caught:
        stage.start("a")

    assert str(caught.value) == message


def test_the_inputs_take_every_way_of_the_table() -> None:
    """Reaches each (state, trigger) of the table from the stages above, so that no pair stays unproven."""
    proven = {(STAGES[start][1], Trigger(name)) for start, name in LEGAL if name != "ended"}
    proven |= {
        (STAGES[start][1], Trigger.LATE_EXIT if start == "blocked" else Trigger.ENDED)
        for start, name in LEGAL
        if name == "ended"
    }
    # A failed start of an abandoned run is its late exit; the last three are driven by time, below.
    proven -= {(JobState.BLOCKED, Trigger.START_FAILED)}
    proven |= {(JobState.BLOCKED, Trigger.STARTED)}
    proven |= {(JobState.WAITING, Trigger.ARM), (JobState.WAITING, Trigger.DELAY_OVER)}
    proven |= {(JobState.STOPPING, Trigger.OVERDUE)}

    assert proven == {(state, trigger) for state, row in TRANSITIONS.items() for trigger in row}


def test_arming_a_delay_leaves_the_job_waiting_for_it_and_its_end_starts_the_run() -> None:
    stage = waiting()
    stage.add(make_job("b", delay=5))

    stage.start_all()
    armed = stage.lifecycle.jobs["b"].waiting_for
    stage.advance(4.999)
    before = stage.state("b")
    stage.advance(0.001)

    assert (armed, before, stage.state("b")) == (WaitingFor.DELAY, JobState.WAITING, JobState.RUNNING)
    assert stage.lifecycle.jobs["b"].waiting_for is None


def test_a_run_that_is_made_after_it_was_abandoned_starts_in_no_book() -> None:
    stage = stopping_queued()
    stage.advance(1)
    stage.named("a#1")

    assert stage.started("a#1") == []
    assert stage.state("a") is JobState.BLOCKED
    record = stage.lifecycle.jobs["a"].last_run
    assert record is not None
    assert (record.outcome, record.seconds) == (Outcome.ABANDONED, 0.0)


def test_a_tick_before_any_deadline_changes_nothing() -> None:
    for make, _ in STAGES.values():
        stage = make()
        before = snapshot(stage)

        assert stage.tell(Tick()) == []
        assert snapshot(stage) == before


def test_starting_all_twice_starts_each_job_once() -> None:
    stage = waiting()
    stage.tell(StartAll())

    assert stage.tell(StartAll()) == []
    assert stage.lifecycle.jobs["a"].runs == 1


def test_the_diagram_shows_every_way_between_two_states() -> None:
    ways = {
        f"{state.value} --> {target.value}:"
        for state, row in TRANSITIONS.items()
        for targets in row.values()
        for target in targets
        if target is not state
    }

    drawn = mermaid().splitlines()

    assert drawn[0] == "stateDiagram-v2"
    assert {line.strip().split(" --> ")[0] for line in drawn[1:3]} == {"[*]"}
    assert {line.strip().split(": ")[0] + ":" for line in drawn[3:]} == ways
    assert "    stopping --> blocked: overdue" in drawn
