"""The wait of `wait`, fed with events and statuses by hand."""

from __future__ import annotations

from typing import Any

import pytest

from taskloom.cli.control.common import ControlExit
from taskloom.cli.control.state_waits import FinishedWait, ReadyWait
from taskloom.cli.control.waiting import ProgramEnd
from taskloom.control.reply_fields import Fields

DONE, FAILED, STOPPING = ControlExit.DONE, ControlExit.FAILED, ControlExit.STILL_STOPPING


def status(state: str, **fields: Any) -> Fields:
    return Fields({"job": "web", "state": state, "run": "web#1", "runs": 1, "marks": [], **fields})


def waits_for(what: str, **fields: Any) -> Fields:
    return status("waiting", waiting_for=what, **fields)


PENDING = None
# The state, and how each wait ends there.
STATES = [
    ("running", status("running"), PENDING, PENDING),
    ("ready", status("running", marks=["ready"]), DONE, PENDING),
    ("stopping", status("stopping"), PENDING, PENDING),
    ("blocked", status("blocked"), PENDING, PENDING),
    ("succeeded", status("finished", outcome="succeeded"), DONE, DONE),
    ("failed", status("finished", outcome="failed", failed=True, error="ValueError: boom"), FAILED, FAILED),
    ("stopped", status("finished", outcome="cancelled"), FAILED, DONE),
    ("gave up", status("finished", outcome="failed", failed=True, marks=["gave up"]), FAILED, FAILED),
    ("skipped", status("skipped", runs=0, reason="dependency: db failed"), FAILED, FAILED),
    ("disabled", status("disabled", runs=0), FAILED, DONE),
    ("manual", waits_for("start", runs=0, start="manual"), FAILED, DONE),
    ("not started yet", waits_for("start", runs=0, start="auto"), PENDING, PENDING),
    ("backoff", waits_for("backoff", outcome="failed"), PENDING, PENDING),
    ("scheduled", waits_for("next firing", outcome="failed", failed=True), PENDING, PENDING),
    ("paused", waits_for("next firing", paused=True), PENDING, PENDING),
    ("dependency", waits_for("dependency", waits_for="db is ready"), PENDING, PENDING),
    ("delay", waits_for("delay"), PENDING, PENDING),
]


@pytest.mark.parametrize(("state", "ready", "finished"), [row[1:] for row in STATES], ids=[row[0] for row in STATES])
def test_a_wait_is_over_in_these_states(state: Fields, ready: int | None, finished: int | None) -> None:
    results = [ReadyWait(state).result, FinishedWait(state).result]

    assert [result and result.exit for result in results] == [ready, finished]


def test_the_line_says_how_the_job_ended() -> None:
    failed = FinishedWait(status("finished", outcome="failed", failed=True, error="ValueError: boom\nmore")).result
    skipped = FinishedWait(status("skipped", reason="dependency: db failed")).result

    assert str(failed) == "web: finished, failed: ValueError: boom"
    assert str(skipped) == "web: skipped (dependency: db failed)"


def test_a_run_that_was_ready_for_a_moment_is_enough() -> None:
    wait = ReadyWait(status("running"))
    wait.see(Fields({"event": "ready", "job": "web", "run": "web#1"}))
    wait.see(Fields({"event": "ended", "job": "web", "run": "web#1", "outcome": "failed"}))

    assert str(wait.result) == "web: ready"


@pytest.mark.parametrize("name", ["ended", "skipped", "late_exit", "gave_up", "reset", "queued"])
def test_a_change_makes_it_ask_for_the_status(name: str) -> None:
    wait = FinishedWait(status("running"))
    wait.see(Fields({"event": name, "job": "web"}))
    assert wait.needs_status

    wait.check(waits_for("backoff"))

    assert (wait.needs_status, wait.result) == (False, None)


def test_other_events_ask_nothing() -> None:
    wait = FinishedWait(status("running"))
    wait.see(Fields({"event": "unresponsive", "job": "web"}))

    assert not wait.needs_status


def test_at_the_deadline_it_says_what_the_job_does() -> None:
    wait, stopping = FinishedWait(status("running")), ReadyWait(status("running"))
    wait.late(waits_for("backoff"), 30.0, "")
    stopping.late(status("stopping"), 30.0, "a.py:1 in f")

    assert wait.result is not None
    assert stopping.result is not None
    assert (str(wait.result), wait.result.exit) == ("web: not finished after 30.0 s: waiting for backoff", FAILED)
    assert str(stopping.result) == "web: not ready after 30.0 s: stopping, at a.py:1 in f"
    assert stopping.result.exit == STOPPING


@pytest.mark.parametrize(
    ("last", "end", "code"),
    [
        (status("running"), ProgramEnd.STOPPED, DONE),
        (waits_for("next firing", failed=True), ProgramEnd.STOPPED, FAILED),
        (status("running"), ProgramEnd.LOST, ControlExit.UNREACHABLE),
        (status("running"), ProgramEnd.RESTARTED, ControlExit.UNREACHABLE),
    ],
    ids=["stopped", "stopped after a failure", "killed", "restarted"],
)
def test_the_end_of_the_program_ends_the_wait(last: Fields, end: ProgramEnd, code: int) -> None:
    wait = FinishedWait(last)
    wait.end_with_program(end)

    assert wait.result is not None
    assert wait.result.exit == code


def test_a_removed_job_does_not_get_ready() -> None:
    wait = ReadyWait(status("running"))
    wait.see(Fields({"event": "job_removed", "job": "web"}))

    assert wait.result is not None
    assert wait.result.exit == FAILED
