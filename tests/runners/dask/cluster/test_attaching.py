"""The attach to a cluster: what does not fit is refused in words, by the run that needed it, and never hangs."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest
from tests.support import cluster_tasks as tasks
from tests.support.certificates import write_certificates
from tests.support.cluster_bench import ClusterBench, MakeBench, MakeCluster, cluster_bench, options_for
from tests.support.dask_cluster import free_port

from taskloom.clock import mono
from taskloom.core.inputs import RunEnded
from taskloom.core.model import How
from taskloom.runners.dask.protocol.messages import PROTOCOL

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

HOST = socket.gethostname()


def refusal(bench: ClusterBench, name: str = "refused") -> str:
    """Return why a run could not be started."""
    run, marks = bench.begin(tasks.brief, name)
    error = bench.failure(run).error
    assert error.is_explained, error
    assert "Traceback" not in error.traceback, error
    assert marks.starts == []
    return str(error)


def test_a_worker_with_another_protocol_is_named(make_cluster: MakeCluster, make_bench: MakeBench) -> None:
    cluster = make_cluster()
    cluster.add_worker("odd", env={"CLUSTER_PROTOCOL": str(PROTOCOL + 41)})

    said = refusal(make_bench(cluster))

    assert "odd" in said
    assert HOST in said
    assert str(PROTOCOL + 41) in said


def test_a_worker_with_another_taskloom_is_named(make_cluster: MakeCluster, make_bench: MakeBench) -> None:
    cluster = make_cluster()
    cluster.add_worker("odd", env={"CLUSTER_VERSION": "0.0.1"})

    said = refusal(make_bench(cluster))

    assert "odd" in said
    assert "0.0.1" in said


def test_a_worker_without_taskloom_is_named(make_cluster: MakeCluster, make_bench: MakeBench) -> None:
    cluster = make_cluster()
    cluster.add_worker("bare", env={"CLUSTER_WITHOUT_TASKLOOM": "yes"})

    said = refusal(make_bench(cluster))

    assert "worker bare" in said
    assert "cannot import Taskloom" in said


def test_a_dask_scheduler_without_taskloom_is_named(make_cluster: MakeCluster, make_bench: MakeBench) -> None:
    cluster = make_cluster(env={"CLUSTER_WITHOUT_TASKLOOM": "yes"})
    cluster.add_worker("a", env={"CLUSTER_WITHOUT_TASKLOOM": ""})

    said = refusal(make_bench(cluster))

    assert "the Dask scheduler cannot import Taskloom" in said


def test_an_odd_worker_that_joins_later_gets_no_runs(
    make_cluster: MakeCluster, make_bench: MakeBench, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = make_cluster("a", slots=1)
    bench = make_bench(cluster)
    run, _ = bench.begin(tasks.brief, "before")
    bench.ended(run)
    cluster.add_worker("odd", env={"CLUSTER_PROTOCOL": str(PROTOCOL + 41)})
    bench.await_true(lambda: "odd" in caplog.text, "the odd worker is named in a warning")

    runs = [bench.begin(tasks.brief, f"later-{number}")[0] for number in range(6)]

    assert [bench.ended(each).how for each in runs] == [How.RETURNED] * 6
    assert {bench.place_of(each).worker for each in runs} == {"a"}


def test_a_worker_that_joins_later_gets_runs(make_cluster: MakeCluster, make_bench: MakeBench) -> None:
    cluster = make_cluster("a", slots=1)
    bench = make_bench(cluster)
    first, _ = bench.enter(tasks.beat, "first")
    second, marks = bench.begin(tasks.beat, "second")

    cluster.add_worker("b", slots=1)

    marks.await_start()
    assert {bench.place_of(first).worker, bench.place_of(second).worker} == {"a", "b"}


def test_a_cluster_that_is_not_there(tmp_path: Path) -> None:
    address = f"tcp://127.0.0.1:{free_port()}"
    with cluster_bench(tmp_path / "marks", {"scheduler": address, "wait": 1.0}) as bench:
        said = refusal(bench)

    assert f"cannot reach the cluster at {address} within 1" in said


def test_a_cluster_that_comes_while_it_is_awaited(make_cluster: MakeCluster, tmp_path: Path) -> None:
    cluster = make_cluster()
    assert cluster.scheduler is not None
    cluster.scheduler.kill()
    with cluster_bench(tmp_path / "marks", options_for(cluster, wait=60.0), 60.0) as bench:
        run, _ = bench.begin(tasks.brief, "early")
        cluster.start_scheduler()
        cluster.add_workers("a")

        assert bench.ended(run).how is How.RETURNED


def test_a_cancel_ends_a_run_that_waits_for_a_cluster(tmp_path: Path) -> None:
    options = {"scheduler": f"tcp://127.0.0.1:{free_port()}", "wait": 100.0}
    with cluster_bench(tmp_path / "marks", options) as bench:
        run, _ = bench.begin(tasks.brief, "early")
        began = mono()
        bench.cancel(run)

        # It may import Dask meanwhile, which takes seconds on a busy machine.
        assert bench.await_end(run, 20.0) == RunEnded(run.id, How.NOT_ENTERED, None, True, False)
    assert mono() - began < 50.0


def test_a_run_on_a_cluster_with_tls(make_cluster: MakeCluster, make_bench: MakeBench, tmp_path: Path) -> None:
    files = write_certificates(tmp_path / "certificates")
    cluster = make_cluster("a", tls=files)
    bench = make_bench(cluster, tls={name: str(path) for name, path in files.items()})
    assert cluster.address.startswith("tls://")

    run, _ = bench.enter(tasks.beat, "secret")
    bench.cancel(run)

    assert bench.ended(run).how is How.RETURNED


def test_a_certificate_that_the_cluster_does_not_accept(
    make_cluster: MakeCluster, make_bench: MakeBench, tmp_path: Path
) -> None:
    cluster = make_cluster("a", tls=write_certificates(tmp_path / "certificates"))
    others = write_certificates(tmp_path / "others")
    bench = make_bench(cluster, tls={name: str(path) for name, path in others.items()}, wait=3.0)

    said = refusal(bench)

    assert cluster.address in said


def test_a_task_that_cannot_be_imported_on_the_worker(
    make_cluster: MakeCluster, make_bench: MakeBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_here_13.py").write_text("def only_here(ctx):\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import only_here_13  # type: ignore[import-not-found]

    bench = make_bench(make_cluster("a"))
    run = bench.start(only_here_13.only_here)

    error = bench.failure(run).error

    # With its traceback: the module may be there, and fail.
    for part in ("only_here_13", HOST, sys.executable):
        assert part in str(error), error
