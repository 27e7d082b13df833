"""Why a job is, or is not, running: the answers about jobs that stop, and about a program that stops, to the letter."""

from __future__ import annotations

import pytest
from tests.support.random_jobs import in_process
from tests.support.why_scenes import (
    BY_ALICE,
    RETRIED,
    begun,
    declared,
    why,
)

from taskloom.core import inputs
from taskloom.core.model import How, Reason, ReasonKind
from taskloom.core.policies import Overlap, Schedule
from taskloom.core.why_facts import RunNumbers
from taskloom.testing import make_job

pytestmark = pytest.mark.usefixtures("in_utc")


def test_a_run_that_was_asked_to_stop_is_told_with_the_caller_and_its_place() -> None:
    core = begun(make_job("web"))
    core.advance(10)
    core.stop("web", BY_ALICE)
    core.advance(3)

    assert why(core, "web", RunNumbers(5.0, 5.0, False, False), {"web#1": "reader.py:31 in run"}) == (
        "web is stopping: run web#1 was asked to stop 3s ago, at 00:00:10 (stop, by alice (uid 1000, pid 4242)), "
        "and has 7s left (join: 10s). It is currently at reader.py:31 in run. It has not polled for 5s. If it has "
        "not ended by then, it is reported as overdue, and if it is still alive at the end of the program, the "
        "exit code is 3. It then stays stopped until a new start of the program, or until `taskloom start web`."
    )


def test_a_restart_is_a_stop_with_a_run_that_follows() -> None:
    core = begun(make_job("web", daemon=True))
    core.advance(10)
    core.restart("web", "restart, by alice")
    core.advance(3)

    assert why(core, "web", RunNumbers(0.0, 0.4, False, True)) == (
        "web is stopping: run web#1 was asked to stop 3s ago, at 00:00:10 (restart, by alice), and has 7s left "
        "(join: 10s). If it has not ended by then, its thread is left behind, and the job is blocked until that "
        "thread ends. Another run starts when this one has ended."
    )


def test_an_overdue_run_is_told_with_its_place() -> None:
    core = begun(make_job("web"))
    core.advance(10)
    core.stop("web", BY_ALICE)
    core.advance(10)
    core.stack_captured("web#1", "reader.py:31 in run")
    core.advance(4)

    assert why(core, "web") == (
        "web is overdue: run web#1 was asked to stop 14s ago, at 00:00:10 (stop, by alice (uid 1000, pid 4242)), "
        "and should have ended within 10s. It is currently at reader.py:31 in run. It then stays stopped until a "
        "new start of the program, or until `taskloom start web`."
    )


def test_a_stop_without_a_limit_has_no_time_left() -> None:
    core = begun(make_job("web", within=float("inf")))
    core.stop("web")
    core.advance(3)

    assert why(core, "web") == (
        "web is stopping: run web#1 was asked to stop 3s ago, at 00:00:00 (enough), and the stop waits for it "
        "without a limit (join: wait). It then stays stopped until a new start of the program, or until `taskloom "
        "start web`."
    )


def test_a_stop_of_all_jobs_waits_for_no_run_with_join_0s() -> None:
    core = begun(make_job("web", within=0.0), make_job("mail"))
    core.shutdown()
    core.advance(3)

    assert why(core, "web") == (
        "web is stopping: run web#1 was asked to stop 3s ago, at 00:00:00 (shutdown), and the stop does not wait "
        "for it (join: 0s). The program has been stopping all jobs for 3s (shutdown), has 27s left, waits for "
        "mail, and starts none any more."
    )


def test_a_stop_of_one_job_waits_for_no_run_with_join_0s() -> None:
    core = begun(make_job("web", within=0.0))
    core.stop("web")

    assert why(core, "web") == (
        "web is stopping: run web#1 was asked to stop just now, at 00:00:00 (enough), and the stop does not wait "
        "for it (join: 0s). It then stays stopped until a new start of the program, or until `taskloom start "
        "web`."
    )


def test_a_run_that_exceeded_its_timeout_is_stopping_for_that() -> None:
    core = begun(make_job("web", timeout=5.0, restart=RETRIED))
    core.advance(6)

    assert why(core, "web") == (
        "web is stopping: run web#1 was asked to stop 1s ago, at 00:00:05 (longer than its timeout of 5s), and "
        "has 9s left (join: 10s). If it has not ended by then, it is reported as overdue, and if it is still "
        "alive at the end of the program, the exit code is 3."
    )


def test_a_run_that_is_replaced_by_a_firing_is_stopping_for_that() -> None:
    core = declared(make_job("web", schedule=Schedule(every=5.0, text="every 5s", overlap=Overlap.REPLACE)))
    core.start_all()
    core.advance(5)
    core.started("web#1")
    core.advance(6)

    assert why(core, "web") == (
        "web is stopping: run web#1 was asked to stop 1s ago, at 00:00:10 (its schedule fired again), and has 9s "
        "left (join: 10s). If it has not ended by then, it is reported as overdue, and if it is still alive at "
        "the end of the program, the exit code is 3. Its schedule has fired meanwhile, so another run starts when "
        "this one has ended. Its schedule (every 5s) fires next at 00:00:15, in 4s."
    )


def test_a_run_that_a_reload_stops_is_told_with_what_changed() -> None:
    core = begun(make_job("web"))
    core.advance(5)
    core.reload(make_job("web", params={"port": 1}))
    core.advance(1)

    assert why(core, "web") == (
        "web is stopping: run web#1 was asked to stop 1s ago, at 00:00:05 (a reload: params changed), and has 9s "
        "left (join: 10s). If it has not ended by then, it is reported as overdue, and if it is still alive at "
        "the end of the program, the exit code is 3. Another run starts when this one has ended."
    )


def test_a_job_that_a_reload_removes_goes_with_its_run() -> None:
    core = begun(make_job("web"))
    core.advance(5)
    core.reload(make_job("site"))
    core.advance(1)

    assert why(core, "web") == (
        "web is stopping: run web#1 was asked to stop 1s ago, at 00:00:05 (a reload: no longer declared), and has "
        "9s left (join: 10s). If it has not ended by then, it is reported as overdue, and if it is still alive at "
        "the end of the program, the exit code is 3. The job is removed when this run has ended."
    )


def test_a_job_that_a_reload_disables_is_disabled_after_its_run() -> None:
    core = begun(make_job("web"))
    core.advance(5)
    core.reload(make_job("web", enabled=False))
    core.advance(1)

    assert why(core, "web") == (
        "web is stopping: run web#1 was asked to stop 1s ago, at 00:00:05 (a reload: it was disabled), and has 9s "
        "left (join: 10s). If it has not ended by then, it is reported as overdue, and if it is still alive at "
        "the end of the program, the exit code is 3. The job is disabled when this run has ended."
    )


def test_the_thread_of_an_abandoned_run_blocks_its_job() -> None:
    core = begun(make_job("web", daemon=True, within=2.0, restart=RETRIED, timeout=5.0))
    core.advance(7.5)
    core.stack_captured("web#1")
    core.advance(60)

    assert why(core, "web", None, {"web#1": "reader.py:31 in run"}) == (
        "web cannot run: the thread of its abandoned run web#1 is still alive; the run was given up 1m ago, at "
        "00:00:07 (longer than its timeout of 5s). It is currently at reader.py:31 in run. A thread cannot be "
        "killed: it ends by itself, or with the program. When this run has ended, a restart follows after the "
        "restart delay."
    )


def test_a_blocked_job_that_was_stopped_stays_stopped() -> None:
    core = begun(make_job("web", daemon=True, within=2.0))
    core.stop("web")
    core.advance(2)
    core.stack_captured("web#1")

    assert why(core, "web") == (
        "web cannot run: the thread of its abandoned run web#1 is still alive; the run was given up just now, at "
        "00:00:02 (enough). It is currently at task.py:7 in run. A thread cannot be killed: it ends by itself, or "
        "with the program. It then stays stopped until a new start of the program, or until `taskloom start web`."
    )


def test_the_program_stops_dependents_first() -> None:
    core = begun(make_job("web"), make_job("api", after=["web"]), make_job("mail", delay=50.0))
    core.advance(5)
    core.send(inputs.Shutdown(Reason(ReasonKind.SIGNAL, "SIGTERM", 15), 30.0))
    core.advance(3)

    assert why(core, "web") == (
        "web is running and ready: run web#1 began 8s ago, at 00:00:00. It is asked to stop once api has ended. "
        "The program has been stopping all jobs for 3s (signal SIGTERM), has 27s left, waits for api, and starts "
        "none any more."
    )
    assert why(core, "api") == (
        "api is stopping: run api#1 was asked to stop 3s ago, at 00:00:05 (signal SIGTERM), and has 7s left "
        "(join: 10s). If it has not ended by then, it is reported as overdue, and if it is still alive at the end "
        "of the program, the exit code is 3. The program has been stopping all jobs for 3s (signal SIGTERM), has "
        "27s left, waits for api, and starts none any more."
    )
    assert why(core, "mail") == (
        "mail is not running: it was stopped before its first run (signal SIGTERM). The program has been stopping "
        "all jobs for 3s (signal SIGTERM), has 27s left, waits for api, and starts none any more."
    )


def test_a_program_that_has_stopped_says_why() -> None:
    core = begun(make_job("web"))
    core.advance(5)
    core.send(inputs.Shutdown(Reason(ReasonKind.SIGNAL, "SIGTERM", 15), 30.0))
    core.ended("web#1", How.CANCELLED)

    assert why(core, "web") == (
        "web is not running: its last run, web#1, was cancelled just now, at 00:00:05, after 5s (signal SIGTERM). "
        "The program has stopped all jobs (signal SIGTERM), and starts none any more."
    )


def test_a_run_that_is_being_killed_is_told_as_such_and_has_no_time_left() -> None:
    core = begun(in_process(make_job("web")))
    core.advance(10)
    core.stop("web", BY_ALICE)
    core.advance(3)

    assert "If it has not ended by then, its processes are killed." in why(core, "web")

    core.advance(7)
    core.stack_captured("web#1", "reader.py:31 in run")

    assert why(core, "web").startswith(
        "web is being killed: run web#1 was asked to stop 10s ago, at 00:00:10 (stop, by alice (uid 1000, pid 4242)). "
        "It is currently at reader.py:31 in run. It then stays stopped"
    )


def test_a_job_whose_run_cannot_be_killed_is_told_with_what_the_kernel_waits_for() -> None:
    core = begun(in_process(make_job("web")))
    core.stop("web", BY_ALICE)
    core.advance(10)
    core.stack_captured("web#1", "reader.py:31 in run")
    core.advance(5)

    text = why(core, "web")

    assert text.startswith(
        "web cannot run: the process of its abandoned run web#1 is still alive; the run was given up 2s ago"
    )
    assert "It was killed, and the kernel has not ended it yet: that happens while it waits for a device." in text
    assert "thread" not in text
