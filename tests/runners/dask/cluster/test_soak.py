"""Random trouble for a while: TASKLOOM_SOAK_SECONDS=600 makes it ten minutes."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable

import pytest
from tests.support import cluster_tasks as tasks
from tests.support.cluster_bench import GRACE, TTL, ClusterBench, MakeBench, MakeCluster, lease_of
from tests.support.cluster_tasks import Marks
from tests.support.dask_cluster import DaskCluster

from taskloom.clock import mono
from taskloom.core.inputs import RunEnded
from taskloom.core.model import How
from taskloom.testing.runner_bench import BenchRun
from taskloom.testing.runner_tasks import wait_until

SECONDS = float(os.environ.get("TASKLOOM_SOAK_SECONDS", "15"))
SEED = int(os.environ.get("TASKLOOM_SEED", "20261129"))
# The whole end: a stopped worker's runs are lost after ttl + grace + 10 s.
END_SECONDS = TTL + GRACE + 10.0 + 30.0

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(SECONDS + END_SECONDS + 60)]

WORKERS = 5
SLOTS = 2
TROUBLE_SECONDS = 2.0


def test_random_kills_never_start_a_run_twice_and_every_run_ends(
    make_cluster: MakeCluster, make_bench: MakeBench, record_property: Callable[[str, object], None]
) -> None:
    record_property("told", f"TASKLOOM_SEED={SEED} for the random kills")
    chance = random.Random(SEED)
    cluster = make_cluster(*(f"w{number}" for number in range(WORKERS)), slots=SLOTS)
    bench = make_bench(cluster, lease=lease_of(), patience=END_SECONDS)
    runs: list[tuple[BenchRun, Marks]] = []
    end, next_trouble = mono() + SECONDS, mono() + TROUBLE_SECONDS
    while mono() < end:
        _act(bench, runs, chance)
        if mono() > next_trouble:
            _trouble(cluster, chance)
            next_trouble = mono() + chance.uniform(0.5, 2.0) * TROUBLE_SECONDS
    for worker in cluster.workers.values():
        if worker.is_alive():
            worker.signal(signal.SIGCONT)
    for run, _ in runs:
        bench.cancel(run)
    _judge(bench, runs)


def _act(bench: ClusterBench, runs: list[tuple[BenchRun, Marks]], chance: random.Random) -> None:
    """Start a run if few are alive, else cancel one; then wait a moment."""
    alive = [run for run, _ in runs if run.handle.is_alive()]
    if len(alive) < 2 * WORKERS * SLOTS and chance.random() < 0.8:
        task = chance.choice([tasks.beat, tasks.brief, tasks.fail, tasks.see_cancel])
        runs.append(bench.begin(task, f"run-{len(runs)}"))
    elif alive:
        bench.cancel(chance.choice(alive))
    wait_until(lambda: False, chance.uniform(0.0, 0.2))


def _trouble(cluster: DaskCluster, chance: random.Random) -> None:
    """Do something to a worker. The ones that have ended are replaced first, so that the soak goes on."""
    for worker in cluster.workers.values():
        if worker.is_alive():
            worker.signal(signal.SIGCONT)
    cluster.replace_ended(slots=SLOTS)
    victim = chance.choice(list(cluster.workers.values()))
    victim.signal(chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP]))


def _judge(bench: ClusterBench, runs: list[tuple[BenchRun, Marks]]) -> None:
    """Each run ends once, was entered at most once, and none executes any more."""
    for run, marks in runs:
        bench.await_true(lambda run=run: bench.ends(run), f"{run.id} has ended")  # type: ignore[misc]
        assert len(bench.ends(run)) == 1, bench.reports_of(run)
        assert len(marks.starts) <= 1, marks.starts
        end = bench.ends(run)[0]
        if isinstance(end, RunEnded) and end.how is How.NOT_ENTERED:
            assert marks.starts == [], end
        if isinstance(end, RunEnded) and end.how in (How.RETURNED, How.RAISED):
            assert len(marks.starts) == 1, end
        marks.await_stop(TTL + GRACE + END_SECONDS)
