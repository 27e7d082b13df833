"""Runs on a cluster in which nothing breaks: start, place, log, numbers, cancel, queue and races."""

from __future__ import annotations

import os
import random
import socket
import threading
from collections.abc import Callable

import pytest
from tests.support import cluster_tasks as tasks
from tests.support.cluster_bench import CALM_LEASE, ClusterBench, MakeBench, MakeCluster
from tests.support.cluster_faults import known_tasks
from tests.support.cluster_tasks import Marks
from tests.support.dask_cluster import SLOTS, DaskCluster

from taskloom.clock import mono
from taskloom.core.inputs import RunEnded, RunStarted
from taskloom.core.model import How
from taskloom.testing.runner_bench import caught_log

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

# The marker files are on this machine, and so are all workers.
LONG_JOBS = 200
QUEUED = 1000
RACES = 800
# Much less than the period of the requests that go out anyway: a cancel does not wait for the next one.
LONG_PERIOD = {"ttl": 60.0, "grace": 5.0, "period": 20.0}
SOON_SECONDS = 0.25
SEED = int(os.environ.get("TASKLOOM_SEED", "20261129"))


def test_a_run_starts_on_a_worker_and_says_where(bench: ClusterBench, cluster: DaskCluster) -> None:
    run, marks = bench.enter(tasks.beat, "one")

    bench.await_true(lambda: bench.place_of(run).pid, "the main process of the run is known")
    bench.await_true(lambda: bench.reports_about(run, RunStarted), "the run has started")
    place = bench.place_of(run)
    assert place.host in (socket.gethostname(), "127.0.0.1")
    assert place.worker in cluster.workers
    assert place.pid == marks.starts[0].pid
    assert len(bench.reports_about(run, RunStarted)) == 1


def test_a_run_is_cancelled_and_ends(bench: ClusterBench) -> None:
    run, marks = bench.enter(tasks.beat, "one")

    bench.cancel(run)

    assert bench.ended(run) == RunEnded(run.id, How.RETURNED, None, True, False)
    marks.await_stop()
    assert len(marks.starts) == 1


def test_what_a_run_logs_prints_and_counts_arrives(bench: ClusterBench) -> None:
    with caught_log() as records:
        run, _ = bench.enter(tasks.speak, "speaker")
        bench.await_true(lambda: run.handle.gauges.counts.get("lines") == 7, "the counter has arrived")
        bench.await_true(lambda: len(records) >= 2, "both lines have arrived")
        bench.cancel(run)
        bench.ended(run)

    said = [record.getMessage() for record in records]
    assert sorted(said) == ["says hello", "speaker prints this"]
    assert {getattr(record, "run", None) for record in records} == {run.id}
    progress = run.handle.gauges.progress
    assert progress is not None
    assert progress[:3] == (2, 5, "files")


def test_the_error_of_a_task_arrives(bench: ClusterBench) -> None:
    run, _ = bench.begin(tasks.fail, "lamp")

    report = bench.ended(run)

    assert report.how is How.RAISED
    assert report.error is not None
    assert (report.error.type, report.error.message) == ("ValueError", "lamp finds no device")
    assert "in fail" in report.error.traceback


def test_nothing_stays_in_the_cluster_after_the_end(bench: ClusterBench, cluster: DaskCluster) -> None:
    """A task that the cluster still knew could be executed again when a worker dies."""
    for number in range(5):
        run, _ = bench.begin(tasks.brief, f"brief-{number}")
        bench.ended(run)

    with cluster.client() as client:
        bench.await_true(lambda: client.run_on_scheduler(known_tasks) == [], "the cluster has forgotten the runs")


def test_the_cancel_of_each_of_200_runs_is_seen_soon(make_cluster: MakeCluster, make_bench: MakeBench) -> None:
    """`make bench`, row 18, measures it; this bound also holds on a busy machine."""
    cluster = make_cluster("a", "b", "c", "d", slots=LONG_JOBS // 4)
    # More patience: the processors have enough to do with the starts.
    bench = make_bench(cluster, lease=LONG_PERIOD, patience=100.0)
    runs = [bench.begin(tasks.see_cancel, f"long-{number}") for number in range(LONG_JOBS)]
    bench.await_true(lambda: all(marks.starts for _, marks in runs), "all runs were entered")

    seen = []
    for run, marks in runs:
        asked = mono()
        bench.cancel(run)
        assert bench.ended(run).how is How.RETURNED
        seen.append(marks.second("seen") - asked)

    seen.sort()
    assert seen[int(0.99 * LONG_JOBS)] < SOON_SECONDS, seen[-5:]
    assert all(len(marks.starts) == 1 for _, marks in runs)


@pytest.mark.parametrize("finishing", [100, pytest.param(QUEUED, marks=pytest.mark.long)])
@pytest.mark.timeout(400)
def test_a_thousand_short_runs_pass_through_ten_slots(
    make_cluster: MakeCluster, make_bench: MakeBench, finishing: int
) -> None:
    """Those that are still queued when enough have finished are cancelled, and end without a start."""
    cluster = make_cluster("a", "b", slots=5)
    bench = make_bench(cluster, patience=300.0, lease=CALM_LEASE)

    runs = [bench.begin(tasks.brief, f"short-{number}") for number in range(QUEUED)]
    bench.await_true(lambda: len(_ends(bench)) >= finishing, f"{finishing} runs have ended")
    for run, _ in runs:
        bench.cancel(run)
    bench.await_true(lambda: len(_ends(bench)) == QUEUED, "all runs have ended")

    entered = {end.run for end in _ends(bench) if end.how is How.RETURNED}
    assert {end.how for end in _ends(bench)} <= {How.RETURNED, How.NOT_ENTERED}
    assert len(entered) >= finishing
    assert [len(marks.starts) for _, marks in runs] == [int(run.id in entered) for run, _ in runs]
    assert sum(marks.starts != [] for _, marks in runs[:finishing]) == finishing, "first in, first out"


def test_a_queued_run_that_is_cancelled_never_starts(bench: ClusterBench) -> None:
    """All slots are taken: it has to end at once, and must not be entered when a slot becomes free."""
    busy = [bench.enter(tasks.beat, f"busy-{number}") for number in range(2 * SLOTS)]
    queued, marks = bench.begin(tasks.beat, "queued")
    bench.cancel(queued)

    assert bench.ended(queued) == RunEnded(queued.id, How.NOT_ENTERED, None, True, False)
    for run, _ in busy:
        bench.cancel(run)
    for run, _ in busy:
        bench.ended(run)
    after, _ = bench.begin(tasks.brief, "after")
    bench.ended(after)
    assert marks.starts == []


def test_random_cancels_that_race_with_the_start_never_give_a_wrong_verdict(
    make_cluster: MakeCluster, make_bench: MakeBench, record_property: Callable[[str, object], None]
) -> None:
    """A run that was entered has to end as entered, one that was not as not entered; each once, on any schedule."""
    record_property("told", f"TASKLOOM_SEED={SEED} for the races of starts and cancels")
    chance = random.Random(SEED)
    cluster = make_cluster("a", "b", slots=SLOTS)
    bench = make_bench(cluster, lease=CALM_LEASE)
    for group in range(RACES // (4 * SLOTS)):
        _race(bench, [f"race-{group}-{number}" for number in range(4 * SLOTS)], chance)

    starts = {run.id: len(_marks(bench, number).starts) for number, run in enumerate(bench.runs)}
    assert set(starts.values()) <= {0, 1}
    assert len(bench.runs) == len(_ends(bench)) == RACES
    for end in _ends(bench):
        assert end.how in (How.RETURNED, How.NOT_ENTERED), end
        assert end.was_requested, end
        assert starts[end.run] == (end.how is How.RETURNED), end
    with cluster.client() as client:
        bench.await_true(lambda: client.run_on_scheduler(known_tasks) == [], "the cluster has forgotten the runs")


def _race(bench: ClusterBench, names: list[str], chance: random.Random) -> None:
    """Start more runs than there are slots, and cancel each at a random moment: about its start, or while queued."""
    runs = [bench.begin(tasks.beat, name)[0] for name in names]
    order = [(chance.uniform(0.0, 1.5) if chance.random() < 0.8 else 0.0, run) for run in runs]
    began = mono()
    for delay, run in sorted(order, key=lambda each: each[0]):
        threading.Event().wait(max(0.0, began + delay - mono()))
        bench.cancel(run)
    for run in runs:
        bench.end(run)


def _marks(bench: ClusterBench, number: int) -> Marks:
    each = 4 * SLOTS
    return Marks(bench.folder.path, f"race-{number // each}-{number % each}")


def _ends(bench: ClusterBench) -> list[RunEnded]:
    return [each for each in list(bench.reports) if isinstance(each, RunEnded)]
