"""Restarts, schedules, dependencies and deadlines in a real program."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest

# Each starts whole programs; test_stopping and test_signals are in the quick share.
pytestmark = pytest.mark.long

Start = Callable[..., Any]

FLAKY = "{{task: flaky, params: {{failures: {failures}}}, restart: {{when: on-failure, {policy}}}}}"


def flaky(failures: int, policy: str) -> str:
    return f"jobs: {{web: {FLAKY.format(failures=failures, policy=policy)}}}"


# -- restarts


def test_the_exit_code_is_0_if_a_restart_fixes_the_failure(start_program: Start) -> None:
    program = start_program(flaky(2, "delay: 10ms"))

    assert program.end() == 0
    assert program.told("ended") == ["ended web failed", "ended web failed", "ended web succeeded"]
    assert [event["attempt"] for event in program.events("queued")] == [1, 2, 3]
    waits = [event["seconds"] for event in program.events("restart_scheduled")]
    assert 0.01 <= waits[0] <= 0.015
    assert 0.02 <= waits[1] <= 0.03
    queued, ended = program.events("queued"), program.events("ended")
    assert queued[1]["mono"] - ended[0]["mono"] >= waits[0]


def test_a_stop_cancels_a_pending_restart_and_the_exit_code_is_0(start_program: Start) -> None:
    program = start_program(flaky(9, "delay: 1h, max_delay: 1h"))
    program.wait_for_event("restart_scheduled")

    program.send(signal.SIGTERM)

    assert program.end() == 0
    assert len(program.events("queued")) == 1


def test_a_job_that_fails_too_often_gives_up_and_the_exit_code_is_1(start_program: Start) -> None:
    program = start_program(flaky(9, "delay: 1ms, limit: {times: 3, within: 1m}"))

    assert program.end() == 1
    [gave_up] = program.events("gave_up")
    assert gave_up["why"] == "more than 3 restarts within 1m"
    assert len(program.events("queued")) == 4


def test_a_permanent_failure_is_not_restarted(start_program: Start) -> None:
    program = start_program("jobs: {web: {task: hopeless, restart: {when: always, delay: 1ms}}}")

    assert program.end() == 1
    assert program.told("queued", "gave_up") == ["queued web", "gave_up web"]


def test_a_job_that_always_returns_is_restarted_until_a_stop(start_program: Start) -> None:
    program = start_program("jobs: {web: {task: silent_leaver, restart: {when: always, delay: 1ms, max_delay: 1ms}}}")
    program.wait_for_event("flapping", "web")

    program.send(signal.SIGINT)

    assert program.end() == 130
    assert len(program.events("queued")) >= 6


# -- schedules


@pytest.mark.long
def test_an_interval_fires_on_time_and_without_drift(start_program: Start) -> None:
    program = start_program("jobs: {beat: {task: silent_leaver, schedule: {every: 100ms}}}")
    program.wait_for_event("ended", "beat", count=8)

    program.send(signal.SIGTERM)

    assert program.end() == 0
    [started] = program.events("scheduler_started")
    lateness = [event["mono"] - started["mono"] - 0.1 * n for n, event in enumerate(program.events("queued")[:8], 1)]
    # Delays of a shared machine do not accumulate: at least one firing is on time.
    assert -0.005 < min(lateness) < 0.15
    assert program.told("missed") == [] or max(lateness) > 0.1


@pytest.mark.long
def test_a_calendar_with_seconds_fires_at_its_seconds(start_program: Start) -> None:
    program = start_program('jobs: {beat: {task: silent_leaver, schedule: {cron: "* * * * * *", timezone: UTC}}}')
    program.wait_for_event("ended", "beat", count=2)

    program.send(signal.SIGTERM)

    assert program.end() == 0
    seconds = [event["at"][17:] for event in program.events("queued")]
    assert len({each[:2] for each in seconds}) == len(seconds)
    assert min(float("0" + each[2:].rstrip("Z")) for each in seconds) < 0.15


def test_a_firing_during_a_run_is_missed_and_the_schedule_continues(start_program: Start) -> None:
    job = "{task: deaf, params: {seconds: 0.25}, schedule: {every: 100ms, immediately: true}}"
    program = start_program(f"jobs: {{slow: {job}}}")
    program.wait_for_event("queued", "slow", count=3)

    program.send(signal.SIGTERM)

    assert program.end() == 0
    missed = program.events("missed")
    assert {event["why"] for event in missed} == {"overlap"}
    assert len(missed) >= 4


# -- dependencies, replicas, essential


def test_a_chain_starts_link_by_link_and_stops_in_reverse(start_program: Start) -> None:
    program = start_program("""
jobs:
  web: {task: polite, after: db}
  db: {task: opening, params: {until: open}, after: {disk: succeeded}}
  disk: {task: silent_leaver, after: {base: started}}
  base: {task: polite}
""")
    program.wait_for_event("started", "db")
    assert "started web" not in program.told("started")

    (program.folder / "open").touch()

    program.wait_for_event("started", "web")
    program.send(signal.SIGTERM)
    assert program.end() == 0
    words = program.told("started", "ready", "cancel_requested", "ended")
    in_order = [
        *("started base", "started disk", "ended disk succeeded", "started db", "ready db", "started web"),
        *("cancel_requested web", "ended web cancelled", "cancel_requested db", "ended db cancelled"),
        *("cancel_requested base", "ended base cancelled"),
    ]
    assert [word for word in words if word in in_order] == in_order


def test_a_job_whose_dependency_failed_is_skipped_with_the_reason(start_program: Start) -> None:
    web = "{task: polite, after: {db: succeeded}}"
    program = start_program(f"jobs: {{db: {{task: bad}}, web: {web}, top: {{task: polite, after: web}}}}")

    assert program.end() == 1
    reasons = {event["job"]: event["reason"]["text"] for event in program.events("skipped")}
    assert reasons == {
        "web": "job 'db' ended failed, and was to be succeeded",
        "top": "job 'web' is skipped, and was to be ready",
    }


def test_a_job_that_depends_on_replicas_waits_for_all_of_them(start_program: Start) -> None:
    program = start_program("""
jobs:
  worker: {task: sayer, params: {text: hello}, replicas: 3}
  boss: {task: silent_leaver, after: worker}
""")
    program.wait_for("boss         succeeded")

    program.send(signal.SIGTERM)

    assert program.end() == 0
    assert program.told("started")[:3] == ["started worker.1", "started worker.2", "started worker.3"]
    for number in (1, 2, 3):
        assert f"worker.{number}     says hello, replica {number}\n" in program.stderr
    words = program.told("ready", "queued")
    assert words.index("queued boss") > words.index("ready worker.3")


def test_all_jobs_are_stopped_when_an_essential_job_fails_for_good(start_program: Start) -> None:
    program = start_program("""
jobs:
  heart:
    task: flaky
    params: {failures: 9}
    essential: true
    restart: {when: on-failure, delay: 1ms, limit: {times: 2, within: 1m}}
  web: {task: polite}
  beat: {task: polite, daemon: true}
""")

    assert program.end() == 1
    [stopping] = program.events("scheduler_stopping")
    assert stopping["reason"] == {"kind": "essential", "text": "job 'heart' failed for good"}
    assert "stopping all jobs: job 'heart' failed for good" in program.stderr
    assert len(program.events("queued")) == 5


def test_stop_within_limits_the_stop_after_an_essential_job_failed(start_program: Start) -> None:
    jobs = "jobs: {deaf: {task: deaf, join: wait}, heart: {task: bad, essential: true, after: {deaf: started}}}"
    program = start_program(jobs, "--stop-within", "300ms")

    assert program.end() == 3
    [overdue] = program.events("stop_overdue")
    assert (overdue["job"], overdue["within"]) == ("deaf", 0.3)


@pytest.mark.long
def test_the_watcher_limits_the_stop_after_an_essential_job_failed(start_program: Start) -> None:
    jobs = "jobs: {heart: {task: bad, essential: true, start: {delay: 300ms}}, hog: {task: last_hog}}"
    program = start_program(jobs, "--stop-within", "500ms")

    assert program.end() == -signal.SIGKILL
    assert "in last_hog" in program.stderr


# -- deadlines


@pytest.mark.long
def test_a_watchdog_restarts_a_stuck_run(start_program: Start) -> None:
    job = "{task: stuck, params: {until: free}, join: 200ms, watchdog: {after: 300ms, then: restart}}"
    program = start_program(f"jobs: {{web: {job}, main: {{task: polite}}}}")
    asked = program.wait_for_event("cancel_requested", "web")
    program.wait_for_event("stop_overdue", "web")

    (program.folder / "free").touch()

    program.wait_for_event("started", "web", count=2)
    program.send(signal.SIGTERM)
    assert program.end() == 0
    assert asked["reason"]["kind"] == "watchdog"
    [overdue] = program.events("stop_overdue")
    assert "misbehaving.py" in overdue["where"]
    assert program.told("ended")[0] == "ended web failed"
    assert program.events("unresponsive")[0]["poll_age"] > 0.3


@pytest.mark.long
def test_a_daemon_job_that_ignores_its_timeout_is_abandoned_and_blocks_new_runs(start_program: Start) -> None:
    job = "{task: deaf, daemon: true, timeout: 200ms, join: 200ms, restart: {when: on-failure, delay: 1ms}}"
    program = start_program(f"jobs: {{deaf: {job}, main: {{task: polite}}}}")
    program.wait_for_event("blocked", "deaf")

    program.send(signal.SIGTERM)

    assert program.end() == 0
    assert program.told("queued", "cancel_requested", "ended", "blocked")[2:5] == [
        *("cancel_requested deaf", "ended deaf abandoned", "blocked deaf"),
    ]
    assert len([event for event in program.events("queued") if event["job"] == "deaf"]) == 1


@pytest.mark.long
def test_the_late_exit_of_an_abandoned_thread_releases_one_restart(start_program: Start) -> None:
    job = "{task: stuck, params: {until: free}, daemon: true, timeout: 200ms, join: 100ms, restart: {when: on-failure}}"
    program = start_program(f"jobs: {{web: {job.replace('200ms', '500ms')}, main: {{task: polite}}}}")
    program.wait_for_event("blocked", "web")

    (program.folder / "free").touch()

    program.wait_for_event("restart_scheduled", "web")
    program.wait_for_event("started", "web", count=2)
    program.send(signal.SIGTERM)
    assert program.end() == 0
    words = program.told("ended", "late_exit", "restart_scheduled")
    assert words[:3] == ["ended web abandoned", "late_exit web", "restart_scheduled web"]


def test_an_essential_job_that_outlives_its_timeout_and_its_join_stops_everything(start_program: Start) -> None:
    job = "{task: stuck, params: {until: free}, essential: true, timeout: 100ms, join: 100ms, restart: on-failure}"
    program = start_program(f"jobs: {{web: {job}, main: {{task: polite}}}}")

    assert program.end() == 3
    [stopping] = program.events("scheduler_stopping")
    assert stopping["reason"] == {"kind": "essential", "text": "job 'web' failed for good"}
    words = program.told("stop_overdue", "scheduler_stopping", "ended")
    assert words == ["stop_overdue web", "scheduler_stopping", "ended main cancelled"]


def test_a_job_that_is_not_ready_in_time_fails_and_its_dependents_keep_waiting(start_program: Start) -> None:
    program = start_program("""
jobs:
  db: {task: opening, params: {until: open}, ready_within: 300ms, restart: {when: on-failure, delay: 1ms}}
  web: {task: silent_leaver, after: db}
""")
    failed = program.wait_for_event("ended", "db")

    (program.folder / "open").touch()

    program.wait_for_event("ended", "web")
    program.send(signal.SIGTERM)
    assert program.end() == 0
    assert (failed["outcome"], failed["reason"]["kind"]) == ("failed", "watchdog")


@pytest.mark.long
@pytest.mark.parametrize(("then", "codes"), [("stop", 1), ("warn", 0)])
def test_a_watchdog_that_does_not_restart(start_program: Start, then: str, codes: int) -> None:
    watchdog = f"{{after: 300ms, then: {then}}}"
    program = start_program(f"jobs: {{web: {{task: stuck, params: {{until: free}}, watchdog: {watchdog}}}}}")
    program.wait_for_event("unresponsive", "web")

    (program.folder / "free").touch()

    assert program.end() == codes
    assert len(program.events("queued")) == 1
