"""Adding several jobs at once: all of them, or none."""

from __future__ import annotations

import pytest
from tests.support.hand_driven_core import HandDrivenCore

from taskloom import errors
from taskloom.core import inputs
from taskloom.core.actions import Action
from taskloom.core.events import Event, EventName
from taskloom.core.model import JobSpec
from taskloom.core.requirements import Family
from taskloom.errors import DependencyCycle, DuplicateJob, SchedulerStopped, UnknownJob, UsageError
from taskloom.testing import make_job


def add(stage: HandDrivenCore, *specs: JobSpec) -> list[Action]:
    return stage.send(inputs.AddJobs(specs))


@pytest.mark.parametrize(
    ("specs", "error", "text"),
    [
        ([make_job("x"), make_job("y"), make_job("a")], DuplicateJob, "cannot add job 'a'"),
        ([make_job("x"), make_job("y"), make_job("x")], DuplicateJob, "cannot add job 'x'"),
        ([make_job("x"), make_job("y", after=["y"])], DependencyCycle, "y -> y"),
        ([make_job("x", after=["z"]), make_job("y"), make_job("z", after=["x"])], DependencyCycle, "z -> x -> z"),
        ([make_job("x"), make_job("late", after=["b"])], DependencyCycle, "late -> b -> late"),
        ([make_job("c", after=["b"]), make_job("late", after=["c"])], DependencyCycle, "late -> c -> b -> late"),
        ([*make_job("x", replicas=2, after=["y"]).replicated(), make_job("y", after=["x"])], DependencyCycle, "y -> x"),
    ],
)
def test_a_batch_with_an_error_adds_no_job(specs: list[JobSpec], error: type[UsageError], text: str) -> None:
    stage = HandDrivenCore()
    stage.add(make_job("a"), make_job("b", after=["late"]))

    with pytest.raises(error, match=text):
        add(stage, *specs)

    assert list(stage.lifecycle.jobs) == ["a", "b"]
    assert add(stage, make_job("z"), make_job("x", after=["z"])) != []


def test_a_batch_is_refused_once_the_scheduler_is_stopped() -> None:
    stage = HandDrivenCore()
    stage.shutdown()

    with pytest.raises(SchedulerStopped, match="cannot add job 'x'"):
        add(stage, make_job("x"), make_job("y"))

    assert list(stage.lifecycle.jobs) == []


def test_a_batch_adds_its_jobs_in_order() -> None:
    stage = HandDrivenCore()

    found = add(stage, make_job("b", after=["a"]), *make_job("a", replicas=2).replicated())

    events = [(action.event, action.job) for action in found if isinstance(action, Event)]
    assert events == [(EventName.JOB_ADDED, name) for name in ("b", "a.1", "a.2")]
    assert list(stage.lifecycle.jobs) == ["b", "a.1", "a.2"]


def test_an_empty_batch_changes_nothing() -> None:
    stage = HandDrivenCore()

    assert add(stage) == []


def test_a_replica_of_a_family_with_other_dependencies_may_close_a_cycle() -> None:
    stage = HandDrivenCore()
    first, second = make_job("web", replicas=2).replicated()
    stage.add(first, make_job("db", after=["web"]))

    with pytest.raises(DependencyCycle, match="web -> db -> web"):
        stage.add(make_job("web", replicas=2, after=["db"]).replicated()[1])

    stage.add(second)


def test_a_reload_is_refused_if_a_removed_replica_that_still_runs_would_close_a_cycle() -> None:
    """The shutdown stops removed jobs that still run by their dependencies, too."""
    stage = HandDrivenCore()
    stage.add(make_job("db"), *make_job("web", replicas=2, after=["db"]).replicated())
    stage.start_all()
    for run in ("db#1", "web.1#1", "web.2#1"):
        stage.started(run)

    with pytest.raises(DependencyCycle):
        stage.reload(make_job("db", after=["web"]), make_job("web"))
    stage.shutdown()

    assert stage.lifecycle.stopping.keys() == {"web.1#1", "web.2#1"}


# -- unknown names


def test_a_cancel_of_a_run_whose_job_was_removed_does_nothing() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("a"), make_job("b"))
    stage.run("a")
    stage.reload(make_job("b"))
    stage.ended("a#1")

    found = stage.stop("a", run="a#1")

    assert found == []
    assert "a" not in stage.lifecycle.jobs


def test_a_stop_of_a_job_that_was_removed_is_refused() -> None:
    stage = HandDrivenCore()
    stage.add(make_job("a"), make_job("b"))
    stage.reload(make_job("b"))

    with pytest.raises(UnknownJob, match="cannot find job 'a'"):
        stage.stop("a")


def test_the_core_searches_no_near_match(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[str] = []

    def search(name: str, *_: object, before: str) -> str:
        searched.append(name)
        return before

    monkeypatch.setattr(errors, "did_you_mean", search)
    stage = HandDrivenCore()
    stage.add(*(make_job(f"job-{number}") for number in range(100)))

    with pytest.raises(UnknownJob) as caught:
        stage.stop("jbo-7")
    searched_in_the_core = list(searched)
    text = str(caught.value)

    assert searched_in_the_core == []
    assert len(searched) == 1
    assert text.startswith("cannot find job 'jbo-7'; known: job-0, job-1, ")


def test_the_text_about_an_unknown_name_has_a_limit() -> None:
    error = UnknownJob("x" * 1_000_000, [f"job-{number}" for number in range(100_000)])

    assert len(str(error)) < 2000
    assert str(error).endswith("and 99,900 more")
    assert len(error.known) == 100_000


def test_the_text_about_a_long_cycle_has_a_limit() -> None:
    error = DependencyCycle([f"job-{number}" for number in range(1000)])

    assert len(error.circle) == 1000
    assert str(error).startswith("cannot order jobs that wait for each other: job-0 -> job-1 -> ")
    assert "-> job-9 -> ... 980 more ... -> job-990 ->" in str(error)


# -- cycles


@pytest.mark.parametrize("length", [1, 2, 5])
def test_adding_the_job_that_closes_a_cycle_is_refused_with_the_whole_cycle(length: int) -> None:
    stage = HandDrivenCore()
    names = [f"j{number}" for number in range(length)]
    for number in range(length - 1):
        stage.add(make_job(names[number], after=[names[number + 1]]))

    with pytest.raises(DependencyCycle) as caught:
        stage.add(make_job(names[-1], after=[names[0]]))

    assert caught.value.circle == (names[-1], *names)
    assert list(stage.lifecycle.jobs) == names[:-1]


@pytest.mark.parametrize("step", [1, -1])
def test_adding_a_chain_visits_each_job_once_at_most(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    visited: list[str] = []
    after = vars(Family)["after"].fget

    def visit(family: Family) -> dict[str, None]:
        visited.append(family.name)
        found: dict[str, None] = after(family)
        return found

    monkeypatch.setattr(Family, "after", property(visit))
    stage = HandDrivenCore()

    for number in range(500):
        stage.add(make_job(f"j{number}", after=[f"j{number + step}"]))

    assert len(visited) <= 500
