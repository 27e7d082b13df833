"""What a scheduler shows of runs in processes, and the signals that it sends to them."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.process_runs import INFO, PROCESS, PretendedProcesses, hog
from tests.support.watched_scheduler import WatchedScheduler

from taskloom import Job
from taskloom.clock import mono
from taskloom.core.endings import How
from taskloom.core.events import EventName
from taskloom.core.model import Outcome
from taskloom.core.run_reports import RunEnded, RunStarted
from taskloom.errors import NoProcess, NoRun, UnknownJob, UnknownSignal
from taskloom.runners import Emit, RunOrder, Stack
from taskloom.runners.gauges import Gauges
from taskloom.runners.thread import ThreadRunner
from taskloom.scheduler import process_reads
from taskloom.scheduler.process_reads import read_processes
from taskloom.sync.cancel_token import CancelToken


@pytest.fixture
def runner() -> PretendedProcesses:
    return PretendedProcesses()


@pytest.fixture
def scheduler(runner: PretendedProcesses) -> Iterator[WatchedScheduler]:
    watched = WatchedScheduler(log=False, runners={"thread": ThreadRunner(), "process": runner})
    yield watched
    watched.finish()


def wait(ctx: Any) -> None:
    ctx.wait()


def started(scheduler: WatchedScheduler, name: str, **policies: Any) -> Any:
    """Return the handle of a job whose run has begun."""
    job = scheduler.add_function(name, wait, **policies)
    job.start()
    scheduler.wait_for(EventName.READY, name)
    return job


# -- status


def test_a_status_has_the_runner_and_the_processes(scheduler: WatchedScheduler) -> None:
    started(scheduler, "there", runner=PROCESS)
    started(scheduler, "here")

    there, here = scheduler.status()

    assert (there.runner, there.process) == ("process", INFO)
    assert (here.runner, here.process) == ("thread", None)
    alone = scheduler.job("there").status()
    assert (alone.runner, alone.process) == ("process", INFO)
    data = there.as_dict()
    assert data["runner"] == "process"
    assert data["process"] == {"pid": 4242, "processes": 2, "memory": 38 << 20, "cpu": 1.25, "state": "sleeping"}
    assert here.as_dict()["process"] is None


def test_a_job_without_a_run_has_its_runner_and_no_process(scheduler: WatchedScheduler) -> None:
    job = started(scheduler, "there", runner=PROCESS)
    never = scheduler.add_function("never", wait, runner=PROCESS, manual=True)

    job.stop()

    assert (job.status().runner, job.status().process) == ("process", None)
    assert (never.status().runner, never.status().process) == ("process", None)
    assert scheduler.processes() == []


def test_proc_is_read_on_the_thread_of_the_caller(scheduler: WatchedScheduler, runner: PretendedProcesses) -> None:
    job = started(scheduler, "there", runner=PROCESS)

    scheduler.snapshot()
    job.status()
    job.why()
    scheduler.processes()

    assert len(runner.looks) >= 4
    assert set(runner.looks) == {("there", threading.get_ident())}


def test_jobs_in_threads_cost_nothing(scheduler: WatchedScheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_reads, "read_processes", lambda *_: pytest.fail("/proc is read"))
    started(scheduler, "here")

    assert scheduler.status()[0].process is None
    assert scheduler.job("here").status().process is None
    assert scheduler.processes() == []


@pytest.mark.parametrize("wrong", [lambda: 1 // 0, lambda: "pid 1", lambda: (1, 2, 3, 4.0, "running"), lambda: None],
                         ids=["raises", "text", "tuple", "none"])  # fmt: skip
def test_a_runner_that_cannot_tell_hides_no_status(
    scheduler: WatchedScheduler, runner: PretendedProcesses, wrong: Any
) -> None:
    started(scheduler, "there", runner=PROCESS)
    runner.read = wrong

    (status,) = scheduler.status()

    assert (status.state, status.process) == ("running", None)
    assert scheduler.processes() == []


def test_all_processes_at_once(scheduler: WatchedScheduler) -> None:
    started(scheduler, "there", runner=PROCESS)
    started(scheduler, "here")

    ((run, info),) = scheduler.processes()

    assert (run.id, run.runner, info) == ("there#1", "process", INFO)


def test_the_time_for_reading_is_limited_and_the_oldest_are_read_first(
    scheduler: WatchedScheduler, runner: PretendedProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look takes a second of a clock that stands still otherwise: one run is read in each half of a second."""
    for name in ("a", "b", "c"):
        started(scheduler, name, runner=PROCESS)
    now = [100.0]

    def look() -> Any:
        now[0] += 1.0
        return INFO._replace(pid=int(now[0]))

    runner.read = look
    monkeypatch.setattr(process_reads, "mono", lambda: now[0])
    live = list(scheduler._engine.executor.live.values())

    found = [{run: info.pid for run, info in read_processes(live, 0.5).items()} for _ in range(4)]

    assert found == [
        {"a#1": 101},
        {"a#1": 101, "b#1": 102},
        {"a#1": 101, "b#1": 102, "c#1": 103},
        {"a#1": 104, "b#1": 102, "c#1": 103},
    ]
    assert read_processes(live, 0.0) == {f"{name}#1": INFO._replace(pid=pid) for name, pid in
                                         (("a", 104), ("b", 102), ("c", 103))}  # fmt: skip


# -- signals


@pytest.mark.parametrize("written", [1, "HUP", "SIGHUP", "sighup", "1"])
def test_a_signal_reaches_the_run(scheduler: WatchedScheduler, runner: PretendedProcesses, written: Any) -> None:
    job = started(scheduler, "there", runner=PROCESS)

    job.signal(written)

    assert runner.signals == [("there", 1)]


@pytest.mark.parametrize("written", [0, -1, 65, True, "HPU", "", "SIG", "1.5", "9" * 5000])
def test_an_unknown_signal_is_refused(scheduler: WatchedScheduler, runner: PretendedProcesses, written: Any) -> None:
    job = started(scheduler, "there", runner=PROCESS)

    with pytest.raises(UnknownSignal, match="as a signal; expected a name such as HUP or SIGTERM, or a number"):
        job.signal(written)
    assert runner.signals == []


def test_a_run_in_a_thread_gets_no_signal(scheduler: WatchedScheduler) -> None:
    job = started(scheduler, "here")

    with pytest.raises(NoProcess, match=r"run here#1 is not in a process of its own \(runner: thread\)"):
        job.signal("TERM")


def test_a_job_without_a_run_gets_no_signal(scheduler: WatchedScheduler) -> None:
    job = scheduler.add_function("there", wait, runner=PROCESS, manual=True)

    with pytest.raises(NoRun, match=r"cannot signal job 'there': it has no run \(waiting\)"):
        job.signal("TERM")

    job.start()
    scheduler.wait_for(EventName.READY, "there")
    job.stop()

    with pytest.raises(NoRun, match=r"it has no run \(finished\)"):
        job.signal("TERM")


def test_a_run_whose_process_has_gone_gets_no_signal(scheduler: WatchedScheduler, runner: PretendedProcesses) -> None:
    job = started(scheduler, "there", runner=PROCESS)
    runner.read = lambda: None

    with pytest.raises(NoProcess, match="run there#1 has no process at the moment"):
        job.signal("TERM")
    assert runner.signals == []


def test_an_unknown_job_gets_no_signal(scheduler: WatchedScheduler) -> None:
    job = started(scheduler, "there", runner=PROCESS)
    job.stop()
    scheduler.reload([])

    with pytest.raises(UnknownJob, match="there"):
        job.signal("TERM")


# -- with real processes


def test_the_stack_of_a_process_whose_task_holds_the_interpreter_lock() -> None:
    """It cannot answer, so its stacks come by a signal; and it cannot stop, so it is killed."""
    scheduler = WatchedScheduler(log=False)
    job = scheduler.add(Job(name="hog", task=hog, runner="process", join="200ms"))
    job.start()
    scheduler.wait_for(EventName.READY, "hog")

    while "itertools.repeat" not in str(found := scheduler.stacks(timeout=10.0)):
        pass  # it has not begun yet; a test that fails here ends by its timeout
    why = job.why()
    status = job.status()
    report = scheduler.finish()

    ((run, stack),) = found
    assert run.id == "hog#1"
    assert re.search(r"process_runs\.py:\d+ in hog$", stack.where)
    assert status.process is not None
    assert f"It runs in process {status.process.pid} (runner: process), with " in why.text
    assert run.outcome is Outcome.CANCELLED
    assert str(run.error).startswith("SIGKILL after ")
    assert report.is_clean


# -- times


class Elsewhere:
    """A runner whose runs are handles alone: the test reports for them."""

    kills = True

    def __init__(self) -> None:
        self.handle: Any = SimpleNamespace(
            gauges=Gauges(), is_alive=lambda: False, is_gone=lambda: True, join=lambda _=None: True
        )
        self.emit: Emit = lambda _: None

    def start(self, order: RunOrder, token: CancelToken, emit: Emit) -> Any:
        self.emit = emit
        return self.handle

    def stacks(self, handles: Any, texts: int) -> list[Stack]:
        return []

    def close(self) -> None:
        """Nothing is kept."""

    def join(self, timeout: float) -> bool:
        return True


def test_a_run_elsewhere_begins_when_its_body_was_entered_there() -> None:
    """Neither when its process was ordered, nor when the report was processed."""
    elsewhere = Elsewhere()
    scheduler = WatchedScheduler(log=False, runners={"thread": ThreadRunner(), "process": elsewhere})
    run = scheduler.add_function("far", wait, runner=PROCESS).start()
    entered = elsewhere.handle.gauges.begun = mono()

    elsewhere.emit(RunStarted(run.id, True))
    elsewhere.emit(RunEnded(run.id, How.RETURNED, None, False, False))
    ended = scheduler.wait_for(EventName.ENDED)

    assert scheduler.wait_for(EventName.STARTED).mono == entered
    assert ended.seconds == ended.mono - entered
    scheduler.finish()
