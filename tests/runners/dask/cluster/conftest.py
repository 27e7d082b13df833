"""Fixtures for the tests with a real Dask cluster, all marked `cluster`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.support.cluster_bench import ClusterBench, MakeBench, MakeCluster, cluster_bench, options_for
from tests.support.dask_cluster import DaskCluster


@pytest.fixture
def make_cluster(tmp_path: Path) -> Iterator[MakeCluster]:
    """Make a cluster that the test may break: `make_cluster("a", "b", slots=4)`, or without workers."""
    with ExitStack() as stack:

        def make(*workers: str, slots: int = 4, nanny: bool = False, **options: Any) -> DaskCluster:
            folder = tmp_path / f"cluster {len(list(tmp_path.iterdir()))}"
            folder.mkdir()
            cluster = stack.enter_context(DaskCluster(folder, **options))
            cluster.add_workers(*workers, slots=slots, nanny=nanny)
            return cluster

        yield make


@pytest.fixture
def make_bench(tmp_path: Path, make_cluster: MakeCluster) -> Iterator[MakeBench]:
    """Make a runner for a cluster: `make_bench(cluster, **options of the job)`. It ends before the cluster does."""
    with ExitStack() as stack:

        def make(cluster: DaskCluster, *, patience: float = 60.0, **options: Any) -> ClusterBench:
            folder = tmp_path / f"marks {len(list(tmp_path.iterdir()))}"
            return stack.enter_context(cluster_bench(folder, options_for(cluster, **options), patience))

        yield make


@pytest.fixture
def bench(cluster: DaskCluster, make_bench: MakeBench) -> ClusterBench:
    """A runner for the shared cluster."""
    return make_bench(cluster)
