"""Every (state, trigger) pair, driven through the lifecycle itself: legal as the table says, or refused."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
from tests.support.hand_driven_core import BOOM, HandDrivenCore, show

from taskloom.core.inputs import (
    ArmJob,
    Reload,
    RestartJob,
    RunEnded,
    RunReady,
    RunResponsive,
    RunStarted,
    RunStartFailed,
    RunUnresponsive,
    Shutdown,
    StartAll,
    StartJob,
    StopJob,
    Tick,
)
from taskloom.core.model import How, JobState, Outcome, Reason, ReasonKind, WaitingFor
from taskloom.core.policies import Condition, Dependency, RestartPolicy, RestartWhen, Schedule
from taskloom.core.records import JobRecord
from taskloom.core.store import JobStore
from taskloom.core.transitions import TRANSITIONS, Trigger, mermaid
from taskloom.errors import (
    AlreadyRunning,
    DependencyUnmet,
    InternalError,
    JobBlocked,
    JobDisabled,
    JobStopping,
    UsageError,
)
from taskloom.testing import make_job

USER = Reason(ReasonKind.USER, "enough")


SPEC = make_job("a", daemon=True, within=1)
NEW_PARAMS = replace(SPEC, params={"n": 1})


def disabled() -> HandDrivenCore:
    stage = HandDrivenCore()
    stage.add(replace(SPEC, enabled=False))
    return stage


def waiting() -> HandDrivenCore:
    stage = HandDrivenCore()
    stage.add(SPEC)
    return stage


def delayed() -> HandDrivenCore:
    stage = HandDrivenCore()
    stage.add(make_job("a", delay=5))
    stage.start_all()
    return stage


def depending() -> HandDrivenCore:
    stage = HandDrivenCore()
    stage.add(make_job("b", manual=True), make_job("a", after=["b"]))
    stage.start_all()
    return stage


def scheduled() -> HandDrivenCore:
    stage = HandDrivenCore()
    stage.add(make_job("a", schedule=Schedule(every=5.0)))
    stage.start_all()
    return stage


def backing_off() -> HandDrivenCore:
    stage = HandDrivenCore()
    stage.add(replace(SPEC, restart=RestartPolicy(RestartWhen.ON_FAILURE)))
    stage.run("a")
    stage.ended("a#1", How.RAISED)
    return stage


def queued() -> HandDrivenCore:
    stage = waiting()
    stage.start("a")
    return stage


def running() -> HandDrivenCore:
    stage = queued()
    stage.started("a#1", is_ready=False)
    return stage


def stopping_queued() -> HandDrivenCore:
    stage = queued()
    stage.stop("a")
    return stage


def stopping() -> HandDrivenCore:
    stage = running()
    stage.stop("a")
    return stage


def blocked() -> HandDrivenCore:
    stage = stopping()
    stage.advance(1)
    stage.named("a#1")
    return stage


def finished() -> HandDrivenCore:
    stage = running()
    stage.ended("a#1")
    return stage


def skipped() -> HandDrivenCore:
    stage = delayed()
    stage.stop("a")
    return stage


STAGES: dict[str, tuple[Callable[[], HandDrivenCore], JobState]] = {
    "disabled": (disabled, JobState.DISABLED),
    "waiting": (waiting, JobState.WAITING),
    "delayed": (delayed, JobState.WAITING),
    "depending": (depending, JobState.WAITING),
    "scheduled": (scheduled, JobState.WAITING),
    "backing off": (backing_off, JobState.WAITING),
    "queued": (queued, JobState.RUNNING),
    "running": (running, JobState.RUNNING),
    "stopping before it began": (stopping_queued, JobState.STOPPING),
    "stopping": (stopping, JobState.STOPPING),
    "blocked": (blocked, JobState.BLOCKED),
    "finished": (finished, JobState.FINISHED),
    "skipped": (skipped, JobState.SKIPPED),
}

INPUTS: dict[str, Any] = {
    "start": StartJob("a"),
    "start now": StartJob("a", is_now=True),
    "arm": ArmJob("a"),
    "restart": RestartJob("a", USER),
    "stop": StopJob("a", USER),
    "cancel": StopJob("a", USER, "a#1"),
    "shutdown": Shutdown(USER, 30.0),
    "reload": Reload((NEW_PARAMS,)),
    "switch off": Reload((replace(SPEC, enabled=False),)),
    "remove": Reload(()),
    "started": RunStarted("a#1", is_ready=True),
    "start failed": RunStartFailed("a#1", BOOM),
    "ready": RunReady("a#1"),
    "unresponsive": RunUnresponsive("a#1", 9.0),
    "responsive": RunResponsive("a#1"),
    "ended": RunEnded("a#1", How.RETURNED, None, False, False),
}

# A row for each stage, a cell for each input, in the order above: the state after it. `x`: it is refused, `.`: it is
# passed over, because it is about nothing that is there; neither changes anything. `-`: the job is gone.
GRID = """
                         | start | now  | arm  | restart | stop | cancel | all  | reload | off  | remove | started | failed | ready | unresp | resp | ended
disabled                 | x     | x    | x    | x       | disa | .      | disa | wait   | .    | -      | x       | x      | .     | .      | .    | x
waiting                  | runn  | runn | runn | runn    | wait | .      | wait | wait   | disa | -      | x       | x      | .     | .      | .    | x
delayed                  | runn  | runn | .    | runn    | skip | .      | skip | wait   | disa | -      | x       | x      | .     | .      | .    | x
depending                | x     | runn | .    | runn    | skip | .      | skip | runn   | disa | -      | x       | x      | .     | .      | .    | x
scheduled                | runn  | runn | .    | runn    | skip | .      | skip | skip   | disa | -      | x       | x      | .     | .      | .    | x
backing off              | runn  | runn | .    | runn    | fini | .      | fini | wait   | disa | -      | x       | x      | .     | .      | .    | x
queued                   | x     | x    | x    | stop    | stop | stop   | stop | stop   | stop | stop   | runn    | fini   | runn  | .      | .    | fini
running                  | x     | x    | x    | stop    | stop | stop   | stop | stop   | stop | stop   | x       | fini   | runn  | .      | .    | fini
stopping before it began | x     | x    | x    | stop    | stop | stop   | stop | stop   | stop | stop   | stop    | fini   | stop  | .      | .    | fini
stopping                 | x     | x    | x    | stop    | stop | stop   | stop | stop   | stop | stop   | x       | fini   | stop  | .      | .    | fini
blocked                  | x     | x    | x    | x       | bloc | bloc   | bloc | bloc   | bloc | bloc   | x       | fini   | bloc  | .      | .    | fini
finished                 | runn  | runn | runn | runn    | fini | .      | fini | wait   | disa | -      | x       | x      | .     | .      | .    | x
skipped                  | runn  | runn | wait | runn    | skip | .      | skip | runn   | disa | -      | x       | x      | .     | .      | .    | x
"""  # noqa: E501  (a table is read by its columns)


def cells() -> dict[tuple[str, str], str]:
    """Read the grid: (stage, input) -> the cell."""
    rows = [[cell.strip() for cell in line.split("|")] for line in GRID.strip("\n").splitlines()[1:]]
    return {(row[0], name): cell for row in rows for name, cell in zip(INPUTS, row[1:], strict=True)}


REFUSED_STARTS = {
    "disabled": (JobDisabled, "cannot start job 'a': it is disabled"),
    "depending": (DependencyUnmet, "cannot start job 'a': needs job 'b' to be ready"),
    "queued": (AlreadyRunning, "cannot start job 'a': run a#1 is still running"),
    "running": (AlreadyRunning, "cannot start job 'a': run a#1 is still running"),
    "stopping before it began": (JobStopping, "cannot start job 'a': run a#1 is still stopping"),
    "stopping": (JobStopping, "cannot start job 'a': run a#1 is still stopping"),
    "blocked": (JobBlocked, "cannot start job 'a': the thread of its abandoned run a#1 is still alive"),
}

PAIRS = [(start, name) for start in STAGES for name in INPUTS]


def snapshot(stage: HandDrivenCore) -> dict[str, Any]:
    """Copy all that can be seen of the lifecycle and its job."""
    core, job = stage.lifecycle, stage.lifecycle.jobs["a"]
    run = job.last_run
    fields = {name: getattr(run, name) for name in run.__slots__} if run is not None else {}
    return (
        fields
        | {name: getattr(job, name) for name in job.__slots__ if name != "outcomes"}
        | {
            "outcomes": dict(job.outcomes),
            "live": list(core.runs),
            "stopping": list(core.stopping),
            "phase": core.phase,
            "deadline": core.next_deadline(),
            "work over": core.is_work_over,
        }
    )


@pytest.mark.parametrize(("start", "name"), PAIRS, ids=[f"{name} while {start}" for start, name in PAIRS])
def test_every_input_in_every_state_is_legal_or_changes_nothing(start: str, name: str) -> None:
    make, state = STAGES[start]
    stage, cell = make(), cells()[start, name]
    assert stage.state("a") is state
    before = snapshot(stage)

    if cell == ".":
        answers = [action for action in stage.tell(INPUTS[name]) if "reloaded" not in show([action])]
        assert answers == []
        assert snapshot(stage) == before
    elif cell == "x":
        with pytest.raises((UsageError, InternalError)):
            stage.tell(INPUTS[name])
        assert snapshot(stage) == before
    else:
        stage.tell(INPUTS[name])
        found = stage.lifecycle.jobs.get("a")
        assert ("-" if found is None else found.state.value[:4]) == cell


@pytest.mark.parametrize("start", REFUSED_STARTS)
def test_a_refused_start_says_why(start: str) -> None:
    kind, message = REFUSED_STARTS[start]
    stage = STAGES[start][0]()

    with pytest.raises(kind) as caught:
        stage.start("a", is_now=False)

    assert str(caught.value) == message


def walk_by_time() -> None:
    """Take the ways that time leads: from each wait to its end, and past `within`."""
    for make in (delayed, scheduled, backing_off, stopping):
        make().advance(60)
    blocked().ended("a#1")
    over = delayed()
    over.run("a")
    over.ended("a#1")
    over.arm("a")
    late = stopping_queued()
    late.advance(1)
    late.named("a#1")
    late.started("a#1")
    for how in (How.RETURNED, How.RAISED):
        stage = HandDrivenCore()
        stage.add(make_job("b", manual=True), make_job("a", after=[Dependency("b", Condition.SUCCEEDED)]))
        stage.start_all()
        stage.run("b")
        stage.ended("b#1", how)


def test_the_inputs_take_every_way_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every (state, trigger) of the table is taken by the inputs above, so that no pair stays unproven."""
    taken: set[tuple[JobState, Trigger]] = set()
    move = JobStore.move

    def watched(books: JobStore, job: JobRecord, trigger: Trigger, target: JobState, *waiting_for: WaitingFor) -> None:
        state = job.state
        move(books, job, trigger, target, *waiting_for)
        taken.add((state, trigger))

    monkeypatch.setattr(JobStore, "move", watched)
    for (start, name), cell in cells().items():
        stage = STAGES[start][0]()
        with nullcontext() if cell != "x" else pytest.raises((UsageError, InternalError)):
            stage.tell(INPUTS[name])
    walk_by_time()

    assert taken == {(state, trigger) for state, row in TRANSITIONS.items() for trigger in row}


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
