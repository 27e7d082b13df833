"""Workers and Dask schedulers from another environment: with another Dask, and with another Python."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from tests.support import cluster_tasks as tasks
from tests.support.cluster_bench import ClusterBench, MakeBench, MakeCluster
from tests.support.other_environment import make_environment, other_python, taskloom_needs

from taskloom.core.inputs import RunEnded
from taskloom.core.model import How
from taskloom.runners.dask.extra import RELEASE

pytestmark = [pytest.mark.cluster, pytest.mark.long, pytest.mark.timeout(600)]

# The last release before the one that setup.cfg allows.
OLDER = "2026.7.0"


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The interpreter of an environment with an older Dask."""
    folder = tmp_path_factory.mktemp("environment") / "older"
    return make_environment(folder, sys.executable, f"dask=={OLDER}", f"distributed=={OLDER}", shares_ours=True)


def refusal(bench: ClusterBench) -> str:
    """Return why a run could not be started, with its table."""
    run, marks = bench.begin(tasks.brief, "refused")
    error = bench.failure(run).error
    assert error.is_explained, error
    assert marks.starts == []
    return error.traceback


def test_a_worker_with_an_older_dask_is_refused(make_cluster: MakeCluster, make_bench: MakeBench, older: str) -> None:
    cluster = make_cluster()
    cluster.add_worker("odd", python=older)

    said = refusal(make_bench(cluster))

    assert "worker odd on " in said
    assert f" has dask {OLDER}; this program needs release {RELEASE}" in said
    assert older in said


def test_a_worker_with_an_older_dask_that_joins_later_gets_no_runs(
    make_cluster: MakeCluster, make_bench: MakeBench, older: str, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = make_cluster("good", slots=4)
    bench = make_bench(cluster)
    bench.enter(tasks.beat, "first")

    cluster.add_worker("odd", python=older, slots=40)
    bench.await_true(lambda: "worker odd on " in caplog.text, "the odd worker is named")

    runs = [bench.begin(tasks.brief, f"r{number}")[0] for number in range(8)]
    assert {bench.await_end(run, 60.0).how for run in runs} == {How.RETURNED}
    assert {bench.place_of(run).worker for run in runs} == {"good"}
    assert f"is not used: it has dask {OLDER};" in caplog.text


def test_a_dask_scheduler_with_an_older_dask_is_refused(
    make_cluster: MakeCluster, make_bench: MakeBench, older: str
) -> None:
    cluster = make_cluster(python=older)
    cluster.add_worker("good", python=sys.executable)

    said = refusal(make_bench(cluster))

    assert f"the Dask scheduler has dask {OLDER}; this program needs release {RELEASE}" in said


def test_a_worker_with_another_python_is_used(make_cluster: MakeCluster, make_bench: MakeBench, tmp_path: Path) -> None:
    python = other_python("3.13", "3.12", "3.11")
    needed = taskloom_needs("dask")
    assert f"distributed=={version('distributed')}" in needed
    cluster = make_cluster()
    cluster.add_worker("other", python=make_environment(tmp_path / "other", python, *needed, shares_ours=False))
    bench = make_bench(cluster)

    run, marks = bench.enter(tasks.beat, "there")
    bench.cancel(run)

    assert bench.await_end(run, 30.0) == RunEnded(run.id, How.RETURNED, None, True, callback_ran=False)
    assert len(marks.starts) == 1
    with cluster.client() as client:
        [found] = client.run(platform.python_version).values()
    assert found != platform.python_version()
