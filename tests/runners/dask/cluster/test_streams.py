"""A worker whose streams send nothing for an hour, as Dask's do after a jump of the wall clock (pitfall 5)."""

from __future__ import annotations

import pytest
from tests.support import cluster_tasks as tasks
from tests.support.cluster_bench import PERIOD, ClusterBench, MakeBench, MakeCluster
from tests.support.cluster_faults import freeze_streams
from tests.support.dask_cluster import DaskCluster

from taskloom.clock import mono
from taskloom.core.inputs import RunEnded
from taskloom.core.model import How
from taskloom.core.run_reports import RunUnreachable

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

# Each step of a run needs one request of a period instead of an event. The first one may begin with an attach.
STEP_SECONDS = 2 * PERIOD + 15.0
SLACK_SECONDS = 5.0


def freeze(cluster: DaskCluster) -> None:
    with cluster.client() as client:
        [frozen] = client.run(freeze_streams).values()
    assert frozen > 3000.0, f"the streams are frozen for {frozen} s only: this Dask does not have the fault any more"


def end_by_cancel(bench: ClusterBench, name: str) -> None:
    """Let a run be claimed, entered, cancelled and reported."""
    asked = mono()
    run, marks = bench.enter(tasks.see_cancel, name)
    assert marks.starts[0].second < asked + STEP_SECONDS
    cancelled = mono()
    bench.cancel(run)
    assert bench.await_end(run, STEP_SECONDS) == RunEnded(run.id, How.RETURNED, None, True, False)
    # The cancel is a request, which does not need the stream.
    assert marks.second("seen") < cancelled + SLACK_SECONDS
    assert len(marks.starts) == 1


def test_a_run_is_claimed_and_reported_though_the_streams_of_its_worker_are_frozen(
    make_cluster: MakeCluster, make_bench: MakeBench
) -> None:
    cluster = make_cluster("a")
    bench = make_bench(cluster)
    freeze(cluster)

    end_by_cancel(bench, "after the fault")


def test_a_run_is_cancelled_and_reported_though_the_streams_have_frozen_meanwhile(
    make_cluster: MakeCluster, make_bench: MakeBench
) -> None:
    cluster = make_cluster("a")
    bench = make_bench(cluster)
    run, marks = bench.enter(tasks.see_cancel, "before the fault")
    freeze(cluster)

    bench.cancel(run)

    assert bench.await_end(run, STEP_SECONDS).how is How.RETURNED
    assert len(marks.starts) == 1
    assert bench.reports_about(run, RunUnreachable) == []
    # A slot whose Dask task never reports its end would be occupied for ever.
    for number in range(6):
        end_by_cancel(bench, f"later-{number}")
