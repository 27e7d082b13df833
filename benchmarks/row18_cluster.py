"""Row 18: 200 runs on a Dask cluster of 4 workers: their start, how soon each cancellation is seen, and a stop of all.

The limit is what Dask itself needs for the same way: `client.run` of a function that does nothing, on one worker, as
often, in the same cluster, while the runs are executing. The figures of a cancellation include the way into the process
of the run, which the limit does not have.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Condition
from typing import Any

from dask_processes import dask_cluster
from harness import Case, Figures, Limit, Role, Row
from process_task import Waiter

from taskloom import Event, EventName, Job, JobHandle, Outcome, Scheduler

WORKERS = 4
# The size that only tests the benchmark itself.
TINY, TINY_WORKERS = 4, 2
# Only a failure takes longer.
PATIENCE_SECONDS = 120.0


async def _echo(text: str) -> str:
    return text


class _Counted:
    """Counts the events of one kind."""

    def __init__(self, scheduler: Scheduler, kind: EventName) -> None:
        self._changed = Condition()
        self._kind = kind
        self._count = 0
        self._failed = ""
        scheduler.listen(self._hear)

    def _hear(self, event: Event) -> None:
        with self._changed:
            if event.event is self._kind:
                self._count += 1
            if event.event is EventName.ENDED and event.outcome is not Outcome.CANCELLED:
                self._failed = f"{event.run} has {event.outcome}: {event.error}"
            self._changed.notify_all()

    def wait_for(self, count: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._failed or self._count >= count, PATIENCE_SECONDS)
            if self._failed:
                raise RuntimeError(self._failed)
            if self._count < count:
                raise TimeoutError(f"{self._count} of {count} runs: {self._kind.value}")


def _cluster(runs: int) -> AbstractContextManager[tuple[str, Any]]:
    """A cluster with a slot for each run; its address and a client."""
    workers = TINY_WORKERS if runs == TINY else WORKERS
    return dask_cluster(workers, -(-runs // workers))


def runs_on_cluster(times: int) -> Figures:
    """Start all runs at once, cancel one after the other, start all again and stop all at once."""
    with _cluster(times) as (address, client), TemporaryDirectory() as folder, Scheduler(log=False) as scheduler:
        paths = [Path(folder) / str(number) for number in range(times)]
        runner = {"dask": {"scheduler": address}}
        jobs = [
            scheduler.add(Job(name=f"j{path.name}", task=Waiter, params={"path": str(path)}, runner=runner))
            for path in paths
        ]
        ready, ended = _Counted(scheduler, EventName.READY), _Counted(scheduler, EventName.ENDED)
        # The connection to the cluster is made by the first run.
        _start(jobs[:1], ready, 1)
        _stop_one(jobs[0], paths[0])
        started = _start(jobs, ready, 1 + times)
        echoes = _echoes(client, times)
        cancels = sorted(_stop_one(*each) for each in zip(jobs, paths, strict=True))
        _start(jobs, ready, 1 + 2 * times)
        asked = time.monotonic()
        scheduler.stop(within=PATIENCE_SECONDS)
        ended.wait_for(1 + 2 * times)
        all_ended = time.monotonic() - asked
        all_seen = max(float(path.read_text()) for path in paths) - asked
    return {
        "start_ms": started * 1e3,
        "p50_ms": _at(cancels, 0.5) * 1e3,
        "p99_ms": _at(cancels, 0.99) * 1e3,
        "echo_times": _at(cancels, 0.5) / _at(echoes, 0.5),
        "all_seen_ms": all_seen * 1e3,
        "all_ms": all_ended * 1e3,
    }


def _start(jobs: list[JobHandle], ready: _Counted, count: int) -> float:
    """Start the jobs and wait until they are ready; return how many seconds that takes."""
    began = time.monotonic()
    for job in jobs:
        job.start(timeout=0)
    ready.wait_for(count)
    return time.monotonic() - began


def _stop_one(job: JobHandle, path: Path) -> float:
    """Cancel the run of a job and wait for its end; return after how many seconds it has seen that."""
    run = job.run
    if run is None:
        raise RuntimeError(f"{job} has no run")
    asked = time.monotonic()
    run.cancel("enough")
    if not run.join(PATIENCE_SECONDS):
        raise TimeoutError(f"{run} has not ended")
    return float(path.read_text()) - asked


def _echoes(client: Any, times: int) -> list[float]:
    """Call the workers in turn; return how many seconds each call takes, sorted."""
    workers = sorted(client.scheduler_info(n_workers=-1)["workers"])
    for worker in workers:  # connections are made, and modules imported
        _echo_once(client, worker)
    return sorted(_echo_once(client, workers[number % len(workers)]) for number in range(times))


def _echo_once(client: Any, worker: str) -> float:
    began = time.monotonic()
    client.run(_echo, "x", workers=[worker])
    return time.monotonic() - began


def _at(ordered: list[float], share: float) -> float:
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def echoes_alone(times: int) -> Figures:
    """Call each worker in turn, in a cluster without runs."""
    with _cluster(times) as (_, client):
        seconds = _echoes(client, times)
    return {"p50_ms": _at(seconds, 0.5) * 1e3, "p99_ms": _at(seconds, 0.99) * 1e3}


ROW = Row(
    number=18,
    title="runs on a Dask cluster",
    cases=[
        Case("runner: dask", Role.PRODUCT, runs_on_cluster, needs="distributed"),
        Case("client.run of an echo", Role.LIMIT, echoes_alone, needs="distributed"),
    ],
    figures={
        "start_ms": "ms until all are ready",
        "p50_ms": "ms until a cancel is seen, median",
        "p99_ms": "ms, 99 of 100",
        "echo_times": "x an echo in the same cluster",
        "all_seen_ms": "ms until a stop of all is seen by all",
        "all_ms": "ms until all have ended",
    },
    claims=[
        Limit("runner: dask", "p99_ms", hold=50.0),
        Limit("runner: dask", "all_ms", hold=1000.0),
        # A cancel goes through two more processes than an echo: the agent's child and its supervisor.
        Limit("runner: dask", "echo_times", hold=8.0),
    ],
    full=200,
    quick=40,
    tiny=TINY,
    most_rounds=2,
)
