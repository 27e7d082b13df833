"""The processes of runs inside a real worker of Dask, driven by requests alone."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support import dask_tasks as tasks
from tests.support.cluster_bench import MakeCluster
from tests.support.dask_cluster import DaskCluster, descendants
from tests.support.dask_program import SOON, ClusterProgram, spec_of
from tests.support.supervised import await_one_end

from taskloom.clock import mono
from taskloom.core.endings import How
from taskloom.core.run_reports import RunEnded, RunStarted
from taskloom.runners.dask import on_worker
from taskloom.runners.dask.protocol.messages import CommandKind
from taskloom.runners.process.orphans import state_of

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

MANY = 60


@pytest.fixture
def cluster(make_cluster: MakeCluster) -> DaskCluster:
    """One worker below a nanny, which starts it as a daemonic process."""
    return make_cluster("one", slots=MANY + 4, nanny=True)


@pytest.fixture
def client(cluster: DaskCluster) -> Iterator[Any]:
    with cluster.client() as made:
        yield made


@pytest.fixture
def program(client: Any, cluster: DaskCluster) -> ClusterProgram:
    made = ClusterProgram(client, cluster.address_of("one"))
    client.run(on_worker.hello, '{"session": "session"}')
    return made


def worker_pid(client: Any) -> int:
    (pid,) = client.run(os.getpid).values()
    return int(pid)


def await_end_of(pids: list[int]) -> list[int]:
    """Wait until these processes have ended; return those that have not."""
    until = mono() + SOON
    while (left := [pid for pid in pids if state_of(pid) not in ("", "Z", "X")]) and mono() < until:
        await_one_end(left, 0.05)
    return left


def test_sixty_runs_start_in_one_worker_and_end_with_it(program: ClusterProgram, client: Any) -> None:
    specs = [spec_of(tasks.polite, f"job#{number}") for number in range(MANY)]
    futures = [program.execute(spec) for spec in specs]
    executions = [program.claim(spec["run"]) for spec in specs]
    program.grant(*executions)
    for execution in executions:
        program.report(execution, RunStarted)
    pid = worker_pid(client)
    family = descendants(pid)
    assert len(family) >= 2 * MANY

    os.kill(pid, signal.SIGKILL)

    assert await_end_of(family) == []
    assert len(futures) == MANY  # a future that is dropped would withdraw its run


def test_the_worker_answers_while_a_run_holds_its_gil(program: ClusterProgram, cluster: DaskCluster) -> None:
    stuck, _ = program.begin(spec_of(tasks.hog, "a#1"))
    program.wait_for(lambda entry: entry.data.get("log", {}).get("message") == "hog")

    polite, verdict = program.begin(spec_of(tasks.polite, "b#1"))
    program.waits(polite)
    program.cancel(polite)

    assert program.report(polite, RunEnded).how is How.RETURNED
    assert verdict.result(SOON) == "ended"
    program.command(CommandKind.KILL, stuck)
    assert program.report(stuck, RunEnded).how is How.KILLED
    assert "out-of-band function 'hello'" in cluster.workers["one"].log
    assert "out-of-band function 'request'" not in cluster.workers["one"].log


def test_a_claim_leaves_its_slot_when_its_client_does_not_want_it_any_more(program: ClusterProgram) -> None:
    future = program.execute(spec_of(tasks.brief, "job#1"))
    execution = program.claim("job#1")

    future.cancel()

    left = program.wait_for(lambda entry: entry.kind == "left" and entry.execution == execution)
    assert left.data == {"why": "cancelled"}


def test_the_hello_of_a_real_worker_says_what_it_is(program: ClusterProgram, client: Any) -> None:
    execution, _ = program.begin(spec_of(tasks.polite, "job#1"))
    program.waits(execution)

    (other,) = client.run(on_worker.hello, '{"session": "another"}').values()
    scheduler = client.run_on_scheduler(on_worker.hello_scheduler, "{}")

    assert '"name": "one"' in other
    assert f'"slots": {MANY + 4}' in other
    assert '"runs": ["job#1"]' in other
    assert '"protocol": 1' in scheduler
    program.command(CommandKind.KILL, execution)
    program.gone(execution)
