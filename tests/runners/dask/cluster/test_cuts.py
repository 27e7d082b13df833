"""Cables between the parts of a cluster are cut for a while, on one machine by a proxy.

The cuts are shorter than the ttl of the lease, longer than ttl + grace, and so long that the run is lost: usually a few
seconds with a short lease, and 4, 15 and 60 s with the tests marked `partition`.

A proxy confirms to both sides what it does not pass on, so Dask notices less than with a real cut: the lease alone
decides. tests/runners/dask/cluster/test_partitions.py does the same between hosts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple

import pytest
from tests.support import cluster_tasks as tasks
from tests.support.cluster_bench import ClusterBench, MakeBench, MakeCluster, lease_of
from tests.support.cluster_tasks import Marks
from tests.support.dask_cluster import DaskCluster, free_port
from tests.support.tcp_proxy import TcpProxy

from taskloom.clock import mono
from taskloom.core.inputs import RunEnded
from taskloom.core.model import How
from taskloom.core.run_reports import RunReachable, RunUnreachable
from taskloom.testing.runner_bench import BenchRun
from taskloom.testing.runner_tasks import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

SLACK_SECONDS = 3.0


class Terms(NamedTuple):
    """A lease, and the seconds of the cuts."""

    ttl: float
    grace: float
    period: float
    short: float
    """Less than ttl - period, which is left at least when the cut begins."""
    middle: float
    """More than ttl + grace."""
    long: float
    """More than ttl + grace + 10 s."""

    @property
    def lease(self) -> dict[str, float]:
        return lease_of(self.ttl, self.grace, self.period)

    @property
    def stop(self) -> float:
        """Until when a run that is cut off has ended there, from the begin of the cut."""
        return self.ttl + self.grace + SLACK_SECONDS

    @property
    def cuts(self) -> tuple[float, float, float]:
        return self.short, self.middle, self.long


SCALED = Terms(5.0, 1.0, 1.0, short=2.0, middle=9.0, long=18.0)
REAL = Terms(6.0, 1.0, 1.0, short=4.0, middle=15.0, long=60.0)


class Cut(NamedTuple):
    """One run, and the cable that is cut for a while."""

    seconds: float
    cable: TcpProxy
    bench: ClusterBench
    run: BenchRun
    marks: Marks

    def ends(self) -> list[object]:
        return list(self.bench.ends(self.run))


@pytest.fixture(params=[SCALED, pytest.param(REAL, marks=pytest.mark.partition)], ids=["scaled", "real"])
def terms(request: pytest.FixtureRequest) -> Terms:
    found: Terms = request.param
    return found


@pytest.fixture
def cables(terms: Terms) -> Iterator[dict[float, TcpProxy]]:
    """A cable for each cut."""
    with ExitStack() as stack:
        yield {seconds: stack.enter_context(TcpProxy()) for seconds in terms.cuts}


@pytest.fixture
def cable() -> Iterator[TcpProxy]:
    with TcpProxy() as made:
        yield made


def until(second: float) -> None:
    """Let the time pass of which a cut consists."""
    wait_until(lambda: False, max(0.0, second - mono()))


def judge(terms: Terms, cuts: list[Cut]) -> None:
    """Cut all cables at once, repair each at its time, and check what happens to each run."""
    short, middle, long = cuts
    for cut in cuts:
        cut.cable.cut()
    began = mono()
    until(began + short.seconds)
    short.cable.heal()
    # The lease has ended there, whatever is known here.
    for cut in (middle, long):
        assert cut.marks.await_stop(began + terms.stop - mono()) < began + terms.stop
        since = cut.bench.await_report(cut.run, RunUnreachable, terms.ttl + SLACK_SECONDS).since
        assert began - terms.period - SLACK_SECONDS < since < began + SLACK_SECONDS
    until(began + middle.seconds)
    assert middle.ends() == []
    middle.cable.heal()
    _judge_short(terms, short)
    _judge_middle(terms, middle)
    lost = long.bench.await_lost(long.run, terms.stop + 10.0)
    assert lost.stopped_by < began + terms.stop + (mono() - began)
    until(began + long.seconds)
    long.cable.heal()
    long.bench.await_true(long.run.handle.is_gone, "the lost run is gone")
    for cut in cuts:
        assert len(cut.marks.starts) == 1, cut
        assert len(cut.ends()) == 1, cut


def _judge_short(terms: Terms, cut: Cut) -> None:
    """The lease has survived."""
    seen = mono()
    cut.bench.await_true(lambda: cut.marks.second() > seen, "the run with the short cut still executes")
    assert cut.ends() == []
    cut.bench.cancel(cut.run)
    end = cut.bench.await_end(cut.run, SLACK_SECONDS + 2 * terms.period)
    assert end == RunEnded(cut.run.id, How.RETURNED, None, True, False)


def _judge_middle(terms: Terms, cut: Cut) -> None:
    """Its end is known again before it would have been lost."""
    end = cut.bench.await_end(cut.run, SLACK_SECONDS + 3 * terms.period)
    assert end.how is not How.LOST, end
    assert cut.bench.reports_about(cut.run, RunReachable) != []


def test_a_worker_that_is_cut_off(
    make_cluster: MakeCluster, make_bench: MakeBench, cables: dict[float, TcpProxy], terms: Terms
) -> None:
    cluster: DaskCluster = make_cluster()
    for seconds, cable in cables.items():
        port = free_port()
        places = ["--listen-address", f"tcp://127.0.0.1:{port}"]
        places += ["--contact-address", f"tcp://127.0.0.1:{cable.forward(port)}"]
        scheduler = f"tcp://127.0.0.1:{cable.forward(cluster.port)}"
        cluster.begin_worker(f"w{seconds:g}", scheduler=scheduler, arguments=places)
    for worker in cluster.workers.values():
        worker.await_ready()
    cuts = []
    for seconds, cable in cables.items():
        bench = make_bench(cluster, lease=terms.lease, workers=[f"w{seconds:g}"], patience=60.0)
        cuts.append(Cut(seconds, cable, bench, *bench.enter(tasks.beat, f"cut-{seconds:g}")))

    judge(terms, cuts)


def test_a_program_that_is_cut_off(
    make_cluster: MakeCluster, make_bench: MakeBench, cables: dict[float, TcpProxy], terms: Terms
) -> None:
    cluster = make_cluster("a")
    cuts = []
    for seconds, cable in cables.items():
        address = f"tcp://127.0.0.1:{cable.forward(cluster.port)}"
        bench = make_bench(cluster, scheduler=address, lease=terms.lease, patience=60.0)
        cuts.append(Cut(seconds, cable, bench, *bench.enter(tasks.beat, f"cut-{seconds:g}")))

    judge(terms, cuts)

    # And each is whole again.
    for cut in cuts:
        run, _ = cut.bench.begin(tasks.brief, f"after-{cut.seconds:g}")
        assert cut.bench.ended(run).how is How.RETURNED


def test_a_run_on_a_slow_network_is_started_and_cancelled(
    make_cluster: MakeCluster, make_bench: MakeBench, cable: TcpProxy
) -> None:
    cluster = make_cluster("a")
    cable.delay(0.2)
    bench = make_bench(cluster, scheduler=f"tcp://127.0.0.1:{cable.forward(cluster.port)}", patience=60.0)

    run, marks = bench.enter(tasks.beat, "slow")
    bench.cancel(run)

    assert bench.ended(run).how is How.RETURNED
    assert len(marks.starts) == 1


def test_a_program_whose_connections_are_reset_comes_back(
    make_cluster: MakeCluster, make_bench: MakeBench, cable: TcpProxy
) -> None:
    """The scheduler forgets the tasks of a client that has gone; the run goes on, and starts once."""
    cluster = make_cluster("a")
    bench = make_bench(cluster, scheduler=f"tcp://127.0.0.1:{cable.forward(cluster.port)}", patience=60.0)
    run, marks = bench.enter(tasks.beat, "reset")

    cable.reset()
    after, _ = bench.begin(tasks.brief, "after")

    assert bench.ended(after).how is How.RETURNED
    bench.cancel(run)
    assert bench.ended(run).how is How.RETURNED
    marks.await_stop(SCALED.stop)
    assert len(marks.starts) == 1
