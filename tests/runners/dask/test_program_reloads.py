"""Reloads that leave clusters: a connection ends with the last job and the last run that use it."""

from __future__ import annotations

from typing import Any

from tests.support.simulated_cluster import ADDRESS, SOON, DaskBench, FakeConnection, dask_threads, hello_of

from taskloom.core.endings import How
from taskloom.core.run_reports import RunEnded
from taskloom.runners.dask.protocol.agent_io import ExecutionGone
from taskloom.testing.runner_tasks import wait_until

LEASE = {"ttl": 3.0, "grace": 1.0, "period": 1.0}


def opened(bench: DaskBench) -> list[FakeConnection]:
    """Return the connections that are open."""
    return list(bench.cluster.connections)


def written(**options: Any) -> dict[str, Any]:
    """Return the options of a declared job."""
    return {"scheduler": ADDRESS, **options}


def test_a_reload_leaves_a_cluster_that_no_job_and_no_run_uses(dask: DaskBench) -> None:
    unused, child = dask.begun("unused", lease=LEASE)
    dask.begun("used")
    dask.do(child.end)
    dask.end(unused)
    left, kept = opened(dask)

    dask.runner.retain([written()])

    assert left.closed.wait(SOON)
    assert opened(dask) == [kept]


def test_a_reload_keeps_the_cluster_of_a_live_run_until_its_end(dask: DaskBench) -> None:
    handle, child = dask.begun(lease=LEASE)
    [connection] = opened(dask)
    dask.runner.retain([])
    dask.do(lambda: child.report(RunEnded("job#1", How.RETURNED, None, False, callback_ran=False)))

    assert not connection.closed.is_set()
    dask.do(lambda: child.handle(ExecutionGone(child.execution)))

    assert dask.end(handle) == RunEnded("job#1", How.RETURNED, None, False, False)
    assert connection.closed.wait(SOON)


def test_a_job_that_is_brought_back_attaches_again(dask: DaskBench) -> None:
    first, child = dask.begun()
    dask.runner.retain([])
    again, _ = dask.begun()  # while the first run is still there

    assert dask.cluster.opened == 2
    assert again.is_alive()
    dask.do(child.end)
    dask.end(first)


def test_a_reload_gives_up_an_attach_that_no_run_waits_for(dask: DaskBench) -> None:
    dask.cluster.failures = [""]
    handle = dask.start()
    assert dask.cluster.is_opening.wait(SOON)
    dask.cancel(handle)
    dask.end(handle)

    dask.runner.retain([])

    assert wait_until(lambda: not dask_threads(), SOON)


def test_reloads_leave_no_threads_behind(dask: DaskBench) -> None:
    for _ in range(3):
        handle, child = dask.begun()
        [connection] = opened(dask)
        dask.do(child.end)
        dask.end(handle)
        dask.runner.retain([])
        assert connection.closed.wait(SOON)

    assert wait_until(lambda: not dask_threads(), SOON)

    def is_all_gone() -> bool:
        dask.runner.retain([])
        return not dask.runner._former

    assert wait_until(is_all_gone, SOON)  # a thread that is not listed any more may be alive for a moment


def test_runs_of_another_session_of_this_program_hold_nothing_back(dask: DaskBench) -> None:
    """The core waits for them, and knows when they have ended."""
    dask.begun("other")
    session = opened(dask)[0].topics[0].removeprefix("taskloom-")
    first_worker = next(iter(dask.cluster.workers.values()))
    elder = [{"session": session, "runs": ["job#7"], "stopped_by_seconds": 10 * SOON}]
    first_worker.hello = hello_of("w1", elder=elder)

    dask.begun("job", lease=LEASE)

    assert dask.cluster.opened == 2
