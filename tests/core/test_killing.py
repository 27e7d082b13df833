"""`otherwise: kill`: TERM shortly before `within` is over, then KILL, and the stop waits until the run is gone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from tests.support.hand_driven_core import BOOM, HandDrivenCore, event_of, running, show
from tests.support.random_jobs import in_process

from taskloom.core.actions import Action, KillRun, TerminateRun
from taskloom.core.events import EventName
from taskloom.core.inputs import RunEnded, RunUnresponsive, Tick
from taskloom.core.model import (
    WAIT_FOR_EVER,
    ErrorInfo,
    How,
    JobSpec,
    JobState,
    Moment,
    Outcome,
    ReasonKind,
    RunnerSpec,
)
from taskloom.core.policies import (
    Dependency,
    JoinPolicy,
    Otherwise,
    RestartPolicy,
    RestartWhen,
    Watchdog,
    WatchdogThen,
)
from taskloom.core.report import ExitCode, StopReport, make_stop_report
from taskloom.core.stopping import KILL_SECONDS, terminate_at
from taskloom.invariants.checker import check
from taskloom.testing import make_job

SIGTERM = ErrorInfo("ProcessKilled", "SIGTERM after 9.0 s", "ProcessKilled: SIGTERM\n", is_explained=True)


def killable(name: str = "a", *, within: float = 10.0, daemon: bool = False, after: Sequence[str] = ()) -> JobSpec:
    job = make_job(name, within=within, daemon=daemon, after=[Dependency(other) for other in after])
    return replace(job, runner=RunnerSpec("process"), join=JoinPolicy(within, Otherwise.KILL))


def times_of(stage: HandDrivenCore, kind: type[Action]) -> list[tuple[float, str]]:
    """Return when such actions came, to the microsecond, and for which runs."""
    return [
        (round(step.now.mono, 6), action.run)
        for step in stage.history.steps
        for action in step.actions
        if isinstance(action, kind) and isinstance(action, KillRun | TerminateRun)
    ]


def report_of(stage: HandDrivenCore) -> StopReport:
    return make_stop_report(stage.lifecycle, stage.clock.now())


@pytest.mark.parametrize(("within", "at"), [(60.0, 58.0), (10.0, 8.0), (5.0, 4.0), (1.0, 0.8), (0.25, 0.2), (0.0, 0.0)])
def test_term_comes_two_seconds_before_the_end_but_never_before_the_last_fifth(within: float, at: float) -> None:
    stage = running(killable(within=within))
    stage.stop("a")

    stage.advance(within)

    assert times_of(stage, TerminateRun) == [(at, "a#1")]


def test_a_run_that_is_never_overdue_gets_no_term() -> None:
    assert terminate_at(5.0, WAIT_FOR_EVER) == WAIT_FOR_EVER
    stage = running(killable(within=WAIT_FOR_EVER))
    stage.stop("a")

    assert [line for line in show(stage.advance(86_400.0)) if not line.startswith("ReportStop")] == []


def test_the_whole_ladder_of_a_deaf_run_ends_in_kill_and_in_its_end() -> None:
    stage = running(killable())
    lines = show(stage.stop("a"))
    lines += [line for line in show(stage.advance(10.0)) if not line.startswith("ReportStop")]
    lines += show(stage.stack_captured("a#1"))
    lines += show(stage.ended("a#1", How.KILLED))

    assert lines == [
        "cancel_requested a#1", "CancelRun a#1", "MarkUrgent a#1", "TerminateRun a#1", "CaptureStack a#1",
        "stop_overdue a#1", "KillRun a#1", "ended a#1 cancelled", "ReleaseRun a#1", "WorkFinished",
    ]  # fmt: skip
    assert stage.state("a") is JobState.FINISHED
    assert stage.advance(60.0) == []


def test_the_event_of_an_overdue_run_says_that_it_is_killed_and_the_end_says_how() -> None:
    stage = running(killable())
    stage.stop("a")
    stage.advance(10.0)

    overdue = event_of(stage.stack_captured("a#1"), EventName.STOP_OVERDUE)
    ended = event_of(stage.ended("a#1", How.KILLED), EventName.ENDED)

    assert overdue.data == {"within": 10.0, "where": "task.py:7 in run", "poll_age": 1.5, "otherwise": "kill"}
    assert (ended.outcome, ended.error) == (Outcome.CANCELLED, BOOM)


@pytest.mark.parametrize("seconds", [0.0, 7.5, 7.999, 8.0, 9.0, 9.999])
def test_a_run_that_ends_in_time_is_neither_killed_nor_gets_term_after_its_end(seconds: float) -> None:
    stage = running(killable())
    stage.stop("a")
    before = show(stage.advance(seconds))

    stage.ended("a#1", How.RETURNED)
    after = show(stage.advance(60.0))

    assert after == []
    assert ("TerminateRun a#1" in before) is (seconds >= 8.0)
    assert times_of(stage, KillRun) == []


def test_a_run_that_term_ends_is_cancelled_with_its_error() -> None:
    stage = running(killable())
    stage.stop("a")
    stage.advance(8.0)

    ended = event_of(stage.ended("a#1", How.KILLED), EventName.ENDED)

    assert (ended.outcome, ended.error) == (Outcome.CANCELLED, BOOM)
    assert times_of(stage, KillRun) == []


def test_a_second_stack_of_a_run_that_is_being_killed_changes_nothing() -> None:
    stage = running(killable())
    stage.stop("a")
    stage.advance(10.0)
    stage.stack_captured("a#1")

    assert stage.stack_captured("a#1") == []
    assert len(times_of(stage, KillRun)) == 1


def test_while_it_is_being_killed_a_run_is_stopping_and_waited_for_and_not_overdue() -> None:
    stage = running(killable())
    stage.stop("a")
    stage.advance(10.0)
    stage.stack_captured("a#1")

    record = stage.lifecycle.runs["a#1"]
    assert stage.state("a") is JobState.STOPPING
    assert list(stage.lifecycle.stopping) == ["a#1"]
    assert not record.is_overdue
    assert record.terminated == Moment(8.0, 8.0)
    assert record.killed == Moment(10.0, 10.0)


# -- what the kernel cannot kill


def test_a_run_that_cannot_be_killed_is_abandoned_after_three_seconds() -> None:
    stage = running(killable(within=9.0))
    stage.stop("a")
    stage.advance(9.0)
    stage.stack_captured("a#1")

    assert "ended a#1 abandoned" not in show(stage.advance(KILL_SECONDS - 0.001))
    assert show(stage.advance(0.001)) == ["ended a#1 abandoned", "blocked a#1", "WorkFinished"]
    assert stage.state("a") is JobState.BLOCKED
    assert stage.lifecycle.runs["a#1"].is_overdue
    assert stage.advance(60.0) == []


def test_a_run_that_dies_after_it_was_given_up_exits_late() -> None:
    stage = running(killable())
    stage.stop("a")
    stage.advance(10.0)
    stage.stack_captured("a#1")
    stage.advance(5.0)

    assert show(stage.ended("a#1", How.KILLED)) == ["late_exit a#1", "ReleaseRun a#1"]
    assert stage.state("a") is JobState.FINISHED


def test_an_end_that_was_not_handed_in_yet_keeps_the_run_from_being_given_up() -> None:
    stage = running(killable(within=9.0))
    stage.stop("a")
    stage.advance(9.0)
    stage.stack_captured("a#1")
    stage.clock.advance(KILL_SECONDS)

    assert "ended a#1 abandoned" not in show(stage.send(Tick({"a#1": 9.5})))
    assert "ended a#1 cancelled" in show(stage.ended("a#1", How.KILLED))


@pytest.mark.parametrize(("daemon", "code"), [(False, ExitCode.SURVIVOR), (True, ExitCode.FINE)])
def test_only_a_daemon_that_cannot_be_killed_leaves_the_exit_code_alone(daemon: bool, code: ExitCode) -> None:
    stage = running(killable(daemon=daemon))
    stage.shutdown()
    stage.advance(10.0)
    stage.stack_captured("a#1")
    stage.advance(KILL_SECONDS)

    (survivor,) = report_of(stage).survivors
    assert (survivor.otherwise, survivor.where) == (Otherwise.KILL, "task.py:7 in run")
    assert report_of(stage).exit_code is code
    assert str(survivor) == "a: not ended by SIGKILL after 10s, at task.py:7 in run"


def test_the_exit_code_is_that_of_a_survivor_although_no_stop_waited_for_the_run() -> None:
    stage = running(killable(within=0.0))
    stage.shutdown()
    stage.advance(0.0)
    stage.stack_captured("a#1")

    assert {"ended a#1 abandoned", "blocked a#1"} <= set(show(stage.advance(KILL_SECONDS)))
    assert report_of(stage).exit_code is ExitCode.SURVIVOR


@pytest.mark.parametrize(("before", "after"), [(0.0, 10.0), (10.0, 0.0)])
def test_a_reload_while_it_is_being_killed_does_not_change_what_is_told_of_the_run(before: float, after: float) -> None:
    stage = running(killable(within=before))
    stage.stop("a")
    stage.advance(before)
    stage.stack_captured("a#1")
    stage.reload(killable(within=after))

    ended = event_of(stage.advance(KILL_SECONDS), EventName.ENDED)

    assert ended.outcome is Outcome.ABANDONED
    assert ended.data == ({} if before else {"within": 0.0, "where": "task.py:7 in run"})
    assert check(stage.history, is_whole=False) == []


# -- join: 0s


def test_with_join_0s_the_stop_of_one_job_kills_at_once_and_calls_nothing_overdue() -> None:
    stage = running(killable(within=0.0))

    lines = show(stage.stop("a")) + show(stage.advance(0.0)) + show(stage.stack_captured("a#1"))

    assert lines == [
        "cancel_requested a#1", "CancelRun a#1", "MarkUrgent a#1", "TerminateRun a#1", "CaptureStack a#1", "KillRun a#1"
    ]  # fmt: skip


def test_with_join_0s_a_shutdown_kills_at_the_end_of_the_level_and_before_the_next_one() -> None:
    """What it depends on is stopped when it is gone."""
    stage = running(killable("base"))
    stage.add(killable("app", within=0.0, after=["base"]), killable("slow", after=["base"]))
    stage.run("app")
    stage.run("slow")

    stage.shutdown()
    assert stage.lifecycle.runs["base#1"].requested is None
    stage.advance(4.0)
    assert times_of(stage, TerminateRun) == []  # the level is not over

    stage.ended("slow#1")
    assert "CaptureStack app#1" in show(stage.advance(0.0))
    assert show(stage.stack_captured("app#1")) == ["KillRun app#1"]
    assert stage.lifecycle.runs["base#1"].requested is None
    assert "cancel_requested base#1" in show(stage.ended("app#1", How.KILLED))


def test_with_join_0s_a_run_waits_for_those_of_its_level_that_a_user_has_stopped_before() -> None:
    """Its `timeout` stops it while the shutdown, which has cancelled nothing itself, waits for them."""
    base = replace(killable("base", within=0.0), timeout=3.0)
    stage = running(base)
    stage.add(killable("app", within=20.0, after=["base"]))
    stage.run("app")
    stage.stop("app")
    stage.shutdown()
    assert "cancel_requested base#1" in show(stage.advance(3.0))

    stage.advance(4.0)

    assert times_of(stage, TerminateRun) == []
    assert check(stage.history, is_whole=False) == []


def test_a_run_that_no_stop_waits_for_is_killed_before_the_next_level_even_if_it_is_of_a_higher_one() -> None:
    """The checker expected the next level at once (found with seeds 2073 and 2078)."""
    killed = replace(in_process(make_job("k", within=0.0)), timeout=5.0)
    stage = running(make_job("z"), killed, make_job("y", after=["z", "k"], within=30.0))
    stage.started("y#1")
    stage.advance(3.0)
    stage.shutdown()
    stage.advance(2.0)

    ended = show(stage.ended("y#1"))
    stage.advance(0.0)
    stage.stack_captured("k#1")

    assert "cancel_requested z#1" not in ended
    assert "cancel_requested z#1" in show(stage.ended("k#1", How.KILLED))
    assert not check(stage.history, is_whole=False)


def test_with_join_0s_a_run_that_ends_before_its_level_is_not_killed() -> None:
    stage = running(killable("app", within=0.0), killable("slow"))
    stage.shutdown()
    stage.ended("app#1")
    stage.ended("slow#1")

    assert times_of(stage, KillRun) == []
    assert report_of(stage).is_clean


def test_a_thread_that_no_stop_waits_for_is_still_abandoned_at_the_end_of_the_shutdown() -> None:
    stage = running(make_job("thread", within=0.0), killable("app", within=0.0))
    stage.shutdown()
    assert [line for line in show(stage.advance(0.0)) if "Capture" in line] == ["CaptureStack app#1"]
    stage.stack_captured("app#1")
    stage.ended("app#1", How.KILLED)
    stage.advance(0.0)

    assert show(stage.stack_captured("thread#1"))[:2] == ["ended thread#1 abandoned", "blocked thread#1"]
    assert report_of(stage).exit_code is ExitCode.FINE


# -- a whole shutdown


def test_a_shutdown_awaits_a_run_that_is_being_killed_before_it_stops_the_next_level() -> None:
    stage = running(killable("base"))
    stage.add(killable("app", within=1.0, after=["base"]))
    stage.run("app")
    stage.shutdown()
    stage.advance(1.0)
    stage.stack_captured("app#1")

    assert stage.lifecycle.runs["base#1"].requested is None
    found = show(stage.ended("app#1", How.KILLED))
    assert "cancel_requested base#1" in found
    assert "scheduler_stopped" not in found
    assert "scheduler_stopped" in show(stage.ended("base#1", How.RETURNED))
    assert report_of(stage).exit_code is ExitCode.FINE


def test_a_shutdown_cuts_the_step_of_term_with_the_deadline() -> None:
    stage = running(killable(within=60.0))
    stage.shutdown(within=5.0)
    stage.advance(5.0)

    assert times_of(stage, TerminateRun) == [(4.0, "a#1")]


def test_a_deadline_that_is_cut_does_not_send_term_a_second_time() -> None:
    stage = running(killable())
    stage.stop("a")
    stage.advance(1.0)
    stage.shutdown(within=8.5)
    stage.advance(8.5)

    assert times_of(stage, TerminateRun) == [(7.6, "a#1")]


@pytest.mark.parametrize(("after", "at"), [(0.0, 1.6), (4.0, 4.8), (20.0, 20.0), (55.0, 55.0)])
def test_a_hurry_cuts_the_step_of_term_too(after: float, at: float) -> None:
    stage = running(killable(within=60.0))
    stage.shutdown(within=60.0)
    stage.advance(after)
    stage.hurry(2.0)
    stage.advance(2.0)

    assert times_of(stage, TerminateRun) == [(at, "a#1")]
    assert show(stage.stack_captured("a#1")) == ["stop_overdue a#1", "KillRun a#1"]


def test_a_hurry_does_not_send_term_or_kill_a_second_time() -> None:
    stage = running(killable())
    stage.shutdown()
    stage.advance(10.0)
    stage.stack_captured("a#1")
    stage.hurry(0.0)
    stage.advance(0.5)

    assert len(times_of(stage, TerminateRun)) == 1
    assert len(times_of(stage, KillRun)) == 1
    assert "scheduler_stopped" in show(stage.ended("a#1", How.KILLED))


def test_a_shutdown_shortens_a_stop_that_would_wait_for_ever() -> None:
    stage = running(killable(within=WAIT_FOR_EVER))
    stage.stop("a")
    stage.advance(100.0)
    stage.shutdown(within=30.0)
    stage.advance(30.0)

    assert times_of(stage, TerminateRun) == [(128.0, "a#1")]
    assert show(stage.stack_captured("a#1")) == ["stop_overdue a#1", "KillRun a#1"]


def test_a_stall_sends_term_before_it_captures_and_kills() -> None:
    """The program got no CPU time for a while: both steps are due in one tick, in their order."""
    stage = running(killable())
    stage.stop("a")
    stage.clock.advance(20.0)

    lines = [line for line in show(stage.send(Tick())) if not line.startswith("ReportStop")]

    assert lines == ["MarkUrgent a#1", "TerminateRun a#1", "CaptureStack a#1"]


def test_the_report_of_a_shutdown_names_the_runs_that_it_killed() -> None:
    stage = running(killable("a"), killable("b", within=1.0), killable("c"), killable("early", within=1.0))
    stage.stop("early")
    stage.advance(1.0)
    stage.stack_captured("early#1")
    stage.ended("early#1", How.KILLED)
    stage.advance(1.0)
    stage.shutdown()
    stage.advance(1.0)
    stage.stack_captured("b#1")
    stage.send(RunEnded("b#1", How.KILLED, None, True, False))
    stage.ended("c#1", How.CANCELLED)
    stage.advance(8.0)
    stage.send(RunEnded("a#1", How.KILLED, SIGTERM, True, False))

    report = report_of(stage)

    assert [each.as_dict() for each in report.killed] == [
        {"job": "a", "run": "a#1", "how": "SIGTERM after 9.0 s"},
        {"job": "b", "run": "b#1", "how": ""},
    ]
    assert str(report) == ("stopped 4 jobs in 9.0 s (shutdown)\n  killed 2 runs: a (SIGTERM after 9.0 s), b")
    assert report.as_dict()["killed"] == [each.as_dict() for each in report.killed]
    assert (report.is_clean, report.exit_code) == (True, ExitCode.FINE)


# -- what follows


def test_a_run_that_was_killed_for_its_timeout_has_timed_out_and_is_restarted() -> None:
    job = replace(killable(within=1.0), timeout=5.0, restart=RestartPolicy(RestartWhen.ON_FAILURE, jitter=0.0))
    stage = running(job)
    stage.advance(6.0)
    stage.stack_captured("a#1")

    found = show(stage.ended("a#1", How.KILLED))

    assert found == ["ended a#1 timed_out", "ReleaseRun a#1", "restart_scheduled a#1"]


def test_an_essential_job_that_is_killed_for_its_timeout_stops_everything_when_it_is_gone() -> None:
    stage = running(replace(killable(within=1.0), timeout=5.0, essential=True), make_job("b"))
    stage.advance(6.0)

    assert show(stage.stack_captured("a#1")) == ["stop_overdue a#1", "KillRun a#1"]
    assert "scheduler_stopping" in show(stage.ended("a#1", How.KILLED))


def test_a_restart_by_a_user_begins_the_next_run_when_the_old_one_is_gone() -> None:
    stage = running(killable())
    stage.restart("a")
    stage.advance(10.0)
    stage.stack_captured("a#1")

    assert show(stage.ended("a#1", How.KILLED))[:3] == ["ended a#1 cancelled", "ReleaseRun a#1", "queued a#2"]


def test_what_a_reload_adds_begins_when_the_killed_run_is_gone() -> None:
    stage = running(killable("old"))
    stage.reload(make_job("new"))
    stage.advance(10.0)

    assert show(stage.stack_captured("old#1")) == ["stop_overdue old#1", "KillRun old#1"]
    assert "queued new#1" in show(stage.ended("old#1", How.KILLED))


def test_what_a_reload_adds_begins_with_a_warning_if_the_run_cannot_be_killed() -> None:
    stage = running(killable("old"))
    stage.reload(make_job("new"))
    stage.advance(10.0)
    stage.stack_captured("old#1")

    found = stage.advance(KILL_SECONDS)

    assert event_of(found, EventName.RELOAD_OVERDUE).data == {"jobs": ["new"], "runs": ["old#1"]}
    assert "queued new#1" in show(found)


def test_a_run_that_dies_unasked_has_failed() -> None:
    stage = running(killable())

    ended = event_of(stage.send(RunEnded("a#1", How.KILLED, BOOM, False, False)), EventName.ENDED)

    assert (ended.outcome, ended.error) == (Outcome.FAILED, BOOM)


# -- lost runs


def test_a_lost_run_is_a_failure_that_on_failure_restarts() -> None:
    stage = running(replace(killable(), restart=RestartPolicy(RestartWhen.ON_FAILURE, jitter=0.0)))

    assert show(stage.ended("a#1", How.LOST)) == ["ended a#1 lost", "ReleaseRun a#1", "restart_scheduled a#1"]


@pytest.mark.parametrize("is_requested", [False, True])
def test_a_lost_run_without_a_restart_makes_the_exit_code_1(is_requested: bool) -> None:
    stage = running(killable())
    if is_requested:
        stage.stop("a")
    stage.ended("a#1", How.LOST)
    stage.shutdown()

    assert report_of(stage).jobs[0].has_failed
    assert report_of(stage).exit_code is ExitCode.FAILED


def test_a_job_that_needs_the_success_of_a_lost_run_is_skipped() -> None:
    stage = running(killable())
    stage.add(make_job("b", after=[Dependency("a")]))
    stage.ended("a#1", How.LOST)

    assert "skipped b" in show(stage.arm("b"))


# -- a runner may call a run unresponsive


def test_a_report_of_an_unresponsive_run_is_harmless_without_a_watchdog() -> None:
    stage = running(killable())

    assert stage.unresponsive("a#1") == []
    assert stage.responsive("a#1") == []
    assert stage.unresponsive("b#7") == []
    assert stage.state("a") is JobState.RUNNING


def test_the_runner_may_say_how_it_found_out_that_a_run_is_unresponsive() -> None:
    stage = running(replace(killable(), watchdog=Watchdog(30.0, WatchdogThen.RESTART)))

    found = stage.send(RunUnresponsive("a#1", 30.0, "3 checks failed: exit code 1"))

    assert event_of(found, EventName.UNRESPONSIVE).data == {"poll_age": 30.0, "because": "3 checks failed: exit code 1"}
    requested = event_of(found, EventName.CANCEL_REQUESTED)
    assert requested.reason == (ReasonKind.WATCHDOG, "3 checks failed: exit code 1", None)
