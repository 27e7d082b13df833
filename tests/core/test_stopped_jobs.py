"""A job that a user stopped: nothing but a user starts it again, whatever else happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.support.hand_driven_core import HandDrivenCore, event_of, show

from taskloom.core import inputs
from taskloom.core.actions import StartRun
from taskloom.core.events import EventName
from taskloom.core.model import Hold, How, JobSpec, JobState, Reason, ReasonKind, WaitingFor
from taskloom.core.policies import (
    Calendar,
    Condition,
    Dependency,
    RestartLimit,
    RestartPolicy,
    RestartWhen,
    Schedule,
)
from taskloom.core.report import make_job_report
from taskloom.errors import DependencyUnmet, NotScheduled
from taskloom.invariants.checker import check, explain
from taskloom.testing import VirtualClock, make_job

Instants = Callable[..., Calendar]
ALWAYS = RestartPolicy(RestartWhen.ALWAYS, delay=1.0, jitter=0.0)
ON_FAILURE = RestartPolicy(RestartWhen.ON_FAILURE, delay=1.0, jitter=0.0, limit=RestartLimit(1, 3600.0))
EVERY = Schedule(every=10.0, text="every 10s")
ENOUGH = Reason(ReasonKind.USER, "enough")


def core(*jobs: JobSpec) -> HandDrivenCore:
    stage = HandDrivenCore(VirtualClock(0, 0))
    stage.add(*jobs)
    stage.start_all()
    return stage


def job(**policies: Any) -> JobSpec:
    return make_job("a", **{"within": 5.0, "daemon": True} | policies)


# -- each state in which a job may be stopped


def declared() -> HandDrivenCore:
    stage = HandDrivenCore(VirtualClock(0, 0))
    stage.add(job())
    stage.stop("a")
    stage.start_all()
    return stage


def manual() -> HandDrivenCore:
    return stopped(core(job(manual=True)))


def delayed() -> HandDrivenCore:
    return stopped(core(job(delay=5.0)))


def depending() -> HandDrivenCore:
    return stopped(core(make_job("b", manual=True), job(after=["b"])))


def skipped_before() -> HandDrivenCore:
    """The job was skipped because `b` failed, before a user stopped it."""
    stage = core(make_job("b", restart=ON_FAILURE), job(after=[Dependency("b", Condition.SUCCEEDED)]))
    for run in ("b#1", "b#2"):
        stage.started(run)
        stage.ended(run, How.RAISED)
        stage.advance(2)
    assert stage.state("a") is JobState.SKIPPED
    return stopped(stage)


def scheduled() -> HandDrivenCore:
    return stopped(core(job(schedule=EVERY)))


def backing_off() -> HandDrivenCore:
    stage = core(job(restart=ON_FAILURE))
    stage.started("a#1")
    stage.ended("a#1", How.RAISED)
    return stopped(stage)


def gave_up() -> HandDrivenCore:
    stage = core(job(restart=ON_FAILURE))
    for run in ("a#1", "a#2"):
        stage.started(run)
        stage.ended(run, How.RAISED)
        stage.advance(2)
    assert stage.lifecycle.jobs["a"].has_given_up
    return stopped(stage)


def finished() -> HandDrivenCore:
    stage = core(job())
    stage.started("a#1")
    stage.ended("a#1")
    return stopped(stage)


def running() -> HandDrivenCore:
    stage = core(job(restart=ALWAYS))
    stage.started("a#1")
    return stopped(stage)


def running_by_schedule() -> HandDrivenCore:
    stage = core(job(schedule=EVERY))
    stage.run("a")
    return stopped(stage)


def stopping_by_reload() -> HandDrivenCore:
    """A reload is stopping the run for another one when the user stops the job."""
    stage = core(job(restart=ALWAYS))
    stage.started("a#1")
    stage.reload(job(restart=ALWAYS, params={"n": 9}))
    return stopped(stage)


def blocked() -> HandDrivenCore:
    stage = core(job(restart=ALWAYS))
    stage.started("a#1")
    stopped(stage)
    stage.advance(5)
    stage.stack_captured("a#1")
    assert stage.state("a") is JobState.BLOCKED
    return stage


def blocked_before() -> HandDrivenCore:
    """The thread of an abandoned run is alive when the user stops the job, which was to be restarted."""
    stage = core(job(restart=ALWAYS, timeout=1.0))
    stage.started("a#1")
    stage.advance(6)
    stage.stack_captured("a#1")
    assert stage.state("a") is JobState.BLOCKED
    return stopped(stage)


def stopped(stage: HandDrivenCore) -> HandDrivenCore:
    stage.stop("a")
    return stage


STAGES: dict[str, Callable[[], HandDrivenCore]] = {
    "declared": declared,
    "manual": manual,
    "delayed": delayed,
    "depending": depending,
    "skipped before": skipped_before,
    "scheduled": scheduled,
    "backing off": backing_off,
    "gave up": gave_up,
    "finished": finished,
    "running": running,
    "running by schedule": running_by_schedule,
    "stopping by reload": stopping_by_reload,
    "blocked": blocked,
    "blocked before": blocked_before,
}


# -- everything that might start it


def others(stage: HandDrivenCore) -> list[JobSpec]:
    return [each.spec for name, each in stage.lifecycle.jobs.items() if name != "a"]


def spec(stage: HandDrivenCore) -> JobSpec:
    return stage.lifecycle.jobs["a"].spec


def reload_with(stage: HandDrivenCore, **fields: Any) -> None:
    stage.reload(*others(stage), replace(spec(stage), **fields))


def end_run(stage: HandDrivenCore) -> None:
    """Have the run end, also late, by an error."""
    run = stage.lifecycle.jobs["a"].run
    if run is not None:
        stage.ended(run.id, How.RAISED)


def switch_off_and_on(stage: HandDrivenCore) -> None:
    reload_with(stage, enabled=False)
    reload_with(stage, enabled=True)


def take_away_and_bring_back(stage: HandDrivenCore) -> None:
    """The job is declared again before its run has ended; without a run it would be a new job."""
    declared_before = spec(stage)
    if stage.lifecycle.jobs["a"].run is not None:
        stage.reload(*others(stage))
        stage.reload(*others(stage), declared_before)


def start_what_it_waits_for(stage: HandDrivenCore) -> None:
    if "b" in stage.lifecycle.jobs:
        stage.reset("b")
        run = stage.lifecycle.jobs["b"].run
        name = run.id if run is not None else stage.start("b")
        stage.started(name)
        stage.ended(name)


CAUSES: dict[str, Callable[[HandDrivenCore], object]] = {
    "time": lambda stage: stage.advance(3600),
    "start all": lambda stage: stage.start_all(),
    "reset": lambda stage: stage.reset("a"),
    "the end of its run": end_run,
    "another job": start_what_it_waits_for,
    "the same declaration": reload_with,
    "other params": lambda stage: reload_with(stage, params={"n": 1}),
    "no daemon": lambda stage: reload_with(stage, daemon=False),
    "another timeout": lambda stage: reload_with(stage, timeout=99.0),
    "another poll interval": lambda stage: reload_with(stage, poll_interval=99.0),
    "another restart policy": lambda stage: reload_with(stage, restart=RestartPolicy(RestartWhen.ALWAYS, jitter=0.0)),
    "another schedule": lambda stage: reload_with(
        stage, restart=RestartPolicy(), schedule=Schedule(every=3.0, immediately=True)
    ),
    "no schedule": lambda stage: reload_with(stage, schedule=None),
    "no dependencies": lambda stage: reload_with(stage, after=()),
    "start auto": lambda stage: reload_with(stage, start=make_job("a", delay=1.0).start),
    "params and start": lambda stage: reload_with(stage, start=make_job("a").start, params={"n": 1}),
    "off and on": switch_off_and_on,
    "away and back": take_away_and_bring_back,
    "a shutdown": lambda stage: stage.shutdown(),
}


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("start", STAGES)
def test_nothing_but_a_user_starts_a_stopped_job(start: str, cause: str) -> None:
    """Each cause, then everything else that might start it, and the end of a run that it may still have."""
    stage = STAGES[start]()
    before = len(stage.history.steps)

    CAUSES[cause](stage)
    if cause != "a shutdown":
        assert hold_of(stage) == [Hold.STOPPED]
        stage.start_all()
    stage.advance(60)
    end_run(stage)
    stage.advance(3600)

    later = [action for step in stage.history.steps[before:] for action in step.actions]
    assert [action.run for action in later if isinstance(action, StartRun) and action.spec.name == "a"] == []
    violations = check(stage.history, is_whole=False, lateness=float("inf"))
    assert not violations, explain(stage.history, violations)


def hold_of(stage: HandDrivenCore) -> list[Hold]:
    return list(stage.lifecycle.jobs["a"].holds)


# -- what a user does


COMMANDS: dict[str, Callable[[HandDrivenCore], object]] = {
    "start": lambda stage: stage.start("a"),
    "restart": lambda stage: stage.restart("a", is_now=True),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("start", [name for name in STAGES if "running" not in name and not name.startswith("blo")])
def test_a_user_starts_it_again(start: str, command: str) -> None:
    stage = STAGES[start]()
    end_run(stage)

    COMMANDS[command](stage)

    assert (stage.state("a"), hold_of(stage)) == (JobState.RUNNING, [])


def test_a_restart_while_it_is_stopping_ends_the_hold_and_arms_the_schedule() -> None:
    stage = running_by_schedule()

    stage.restart("a")
    found = stage.ended("a#1")

    assert "queued a#2" in show(found)
    assert hold_of(stage) == []
    assert stage.lifecycle.jobs["a"].next_firing is not None


def test_arm_ends_the_hold() -> None:
    stage = finished()

    found = stage.arm("a")

    assert "queued a#2" in show(found)
    assert hold_of(stage) == []


def test_a_start_of_a_stopped_scheduled_job_arms_its_schedule_again() -> None:
    stage = scheduled()

    stage.run("a")
    stage.ended("a#1")

    assert stage.lifecycle.jobs["a"].waiting_for is WaitingFor.FIRING
    assert "queued a#2" in show(stage.advance(10))


def test_a_refused_start_leaves_it_stopped() -> None:
    stage = depending()

    with pytest.raises(DependencyUnmet):
        stage.send(inputs.StartJob("a"))
    with pytest.raises(DependencyUnmet):
        stage.send(inputs.RestartJob("a", ENOUGH))

    assert hold_of(stage) == [Hold.STOPPED]


def test_the_cancel_of_one_run_holds_nothing_back() -> None:
    stage = core(job(schedule=EVERY))
    stage.run("a")

    stage.stop("a", run="a#1")
    stage.ended("a#1")

    assert hold_of(stage) == []
    assert "queued a#2" in show(stage.advance(10))


def test_a_stop_of_everything_holds_no_job() -> None:
    stage = core(job())
    stage.started("a#1")

    stage.shutdown()
    stage.stop("a")

    assert hold_of(stage) == []


# -- resume


@pytest.mark.parametrize("is_immediate", [False, True])
def test_resume_arms_the_schedule_of_a_stopped_job_and_runs_nothing(is_immediate: bool) -> None:
    stage = stopped(core(job(schedule=replace(EVERY, immediately=is_immediate), delay=3.0)))
    stage.advance(5)

    found = stage.resume("a")

    assert show(found) == ["resumed a"]
    assert (stage.lifecycle.jobs["a"].waiting_for, hold_of(stage)) == (WaitingFor.FIRING, [])
    assert show(stage.advance(9.9)) == []
    assert show(stage.advance(0.1))[0] == "queued a#1"


def test_resume_while_the_run_is_stopping_arms_the_schedule() -> None:
    stage = running_by_schedule()

    stage.resume("a")
    stage.ended("a#1")

    assert stage.lifecycle.jobs["a"].waiting_for is WaitingFor.FIRING
    assert show(stage.advance(10))[0] == "queued a#2"


def test_resume_of_a_blocked_job_arms_the_schedule() -> None:
    stage = core(job(schedule=EVERY, daemon=True))
    stage.run("a")
    stopped(stage)
    stage.advance(5)
    stage.stack_captured("a#1")

    stage.resume("a")

    assert [action.data["why"] for action in stage.advance(10) if getattr(action, "data", {}).get("why")] == ["blocked"]


def test_a_stopped_job_without_a_schedule_is_started_and_not_resumed() -> None:
    stage = finished()

    with pytest.raises(NotScheduled, match=r"^cannot resume job 'a': it has no schedule; start it instead$"):
        stage.resume("a")

    assert hold_of(stage) == [Hold.STOPPED]


@pytest.mark.parametrize("is_lost", [False, True])
def test_resume_is_refused_while_the_dependencies_are_not_satisfied(is_lost: bool) -> None:
    stage = stopped(core(make_job("b", manual=True), job(after=["b"], schedule=EVERY)))
    if is_lost:
        stage.run("b")
        stage.ended("b#1", How.RAISED)

    with pytest.raises(DependencyUnmet, match=r"^cannot resume job 'a': "):
        stage.resume("a")

    assert hold_of(stage) == [Hold.STOPPED]


def test_resume_of_a_schedule_without_further_firings_finishes_the_job(instants: Instants) -> None:
    stage = stopped(core(job(schedule=Schedule(calendar=instants(10.0)))))
    stage.advance(20)

    assert show(stage.resume("a")) == ["resumed a", "skipped a"]
    assert stage.state("a") is JobState.FINISHED


def test_resume_before_the_scheduler_starts_leaves_it_to_the_start() -> None:
    stage = HandDrivenCore(VirtualClock(0, 0))
    stage.add(job(schedule=replace(EVERY, immediately=True), delay=1.0))
    stage.stop("a")

    stage.resume("a")
    assert stage.advance(100) == []
    stage.start_all()

    assert show(stage.advance(1))[0] == "queued a#1"


def test_resume_of_a_job_that_is_disabled_meanwhile_arms_nothing() -> None:
    stage = scheduled()
    reload_with(stage, enabled=False)

    assert show(stage.resume("a")) == ["resumed a"]
    assert (stage.state("a"), hold_of(stage)) == (JobState.DISABLED, [])


# -- stopped and paused


def test_a_start_ends_the_stop_but_not_the_pause() -> None:
    stage = core(job(schedule=EVERY))
    stage.pause("a")
    stage.stop("a")
    both = hold_of(stage)

    stage.run("a")
    stage.ended("a#1")

    assert (both, hold_of(stage)) == ([Hold.PAUSED, Hold.STOPPED], [Hold.PAUSED])
    assert show(stage.advance(10)) == ["missed a"]


def test_a_stopped_job_may_be_paused_for_when_it_is_started() -> None:
    stage = scheduled()

    assert show(stage.pause("a")) == ["paused a"]
    stage.run("a")
    stage.ended("a#1")

    assert show(stage.advance(10)) == ["missed a"]


def test_one_resume_ends_both_holds() -> None:
    stage = scheduled()
    stage.pause("a")

    assert show(stage.resume("a")) == ["resumed a"]
    assert hold_of(stage) == []
    assert show(stage.advance(10))[0] == "queued a#1"


# -- the rest of the program


def test_a_stopped_job_does_not_keep_the_program_alive() -> None:
    stage = core(job(schedule=EVERY, daemon=False))

    assert show(stage.stop("a"))[-1] == "WorkFinished"
    assert stage.lifecycle.is_work_over


@pytest.mark.parametrize("command", ["resume", "start", "arm"])
def test_who_lets_it_go_on_keeps_the_program_alive_again(command: str) -> None:
    stage = stopped(core(job(schedule=EVERY, daemon=False)))

    getattr(stage, command)("a")

    assert not stage.lifecycle.is_work_over


def test_all_replicas_stopped_means_that_new_ones_do_not_start() -> None:
    """Also from one to several, where all are replaced, since their names change."""
    stage = finished()
    for replicas in (2, 3, 1):
        stage.reload(*replace(make_job("a"), replicas=replicas).replicated())

    assert [name for name, each in stage.lifecycle.jobs.items() if each.is_stopped] == ["a"]
    assert stage.lifecycle.runs == {}


def test_a_new_replica_starts_if_another_one_is_not_stopped() -> None:
    stage = core(*replace(job(), replicas=2).replicated())
    for run in list(stage.lifecycle.runs):
        stage.started(run)
    stage.stop("a.1")

    stage.reload(*replace(job(), replicas=3).replicated())

    assert stage.state("a.3") is JobState.RUNNING


def test_a_job_that_is_removed_and_declared_again_later_is_a_new_one() -> None:
    stage = finished()

    stage.reload()
    found = stage.reload(job())

    assert "queued a#2" in show(found)


def test_what_starts_after_a_stopped_job_waits_or_is_skipped_as_before() -> None:
    stage = HandDrivenCore(VirtualClock(0, 0))
    stage.add(make_job("a"), make_job("c", after=[Dependency("a", Condition.READY)]))
    stage.stop("a")
    stage.start_all()
    waiting = stage.lifecycle.jobs["c"].waiting_for

    stage.run("a")

    assert waiting is WaitingFor.DEPENDENCY
    assert stage.state("c") is JobState.RUNNING


def test_the_report_says_who_stopped_it() -> None:
    stage = core(job(schedule=EVERY))
    stage.stop("a", "stop, by alice (uid 1000, pid 4242)")
    stage.stop("a", "another one")

    report = make_job_report(stage.lifecycle, stage.lifecycle.jobs["a"], stage.clock.now())

    assert (report.hold, report.held) == (Hold.STOPPED, "stopped by alice (uid 1000, pid 4242)")
    assert report.marks == ("stopped by user",)
    assert report.as_dict()["paused"] is False


@pytest.mark.parametrize(("text", "held"), [("", "stopped"), ("stop", "stopped"), ("too loud", "stopped: too loud")])
def test_how_a_hold_is_written(text: str, held: str) -> None:
    stage = core(job(schedule=EVERY))
    stage.stop("a", text)

    assert make_job_report(stage.lifecycle, stage.lifecycle.jobs["a"], stage.clock.now()).held == held


# -- who started it


def test_the_event_of_a_run_says_who_started_it() -> None:
    stage = finished()
    reason = Reason(ReasonKind.USER, "start, by alice")

    found = stage.send(inputs.StartJob("a", is_now=False, reason=reason))

    assert event_of(found, EventName.QUEUED).reason == reason


def test_a_start_without_a_reason_has_none() -> None:
    stage = finished()

    assert event_of(stage.send(inputs.StartJob("a")), EventName.QUEUED).reason is None
