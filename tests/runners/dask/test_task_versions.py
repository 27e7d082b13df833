"""A warning, once, if the package of a task has another version on a worker than in the program."""

from __future__ import annotations

import pytest

from taskloom.runners.dask.hello import Hello
from taskloom.runners.dask.task_versions import TaskVersions

HERE = {"train": "acme 1.3", "predict": "acme 1.3"}


class Compared:
    """A comparison, and its warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.versions = TaskVersions(lambda text, value: self.warnings.append(text % value), lambda: HERE)


@pytest.fixture
def compared() -> Compared:
    return Compared()


def worker(host: str, version: str) -> Hello:
    return Hello(1, "1", host=host, tasks=dict.fromkeys(HERE, f"acme {version}"))


def test_another_version_is_told_with_the_job_both_versions_and_the_hosts(compared: Compared) -> None:
    odd = [worker(f"node{number}", "1.2") for number in (4, 3, 5, 6)]

    compared.versions.need("train", "nightly", [worker("node1", "1.3"), *odd, worker("node9", "1.4")])

    several, one = compared.warnings
    assert several == (
        "job 'nightly' may behave differently on node3, node4, node5 and 1 more: task 'train' is of acme 1.2 there, "
        "and of acme 1.3 here; install the same version on each worker"
    )
    assert one.startswith("job 'nightly' may behave differently on node9: task 'train' is of acme 1.4 there")


def test_a_worker_that_joins_later_is_compared_and_each_version_is_told_once(compared: Compared) -> None:
    compared.versions.join(worker("node1", "1.2"))
    compared.versions.need("train", "nightly", [worker("node2", "1.3")])
    before = list(compared.warnings)

    compared.versions.join(worker("node1", "1.2"))
    compared.versions.join(worker("node3", "1.2"))
    compared.versions.need("train", "hourly", [worker("node3", "1.2")])

    assert before == []
    assert [text.partition(":")[0] for text in compared.warnings] == ["job 'nightly' may behave differently on node1"]


@pytest.mark.parametrize("task", ["", "unknown"])
def test_nothing_is_told_of_a_task_that_no_distribution_offers_here_or_there(compared: Compared, task: str) -> None:
    compared.versions.need(task, "nightly", [worker("node1", "1.2")])

    assert compared.warnings == []
