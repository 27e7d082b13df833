"""The restarts and the fingerprint of a job that is declared again by the next start of the program."""

from __future__ import annotations

import pytest
from tests.support.hand_driven_core import HandDrivenCore
from tests.support.remembering_program import RememberingProgram, events_of

from taskloom.core.events import EventName
from taskloom.core.model import How, JobSpec, JobState
from taskloom.core.policies import RestartLimit, RestartPolicy, RestartWhen
from taskloom.core.remembered import RememberedJob
from taskloom.core.restoring import DELAY_SECONDS
from taskloom.invariants.checker import check_events
from taskloom.scheduler.fingerprint import fingerprint
from taskloom.testing import make_job

LIMITED = RestartPolicy(RestartWhen.ON_FAILURE, delay=1.0, factor=2.0, jitter=0.0, limit=RestartLimit(2, 600.0))
JOB = make_job("a", restart=LIMITED)


def fail(stage: HandDrivenCore) -> None:
    run = stage.lifecycle.jobs["a"].run
    assert run is not None
    if run.started is None:
        stage.started(run.id)
    stage.ended(run.id, How.RAISED)


def failing_program(restarts: int, spec: JobSpec = JOB) -> RememberingProgram:
    """Return a program whose job has restarted so often, and runs again."""
    host = RememberingProgram(spec, wall=1_000_000.0)
    for _ in range(restarts):
        fail(host.stage)
        host.stage.advance(30)
    return host


def test_the_window_of_the_limit_goes_on_in_the_next_start() -> None:
    host = failing_program(2)

    host.restart_after(60)
    fail(host.stage)

    assert [event.data["why"] for event in events_of(host.stage, EventName.GAVE_UP)] == [
        "more than 2 restarts within 10m"
    ]


def test_restarts_that_are_older_than_the_window_do_not_count() -> None:
    host = failing_program(2)

    host.restart_after(600)
    fail(host.stage)

    assert events_of(host.stage, EventName.GAVE_UP) == []


def test_the_delay_goes_on_growing_but_an_old_one_is_forgotten() -> None:
    host = failing_program(2)
    host.restart_after(60)
    grown = host.stage.lifecycle.jobs["a"].backoff
    host.restart_after(DELAY_SECONDS + 60)

    assert grown is not None
    assert grown.delay == 2.0
    fail(host.stage)
    assert [event.data["delay"] for event in events_of(host.stage, EventName.RESTART_SCHEDULED)] == [1.0]


def test_restarts_in_the_future_are_dropped_because_the_clock_was_set_back() -> None:
    host = failing_program(2)

    host.restart_after(-86400)
    fail(host.stage)

    assert host.stage.state("a") is JobState.WAITING


def test_a_reset_is_remembered_also_if_it_starts_the_run_that_was_delayed() -> None:
    host = failing_program(1)
    fail(host.stage)
    host.stage.reset("a")  # in the delay of the second restart

    host.kill()

    assert host.remembered["a"].restarts == ()
    assert host.remembered["a"].restart_delay == 0.0


def test_a_job_that_gave_up_starts_again_and_gives_up_at_its_next_failure() -> None:
    host = failing_program(2)
    fail(host.stage)

    host.restart_after(1)
    began = host.stage.state("a")
    fail(host.stage)

    assert began is JobState.RUNNING
    assert host.stage.lifecycle.jobs["a"].has_given_up


def test_a_job_without_a_schedule_is_not_paused_by_what_it_remembers() -> None:
    host = RememberingProgram(JOB)
    host.remembered = {"a": RememberedJob(fingerprint(JOB), 0.0, paused_since=5.0)}

    host.start()

    assert not host.stage.lifecycle.jobs["a"].holds


@pytest.mark.parametrize("before", [0, 2, 4])
def test_a_job_is_flapping_with_the_restarts_of_the_last_start_and_its_events_say_so(before: int) -> None:
    often = RestartPolicy(RestartWhen.ON_FAILURE, delay=1.0, factor=1.0, jitter=0.0)
    host = RememberingProgram(make_job("a", restart=often), wall=1_000_000.0)
    for _ in range(before):
        fail(host.stage)
        host.stage.advance(2)

    host.restart_after(3.0)
    for _ in range(5 - before):
        fail(host.stage)
        host.stage.advance(2)
    fail(host.stage)

    assert len(events_of(host.stage, EventName.FLAPPING)) == 1
    assert len(events_of(host.stage, EventName.JOB_ADDED)[0].data.get("restart_ages", ())) == before
    assert check_events(host.stage.history.events) == []


def test_without_a_history_no_event_has_a_fingerprint() -> None:
    stage = HandDrivenCore()
    stage.add(JOB)

    assert "fingerprint" not in events_of(stage, EventName.JOB_ADDED)[0].data


@pytest.mark.parametrize("lost", range(6))
def test_a_crash_that_loses_the_last_events_restores_what_was_kept(lost: int) -> None:
    host = failing_program(2)

    host.kill(lost)
    host.start()

    assert host.stage.state("a") is JobState.RUNNING
