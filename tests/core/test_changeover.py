"""A reload that stops runs and adds jobs: what it adds begins when those have ended, or are overdue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.support.every_case import every_case
from tests.support.fake_calendar import FakeCalendar
from tests.support.hand_driven_core import HandDrivenCore, event_of, running, show
from tests.support.random_jobs import in_process

from taskloom.core.actions import Action
from taskloom.core.events import EventName
from taskloom.core.model import WAIT_FOR_EVER, How, JobSpec, JobState, Otherwise, WaitingFor
from taskloom.core.policies import Missed, Overlap, RestartPolicy, RestartWhen, Schedule
from taskloom.core.stopping import KILL_SECONDS
from taskloom.diagnostics import Place
from taskloom.invariants.checker import check
from taskloom.testing import make_job

WEB = make_job("web", within=1.0)
NEW = make_job("new", within=1.0)


def replicas(count: int, job: JobSpec = WEB) -> tuple[JobSpec, ...]:
    return replace(job, replicas=count).replicated()


def waits_for(stage: HandDrivenCore, job: str) -> str:
    core = stage.lifecycle
    return core.describe_dependency_wait(core.jobs[job]) if job in core.jobs else "unknown"


def started_jobs(lines: list[str]) -> list[str]:
    return [line.removeprefix("StartRun ").partition("#")[0] for line in lines if line.startswith("StartRun ")]


# -- replicas and names

# The jobs before and after a reload, whose runs it ends, and which jobs begin once those have ended.
SETS: dict[str, tuple[tuple[JobSpec, ...], tuple[JobSpec, ...], list[str], list[str]]] = {
    "1 -> 3": (replicas(1), replicas(3), ["web"], ["web.1", "web.2", "web.3"]),
    "3 -> 1": (replicas(3), replicas(1), ["web.1", "web.2", "web.3"], ["web"]),
    "3 -> 2": (replicas(3), replicas(2), ["web.3"], []),
    "2 -> 3": (replicas(2), replicas(3), [], ["web.3"]),
    "another name": (replicas(1), (NEW,), ["web"], ["new"]),
    "another name of replicas": (
        replicas(2),
        replicas(2, NEW),
        ["web.1", "web.2"],
        ["new.1", "new.2"],
    ),
    "disabled, and another enabled": (
        (WEB, replace(NEW, enabled=False)),
        (replace(WEB, enabled=False), NEW),
        ["web"],
        ["new"],
    ),
    "new params, and another job": ((WEB,), (replace(WEB, params={"port": 2}), NEW), ["web"], ["web", "new"]),
    "another file": ((WEB,), (replace(WEB, place=Place("other.yaml", 1, 1)),), [], []),
}


@every_case("case", SETS)
def test_what_a_reload_adds_begins_when_what_it_removed_has_ended_and_the_others_keep_their_runs(case: str) -> None:
    before, after, ending, beginning = SETS[case]
    stage = running(*before)
    kept = {run.id for run in stage.lifecycle.runs.values() if run.job.spec.name not in ending}

    found = show(stage.reload(*after))
    at_once = started_jobs(found)
    later = [started_jobs(show(stage.ended(f"{name}#1"))) for name in ending]

    assert [line for line in found if line.startswith("CancelRun")] == [f"CancelRun {name}#1" for name in ending]
    assert at_once == ([] if ending else beginning)
    assert all(begun == [] for begun in later[:-1])
    assert sorted(later[-1] if later else []) == (sorted(beginning) if ending else [])
    assert kept <= set(stage.lifecycle.runs)


def test_all_that_is_added_waits_for_all_that_is_removed_and_its_status_names_them() -> None:
    stage = running(*replicas(7), make_job("kept"))

    found = stage.reload(make_job("kept"), WEB, NEW)
    texts = [waits_for(stage, "new")]
    for number in range(1, 7):
        stage.ended(f"web.{number}#1")
    texts.append(waits_for(stage, "web"))

    assert [(stage.state(name), stage.lifecycle.jobs[name].waiting_for) for name in ("web", "new")] == [
        (JobState.WAITING, WaitingFor.REMOVAL)
    ] * 2
    assert texts == [
        "the end of web.1#1, web.2#1, web.3#1, web.4#1, web.5#1 and 2 more",
        "the end of web.7#1",
    ]
    assert event_of(found, EventName.RELOAD_WAITING).data == {
        "jobs": ["web", "new"],
        "runs": [f"web.{number}#1" for number in range(1, 8)],
    }
    assert waits_for(stage, "kept") == ""


def test_what_has_no_run_is_not_awaited() -> None:
    stage = running(make_job("web", delay=60.0), make_job("done"))
    stage.ended("done#1")

    assert started_jobs(show(stage.reload(NEW))) == ["new"]


def test_a_job_that_a_user_stopped_and_that_stays_is_not_awaited() -> None:
    stage = running(WEB)
    stage.stop("web")

    assert started_jobs(show(stage.reload(WEB, NEW))) == ["new"]


def test_a_job_that_has_ended_and_begins_again_waits_as_well() -> None:
    stage = running(WEB, NEW)
    stage.ended("new#1")

    found = show(stage.reload(replace(NEW, params={"port": 1})))

    assert started_jobs(found) == []
    assert started_jobs(show(stage.ended("web#1"))) == ["new"]


# -- runs that do not end in time


def test_an_overdue_run_is_not_awaited_and_a_warning_names_it() -> None:
    stage = running(WEB)
    stage.reload(NEW)
    asked = show(stage.advance(1.0))

    found = stage.stack_captured("web#1")

    assert started_jobs(asked) == []
    assert show(found) == ["stop_overdue web#1", "reload_overdue", "queued new#1", "StartRun new#1"]
    assert event_of(found, EventName.RELOAD_OVERDUE).data == {"jobs": ["new"], "runs": ["web#1"]}
    assert show(stage.ended("web#1"))[-2:] == ["job_removed web", "ForgetJob web"]


def test_a_run_that_is_abandoned_is_not_awaited_and_a_warning_names_it() -> None:
    for within in (0.0, 1.0):
        stage = running(make_job("web", daemon=True, within=within))
        stage.reload(NEW)
        stage.advance(within)

        found = stage.stack_captured("web#1")

        assert event_of(found, EventName.RELOAD_OVERDUE).data["runs"] == ["web#1"]
        assert started_jobs(show(found)) == ["new"]


def test_the_warning_names_only_runs_that_are_alive_when_the_others_have_ended() -> None:
    stage = running(make_job("one", within=1.0), make_job("two", within=1.0), make_job("slow", within=9.0))
    stage.reload(NEW)
    stage.advance(1.0)
    early = show(stage.stack_captured("one#1")) + show(stage.stack_captured("two#1")) + show(stage.ended("one#1"))

    found = stage.ended("slow#1")

    assert started_jobs(early) == []
    assert event_of(found, EventName.RELOAD_OVERDUE).data["runs"] == ["two#1"]


def test_a_removed_job_whose_run_is_overdue_already_is_not_awaited_and_named_at_once() -> None:
    for otherwise in (Otherwise.ABANDON, Otherwise.EXIT):
        stage = running(make_job("web", within=1.0, otherwise=otherwise))
        stage.stop("web")
        stage.advance(1.0)
        stage.stack_captured("web#1")

        found = stage.reload(NEW)

        assert event_of(found, EventName.RELOAD_OVERDUE).data == {"jobs": ["new"], "runs": ["web#1"]}
        assert started_jobs(show(found)) == ["new"]


def test_a_removed_job_with_join_wait_is_awaited_without_a_limit() -> None:
    stage = running(make_job("web", within=WAIT_FOR_EVER))
    stage.reload(NEW)
    stage.advance(3600.0)

    assert stage.state("new") is JobState.WAITING
    assert started_jobs(show(stage.ended("web#1"))) == ["new"]


def test_a_new_join_policy_does_not_apply_to_a_run_that_is_ending_already() -> None:
    """The stop that has begun keeps its deadline, so a job that waits keeps it as well."""
    stage = running(WEB)
    stage.reload(NEW)
    stage.reload(replace(WEB, join=replace(WEB.join, within=60.0)), NEW)

    assert "CaptureStack web#1" in show(stage.advance(1.0))


# -- what is added

KINDS: dict[str, tuple[JobSpec, Callable[[HandDrivenCore], list[Action]], list[str]]] = {
    "by itself": (NEW, lambda stage: stage.advance(0), ["new"]),
    "after its delay": (make_job("new", delay=2.0), lambda stage: stage.advance(2.0), ["new"]),
    "by its interval": (make_job("new", schedule=Schedule(every=2.0)), lambda stage: stage.advance(2.0), ["new"]),
    "by its interval and at once": (
        make_job("new", schedule=Schedule(every=2.0, immediately=True)),
        lambda stage: stage.advance(0),
        ["new"],
    ),
    "a manual job": (make_job("new", manual=True), lambda stage: stage.advance(9.0), []),
    "a disabled job": (make_job("new", enabled=False), lambda stage: stage.advance(9.0), []),
}


@pytest.mark.parametrize("kind", KINDS)
def test_all_waits_of_an_added_job_begin_after_the_removal(kind: str) -> None:
    spec, later, beginning = KINDS[kind]
    stage = running(WEB)
    early = show(stage.reload(spec)) + show(stage.advance(0.5))

    found = show(stage.ended("web#1")) + show(later(stage))

    assert started_jobs(early) == []
    assert started_jobs(found) == beginning


def test_added_jobs_that_start_after_each_other_keep_their_order() -> None:
    stage = running(WEB)
    stage.reload(make_job("front", after=["new"]), NEW)

    first = started_jobs(show(stage.ended("web#1")))
    second = started_jobs(show(stage.started("new#1")))

    assert (first, second) == (["new"], ["front"])


def test_a_job_that_stays_and_starts_after_an_added_one_waits_for_that() -> None:
    stage = running(make_job("web", within=1.0), make_job("gate", manual=True), make_job("front", after=["gate"]))
    stage.reload(NEW, make_job("gate", manual=True), make_job("front", after=["new"]))
    before = waits_for(stage, "front")

    stage.ended("web#1")

    assert before == "job 'new' to be ready"
    assert started_jobs(show(stage.started("new#1"))) == ["front"]


def test_an_added_job_that_starts_after_a_removed_one_is_skipped_when_that_is_gone() -> None:
    stage = running(WEB)
    stage.reload(make_job("front", after=["web"]))

    assert show(stage.ended("web#1"))[-2:] == ["skipped front", "WorkFinished"]


@pytest.mark.parametrize(("missed", "events"), [(Missed.ONCE, ["StartRun new#1"]), (Missed.SKIP, ["missed new"])])
def test_an_instant_that_comes_during_the_wait_is_made_up_for_as_after_any_delay(
    missed: Missed, events: list[str]
) -> None:
    """Otherwise an `at` or a daily job would be silent because another job took ten seconds to stop."""
    stage = running(make_job("web", within=10.0))
    at_five = Schedule(calendar=FakeCalendar(5.0, 1.0, 5.0), missed=missed)
    stage.reload(make_job("new", schedule=at_five))
    early = show(stage.advance(8.0))
    stage.ended("web#1")

    found = show(stage.advance(0))

    assert started_jobs(early) == []
    assert [line for line in found if line.split()[0] in ("StartRun", "missed")] == events


DUE, EARLIER, OFTEN = FakeCalendar(3.0, 60.0), FakeCalendar(2.5, 60.0), FakeCalendar(0.25, 0.5)


@every_case(
    ("schedule", "events"),
    [
        (Schedule(calendar=DUE), ["queued new#1"]),
        (Schedule(calendar=EARLIER), ["queued new#1"]),
        (Schedule(calendar=EARLIER, jitter=0.25), ["queued new#1"]),
        (Schedule(calendar=FakeCalendar(0.5, 60.0), missed=Missed.SKIP), ["missed new"]),
        (Schedule(calendar=FakeCalendar(0.5, 60.0, 0.5), missed=Missed.SKIP), ["missed new", "skipped new"]),
        (Schedule(calendar=OFTEN), ["missed new", "queued new#1"]),
        (Schedule(calendar=DUE, immediately=True), ["queued new#1", "missed new"]),
        (Schedule(calendar=OFTEN, immediately=True), ["queued new#1", "missed new", "missed new"]),
        (Schedule(calendar=DUE, immediately=True, overlap=Overlap.QUEUE), ["queued new#1"]),
        (
            Schedule(calendar=DUE, immediately=True, overlap=Overlap.REPLACE),
            ["queued new#1", "cancel_requested new#1"],
        ),
        (Schedule(every=2.0), []),
    ],
)
def test_the_tick_that_gives_up_a_killed_run_fires_what_was_due_until_then(
    schedule: Schedule, events: list[str]
) -> None:
    """Any other end of the wait has no tick of its own: an instant that has passed fires at the next one."""
    stage = running(in_process(make_job("web", within=2.0)))
    stage.reload(make_job("new", schedule=schedule))
    stage.advance(2.0)
    stage.stack_captured("web#1")

    found = show(stage.advance(KILL_SECONDS))

    assert [line for line in found if line.split()[0] in ("queued", "missed", "cancel_requested", "skipped")] == events
    stage.advance(1.0)
    assert check(stage.history, is_whole=False) == []


def test_an_interval_begins_after_the_wait_and_has_missed_nothing() -> None:
    stage = running(make_job("web", within=10.0))
    stage.reload(make_job("new", schedule=Schedule(every=2.0)))
    stage.advance(7.0)
    stage.ended("web#1")

    found = show(stage.advance(2.0))

    assert [line for line in found if line.split()[0] in ("StartRun", "missed")] == ["StartRun new#1"]


def test_a_job_that_two_changes_begin_again_begins_once_when_the_old_run_has_ended() -> None:
    """Its new `restart` forgets that it gave up, and its new `start` begins it as well."""
    before = make_job("job", manual=True, restart=RestartPolicy(RestartWhen.ON_FAILURE))
    after = make_job("job", restart=RestartPolicy(RestartWhen.ON_FAILURE, delay=2.0))
    stage = running(WEB, before)
    stage.start("job")
    stage.started("job#1")
    stage.ended("job#1", How.PERMANENT)

    found = show(stage.reload(after, NEW))
    later = started_jobs(show(stage.ended("web#1")))

    assert started_jobs(found) == []
    assert sorted(later) == ["job", "new"]
