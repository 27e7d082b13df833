"""Every input in every state, and every pair of state and decision: legal as the table says, or refused."""

from __future__ import annotations

import ast
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.every_case import every_case
from tests.support.hand_driven_core import BOOM, HandDrivenCore, show

from taskloom.core import lifecycle
from taskloom.core.inputs import (
    ArmJob,
    PauseJob,
    Reload,
    ResetJob,
    RestartJob,
    ResumeJob,
    RunEnded,
    RunPlaced,
    RunReachable,
    RunReady,
    RunReleased,
    RunResponsive,
    RunStarted,
    RunStartFailed,
    RunUnreachable,
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
from taskloom.core.run_reports import Whereabouts
from taskloom.core.store import JobStore
from taskloom.core.transitions import TRANSITIONS, Decision, mermaid
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
    stage.stack_captured("a#1")
    return stage


def lost() -> HandDrivenCore:
    stage = running()
    stage.lost("a#1", 23.0)
    return stage


def finished() -> HandDrivenCore:
    stage = running()
    stage.ended("a#1")
    return stage


def skipped() -> HandDrivenCore:
    stage = delayed()
    stage.stop("a")
    return stage


def paused() -> HandDrivenCore:
    stage = scheduled()
    stage.pause("a")
    return stage


def running_paused() -> HandDrivenCore:
    stage = paused()
    stage.run("a")
    return stage


def stopped_scheduled() -> HandDrivenCore:
    stage = scheduled()
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
    "lost": (lost, JobState.BLOCKED),
    "finished": (finished, JobState.FINISHED),
    "skipped": (skipped, JobState.SKIPPED),
    "paused": (paused, JobState.WAITING),
    "running paused": (running_paused, JobState.RUNNING),
    "stopped scheduled": (stopped_scheduled, JobState.SKIPPED),
}

INPUTS: dict[str, Any] = {
    "start": StartJob("a"),
    "start now": StartJob("a", is_now=True),
    "arm": ArmJob("a"),
    "restart": RestartJob("a", USER),
    "restart now": RestartJob("a", USER, is_now=True),
    "reset": ResetJob("a", USER),
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
    "pause": PauseJob("a", USER),
    "resume": ResumeJob("a", USER),
    "lost": RunEnded("a#1", How.LOST, BOOM, False, False, stopped_by=1e9),
    "placed": RunPlaced("a#1", Whereabouts("host", "worker", 7)),
    "unreachable": RunUnreachable("a#1", 0.0),
    "reachable": RunReachable("a#1"),
    "released": RunReleased("a#1"),
}

# A row for each stage, a cell for each input, in the order above: the state after it. `x`: it is refused. `.`: it is
# ignored, because its subject does not exist. Neither changes anything. `-`: the job was removed.
GRID = """
                         | start | now  | arm  | restart | now  | reset | stop | cancel | all  | reload | off  | remove | started | failed | ready | unresp | resp | ended | pause | resume | lost | placed | unreach | reach | released
disabled                 | x     | x    | x    | x       | x    | .     | disa | .      | disa | wait   | .    | -      | x       | x      | .     | .      | .    | x     | x     | x | x    | .      | .       | .     | .
waiting                  | runn  | runn | runn | runn    | runn | .     | wait | .      | wait | wait   | disa | -      | x       | x      | .     | .      | .    | x     | x     | x | x    | .      | .       | .     | .
delayed                  | runn  | runn | .    | runn    | runn | .     | skip | .      | skip | wait   | disa | -      | x       | x      | .     | .      | .    | x     | x     | x | x    | .      | .       | .     | .
depending                | x     | runn | .    | x       | runn | .     | skip | .      | skip | runn   | disa | -      | x       | x      | .     | .      | .    | x     | x     | x | x    | .      | .       | .     | .
scheduled                | runn  | runn | .    | runn    | runn | .     | skip | .      | skip | skip   | disa | -      | x       | x      | .     | .      | .    | x     | wait  | . | x    | .      | .       | .     | .
backing off              | runn  | runn | .    | runn    | runn | runn  | fini | .      | fini | runn   | disa | -      | x       | x      | .     | .      | .    | x     | x     | x | x    | .      | .       | .     | .
queued                   | x     | x    | x    | stop    | stop | .     | stop | stop   | stop | stop   | stop | stop   | runn    | fini   | runn  | .      | .    | fini  | x     | x | bloc | runn   | runn    | .     | .
running                  | x     | x    | x    | stop    | stop | .     | stop | stop   | stop | stop   | stop | stop   | x       | fini   | runn  | .      | .    | fini  | x     | x | bloc | runn   | runn    | .     | .
stopping before it began | x     | x    | x    | stop    | stop | .     | stop | stop   | stop | stop   | stop | stop   | stop    | fini   | stop  | .      | .    | fini  | x     | x | bloc | stop   | stop    | .     | .
stopping                 | x     | x    | x    | stop    | stop | .     | stop | stop   | stop | stop   | stop | stop   | x       | fini   | stop  | .      | .    | fini  | x     | x | bloc | stop   | stop    | .     | .
blocked                  | x     | x    | x    | x       | x    | .     | bloc | bloc   | bloc | bloc   | bloc | bloc   | x       | fini   | bloc  | .      | .    | fini  | x     | x | bloc | .      | .       | .     | .
lost                     | x     | x    | x    | x       | x    | .     | bloc | bloc   | bloc | bloc   | bloc | bloc   | x       | x      | .     | .      | .    | x     | x     | x | x    | .      | .       | .     | fini
finished                 | runn  | runn | runn | runn    | runn | .     | fini | .      | fini | wait   | disa | -      | x       | x      | .     | .      | .    | x     | x     | x | x    | .      | .       | .     | .
skipped                  | runn  | runn | wait | runn    | runn | .     | skip | .      | skip | skip   | disa | -      | x       | x      | .     | .      | .    | x     | x     | x | x    | .      | .       | .     | .
paused                   | runn  | runn | .    | runn    | runn | .     | skip | .      | skip | skip   | disa | -      | x       | x      | .     | .      | .    | x     | .     | wait | x    | .      | .       | .     | .
running paused           | x     | x    | x    | stop    | stop | .     | stop | stop   | stop | stop   | stop | stop   | x       | wait   | runn  | .      | .    | wait  | .     | runn | bloc | runn   | runn    | .     | .
stopped scheduled        | runn  | runn | wait | runn    | runn | .     | .    | .      | skip | skip   | disa | -      | x       | x      | .     | .      | .    | x     | skip  | wait | x    | .      | .       | .     | .
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
    "lost": (JobBlocked, "cannot start job 'a': its lost run a#1 may still be executing for 23.0 s"),
}

PAIRS = [(start, name) for start in STAGES for name in INPUTS]


def snapshot(stage: HandDrivenCore) -> dict[str, Any]:
    """Return everything that can be seen of the lifecycle and its job."""
    core, job = stage.lifecycle, stage.lifecycle.jobs["a"]
    run = job.last_run
    fields = {name: getattr(run, name) for name in run.__slots__} if run is not None else {}
    return (
        fields
        | {name: getattr(job, name) for name in job.__slots__ if name not in ("outcomes", "order")}
        | {
            "outcomes": dict(job.outcomes),
            "live": list(core.runs),
            "stopping": list(core.stopping),
            "phase": core.phase,
            "deadline": core.next_deadline(),
            "work over": core.is_work_over,
        }
    )


@every_case(("start", "name"), PAIRS, ids=[f"{name} while {start}" for start, name in PAIRS])
def test_every_input_in_every_state_is_legal_or_changes_nothing(start: str, name: str) -> None:
    make, state = STAGES[start]
    stage, cell = make(), cells()[start, name]
    assert stage.state("a") is state
    before = snapshot(stage)

    if cell == ".":
        answers = [action for action in stage.send(INPUTS[name]) if "reloaded" not in show([action])]
        assert answers == []
        assert snapshot(stage) == before
    elif cell == "x":
        with pytest.raises((UsageError, InternalError)):
            stage.send(INPUTS[name])
        assert snapshot(stage) == before
    else:
        stage.send(INPUTS[name])
        found = stage.lifecycle.jobs.get("a")
        assert ("-" if found is None else found.state.value[:4]) == cell


@every_case("start", REFUSED_STARTS)
def test_a_refused_start_has_its_own_error(start: str) -> None:
    kind, message = REFUSED_STARTS[start]
    stage = STAGES[start][0]()

    with pytest.raises(kind) as caught:
        stage.start("a", is_now=False)

    assert str(caught.value) == message


def let_time_pass() -> None:
    """Take the transitions that time causes: from each wait to its end, and past `within`."""
    for make in (delayed, scheduled, backing_off, stopping):
        make().advance(60)
    blocked().ended("a#1")
    after_a_run = delayed()
    after_a_run.run("a")
    after_a_run.ended("a#1")
    after_a_run.arm("a")
    late = stopping_queued()
    late.advance(1)
    late.stack_captured("a#1")
    late.started("a#1")
    restarted = running()
    restarted.restart("a")
    restarted.ended("a#1")
    released = running()
    released.restart("a")
    released.advance(1)
    released.stack_captured("a#1")
    released.ended("a#1")
    for how in (How.RETURNED, How.RAISED):
        stage = HandDrivenCore()
        stage.add(make_job("b", manual=True), make_job("a", after=[Dependency("b", Condition.SUCCEEDED)]))
        stage.start_all()
        stage.run("b")
        stage.ended("b#1", how)


def test_the_inputs_take_every_transition_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every (state, decision) of the table is taken by the inputs above, so that no pair stays unproven."""
    taken: set[tuple[JobState, Decision]] = set()
    move = JobStore.move

    def watched(store: JobStore, job: JobRecord, decision: Decision, *waiting_for: WaitingFor) -> None:
        state = job.state
        move(store, job, decision, *waiting_for)
        taken.add((state, decision))

    monkeypatch.setattr(JobStore, "move", watched)
    for (start, name), cell in cells().items():
        stage = STAGES[start][0]()
        with nullcontext() if cell != "x" else pytest.raises((UsageError, InternalError)):
            stage.send(INPUTS[name])
    let_time_pass()

    assert taken == {(state, decision) for state, row in TRANSITIONS.items() for decision in row}


@every_case("decision", Decision, ids=lambda decision: decision.value)
@every_case("state", JobState, ids=lambda state: state.value)
def test_every_decision_in_every_state_leads_where_the_table_says_or_is_refused(
    state: JobState, decision: Decision
) -> None:
    store = JobStore()
    job = store.declare(SPEC)
    job.state, job.waiting_for = state, WaitingFor.DELAY if state is JobState.WAITING else None
    before = {name: getattr(job, name) for name in job.__slots__}

    if decision in TRANSITIONS[state]:
        store.move(job, decision, WaitingFor.BACKOFF)
        assert job.state is TRANSITIONS[state][decision]
        assert job.waiting_for is (WaitingFor.BACKOFF if job.state is JobState.WAITING else None)
    else:
        message = f"cannot decide '{decision.value}' for job 'a': it is {state.value}"
        with pytest.raises(InternalError, match=message):
            store.move(job, decision)
        assert {name: getattr(job, name) for name in job.__slots__} == before


def test_a_job_can_be_started_in_exactly_the_states_in_which_a_start_is_not_refused() -> None:
    startable = {state for state, row in TRANSITIONS.items() if Decision.RUN in row}
    refused = {STAGES[start][1] for start in REFUSED_STARTS if start != "depending"}

    assert startable.isdisjoint(refused)
    assert startable | refused == set(JobState)


def test_only_the_store_assigns_the_state_of_a_job() -> None:
    files: dict[str, set[str]] = {name: set() for name in ("state", "waiting_for", "follow_up", "next_firing")}
    for file in Path(lifecycle.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and node.attr in files:
                files[node.attr].add(file.name)

    assert files == {name: {"store.py"} for name in files}


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


def test_the_late_start_of_an_abandoned_run_is_not_recorded() -> None:
    stage = stopping_queued()
    stage.advance(1)
    stage.stack_captured("a#1")

    assert stage.started("a#1") == []
    assert stage.state("a") is JobState.BLOCKED
    record = stage.lifecycle.jobs["a"].last_run
    assert record is not None
    assert (record.outcome, record.seconds) == (Outcome.ABANDONED, 0.0)


def test_a_tick_before_any_deadline_changes_nothing() -> None:
    for make, _ in STAGES.values():
        stage = make()
        before = snapshot(stage)

        assert stage.send(Tick()) == []
        assert snapshot(stage) == before


def test_starting_all_twice_starts_each_job_once() -> None:
    stage = waiting()
    stage.send(StartAll())

    assert stage.send(StartAll()) == []
    assert stage.lifecycle.jobs["a"].runs == 1


def test_the_diagram_shows_every_transition_between_two_states() -> None:
    transitions = {
        f"    {state.value} --> {target.value}: {decision.value}"
        for state, row in TRANSITIONS.items()
        for decision, target in row.items()
        if target is not state
    }

    lines = mermaid().splitlines()

    assert lines[0] == "stateDiagram-v2"
    assert {line.strip().split(" --> ")[0] for line in lines[1:3]} == {"[*]"}
    assert sorted(lines[3:]) == sorted(transitions)
    assert "    stopping --> blocked: abandon" in lines
