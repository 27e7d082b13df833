"""Hosts that are cut off a cluster for 4, 15 and 60 seconds, with the lease that jobs have unless they say otherwise.

Each host is a network namespace, so Dask sees a cut as it sees a real one. It takes minutes, and needs root.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.support import cluster_tasks as tasks
from tests.support.cluster_bench import ClusterBench, MakeBench, MakeCluster
from tests.support.cluster_tasks import Marks
from tests.support.dask_cluster import DaskCluster
from tests.support.network_hosts import NetworkHosts, allows_hosts

from taskloom.clock import mono
from taskloom.core.inputs import RunEnded
from taskloom.core.model import How
from taskloom.runners.dask.protocol.messages import Lease
from taskloom.testing.runner_bench import BenchRun
from taskloom.testing.runner_tasks import wait_until

pytestmark = [pytest.mark.partition, pytest.mark.timeout(400)]

LEASE = Lease()
SLACK_SECONDS = 3.0
# From the cut to the loss of an unreachable run, and some time for the cluster to become whole again.
VERDICT_SECONDS = LEASE.ttl + LEASE.grace + 10.0 + SLACK_SECONDS
MENDING_SECONDS = 90.0
CUTS = (4.0, 15.0, 60.0)


@pytest.fixture
def hosts(need_tool: Callable[[str], str]) -> Iterator[NetworkHosts]:
    """The hosts `program`, `scheduler`, `one` and `two`; the test is on the first."""
    ip = need_tool("ip")
    if not allows_hosts(ip):
        pytest.skip("LOUD: this machine allows no network namespaces; run it as root")
    with NetworkHosts(ip, "program", "scheduler", "one", "two") as hosts, hosts.inside_of("program"):
        yield hosts


@pytest.fixture
def cluster(hosts: NetworkHosts, make_cluster: MakeCluster) -> DaskCluster:
    """A cluster with one worker on each of two hosts."""
    cluster = make_cluster(host=hosts.address("scheduler"), inside=hosts.inside("scheduler"))
    for name in ("one", "two"):
        cluster.begin_worker(name, inside=hosts.inside(name), arguments=["--host", hosts.address(name)])
    for worker in cluster.workers.values():
        worker.await_ready()
    return cluster


@pytest.fixture
def bench(cluster: DaskCluster, make_bench: MakeBench) -> ClusterBench:
    """A runner on the host `program`, with the usual lease."""
    return make_bench(cluster, lease={}, insecure=True, patience=MENDING_SECONDS)


def cut_off(hosts: NetworkHosts, host: str, seconds: float) -> float:
    """Cut a host off for a while; return when that began."""
    hosts.cut(host)
    began = mono()
    wait_until(lambda: False, seconds)
    hosts.heal(host)
    return began


def judge(bench: ClusterBench, run: BenchRun, marks: Marks, began: float, seconds: float) -> RunEnded:
    """Check what has become of a run whose worker could not be reached; return its end."""
    if seconds < LEASE.period:
        before = mono()
        bench.await_true(lambda: marks.second() > before, "the run executes after so short a cut")
    if seconds < LEASE.ttl:
        bench.cancel(run)  # it may have survived; if the connection was closed, it is lost or about to be
    end = bench.await_end(run, VERDICT_SECONDS)
    stopped = marks.await_stop(VERDICT_SECONDS)
    if seconds > LEASE.ttl + LEASE.grace:
        assert marks.second() < began + LEASE.ttl + LEASE.grace + SLACK_SECONDS
        assert end.how is How.LOST, end
    if end.how is How.LOST:
        assert marks.second() < end.stopped_by, (end, stopped)
    assert len(marks.starts) == 1
    return end


def require_whole(bench: ClusterBench) -> None:
    """The program gets runs executed again."""
    run, _ = bench.begin(tasks.brief, f"after-{len(bench.runs)}")
    assert bench.ended(run).how is How.RETURNED


@pytest.mark.parametrize("seconds", CUTS)
def test_a_worker_host_that_is_cut_off(hosts: NetworkHosts, bench: ClusterBench, seconds: float) -> None:
    run, marks = bench.enter(tasks.beat, "victim")
    host = bench.place_of(run).worker

    began = cut_off(hosts, host, seconds)

    judge(bench, run, marks, began, seconds)
    require_whole(bench)


@pytest.mark.parametrize("seconds", CUTS)
def test_a_program_host_that_is_cut_off(hosts: NetworkHosts, bench: ClusterBench, seconds: float) -> None:
    runs = [bench.enter(tasks.beat, f"victim-{number}") for number in range(4)]

    began = cut_off(hosts, "program", seconds)

    for run, marks in runs:
        judge(bench, run, marks, began, seconds)
    require_whole(bench)


def test_a_run_that_is_lost_by_a_cut_never_overlaps_with_the_next(hosts: NetworkHosts, bench: ClusterBench) -> None:
    """The next one begins at `stopped_by`, while the host of the first is still cut off, and ignores its cancel."""
    run, marks = bench.enter(tasks.ignore, "first")
    host = bench.place_of(run).worker
    hosts.cut(host)
    lost = bench.await_lost(run, VERDICT_SECONDS)
    wait_until(lambda: False, lost.stopped_by - mono())

    _, second = bench.enter(tasks.beat, "second")

    assert marks.second() < second.starts[0].second
    marks.await_stop(0.0)
    hosts.heal(host)
    require_whole(bench)
    assert len(marks.starts) == len(second.starts) == 1
