"""Commands and further reloads while the jobs that a reload added wait for the runs that it stopped."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.fake_calendar import FakeCalendar
from tests.support.hand_driven_core import HandDrivenCore, running, show

from taskloom.core.model import How, JobSpec, JobState, StartMode, StartPolicy, WaitingFor
from taskloom.core.policies import RestartPolicy, RestartWhen, Schedule
from taskloom.errors import DependencyUnmet
from taskloom.testing import make_job

WEB = make_job("web", within=1.0)
NEW = make_job("new", within=1.0)


def waits_for(stage: HandDrivenCore, job: str) -> str:
    core = stage.lifecycle
    return core.describe_dependency_wait(core.jobs[job]) if job in core.jobs else "unknown"


def started_jobs(lines: list[str]) -> list[str]:
    return [line.removeprefix("StartRun ").partition("#")[0] for line in lines if line.startswith("StartRun ")]


# -- commands while a job waits


@pytest.mark.parametrize("manual", [False, True])
def test_a_start_is_refused_while_the_removed_runs_end_unless_it_is_now(manual: bool) -> None:
    stage = running(WEB)
    stage.reload(replace(NEW, start=StartPolicy(StartMode.MANUAL if manual else StartMode.AUTO)))

    with pytest.raises(DependencyUnmet) as caught:
        stage.start("new", is_now=False)
    run = stage.start("new", is_now=True)

    assert str(caught.value) == "cannot start job 'new': needs the end of web#1"
    assert run == "new#1"
    assert started_jobs(show(stage.ended("web#1"))) == []


def test_a_manual_job_that_is_armed_waits_and_one_that_waits_already_goes_on_waiting() -> None:
    stage = running(WEB)
    stage.reload(make_job("new", manual=True))
    stage.arm("new")
    stage.arm("new")

    assert stage.lifecycle.jobs["new"].waiting_for is WaitingFor.REMOVAL
    assert started_jobs(show(stage.ended("web#1"))) == ["new"]


def test_a_job_that_is_stopped_while_it_waits_does_not_begin() -> None:
    stage = running(WEB)
    stage.reload(NEW)

    found = show(stage.stop("new"))

    assert found == ["skipped new"]
    assert started_jobs(show(stage.ended("web#1"))) == []


def test_jobs_that_a_reload_adds_before_the_start_of_all_wait_once_that_comes() -> None:
    stage = HandDrivenCore()
    stage.add(WEB)
    stage.run("web")
    stage.reload(NEW)

    first = started_jobs(show(stage.start_all()))

    assert first == []
    assert started_jobs(show(stage.ended("web#1"))) == ["new"]


def test_a_stop_of_everything_ends_the_wait() -> None:
    stage = running(WEB)
    stage.reload(NEW)

    found = show(stage.shutdown())
    ended = show(stage.ended("web#1"))

    assert "skipped new" in found
    assert started_jobs(ended) == []
    assert "ShutdownFinished" in ended


def test_an_essential_job_that_fails_with_the_last_awaited_run_stops_what_waits() -> None:
    essential = make_job("web", within=1.0, essential=True, restart=RestartPolicy(RestartWhen.NEVER))
    stage = running(essential)
    stage.reload(replace(essential, enabled=False), NEW)

    found = show(stage.ended("web#1", How.RAISED))

    assert "scheduler_stopping" in found
    assert started_jobs(found) == []
    assert stage.state("new") is JobState.SKIPPED


def test_a_job_that_the_reload_fixes_begins_at_once_and_is_not_awaited() -> None:
    """It stays, like any job that is not added; its new run is none that the reload stopped."""
    stage = running(WEB, make_job("api", restart=RestartPolicy(RestartWhen.ON_FAILURE)))
    stage.ended("api#1", How.RAISED)

    first = show(stage.reload(make_job("api", params={"n": 1}), NEW))
    second = show(stage.ended("web#1"))

    assert (started_jobs(first), started_jobs(second)) == (["api"], ["new"])


# -- two reloads


def test_what_a_second_reload_adds_waits_for_the_runs_that_both_have_stopped() -> None:
    stage = running(WEB, make_job("api", within=1.0))
    stage.reload(NEW, make_job("api", within=1.0))
    stage.reload(NEW, make_job("more"))

    texts = [waits_for(stage, "new"), waits_for(stage, "more")]
    first = started_jobs(show(stage.ended("web#1")))
    second = started_jobs(show(stage.ended("api#1")))

    assert texts == ["the end of web#1", "the end of web#1, api#1"]
    assert (first, second) == (["new"], ["more"])


def test_a_waiting_job_that_a_second_reload_changes_waits_for_what_that_stops() -> None:
    stage = running(WEB, make_job("api", within=1.0))
    stage.reload(NEW, make_job("api", within=1.0))
    stage.reload(replace(NEW, params={"port": 2}))

    first = started_jobs(show(stage.ended("web#1")))
    found = stage.ended("api#1")

    assert first == []
    assert started_jobs(show(found)) == ["new"]
    assert stage.lifecycle.runs["new#1"].spec.params == {"port": 2}


@pytest.mark.parametrize("after", [(), (WEB,), (replace(NEW, enabled=False),)])
def test_a_waiting_job_that_a_second_reload_removes_or_disables_does_not_begin(after: tuple[JobSpec, ...]) -> None:
    stage = running(WEB)
    stage.reload(NEW)

    stage.reload(*after)

    assert "new" not in started_jobs(show(stage.ended("web#1")))


def test_a_removed_job_that_a_second_reload_declares_again_is_still_awaited() -> None:
    stage = running(WEB)
    stage.reload(NEW)
    early = started_jobs(show(stage.reload(NEW, WEB)))

    assert early == []
    assert sorted(started_jobs(show(stage.ended("web#1")))) == ["new", "web"]


def test_a_job_that_a_waiting_one_replaces_again_waits_in_its_turn() -> None:
    stage = running(WEB)
    stage.reload(NEW)
    stage.reload(WEB)

    assert started_jobs(show(stage.ended("web#1"))) == ["web"]
    assert "new" not in stage.lifecycle.jobs


def test_a_schedule_that_a_second_reload_changes_counts_from_that() -> None:
    stage = running(make_job("web", within=10.0))
    stage.reload(make_job("new", schedule=Schedule(calendar=FakeCalendar(50.0, 60.0))))
    stage.advance(6.0)
    stage.reload(make_job("new", schedule=Schedule(calendar=FakeCalendar(5.0, 60.0))))
    stage.ended("web#1")

    assert started_jobs(show(stage.advance(10.0))) == []


# -- bookkeeping


def test_a_job_that_waits_keeps_the_program_alive_like_any_other_wait() -> None:
    stage = running(WEB)

    found = [show(stage.reload(NEW)), show(stage.ended("web#1"))]
    stage.started("new#1")

    assert not any("WorkFinished" in lines for lines in found)
    assert show(stage.ended("new#1"))[-1] == "WorkFinished"


def test_nothing_is_kept_of_a_changeover_that_is_over() -> None:
    stage = running(WEB)
    stage.reload(NEW)
    stage.ended("web#1")

    job = stage.lifecycle.jobs["new"]
    assert (job.changeover, job.run is not None and job.run.changeovers) == (None, ())
