"""One run in a process, with a supervisor and a worker that the test plays: how it begins, and how it ends."""

from __future__ import annotations

import signal
import sys
import threading
from queue import SimpleQueue

import pytest
from tests.support.fake_supervisor import NO_PROCESS, WHY, ProcessBench, returned

from taskloom import __version__
from taskloom.core import inputs
from taskloom.core.inputs import RunEnded, RunReady, RunStarted, RunStartFailed
from taskloom.core.model import ErrorInfo, How
from taskloom.runners.gauges import Progress
from taskloom.runners.process.deaths import describe_loss
from taskloom.runners.process.handle import ProcessHandle
from taskloom.runners.process.launch import CannotLaunch, LaunchSpec
from taskloom.runners.wire import (
    CallbackFailed,
    Cancel,
    Ended,
    Gauged,
    Hello,
    Polled,
    PollInterval,
    Ready,
    Spec,
    Started,
    StartFailed,
    Urgent,
)
from taskloom.sync.cancel_token import CancelToken

CORE = 0x80


def cancel(token: CancelToken) -> None:
    token.request(WHY)
    token.wake()


def test_a_run_begins_and_ends_as_its_worker_says(bench: ProcessBench) -> None:
    handle = bench.start()
    supervisor = bench.supervisor()
    spec = supervisor.message()
    supervisor.begin()
    supervisor.send(returned())
    supervisor.exit()
    end = bench.end()

    assert isinstance(spec, Spec)
    assert (spec.module, spec.qualname, spec.run, spec.poll_interval) == ("somewhere", "task", "job#1", 0.5)
    assert bench.reports == [RunStarted("job#1", True), end]
    assert end == RunEnded("job#1", How.RETURNED, None, False, False)
    assert (handle.is_alive(), handle.is_gone(), handle.process, handle.connection) == (False, True, None, None)


def test_what_the_worker_reports_meanwhile_comes_through(bench: ProcessBench) -> None:
    token = CancelToken()
    handle = bench.start(token)
    supervisor = bench.supervisor()
    error = ErrorInfo("ValueError", "no", "ValueError: no\n")
    supervisor.say(f"started {NO_PROCESS}")
    supervisor.send(
        Hello(__version__, NO_PROCESS),
        Started(is_ready=False, at=12.5),
        Gauged(Progress(1, 4, "files"), {"frames": 7}),
        Polled(3, waiting=True, wakeable=True),
        Ready(),
        Ready(),
        CallbackFailed("stop", error),
    )
    bench.wait_for(lambda: len(bench.reports) == 3)

    assert bench.reports == [
        RunStarted("job#1", False),
        RunReady("job#1"),
        inputs.CallbackFailed("job#1", "stop", error),
    ]
    assert (handle.gauges.progress, handle.gauges.counts) == (Progress(1, 4, "files"), {"frames": 7})
    assert handle.gauges.begun == 12.5
    assert (token.polls, token.is_waiting, token.is_wakeable) == (1, True, True)

    supervisor.send(returned())
    supervisor.exit()
    bench.end()

    assert (token.is_waiting, token.is_wakeable) == (False, False)


def test_what_the_scheduler_wants_is_passed_on(bench: ProcessBench) -> None:
    token = CancelToken()
    handle, supervisor = bench.begun(token)

    handle.set_poll_interval(3.0)
    handle.signal(signal.SIGHUP)
    cancel(token)
    handle.set_urgent()
    handle.terminate()
    handle.kill()

    assert [supervisor.message() for _ in range(3)] == [PollInterval(3.0), Cancel(WHY), Urgent()]
    assert [supervisor.next_order() for _ in range(3)] == ["signal 1", "group 15", "kill"]


def test_term_and_kill_go_out_once_and_no_term_after_a_kill(bench: ProcessBench) -> None:
    handle, supervisor = bench.begun()

    for call in (handle.terminate, handle.terminate, handle.kill, handle.kill, handle.terminate):
        call()
    handle.signal(signal.SIGUSR1)

    assert [supervisor.next_order() for _ in range(3)] == ["group 15", "kill", "signal 10"]


# -- cancelled at each moment


def test_a_run_that_was_cancelled_before_its_start_starts_no_process(bench: ProcessBench) -> None:
    token = CancelToken()
    token.request(WHY)

    bench.start(token)

    assert bench.end() == RunEnded("job#1", How.NOT_ENTERED, None, True, False)
    assert bench.all == []


def test_a_run_that_waits_for_its_start_ends_at_once_when_it_is_cancelled(
    bench: ProcessBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskloom.runners.process.hub.most_starts", lambda: 1)
    token = CancelToken()
    bench.start()
    first = bench.supervisor()
    bench.start(token)

    cancel(token)
    end = bench.end()
    first.begin()
    bench.start()
    third = bench.supervisor()

    assert end == RunEnded("job#2", How.NOT_ENTERED, None, True, False)
    assert bench.all == [first, third]


def test_a_run_that_is_cancelled_while_it_is_launched_is_not_entered(bench: ProcessBench) -> None:
    # 1. a helper thread has found that the run may begin, and launches
    # 2. the run is cancelled
    # 3. the supervisor is there: the worker gets no spec, and is killed
    token = CancelToken()
    bench.before_launch = lambda spec: cancel(token)

    bench.start(token)
    supervisor = bench.supervisor()
    order = supervisor.next_order()
    supervisor.exit(signal.SIGKILL)

    assert order == "kill"
    assert bench.end() == RunEnded("job#1", How.NOT_ENTERED, None, True, False)


def test_a_run_that_is_cancelled_before_its_worker_is_there_gets_spec_and_cancel(bench: ProcessBench) -> None:
    token = CancelToken()
    bench.start(token)
    supervisor = bench.supervisor()
    spec = supervisor.message()

    cancel(token)
    message = supervisor.message()
    supervisor.say(f"started {NO_PROCESS}")
    supervisor.send(Hello(__version__, NO_PROCESS), Ended(How.NOT_ENTERED, None, True, False))
    supervisor.exit()

    assert (type(spec), message) == (Spec, Cancel(WHY))
    assert bench.end() == RunEnded("job#1", How.NOT_ENTERED, None, True, False)


def test_a_cancel_after_the_end_changes_nothing(bench: ProcessBench) -> None:
    token = CancelToken()
    handle, supervisor = bench.begun(token)
    supervisor.send(returned())
    supervisor.exit()
    bench.end()

    cancel(token)
    for call in (handle.terminate, handle.kill, handle.set_urgent):
        call()
    handle.signal(signal.SIGHUP)
    handle.set_poll_interval(1.0)
    bench.start()
    bench.supervisor()

    assert len(bench.ends()) == 1


def test_a_run_that_is_killed_while_it_starts_is_killed_when_its_supervisor_is_there(bench: ProcessBench) -> None:
    handles: list[ProcessHandle] = []
    begun = threading.Event()

    def kill(_: LaunchSpec) -> None:
        assert begun.wait(20)
        handles[0].kill()

    bench.before_launch = kill
    handles.append(bench.start())
    begun.set()
    supervisor = bench.supervisor()
    order = supervisor.next_order()
    supervisor.exit(signal.SIGKILL)
    end = bench.end()

    assert order == "kill"
    assert isinstance(end, RunEnded)
    assert (end.how, str(end.error), end.was_requested) == (How.KILLED, "SIGKILL", False)


def test_a_run_that_waits_for_its_start_ends_at_once_when_it_is_killed(
    bench: ProcessBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskloom.runners.process.hub.most_starts", lambda: 1)
    bench.start()
    bench.supervisor()
    handle = bench.start()

    handle.kill()
    end = bench.end()

    assert isinstance(end, RunEnded)
    assert (end.run, end.how) == ("job#2", How.KILLED)


# -- how it ends


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([f"exited {signal.SIGSEGV | CORE} 0 0 0"], "SIGSEGV (core dumped)"),
        ([f"exited {signal.SIGSEGV} 0 0 0"], "SIGSEGV"),
        ([f"exited {3 << 8} 0 0 0"], "exit status 3 without a report"),
        (["exited 0 0 0 0"], "exit status 0 without a report"),
        (["oom", f"exited {signal.SIGKILL} 0 0 0"], "out of memory (SIGKILL by the kernel)"),
        ([f"exited {signal.SIGKILL} 0 0 0", "oom"], "out of memory (SIGKILL by the kernel)"),
        ([f"over {512 << 20} {530 << 20}", f"exited {signal.SIGKILL} 0 0 0"], "over memory_limit 512 MiB (was 530)"),
        ([f"exited {signal.SIGKILL} 0 0 0"], "SIGKILL"),
        ([f"exited {signal.SIGRTMIN + 3} 0 0 0"], "SIGRTMIN+3"),
    ],
    ids=["core", "signal", "status", "zero", "oom", "oom after", "limit", "killed by others", "real-time"],
)
def test_a_process_that_dies_unasked_has_failed_in_words(bench: ProcessBench, lines: list[str], message: str) -> None:
    _, supervisor = bench.begun()

    supervisor.say(*lines, "done")
    supervisor.leave()
    end = bench.end()

    assert isinstance(end, RunEnded)
    assert (end.how, end.was_requested, str(end.error)) == (How.RAISED, False, message)
    assert end.error is not None
    assert (end.error.type, end.error.is_explained) == ("ProcessDied", True)


@pytest.mark.parametrize(
    ("steps", "status", "how", "text"),
    [
        (["terminate", "kill"], signal.SIGKILL, How.KILLED, "SIGKILL after "),
        (["terminate"], signal.SIGTERM, How.KILLED, "SIGTERM after "),
        (["terminate"], 1 << 8, How.KILLED, "SIGTERM after "),
        (["kill"], signal.SIGKILL, How.KILLED, "SIGKILL after "),
        (["terminate"], signal.SIGSEGV, How.RAISED, "SIGSEGV"),
        (["terminate"], signal.SIGKILL, How.RAISED, "SIGKILL"),
        ([], signal.SIGTERM, How.RAISED, "SIGTERM"),
    ],
    ids=["kill", "term", "exit after term", "kill alone", "fault after term", "killed by others", "term by others"],
)
def test_how_a_stopped_run_dies_is_told_apart(
    bench: ProcessBench, steps: list[str], status: int, how: How, text: str
) -> None:
    token = CancelToken()
    handle, supervisor = bench.begun(token)
    cancel(token)
    supervisor.message()

    for step in steps:
        getattr(handle, step)()
        supervisor.next_order()
    supervisor.exit(status)
    end = bench.end()

    assert isinstance(end, RunEnded)
    assert (end.how, end.was_requested) == (how, True)
    assert str(end.error).startswith(text)


def test_what_the_worker_said_about_the_end_counts_more_than_how_it_died(bench: ProcessBench) -> None:
    token = CancelToken()
    handle, supervisor = bench.begun(token)
    cancel(token)
    handle.kill()
    supervisor.message()

    supervisor.send(Ended(How.CANCELLED, None, True, True))
    supervisor.exit(signal.SIGKILL)

    assert bench.end() == RunEnded("job#1", How.CANCELLED, None, True, True)


def test_a_worker_that_says_it_was_asked_to_stop_was_not(bench: ProcessBench) -> None:
    _, supervisor = bench.begun()

    supervisor.send(Ended(How.RETURNED, None, True, True))
    supervisor.exit()

    assert bench.end() == RunEnded("job#1", How.RETURNED, None, False, False)


def test_a_run_whose_supervisor_is_gone_is_lost(bench: ProcessBench) -> None:
    _, supervisor = bench.begun()

    supervisor.kill_supervisor()
    end = bench.end()

    assert isinstance(end, RunEnded)
    assert (end.how, str(end.error)) == (How.LOST, "its supervisor is gone: SIGKILL")


@pytest.mark.parametrize(
    ("status", "main", "text"),
    [
        (None, None, ""),
        (-9, None, ": SIGKILL"),
        (1, 4711, ": exit status 1"),
        (1, None, ": exit status 1; is '/usr/sbin/server' a Python interpreter?"),
    ],
)
def test_a_supervisor_that_is_not_python_is_doubted(
    monkeypatch: pytest.MonkeyPatch, status: int | None, main: int | None, text: str
) -> None:
    monkeypatch.setattr(sys, "executable", "/usr/sbin/server")

    assert str(describe_loss(status, main)) == "its supervisor is gone" + text


def test_a_supervisor_that_does_not_kill_is_killed_and_the_run_with_it(
    bench: ProcessBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskloom.runners.process.supervisor_watch._KILL_SECONDS", 0.0)
    token = CancelToken()
    handle, supervisor = bench.begun(token)
    cancel(token)

    handle.kill()
    end = bench.end()

    assert supervisor.was_killed.is_set()
    assert isinstance(end, RunEnded)
    assert end.how is How.KILLED
    assert str(end.error).startswith("SIGKILL after ")


def test_a_supervisor_that_is_at_work_is_not_killed(bench: ProcessBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskloom.runners.process.supervisor_watch._KILL_SECONDS", 0.0)
    looks: SimpleQueue[int] = SimpleQueue()

    def state(pid: int) -> str:
        looks.put(pid)
        return "R"

    monkeypatch.setattr("taskloom.runners.process.supervisor_watch.state_of", state)
    handle, supervisor = bench.begun()

    handle.kill()
    for _ in range(20):
        looks.get(timeout=20)
    was_killed = supervisor.was_killed.is_set()
    supervisor.exit(signal.SIGKILL)

    assert not was_killed
    assert str(bench.end().error) == "SIGKILL"


def test_a_supervisor_that_does_not_exit_is_killed(bench: ProcessBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskloom.runners.process.supervisor_watch._EXIT_SECONDS", 0.0)
    _, supervisor = bench.begun()

    supervisor.send(returned())
    supervisor.say("exited 0 0 0 0", "done")

    assert bench.end() == RunEnded("job#1", How.RETURNED, None, False, False)
    assert supervisor.was_killed.wait(20)


def test_a_worker_that_stays_after_its_end_is_killed(bench: ProcessBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskloom.runners.process.worker_run._EXIT_SECONDS", 0.0)
    _, supervisor = bench.begun()

    supervisor.send(returned())
    order = supervisor.next_order()
    supervisor.exit(signal.SIGKILL)

    assert order == "kill"
    assert bench.end() == RunEnded("job#1", How.RETURNED, None, False, False)


# -- starts that fail


def test_a_task_that_cannot_be_made_in_the_worker_is_a_failed_start(bench: ProcessBench) -> None:
    bench.start()
    supervisor = bench.supervisor()
    error = ErrorInfo("ModuleNotFoundError", "No module named 'somewhere'", "Traceback…\n")

    supervisor.say(f"started {NO_PROCESS}")
    supervisor.send(Hello(__version__, NO_PROCESS), StartFailed(error))
    supervisor.exit(1 << 8)

    assert bench.end() == RunStartFailed("job#1", error)
    assert bench.reports == bench.ends()


def test_a_worker_that_dies_before_its_task_began_is_a_failed_start_with_its_last_line(bench: ProcessBench) -> None:
    bench.start()
    supervisor = bench.supervisor()
    supervisor.say(f"started {NO_PROCESS}")
    with open(supervisor.far_stderr, "wb", buffering=0, closefd=False) as stderr:
        stderr.write(b"Fatal Python error: init_import_site\nImportError: no site")

    supervisor.exit(1 << 8)
    end = bench.end()

    assert isinstance(end, RunStartFailed)
    assert str(end.error) == "exit status 1 without a report: ImportError: no site"
    assert end.error.traceback == "Fatal Python error: init_import_site\nImportError: no site\n"


def test_a_program_that_cannot_be_executed_is_a_failed_start(bench: ProcessBench) -> None:
    bench.start()
    supervisor = bench.supervisor()

    supervisor.say("failed 2 cannot use cwd '/nowhere': No such file or directory")
    supervisor.leave()
    end = bench.end()

    assert isinstance(end, RunStartFailed)
    assert str(end.error) == "cannot use cwd '/nowhere': No such file or directory"


def test_a_launch_that_the_system_refuses_is_a_failed_start_in_words(bench: ProcessBench) -> None:
    def refuse(_: LaunchSpec) -> None:
        raise CannotLaunch(11, "a process for job 'job'", "the system has no more processes")

    bench.before_launch = refuse
    bench.start()
    end = bench.end()

    assert isinstance(end, RunStartFailed)
    assert str(end.error) == "cannot start a process for job 'job': the system has no more processes"
    assert end.error.is_explained


@pytest.mark.parametrize("error", [MemoryError(), KeyboardInterrupt(), SystemExit(3), ValueError("no")], ids=repr)
def test_a_launch_that_raises_anything_is_a_failed_start(bench: ProcessBench, error: BaseException) -> None:
    def fail(_: LaunchSpec) -> None:
        raise error

    bench.before_launch = fail
    bench.start()
    end = bench.end()

    assert isinstance(end, RunStartFailed)
    assert end.error.type == type(error).__name__


def test_a_worker_of_another_version_is_refused(bench: ProcessBench) -> None:
    bench.start()
    supervisor = bench.supervisor()

    supervisor.say(f"started {NO_PROCESS}")
    supervisor.send(Hello("0.0.1", NO_PROCESS))
    order = supervisor.next_order()
    supervisor.exit(signal.SIGKILL)
    end = bench.end()

    assert order == "kill"
    assert isinstance(end, RunStartFailed)
    assert str(end.error) == (
        f"the process broke the protocol: it has version 0.0.1 of Taskloom, and this program has {__version__}: "
        "restart the program after an upgrade"
    )


def test_the_run_of_a_task_that_cannot_cross_fails_to_start(bench: ProcessBench) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("taskloom.runners.binding.Binding.reference", None)
        patch.setattr("taskloom.runners.binding.Binding.cannot_cross", "cannot pass param 'sock' to a process")
        bench.start()
        end = bench.end()

    assert isinstance(end, RunStartFailed)
    assert str(end.error) == "ValueError: cannot pass param 'sock' to a process"
