"""What kills a part of the cluster, or the program: each run stops in time, and none is started a second time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from tests.support import cluster_tasks as tasks
from tests.support.cluster_bench import GRACE, PERIOD, TTL, ClusterBench, MakeBench, MakeCluster, lease_of
from tests.support.cluster_faults import known_tasks
from tests.support.cluster_tasks import Marks
from tests.support.dask_cluster import ROOT, DaskCluster

from taskloom.clock import mono
from taskloom.core.inputs import RunEnded
from taskloom.core.model import How
from taskloom.core.run_reports import RunReleased, RunUnreachable
from taskloom.testing.runner_bench import BenchRun

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

# What a busy machine may add to a limit.
SLACK_SECONDS = 5.0
# A worker that is gone is noticed at once. Much less than UNREACHABLE_SECONDS, which it takes if nothing is noticed.
LOST_SECONDS = 2.0
# After which an unreachable run is lost, see Verdicts: ttl + grace + 10 s.
UNREACHABLE_SECONDS = TTL + GRACE + 10.0


def await_forgotten(bench: ClusterBench, cluster: DaskCluster) -> None:
    """Wait until Dask knows none of our tasks: what it had moved to another worker has been denied or withdrawn."""
    with cluster.client() as client:
        bench.await_true(lambda: client.run_on_scheduler(known_tasks) == [], "the cluster has forgotten all runs")


def require_no_second_start(bench: ClusterBench, cluster: DaskCluster, *runs: tuple[BenchRun, Marks]) -> None:
    """Also after another run has passed through the cluster."""
    after, _ = bench.begin(tasks.brief, f"after-{len(bench.runs)}")
    bench.ended(after)
    await_forgotten(bench, cluster)
    assert [len(marks.starts) for _, marks in runs] == [1] * len(runs)
    assert [len(bench.ends(run)) for run, _ in runs] == [1] * len(runs)


def worker_of(bench: ClusterBench, cluster: DaskCluster, run: BenchRun) -> str:
    """Return the name of the worker on which a run is."""
    name = bench.place_of(run).worker
    assert name in cluster.workers, name
    return name


@pytest.mark.parametrize("task", [tasks.beat, tasks.ignore])
def test_a_run_whose_worker_is_killed_is_lost_at_once(
    make_cluster: MakeCluster, make_bench: MakeBench, task: Callable[..., object]
) -> None:
    cluster = make_cluster("a", "b")
    bench = make_bench(cluster, lease=lease_of())
    run, marks = bench.enter(task, "victim")
    name = worker_of(bench, cluster, run)

    cluster.workers[name].kill()
    killed = mono()

    lost = bench.await_lost(run, LOST_SECONDS + SLACK_SECONDS)
    stopped = marks.await_stop(SLACK_SECONDS)
    assert lost.error is not None
    assert name in str(lost.error), lost.error
    assert "nothing was heard" not in str(lost.error), lost.error
    assert stopped - SLACK_SECONDS < lost.stopped_by < killed + TTL + GRACE + SLACK_SECONDS
    require_no_second_start(bench, cluster, (run, marks))


def test_what_executes_beside_a_killed_worker_is_not_disturbed(
    make_cluster: MakeCluster, make_bench: MakeBench
) -> None:
    cluster = make_cluster("a", "b", slots=2)
    bench = make_bench(cluster)
    runs = [bench.enter(tasks.beat, f"run-{number}") for number in range(4)]
    lost = [each for each in runs if worker_of(bench, cluster, each[0]) == "a"]
    others = [each for each in runs if each not in lost]

    cluster.workers["a"].kill()
    for run, _ in lost:
        bench.await_lost(run, LOST_SECONDS + SLACK_SECONDS)

    assert len(lost) == len(others) == 2
    for run, marks in others:
        assert run.handle.is_alive()
        before = marks.second()
        bench.await_true(lambda marks=marks, before=before: marks.second() > before, "it still beats")  # type: ignore[misc]
        bench.cancel(run)
        assert bench.ended(run).how is How.RETURNED
    require_no_second_start(bench, cluster, *runs)


def test_a_killed_nanny_takes_its_worker_and_the_runs_along(make_cluster: MakeCluster, make_bench: MakeBench) -> None:
    cluster = make_cluster("a", "b", nanny=True)
    bench = make_bench(cluster, lease=lease_of())
    run, marks = bench.enter(tasks.beat, "victim")

    cluster.workers[worker_of(bench, cluster, run)].kill()

    bench.await_lost(run, TTL + SLACK_SECONDS)
    marks.await_stop(TTL + GRACE + SLACK_SECONDS)
    require_no_second_start(bench, cluster, (run, marks))


def test_a_worker_that_its_nanny_starts_again_takes_new_runs(make_cluster: MakeCluster, make_bench: MakeBench) -> None:
    """The new process has another agent: it must not be asked for the run of the old one."""
    cluster = make_cluster("a", nanny=True)
    bench = make_bench(cluster)
    run, marks = bench.enter(tasks.beat, "victim")

    with cluster.client() as client:
        [pid] = client.run(os.getpid).values()
    os.kill(pid, signal.SIGKILL)

    bench.await_lost(run, LOST_SECONDS + SLACK_SECONDS)
    require_no_second_start(bench, cluster, (run, marks))


@pytest.mark.parametrize("nanny", [False, True])
def test_a_worker_that_is_terminated_ends_its_runs_first(
    make_cluster: MakeCluster, make_bench: MakeBench, nanny: bool
) -> None:
    cluster = make_cluster("a", "b", nanny=nanny)
    bench = make_bench(cluster, lease=lease_of())
    run, marks = bench.enter(tasks.beat, "drained")

    cluster.workers[worker_of(bench, cluster, run)].signal(signal.SIGTERM)

    end = bench.await_end(run, TTL + GRACE + SLACK_SECONDS)
    _require_stopped_or_lost(end)
    assert end.how is How.RAISED or not nanny, "without a nanny, Dask ends the process and does not close the worker"
    marks.await_stop(GRACE + SLACK_SECONDS)
    require_no_second_start(bench, cluster, (run, marks))


def test_a_worker_that_is_terminated_waits_for_a_run_that_it_has_to_kill(
    make_cluster: MakeCluster, make_bench: MakeBench
) -> None:
    cluster = make_cluster("a", nanny=True)
    bench = make_bench(cluster)
    run, marks = bench.enter(tasks.ignore, "deaf")

    cluster.workers["a"].signal(signal.SIGTERM)

    end = bench.await_end(run, GRACE + 8.0 + SLACK_SECONDS)
    assert (end.how, end.was_requested) == (How.RAISED, False), end
    assert "has stopped it: the worker is closing" in str(end.error)
    assert "SIGKILL after " in str(end.error)
    marks.await_stop(SLACK_SECONDS)


def test_a_retired_worker_ends_its_runs_and_none_moves_elsewhere(
    make_cluster: MakeCluster, make_bench: MakeBench
) -> None:
    cluster = make_cluster("a", "b")
    bench = make_bench(cluster, lease=lease_of())
    run, marks = bench.enter(tasks.beat, "retired")
    address = cluster.address_of(worker_of(bench, cluster, run))

    with cluster.client() as client:
        client.retire_workers([address], close_workers=True)

    _require_stopped_or_lost(bench.await_end(run, TTL + GRACE + SLACK_SECONDS))
    marks.await_stop(GRACE + SLACK_SECONDS)
    require_no_second_start(bench, cluster, (run, marks))


def _require_stopped_or_lost(end: RunEnded) -> None:
    """A worker that closes may be gone before it has said how its run ended."""
    assert end.how is How.LOST or (end.error is not None and "stopped" in str(end.error)), end
    assert not end.was_requested, end


def test_a_killed_dask_scheduler_stops_all_runs_and_a_new_one_takes_new_runs(
    make_cluster: MakeCluster, make_bench: MakeBench
) -> None:
    cluster = make_cluster("a", "b")
    bench = make_bench(cluster, lease=lease_of(), patience=60.0)
    polite, deaf = bench.enter(tasks.beat, "polite"), bench.enter(tasks.ignore, "deaf")
    assert cluster.scheduler is not None

    cluster.scheduler.kill()

    polite[1].await_stop(1.0 + SLACK_SECONDS)
    deaf[1].await_stop(TTL + GRACE + SLACK_SECONDS)
    # The connection may come back, and the runs with it: so they are only unreachable at first.
    for run, _ in (polite, deaf):
        bench.await_report(run, RunUnreachable, TTL + PERIOD + SLACK_SECONDS)
        bench.await_lost(run, UNREACHABLE_SECONDS + SLACK_SECONDS)
    # Workers without a scheduler close, as Dask does it.
    for worker in cluster.workers.values():
        worker.join()
    cluster.start_scheduler()
    cluster.add_workers("c")
    require_no_second_start(bench, cluster, polite, deaf)


def test_a_killed_program_leaves_no_run_beyond_the_lease(make_cluster: MakeCluster, make_bench: MakeBench) -> None:
    cluster = make_cluster("a", "b")
    bench = make_bench(cluster, lease=lease_of())  # its folder, for the marks
    names = ["beat", "ignore"]
    program = subprocess.Popen(
        [sys.executable, "-m", "tests.support.cluster_program", cluster.address, str(bench.folder.path), *names],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
    )
    marks = [Marks(bench.folder.path, name) for name in names]
    for each in marks:
        each.await_start()

    program.kill()
    program.wait()
    killed = mono()

    for each in marks:
        assert each.await_stop(TTL + GRACE + SLACK_SECONDS) < killed + TTL + GRACE + SLACK_SECONDS
        assert len(each.starts) == 1
    # The cluster is as good as new for another program.
    require_no_second_start(bench, cluster)


def test_a_worker_killed_after_the_end_of_a_run_does_not_run_it_again(
    make_cluster: MakeCluster, make_bench: MakeBench
) -> None:
    """It alone had the result, so Dask would execute the task again if anything held its future."""
    cluster = make_cluster("a")
    bench = make_bench(cluster)
    run, marks = bench.begin(tasks.brief, "done")
    assert bench.ended(run).how is How.RETURNED
    cluster.add_worker("b")

    cluster.workers["a"].kill()

    require_no_second_start(bench, cluster, (run, marks))


def test_a_stopped_worker_cannot_keep_its_runs_alive(make_cluster: MakeCluster, make_bench: MakeBench) -> None:
    """The supervisor of each run ends it with the lease, though the process that would say so is frozen."""
    cluster = make_cluster("a")
    bench = make_bench(cluster, lease=lease_of())
    polite, deaf = bench.enter(tasks.beat, "polite"), bench.enter(tasks.ignore, "deaf")

    cluster.workers["a"].signal(signal.SIGSTOP)
    frozen = mono()

    for _, marks in (polite, deaf):
        assert marks.await_stop(TTL + GRACE + SLACK_SECONDS) < frozen + TTL + GRACE + SLACK_SECONDS
    for run, _ in (polite, deaf):
        assert bench.await_report(run, RunUnreachable, TTL + PERIOD + SLACK_SECONDS).since <= frozen + SLACK_SECONDS
        bench.await_lost(run, UNREACHABLE_SECONDS + PERIOD + SLACK_SECONDS)
    cluster.workers["a"].signal(signal.SIGCONT)
    for run, marks in (polite, deaf):
        assert len(marks.starts) == 1
        bench.await_true(run.handle.is_gone, "the lost run is gone")
        assert len(bench.reports_about(run, RunReleased)) <= 1
    require_no_second_start(bench, cluster, polite, deaf)
