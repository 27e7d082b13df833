"""The waits of `start`, `restart` and `stop`, fed with events and statuses by hand."""

from __future__ import annotations

from typing import Any

import pytest

from taskloom.cli.control.common import ControlExit
from taskloom.cli.control.run_waits import RestartWait, StartWait, StopWait
from taskloom.cli.control.waiting import REMOVED, ProgramEnd, Wait, worst
from taskloom.control.reply_fields import Fields

DONE, FAILED, STOPPING = ControlExit.DONE, ControlExit.FAILED, ControlExit.STILL_STOPPING
WHERE = "tick.py:3 in wait"


def status(state: str, run: str | None = "web#1", **fields: Any) -> Fields:
    return Fields({"job": "web", "state": state, "run": run, "marks": [], **fields})


def event(name: str, run: str = "web#1", mono: float = 0.0, **fields: Any) -> Fields:
    return Fields({"event": name, "job": "web", "run": run, "mono": mono, **fields})


def ended(outcome: str, run: str = "web#1", mono: float = 0.0, **fields: Any) -> Fields:
    return event("ended", run, mono, outcome=outcome, **fields)


def fed(wait: Wait, *events: Fields) -> Wait:
    for each in events:
        wait.see(each)
    return wait


def line(wait: Wait) -> tuple[str, int]:
    wait.accept_provisional()
    assert wait.result is not None
    return str(wait.result), wait.result.exit


BOOM = {"type": "ValueError", "message": "boom\nand more", "traceback": "Traceback"}


# -- stop


def stopping() -> StopWait:
    return StopWait(status("running"), status("stopping"))


@pytest.mark.parametrize(
    ("outcome", "text"),
    [("cancelled", "cancelled"), ("succeeded", "succeeded"), ("failed", "failed: ValueError: boom")],
)
def test_a_stop_is_over_with_the_end_of_the_run(outcome: str, text: str) -> None:
    error: dict[str, Any] = {"error": BOOM} if outcome == "failed" else {}
    wait = fed(stopping(), event("cancel_requested", mono=5.0), ended(outcome, mono=5.44, **error))

    assert line(wait) == (f"web: stopped after 0.4 s, {text}", DONE)


def test_a_stop_that_another_client_began_is_waited_for_without_a_time() -> None:
    wait = fed(StopWait(status("stopping"), status("stopping")), ended("cancelled", mono=9.0))

    assert line(wait) == ("web: stopped, cancelled", DONE)


def test_what_another_client_began_and_does_not_end_is_told_without_a_time() -> None:
    overdue = event("stop_overdue", mono=9.0, where=WHERE)
    stop = fed(StopWait(status("stopping"), status("stopping")), overdue)
    restart = fed(RestartWait(status("stopping"), status("stopping")), overdue)

    assert line(stop) == (f"web: still stopping, at {WHERE}", STOPPING)
    assert line(restart) == (f"web: its old run is still stopping, at {WHERE}; the new one follows its end", STOPPING)


def test_a_stop_says_where_a_run_is_that_outlives_its_policy() -> None:
    wait = fed(stopping(), event("cancel_requested", mono=1.0), event("stop_overdue", mono=11.0, where=WHERE))

    assert line(wait) == (f"web: still running after 10.0 s of stopping, at {WHERE}", STOPPING)
    assert wait.result is not None
    assert wait.result.where == WHERE


def test_a_late_end_does_not_change_a_result() -> None:
    wait = fed(stopping(), event("stop_overdue", where=WHERE), ended("cancelled"))

    assert line(wait)[1] == STOPPING


def test_a_job_with_join_0s_is_waited_for_until_its_thread_exits() -> None:
    wait = fed(stopping(), event("cancel_requested", mono=1.0), ended("abandoned", within=0.0, where=WHERE))
    assert wait.result is None

    wait.see(event("late_exit", mono=3.0))

    assert line(wait) == ("web: stopped after 2.0 s, abandoned", DONE)


def test_an_abandoned_run_is_still_stopping() -> None:
    wait = fed(stopping(), ended("abandoned", where=WHERE))

    assert line(wait)[1] == STOPPING


@pytest.mark.parametrize(
    ("before", "now", "text"),
    [
        (status("finished"), status("finished"), "web: was not running (finished)"),
        (status("waiting", None, waiting_for="start"), status("waiting", None, waiting_for="start"),
         "web: was not running (waiting)"),
        (status("disabled", None), status("disabled", None), "web: was not running (disabled)"),
        (status("waiting", None, waiting_for="next firing"), status("skipped", None), "web: stopped; it had no run"),
        (status("waiting", waiting_for="backoff"), status("finished"), "web: stopped; it had no run"),
        (status("running"), status("finished", outcome="cancelled"), "web: stopped, cancelled"),
        (status("running"), status("running", "web#2"), "web: was not running (running)"),
    ],
    ids=["finished", "manual", "disabled", "scheduled", "backoff", "quick", "another run"],
)  # fmt: skip
def test_a_job_without_a_run_is_stopped_at_once(before: Fields, now: Fields, text: str) -> None:
    if now.text("run") == "web#2":
        text = "web: stopped, and another run has begun since"
        wait = stopping()
        wait.check(now)
    else:
        wait = StopWait(before, now)

    assert line(wait) == (text, DONE)


def test_a_blocked_job_cannot_be_stopped_any_further() -> None:
    assert line(StopWait(status("blocked"), status("blocked")))[1] == STOPPING


def test_events_of_other_runs_do_not_end_a_stop() -> None:
    assert fed(stopping(), ended("failed", "web#0"), event("queued", "web#2"), ended("failed", "web#2")).result is None


@pytest.mark.parametrize(
    ("now", "code"),
    [
        (status("finished", outcome="cancelled"), DONE),
        (status("running", "web#2"), DONE),
        (status("stopping", overdue=True), STOPPING),
    ],
    ids=["ended", "another run", "overdue"],
)
def test_after_a_gap_the_status_ends_a_stop(now: Fields, code: ControlExit) -> None:
    wait = stopping()
    wait.check(status("stopping"))
    assert wait.result is None

    wait.check(now)

    assert line(wait)[1] == code


def test_at_the_deadline_a_stop_says_where_the_run_is() -> None:
    wait = stopping()
    wait.late(status("stopping"), 3.0, WHERE)

    assert line(wait) == (f"web: still running after 3.0 s of stopping, at {WHERE}", STOPPING)


# -- start


def starting() -> StartWait:
    return StartWait("web#1", status("running"))


@pytest.mark.parametrize(
    ("events", "text", "code"),
    [
        ([event("ready", mono=1.4)], "ready after 0.4 s", DONE),
        ([ended("succeeded", mono=1.1)], "ended after 0.1 s, succeeded", DONE),
        ([ended("failed", mono=1.1, error=BOOM)], "failed after 0.1 s: ValueError: boom", FAILED),
        ([ended("timed_out", mono=6.0)], "timed_out after 5.0 s", FAILED),
        ([ended("start_failed", mono=1.0)], "start_failed after 0.0 s", FAILED),
        ([event("cancel_requested", reason={"kind": "user", "text": "by bob"}), ended("cancelled")],
         "stopped before it was ready (by bob)", FAILED),
        ([event("ready", "web#0"), ended("failed", "web#2"), event("ready", mono=2.0)], "ready after 1.0 s", DONE),
    ],
    ids=["ready", "succeeded", "failed", "timed out", "start failed", "cancelled", "other runs"],
)  # fmt: skip
def test_a_start_is_over_when_the_run_is_ready_or_has_ended(events: list[Fields], text: str, code: int) -> None:
    wait = fed(starting(), event("queued", mono=1.0), *events)

    assert line(wait) == (f"web: {text}", code)


@pytest.mark.parametrize(
    ("now", "text", "code"),
    [
        (status("running", marks=["ready"]), "ready", DONE),
        (status("finished", outcome="failed", error="OSError: x", seconds=0.5), "failed after 0.5 s: OSError: x",
         FAILED),
        (status("finished", outcome="succeeded", seconds=0.5), "ended after 0.5 s, succeeded", DONE),
        (status("running", "web#2"), "ended, and another run has begun since", FAILED),
    ],
    ids=["ready", "failed", "succeeded", "another run"],
)  # fmt: skip
def test_after_a_gap_the_status_ends_a_start(now: Fields, text: str, code: int) -> None:
    wait = starting()
    wait.check(now)

    assert line(wait) == (f"web: {text}", code)


def test_a_run_that_fails_a_moment_after_its_start_has_failed() -> None:
    """A task that does not announce it is ready once it has started, even one that fails in its first line."""
    wait = fed(starting(), event("queued", mono=1.0), event("started", mono=1.1), event("ready", mono=1.1))
    assert wait.result is None
    assert str(wait.provisional) == "web: ready after 0.1 s"

    wait.see(ended("failed", mono=1.2, error=BOOM))

    assert line(wait) == ("web: failed after 0.2 s: ValueError: boom", FAILED)


def test_a_run_that_announces_that_it_is_ready_is_ready_at_once() -> None:
    wait = fed(starting(), event("started", mono=1.0), event("ready", mono=1.2))

    assert wait.result is not None
    assert wait.result.state == "ready"


def test_a_run_that_is_stopped_a_moment_after_its_start_was_not_started_well() -> None:
    why = {"kind": "user", "text": "by bob"}
    wait = fed(starting(), event("ready"), event("cancel_requested", reason=why), ended("cancelled"))

    assert line(wait) == ("web: stopped at once after its start (by bob)", FAILED)


def test_a_run_that_ended_before_the_answer_was_sent_ends_the_start() -> None:
    wait = StartWait("web#1", status("waiting", waiting_for="backoff", outcome="failed", seconds=0.0))

    assert line(wait) == ("web: failed after 0.0 s", FAILED)


def test_at_the_deadline_a_start_says_where_the_run_is() -> None:
    wait = starting()
    wait.late(status("running"), 30.0, WHERE)

    assert line(wait) == (f"web: not ready after 30.0 s: running, at {WHERE}", FAILED)


# -- restart


def restarting() -> RestartWait:
    return RestartWait(status("running"), status("stopping"))


def test_a_restart_waits_for_the_run_after_the_old_one() -> None:
    wait = fed(
        restarting(), event("cancel_requested", mono=1.0), ended("cancelled", mono=2.0),
        event("queued", "web#2", mono=2.0), event("ready", "web#2", mono=2.5),
    )  # fmt: skip

    assert line(wait) == ("web: ready after 0.5 s", DONE)
    assert not wait.needs_status


def test_a_restart_of_a_job_without_a_run_is_a_start() -> None:
    wait = fed(RestartWait(status("finished", "web#1"), status("running", "web#2")), ended("failed", "web#2"))

    assert line(wait) == ("web: failed", FAILED)


def test_the_failed_end_of_the_old_run_does_not_fail_a_restart() -> None:
    assert fed(restarting(), ended("failed", error=BOOM)).result is None


@pytest.mark.parametrize("overdue", [event("stop_overdue", mono=11.0, where=WHERE), ended("abandoned", where=WHERE)])
def test_a_restart_says_where_the_old_run_is_that_does_not_stop(overdue: Fields) -> None:
    wait = fed(restarting(), event("cancel_requested", mono=1.0), overdue)

    assert line(wait)[1] == STOPPING
    assert f"at {WHERE}; the new one follows its end" in line(wait)[0]


def test_a_restart_that_a_stop_has_overtaken_fails() -> None:
    wait = fed(restarting(), ended("cancelled"))
    assert wait.needs_status

    wait.check(status("finished", outcome="cancelled", held="stopped: by bob"))

    assert line(wait) == ("web: its run has ended, and no other one has begun (stopped: by bob)", FAILED)


def test_after_a_gap_a_restart_finds_the_new_run_by_its_status() -> None:
    wait = restarting()
    wait.check(status("running", "web#2"))
    assert wait.result is None

    wait.see(event("ready", "web#2"))

    assert line(wait) == ("web: ready", DONE)


def test_at_the_deadline_a_restart_tells_an_old_run_from_a_new_one() -> None:
    old, new = restarting(), fed(restarting(), ended("cancelled"), event("queued", "web#2"))
    old.late(status("stopping"), 30.0, WHERE)
    new.late(status("running", "web#2"), 30.0, "")

    assert line(old)[1] == STOPPING
    assert line(new) == ("web: not ready after 30.0 s: running", FAILED)


# -- all of them


@pytest.mark.parametrize("make", [stopping, starting, restarting])
@pytest.mark.parametrize("end", list(ProgramEnd))
def test_the_end_of_the_program_ends_every_wait(make: Any, end: ProgramEnd) -> None:
    wait = make()
    wait.end_with_program(end)

    if make is stopping and end in (ProgramEnd.STOPPED, ProgramEnd.GONE):
        assert line(wait) == ("web: stopped with the whole program", DONE)
    else:
        assert line(wait)[1] == (FAILED if end is ProgramEnd.STOPPED else ControlExit.UNREACHABLE)


def test_a_job_that_a_reload_removes_ends_a_start_and_a_stop() -> None:
    removed = Fields({"event": "job_removed", "job": "web"})

    assert line(fed(starting(), removed)) == ("web: removed by a reload", FAILED)
    assert line(fed(stopping(), removed)) == ("web: stopped, and removed by a reload", DONE)


def test_a_job_that_is_gone_after_a_gap_was_removed() -> None:
    wait = starting()
    wait.check(Fields({}))
    assert wait.result is None

    wait.check(Fields({"job": "web", "state": REMOVED}))

    assert line(wait) == ("web: removed by a reload", FAILED)


def test_the_worst_result_is_the_exit_code() -> None:
    assert worst([]) == DONE
    assert worst([DONE, FAILED, STOPPING, DONE]) == STOPPING
    assert worst([FAILED, DONE]) == FAILED
    assert worst([STOPPING, ControlExit.UNREACHABLE]) == ControlExit.UNREACHABLE


def test_a_result_as_json_has_null_for_what_does_not_apply() -> None:
    wait = fed(starting(), event("queued", mono=1.0), event("started", mono=1.1), event("ready", mono=1.5))
    assert wait.result is not None

    assert wait.result.as_dict() == {
        "job": "web", "state": "ready", "text": "ready after 0.5 s", "run": "web#1", "outcome": None, "error": None,
        "seconds": 0.5, "where": None, "exit_code": 0,
    }  # fmt: skip
