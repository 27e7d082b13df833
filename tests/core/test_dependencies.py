"""Dependencies: the state of each condition for each state of a job, and what follows for the dependents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.support.every_case import every_case
from tests.support.hand_driven_core import HandDrivenCore, event_of, show

from taskloom.core.actions import StartRun
from taskloom.core.events import EventName
from taskloom.core.model import How, JobState, Reason, ReasonKind, WaitingFor
from taskloom.core.policies import Condition, Dependency, RestartPolicy, RestartWhen, Schedule
from taskloom.core.requirements import DependencyState
from taskloom.errors import DependencyUnmet
from taskloom.testing import make_job

ON_FAILURE = RestartPolicy(RestartWhen.ON_FAILURE, jitter=0.0)

# The state of job `b`, and the state of a dependency on it for each condition: m satisfied, o pending, L impossible.
TABLE = """
how `b` stands                        | started | ready | succeeded | finished
missing                               | L       | L     | L         | L
disabled                              | L       | L     | L         | L
never started                         | o       | o     | o         | o
waiting for its delay                 | o       | o     | o         | o
waiting for another                   | o       | o     | o         | o
skipped                               | L       | L     | L         | L
queued                                | o       | o     | o         | o
running                               | m       | o     | o         | o
ready                                 | m       | m     | o         | o
ready and stopping                    | o       | o     | o         | o
succeeded                             | m       | m     | m         | m
succeeded without being ready         | m       | L     | m         | m
failed                                | L       | L     | L         | m
failed, restart pending               | o       | o     | o         | o
succeeded, restart pending            | m       | m     | m         | o
restarted, queued                     | o       | o     | o         | o
restarted and running                 | m       | o     | o         | o
gave up                               | L       | L     | L         | m
could not be started                  | L       | L     | L         | m
cancelled                             | L       | L     | L         | m
cancelled, restart by hand            | o       | o     | o         | o
blocked                               | L       | L     | L         | o
blocked, restart pending              | o       | o     | o         | o
waiting for its firing                | o       | o     | o         | o
succeeded, waiting for its firing     | m       | m     | m         | o
failed, waiting for its firing        | o       | o     | o         | o
"""

Scene = Callable[[HandDrivenCore], object]


def with_job(*steps: Scene, **policies: Any) -> Callable[[], HandDrivenCore]:
    def make() -> HandDrivenCore:
        stage = HandDrivenCore()
        stage.add(make_job("b", **policies))
        for step in steps:
            step(stage)
        return stage

    return make


def start_all(stage: HandDrivenCore) -> None:
    stage.start_all()


def start(stage: HandDrivenCore) -> None:
    stage.start("b")


def begin(stage: HandDrivenCore) -> None:
    stage.started(live(stage), is_ready=False)


def get_ready(stage: HandDrivenCore) -> None:
    stage.started(live(stage))


def end(stage: HandDrivenCore) -> None:
    stage.ended(live(stage))


def fail(stage: HandDrivenCore) -> None:
    stage.ended(live(stage), How.RAISED)


def fail_to_start(stage: HandDrivenCore) -> None:
    stage.start_failed("b#1")


def stop(stage: HandDrivenCore) -> None:
    stage.stop("b")


def restart(stage: HandDrivenCore) -> None:
    stage.restart("b")


def abandon(stage: HandDrivenCore) -> None:
    stage.advance(1)
    stage.stack_captured("b#1")


def wait(seconds: float) -> Scene:
    return lambda stage: stage.advance(seconds)


def live(stage: HandDrivenCore) -> str:
    run = stage.lifecycle.jobs["b"].run
    assert run is not None
    return run.id


ALWAYS = RestartPolicy(RestartWhen.ALWAYS, jitter=0.0)
DAEMON: dict[str, Any] = {"daemon": True, "within": 1.0}
EVERY = Schedule(every=5.0)

SCENES: dict[str, Callable[[], HandDrivenCore]] = {
    "missing": HandDrivenCore,
    "disabled": with_job(enabled=False),
    "never started": with_job(),
    "waiting for its delay": with_job(start_all, delay=5.0),
    "waiting for another": with_job(lambda stage: stage.add(make_job("c")), lambda stage: stage.arm("b"), after=["c"]),
    "skipped": with_job(start_all, stop, delay=5.0),
    "queued": with_job(start),
    "running": with_job(start, begin),
    "ready": with_job(start, get_ready),
    "ready and stopping": with_job(start, get_ready, stop),
    "succeeded": with_job(start, get_ready, end),
    "succeeded without being ready": with_job(start, begin, end),
    "failed": with_job(start, get_ready, fail),
    "failed, restart pending": with_job(start, get_ready, fail, restart=ON_FAILURE),
    "succeeded, restart pending": with_job(start, get_ready, end, restart=ALWAYS),
    "restarted, queued": with_job(start, get_ready, fail, wait(0.5), restart=ON_FAILURE),
    "restarted and running": with_job(start, get_ready, fail, wait(0.5), begin, restart=ON_FAILURE),
    "gave up": with_job(start, get_ready, lambda stage: stage.ended("b#1", How.PERMANENT), restart=ON_FAILURE),
    "could not be started": with_job(start, fail_to_start),
    "cancelled": with_job(start, get_ready, stop, end),
    "cancelled, restart by hand": with_job(start, get_ready, restart, end),
    "blocked": with_job(start, get_ready, stop, abandon, **DAEMON),
    "blocked, restart pending": with_job(start, get_ready, restart, abandon, **DAEMON),
    "waiting for its firing": with_job(start_all, schedule=EVERY),
    "succeeded, waiting for its firing": with_job(start, get_ready, end, schedule=EVERY),
    "failed, waiting for its firing": with_job(start, get_ready, fail, schedule=EVERY),
}
STANDINGS = {"m": DependencyState.SATISFIED, "o": DependencyState.PENDING, "L": DependencyState.IMPOSSIBLE}


def rows() -> dict[str, list[str]]:
    lines = [[cell.strip() for cell in line.split("|")] for line in TABLE.strip().splitlines()[1:]]
    return {line[0]: line[1:] for line in lines}


@every_case("how", SCENES)
def test_the_state_of_each_condition_for_each_state_of_a_job(how: str) -> None:
    stage = SCENES[how]()

    for condition in Condition:
        stage.add(make_job(f"after-{condition.value}", after=[Dependency("b", condition)]))

    found = [stage.lifecycle.jobs[f"after-{condition.value}"].dependencies.state for condition in Condition]
    assert found == [STANDINGS[cell] for cell in rows()[how]]


@pytest.mark.parametrize("how", SCENES)
def test_the_state_of_each_condition_is_the_same_if_it_was_awaited_from_the_start(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"after-{condition.value}" for condition in Condition]
    waiting = [make_job(f"after-{each.value}", after=[Dependency("b", each)], manual=True) for each in Condition]
    make = HandDrivenCore.__init__

    def make_with_dependents(stage: HandDrivenCore) -> None:
        make(stage)
        stage.add(*waiting)

    monkeypatch.setattr(HandDrivenCore, "__init__", make_with_dependents)

    stage = SCENES[how]()

    found = [stage.lifecycle.jobs[name].dependencies.state for name in names]
    assert found == [STANDINGS[cell] for cell in rows()[how]]


def test_every_state_of_a_job_has_a_row() -> None:
    assert list(rows()) == list(SCENES)


# -- dependents


def stage_of(condition: Condition = Condition.READY, **policies: Any) -> HandDrivenCore:
    """Return a core in which all jobs were started: `b`, and `a`, which starts after it."""
    stage = HandDrivenCore()
    stage.add(make_job("b", **policies), make_job("a", after=[Dependency("b", condition)]))
    stage.start_all()
    return stage


@pytest.mark.parametrize(
    ("condition", "step"),
    [(Condition.STARTED, begin), (Condition.READY, get_ready), (Condition.SUCCEEDED, end), (Condition.FINISHED, fail)],
)
def test_a_job_starts_as_soon_as_its_dependency_is_satisfied(condition: Condition, step: Scene) -> None:
    stage = stage_of(condition)
    before = stage.lifecycle.jobs["a"].runs
    if step in (end, fail):
        get_ready(stage)
        before = stage.lifecycle.jobs["a"].runs

    step(stage)

    assert (before, stage.lifecycle.jobs["a"].runs) == (0, 1)


def test_a_task_that_announces_readiness_is_waited_for_until_it_does() -> None:
    stage = stage_of()

    begun = stage.started("b#1", is_ready=False)
    ready = stage.ready("b#1")

    assert show(begun) == ["started b#1"]
    assert show(ready) == ["ready b#1", "queued a#1", "StartRun a#1"]


def test_a_job_waits_while_its_dependency_restarts() -> None:
    stage = stage_of(Condition.SUCCEEDED, restart=ON_FAILURE)
    for wait in (0.5, 1, 2, 4):
        get_ready(stage)
        fail(stage)
        stage.advance(wait)
    waiting = stage.lifecycle.jobs["a"].waiting_for

    get_ready(stage)
    end(stage)

    assert waiting is WaitingFor.DEPENDENCY
    assert stage.state("a") is JobState.RUNNING


def test_a_job_whose_dependency_becomes_impossible_is_skipped_with_the_reason() -> None:
    stage = stage_of(Condition.SUCCEEDED)
    get_ready(stage)

    found = stage.ended("b#1", How.RAISED)

    reason = Reason(ReasonKind.DEPENDENCY, "job 'b' ended failed, and was to be succeeded")
    assert event_of(found, EventName.SKIPPED).reason == reason
    assert (stage.state("a"), stage.lifecycle.jobs["a"].reason) == (JobState.SKIPPED, reason)
    assert show(found)[-1] == "WorkFinished"


@every_case(
    ("how", "text"),
    [
        ("missing", "there is no job 'b'"),
        ("disabled", "job 'b' is disabled, and was to be ready"),
        ("skipped", "job 'b' is skipped, and was to be ready"),
        ("failed", "job 'b' ended failed, and was to be ready"),
        ("cancelled", "job 'b' ended cancelled, and was to be ready"),
        ("could not be started", "job 'b' ended start_failed, and was to be ready"),
        ("blocked", "job 'b' is blocked, and was to be ready"),
        ("never started", "job 'b' to be ready"),
    ],
)
def test_a_refused_start_names_the_pending_dependency(how: str, text: str) -> None:
    stage = SCENES[how]()
    stage.add(make_job("a", after=["b"]))

    with pytest.raises(DependencyUnmet) as caught:
        stage.start("a", is_now=False)

    assert caught.value.what == text
    assert caught.value.is_lost == text.startswith(("there", "job 'b' is", "job 'b' ended"))
    assert stage.start("a", is_now=True) == "a#1"


def test_a_chain_of_skips_may_be_longer_than_the_interpreters_stack() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("j0"), *(make_job(f"j{number}", after=[f"j{number - 1}"]) for number in range(1, 3000)))
    stage.start_all()

    found = stage.start_failed("j0#1")

    assert {stage.state(f"j{number}") for number in range(1, 3000)} == {JobState.SKIPPED}
    assert len([line for line in show(found) if line.startswith("skipped")]) == 2999
    assert stage.lifecycle.is_work_over


def test_stopping_a_waiting_job_skips_its_dependents() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("c", manual=True), make_job("b", after=["c"]), make_job("a", after=["b"]))
    stage.start_all()

    found = stage.stop("b")

    assert show(found) == ["skipped b", "skipped a", "WorkFinished"]


@pytest.mark.parametrize("step", [end, fail, stop])
def test_a_running_job_is_untouched_when_its_dependency_ends_or_is_stopped(step: Scene) -> None:
    stage = stage_of()
    get_ready(stage)
    stage.started("a#1")

    found = step(stage)

    assert stage.state("a") is JobState.RUNNING
    assert "CancelRun a#1" not in show(list(found or []))  # type: ignore[call-overload]
    assert stage.lifecycle.runs["a#1"].requested is None


def test_a_restart_of_a_running_job_waits_for_no_dependency() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("b"), make_job("a", after=["b"], restart=ON_FAILURE))
    stage.start_all()
    get_ready(stage)
    stage.started("a#1")
    fail(stage)
    stage.ended("a#1", How.RAISED)

    assert show(stage.advance(0.5)) == ["queued a#2", "StartRun a#2"]


def test_all_dependencies_must_be_satisfied_and_one_impossible_one_skips_the_job() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("b"), make_job("c"), make_job("d"), make_job("a", after=["b", "c", "d"]))
    stage.start_all()

    stage.started("c#1")
    stage.started("b#1")
    waits_for = stage.lifecycle.describe_dependency_wait(stage.lifecycle.jobs["a"])
    stage.start_failed("d#1")

    assert waits_for == "job 'd' to be ready"
    assert stage.state("a") is JobState.SKIPPED


def test_a_dependency_on_replicas_needs_all_of_them_and_is_impossible_with_the_first() -> None:
    stage = HandDrivenCore()
    stage.add(*make_job("b", replicas=3).replicated(), make_job("a", after=["b"]), make_job("z", after=["b"]))
    for name in ("b.1", "b.2", "b.3", "a", "z"):
        stage.arm(name)

    stage.started("b.1#1")
    stage.started("b.3#1")
    partly = [stage.state(name) for name in ("a", "z")]
    waits_for = stage.lifecycle.describe_dependency_wait(stage.lifecycle.jobs["a"])
    found = stage.started("b.2#1")

    assert partly == [JobState.WAITING] * 2
    assert waits_for == "job 'b.2' to be ready"
    assert [action.run for action in found if isinstance(action, StartRun)] == ["a#1", "z#1"]


def test_each_replica_waits_for_its_dependencies() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("b"), *make_job("a", replicas=2, after=["b"]).replicated())
    stage.start_all()

    found = stage.started("b#1")

    assert [action.run for action in found if isinstance(action, StartRun)] == ["a.1#1", "a.2#1"]


def test_a_delay_counts_from_when_the_dependencies_are_satisfied() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("b", manual=True), make_job("a", after=["b"], delay=5))
    stage.start_all()
    stage.advance(100)
    stage.run("b")

    before = stage.advance(4.999)
    due = stage.advance(0.001)

    assert before == []
    assert show(due) == ["queued a#1", "StartRun a#1"]
