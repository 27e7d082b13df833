"""The cluster itself: who fits, what is wrong with it, what is lost and what comes back; on a simulated cluster."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.simulated_cluster import (
    SOON,
    Child,
    DaskBench,
    SimulatedWorker,
    hello_of,
    obey,
)

from taskloom import __version__
from taskloom.clock import mono
from taskloom.core.endings import How
from taskloom.core.run_reports import RunEnded, RunPlaced, RunReleased, RunStarted, RunStartFailed
from taskloom.runners.binding import TaskReference
from taskloom.runners.dask import attachment
from taskloom.runners.dask.connection import CallFailed, Connection, Listener
from taskloom.runners.dask.options import Cluster
from taskloom.runners.dask.protocol.messages import Command
from taskloom.runners.dask.protocol.placement import Placement
from taskloom.sync.latch import Latch
from taskloom.testing.runner_tasks import wait_until

INSTALLED = TaskReference("taskloom_plugins.countdown", "Countdown", {}, "taskloom_plugins.countdown.Countdown")
LEASE = {"ttl": 3.0, "grace": 1.0, "period": 1.0}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a lost Dask scheduler be tried again at once."""
    monkeypatch.setattr(attachment, "FIRST_RETRY_SECONDS", 0.001)


@pytest.fixture
def empty() -> Iterator[DaskBench]:
    """Return a runner on a cluster without workers."""
    made = DaskBench()
    yield made
    made.close()
    assert made.bugs == []


def failed(bench: DaskBench, **options: Any) -> str:
    """Start a run that cannot start; return why, in words."""
    end = bench.end(bench.start(**options))
    assert isinstance(end, RunStartFailed)
    assert end.error.is_explained
    return end.error.message


def worker(bench: DaskBench, name: str) -> SimulatedWorker:
    return next(each for each in bench.cluster.workers.values() if each.name == name)


# -- the attach


def test_jobs_with_equal_clusters_share_one_connection(dask: DaskBench) -> None:
    dask.begun("a")
    dask.begun("b", env={"A": "1"})
    assert dask.cluster.opened == 1
    dask.begun("c", resources={"GPU": 1})
    assert dask.cluster.opened == 2
    for handle in dask.handles.values():
        dask.cancel(handle)


def test_all_runs_of_a_failed_attach_say_why_and_the_next_run_tries_again(dask: DaskBench) -> None:
    dask.cluster.failures = [""]
    first = dask.start()
    assert dask.cluster.is_opening.wait(SOON)
    dask.cluster.failures = ["cannot reach the cluster at tcp://127.0.0.1:8786: Connection refused"]
    dask.cancel(first)
    assert dask.end(first) == RunEnded("job#1", How.NOT_ENTERED, None, True, False)


def test_a_cluster_that_is_not_there_is_an_error_in_words(dask: DaskBench) -> None:
    dask.cluster.failures = ["cannot reach the cluster at tcp://127.0.0.1:8786: Connection refused"]

    assert failed(dask) == "cannot reach the cluster at tcp://127.0.0.1:8786: Connection refused"
    dask.begun()


def test_a_stop_during_the_attach_does_not_wait_for_it(dask: DaskBench) -> None:
    dask.cluster.failures = [""]
    handle = dask.start()
    assert dask.cluster.is_opening.wait(SOON)
    dask.cancel(handle)
    dask.end(handle)
    dask.runner.close()

    assert dask.runner.join(SOON)


def test_a_cluster_that_does_not_answer_for_long_is_named_before_the_run_fails(
    dask: DaskBench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attachment, "_QUIET_SECONDS", 0.0)
    caplog.set_level(logging.INFO)
    dask.cluster.failures = [""]
    handle = dask.start()
    text = "waiting for the cluster at tcp://127.0.0.1:8786, for at most 30s"

    assert wait_until(lambda: text in caplog.messages, SOON)
    dask.cancel(handle)


def test_a_worker_with_another_version_is_named_with_host_and_interpreter(dask: DaskBench) -> None:
    worker(dask, "w2").hello = hello_of("w2", version="0.0.1")
    handle = dask.start()
    end = dask.end(handle)

    assert isinstance(end, RunStartFailed)
    assert end.error.message == (
        f"cannot use the cluster at tcp://127.0.0.1:8786: worker w2 on host-w2 has Taskloom 0.0.1; this program has "
        f"{__version__} (of 3 hosts in all); install the same version of taskloom[dask] for the Dask scheduler and for "
        "each worker"
    )
    assert "worker w2 on host-w2  /opt/bin/python" in end.error.traceback


def test_another_protocol_is_refused(dask: DaskBench) -> None:
    worker(dask, "w1").hello = hello_of("w1", protocol=99)
    assert "worker w1 on host-w1 speaks protocol 99; this program speaks 1" in failed(dask)


def test_a_dask_scheduler_without_taskloom_is_named(dask: DaskBench) -> None:
    dask.cluster.hello = CallFailed("No module named 'taskloom'", is_final=True)
    assert "the Dask scheduler cannot import Taskloom (No module named 'taskloom')" in failed(dask)


def test_a_worker_without_taskloom_is_named(dask: DaskBench) -> None:
    worker(dask, "w1").hello = CallFailed("No module named 'taskloom'", is_final=True)
    assert "worker w1 on 10.0.0.1 cannot import Taskloom (No module named 'taskloom')" in failed(dask)


def test_a_task_that_no_worker_has_is_named_with_all_that_they_have(dask: DaskBench) -> None:
    for each in dask.cluster.workers.values():
        each.hello = hello_of(each.name, tasks={"countdwn": "acme 1.0"})

    assert failed(dask, task="countdown", reference=INSTALLED) == (
        "cannot find task 'countdown' on any of the 2 workers of the cluster at tcp://127.0.0.1:8786; installed there "
        "(host-w1: /opt/bin/python, host-w2: /opt/bin/python): countdwn; did you mean 'countdwn'?"
    )


def test_a_run_goes_to_a_worker_that_has_its_task(dask: DaskBench) -> None:
    worker(dask, "w1").hello = hello_of("w1", tasks={})
    dask.start(task="countdown", reference=INSTALLED)
    assert dask.cluster.child().worker.name == "w2"


def test_another_version_of_a_task_on_a_worker_is_a_warning(dask: DaskBench, caplog: pytest.LogCaptureFixture) -> None:
    worker(dask, "w1").hello = hello_of("w1", tasks={"countdown": "taskloom 0.0.1"})

    dask.start(task="countdown", reference=INSTALLED)

    text = f"on host-w1: task 'countdown' is of taskloom 0.0.1 there, and of taskloom {__version__} here"
    assert wait_until(lambda: text in caplog.text, SOON)


def test_only_the_workers_that_the_options_name_are_used_and_checked(dask: DaskBench) -> None:
    worker(dask, "w1").hello = hello_of("w1", version="0.0.1")
    dask.begun(workers=["host-w2"])
    assert not worker(dask, "w1").requests


def test_a_run_of_an_elder_session_holds_back_the_next_run_of_its_job(dask: DaskBench) -> None:
    elder = [{"session": "old", "runs": ["job#7"], "stopped_by_seconds": 0.2}]
    worker(dask, "w1").hello = hello_of("w1", elder=elder)
    begun = mono()
    dask.begun("other")
    dask.begun("job")

    assert mono() - begun >= 0.2


# -- workers come and go


def test_runs_wait_for_the_first_worker(empty: DaskBench, caplog: pytest.LogCaptureFixture) -> None:
    empty.start()
    assert empty.cluster.is_open.wait(SOON)
    empty.do(lambda: empty.cluster.add("w1"))

    assert empty.cluster.child().worker.name == "w1"
    empty.close()  # after that all is logged
    assert "the cluster at tcp://127.0.0.1:8786 has no worker yet" in caplog.text


def test_a_worker_that_joins_late_is_used(dask: DaskBench) -> None:
    for _ in range(4):
        dask.begun()
    waiting = dask.start()
    dask.do(lambda: dask.cluster.add("w3"))

    assert dask.cluster.child().worker.name == "w3"
    assert waiting.is_alive()


def test_a_late_worker_that_does_not_fit_is_named_once_and_not_used(
    dask: DaskBench, caplog: pytest.LogCaptureFixture
) -> None:
    dask.begun()
    caplog.set_level(logging.WARNING)

    def join_twice() -> None:
        odd = dask.cluster.add("w3", hello_of("w3", version="0.0.1"))
        dask.cluster.add("w3", odd.hello if isinstance(odd.hello, dict) else None)

    dask.do(join_twice)
    dask.do(lambda: dask.cluster.add("w4"))
    handles = [dask.start() for _ in range(5)]
    used = {dask.cluster.child().worker.name for _ in handles}
    dask.close()  # after that all is logged

    assert used == {"w1", "w2", "w4"}
    named = [each.getMessage() for each in caplog.records if "w3" in each.getMessage()]
    expected = (
        "the cluster at tcp://127.0.0.1:8786: worker w3 on host-w3 (/opt/bin/python) is not used: it has Taskloom "
        f"0.0.1; this program has {__version__}"
    )
    assert named == [expected]


def test_a_run_on_a_worker_that_is_gone_is_lost_at_once_with_a_bound(dask: DaskBench) -> None:
    handle, child = dask.begun(lease=LEASE)
    before = mono()
    dask.do(lambda: dask.cluster.remove(child.worker))
    end = dask.end(handle)

    assert isinstance(end, RunEnded)
    assert (end.how, end.was_requested) == (How.LOST, False)
    assert end.error is not None
    assert "w1 on host-w1" in end.error.message
    assert before < end.stopped_by < before + 6
    assert not handle.is_alive()


# -- the Dask scheduler goes and comes back


@pytest.mark.usefixtures("quick")
def test_a_run_survives_the_loss_of_the_connection(dask: DaskBench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    handle, child = dask.begun()
    assert dask.cluster.connection is not None
    loop = dask.cluster.connection.loop
    dask.cluster.failures = ["cannot reach it"]
    dask.do_in(loop, dask.cluster.cut)
    dask.do_in(loop, child.end)

    assert dask.end(handle) == RunEnded("job#1", How.RETURNED, None, False, False)
    dask.close()  # after that all is logged
    assert "lost the cluster at tcp://127.0.0.1:8786: the connection was closed; trying to connect again" in caplog.text
    assert "connected to the cluster at tcp://127.0.0.1:8786 again" in caplog.text


@pytest.mark.usefixtures("quick")
def test_runs_on_workers_that_did_not_come_back_are_lost(dask: DaskBench) -> None:
    handle, child = dask.begun(lease=LEASE)
    other, _ = dask.begun(lease=LEASE)
    assert dask.cluster.connection is not None
    loop = dask.cluster.connection.loop

    def cut() -> None:
        dask.cluster.cut()
        del dask.cluster.workers[child.worker.address]

    dask.do_in(loop, cut)
    end = dask.end(handle)

    assert isinstance(end, RunEnded)
    assert end.how is How.LOST
    assert other.is_alive()


@pytest.mark.usefixtures("quick")
def test_a_run_that_is_started_while_the_scheduler_is_gone_begins_when_it_is_back(dask: DaskBench) -> None:
    _, child = dask.begun()
    assert dask.cluster.connection is not None
    loop = dask.cluster.connection.loop

    def cut_and_start() -> None:
        dask.cluster.cut()
        dask.start()

    dask.do_in(loop, cut_and_start)

    assert dask.cluster.child().spec["run"] == "job#2"
    dask.do(child.end)


def test_a_run_that_is_started_while_the_scheduler_is_gone_can_be_cancelled(dask: DaskBench) -> None:
    handle, child = dask.begun()
    assert dask.cluster.connection is not None
    loop = dask.cluster.connection.loop
    dask.cluster.failures = ["cannot reach it"]
    dask.do_in(loop, dask.cluster.cut)
    waiting = dask.start()
    dask.cancel(waiting)

    assert dask.end(waiting) == RunEnded("job#2", How.NOT_ENTERED, None, True, False)
    dask.do_in(loop, child.end)
    dask.end(handle)  # after the next attempt to connect, a second later


# -- the end, and bugs


def test_the_threads_end_with_the_last_run(dask: DaskBench) -> None:
    handle, child = dask.begun()
    dask.runner.close()
    assert not dask.runner.join(0)
    dask.do(child.end)
    dask.end(handle)

    assert dask.runner.join(SOON)
    with pytest.raises(RuntimeError, match="the runner was closed"):
        dask.start("late")


def test_a_bug_on_the_thread_is_recorded_and_ends_the_runs_as_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = DaskBench("w1")
    handle, child = bench.begun()
    bug = ZeroDivisionError("a bug")

    def strike(*_: object) -> None:
        raise bug

    with monkeypatch.context() as patch:
        patch.setattr(Placement, "handle_all", strike)
        bench.cancel(handle)
        end = bench.end(handle)
    again, _ = bench.begun()
    bench.cluster.on_command = obey
    bench.close()

    assert bench.bugs == [bug]
    assert isinstance(end, RunEnded)
    assert (end.how, end.stopped_by > mono()) == (How.LOST, True)
    assert str(end.error) == "InternalError: internal error: an exception struck the thread of its cluster"
    assert child.worker.name == "w1"
    assert again.run == "job#2"


def test_a_lost_run_is_released_when_its_worker_confirms_the_end(dask: DaskBench) -> None:
    handle, child = dask.begun(lease=LEASE)
    gone: list[Child] = []

    def ignore(ignoring: Child, command: Command) -> None:
        if command.kind == "kill":
            gone.append(ignoring)

    dask.cluster.on_command = ignore
    dask.cancel(handle)
    handle.kill()
    end = dask.end(handle)  # two seconds after the kill
    dask.do(lambda: child.end(How.KILLED, was_requested=True))
    dask.wait_for(lambda: RunReleased("job#1") in dask.reports)

    assert isinstance(end, RunEnded)
    assert (end.how, len(gone)) == (How.LOST, 1)
    assert dask.kinds() == [RunPlaced.__name__, RunStarted.__name__, RunEnded.__name__, RunReleased.__name__]


def test_a_cancel_does_not_wait_for_the_import_of_dask(dask: DaskBench) -> None:
    imported = Latch()
    connect = dask.runner._connect

    def connect_slowly(cluster: Cluster, listener: Listener) -> Connection:
        imported.wait(SOON)
        return connect(cluster, listener)

    dask.runner._connect = connect_slowly
    handle = dask.start()
    dask.cancel(handle)

    end = dask.end(handle)
    imported.open()

    assert isinstance(end, RunEnded)
    assert end.how is How.NOT_ENTERED
