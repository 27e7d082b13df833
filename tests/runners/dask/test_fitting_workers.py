"""A cluster that no run could begin on: the warning names what is missing, and what is there."""

from __future__ import annotations

import pytest

from taskloom.runners.dask.address import SchedulerAddress
from taskloom.runners.dask.attach import why_none_fits
from taskloom.runners.dask.connection import SeenWorker
from taskloom.runners.dask.options import Cluster

HERE = Cluster(SchedulerAddress("tcp", "localhost", 8786))
PLAIN = SeenWorker("tcp://a:1", "w1", "10.0.0.1")
WITH_GPU = SeenWorker("tcp://b:1", "w2", "10.0.0.2", {"GPU": 2.0})
WAIT = "its runs wait until"


def why(cluster: Cluster, *seen: SeenWorker, usable: set[str] | None = None) -> str:
    return why_none_fits(cluster, seen, {each.address for each in seen} if usable is None else usable)


@pytest.mark.parametrize(
    "cluster",
    [HERE, HERE._replace(resources=(("GPU", 2.0),)), HERE._replace(resources=(("GPU", 0.5),), workers=("w2",))],
)
def test_a_cluster_with_one_fitting_worker_lacks_nothing(cluster: Cluster) -> None:
    assert why(cluster, PLAIN, WITH_GPU) == ""


def test_a_cluster_without_workers() -> None:
    assert why(HERE) == f"the cluster at tcp://localhost:8786 has no worker yet: {WAIT} there is one"


def test_a_cluster_whose_workers_do_not_answer() -> None:
    assert (
        why(HERE, PLAIN, usable=set()) == f"the cluster at tcp://localhost:8786 has no worker yet: {WAIT} there is one"
    )


def test_a_chosen_worker_that_does_not_answer_is_not_missing() -> None:
    assert "has no worker yet" in why(HERE._replace(workers=(PLAIN.name,)), PLAIN, usable=set())


def test_names_that_no_worker_has() -> None:
    cluster = HERE._replace(workers=("W_1", "edge"))

    assert why(cluster, WITH_GPU, PLAIN, usable=set()) == (
        f"the cluster at tcp://localhost:8786 has no worker 'W_1' or 'edge': {WAIT} there is one; "
        "known: w1, w2; did you mean 'w1'?"
    )


def test_resources_that_no_worker_has() -> None:
    cluster = HERE._replace(resources=(("DISK", 1.0), ("GPU", 1.5)))

    assert why(cluster, PLAIN) == (
        "no worker of the cluster at tcp://localhost:8786 has the resources {DISK: 1, GPU: 1.5}: "
        f"{WAIT} one has; they have none"
    )


def test_more_of_a_resource_than_any_worker_has() -> None:
    assert why(HERE._replace(resources=(("GPU", 3.0),)), PLAIN, WITH_GPU) == (
        "no worker of the cluster at tcp://localhost:8786 has the resources {GPU: 3}: "
        f"{WAIT} one has; they have GPU: 2"
    )
