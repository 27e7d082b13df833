"""Runs through the runner `dask` for the tests with a real cluster, and waits for its reports."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tests.support.cluster_tasks import Marks
from tests.support.dask_cluster import DaskCluster

from taskloom.core.inputs import RunEnded, RunStartFailed
from taskloom.core.model import How
from taskloom.core.run_reports import RunPlaced, Whereabouts
from taskloom.testing.runner_bench import BenchRun, RunnerBench
from taskloom.testing.runner_tasks import RunFolder

__all__ = [
    "CALM_LEASE",
    "CALM_TTL",
    "GRACE",
    "PERIOD",
    "TTL",
    "ClusterBench",
    "MakeBench",
    "MakeCluster",
    "cluster_bench",
    "lease_of",
    "options_for",
]

R = TypeVar("R")

# Short, for tests that wait for the end of a lease.
TTL, GRACE, PERIOD = 3.0, 1.0, 1.0
# For all others: a machine that hangs for some seconds must not end a run.
CALM_TTL = 20.0
# For tests that keep all processors busy.
CALM_LEASE = {"ttl": 20.0, "grace": 5.0, "period": 2.0}

MakeCluster = Callable[..., DaskCluster]
"""`make_cluster("a", "b", slots=4)`: names of workers and the options of `DaskCluster` and its workers."""


def lease_of(ttl: float = TTL, grace: float = GRACE, period: float = PERIOD) -> dict[str, float]:
    """Return the option `lease` of a job, as short as tests need that wait for its end."""
    return {"ttl": ttl, "grace": grace, "period": period}


def options_for(cluster: DaskCluster, **more: Any) -> dict[str, Any]:
    """Return the options of a job on this cluster. Tests that wait for the end of its lease give a shorter one."""
    return {"scheduler": cluster.address, "lease": lease_of(CALM_TTL), **more}


class ClusterBench(RunnerBench):
    """Starts tasks of `tests.support.cluster_tasks` on a cluster."""

    def begin(self, task: Callable[..., object], name: str, **more: Any) -> tuple[BenchRun, Marks]:
        """Start a run that leaves its marks under a name, and do not wait for it."""
        run = self.start(task, name=name, **more)
        return run, Marks(self.folder.path, name)

    def enter(self, task: Callable[..., object], name: str, **more: Any) -> tuple[BenchRun, Marks]:
        """Start a run, and wait until its task was entered."""
        run, marks = self.begin(task, name, **more)
        self.await_true(lambda: marks.starts or self.ends(run), f"run {name} was entered{self.reports}")
        assert marks.starts, self.reports
        return run, marks

    def reports_about(self, run: BenchRun, kind: type[R]) -> list[R]:
        """Return all reports of this kind about a run."""
        return [each for each in list(self.reports) if isinstance(each, kind) and each.run == run.id]

    def await_report(self, run: BenchRun, kind: type[R], seconds: float) -> R:
        """Wait for the first report of this kind about a run."""
        with self._changed:
            came = self._changed.wait_for(lambda: self.reports_about(run, kind), seconds)
        assert came, f"no {kind.__name__} within {seconds:g} s; reported: {self.reports}"
        return self.reports_about(run, kind)[0]

    def await_end(self, run: BenchRun, seconds: float) -> RunEnded:
        """Wait for the report of the end of a run that has begun, not until nothing of it is left."""
        report = self.await_report(run, RunEnded, seconds)
        assert len(self.ends(run)) == 1, self.reports
        return report

    def await_lost(self, run: BenchRun, seconds: float) -> RunEnded:
        """Wait until a run is reported as lost."""
        report = self.await_end(run, seconds)
        assert report.how is How.LOST, report
        return report

    def place_of(self, run: BenchRun, seconds: float = 20.0) -> Whereabouts:
        """Wait until it is known where the run executes; return it."""
        self.await_report(run, RunPlaced, seconds)
        return self.reports_about(run, RunPlaced)[-1].whereabouts

    def failure(self, run: BenchRun) -> RunStartFailed:
        """Wait until a run could not be started; return why."""
        report = self.end(run)
        assert isinstance(report, RunStartFailed), report
        return report


MakeBench = Callable[..., ClusterBench]
"""`make_bench(cluster, patience=60.0, **options of the job)`."""


@contextmanager
def cluster_bench(folder: Path, options: Mapping[str, Any], patience: float = 60.0) -> Iterator[ClusterBench]:
    """Make a runner and end all its runs afterwards."""
    from taskloom.runners.dask.runner import DaskRunner

    folder.mkdir(exist_ok=True)
    runner, bugs = DaskRunner(), []
    runner.record_bug = lambda error: bugs.append("".join(traceback.format_exception(error)))
    bench = ClusterBench(runner, RunFolder(str(folder)), options, patience)
    try:
        yield bench
    finally:
        is_over = bench.close()
        assert bugs == [], "\n".join(bugs)
    assert is_over, "the runner or one of its runs has not ended"
