"""Whole programs with jobs on a cluster: the library, and `taskloom run`."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support import cluster_tasks as tasks
from tests.support.cluster_bench import CALM_TTL, GRACE, TTL, MakeCluster, lease_of, options_for
from tests.support.cluster_tasks import Marks
from tests.support.dask_cluster import ROOT, DaskCluster, descendants
from tests.support.toy_distribution import add_distribution

from taskloom import Context, Job, JobHandle, Outcome, Scheduler
from taskloom.clock import mono
from taskloom.errors import InvalidJob
from taskloom.testing.runner_bench import living
from taskloom.testing.runner_tasks import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

# Reached only when a test fails.
PATIENCE_SECONDS = 60.0
# What a busy machine may add to a limit.
SLACK_SECONDS = 5.0
SOURCE = "from tests.support.cluster_tasks import beat, brief, fail, ignore\n"


def declare(
    scheduler: Scheduler,
    cluster: DaskCluster,
    task: Any,
    folder: Path,
    name: str,
    *,
    ttl: float = CALM_TTL,
    **fields: Any,
) -> JobHandle:
    """Add a job on the cluster whose marks have its name."""
    params = {"folder": str(folder), "name": name}
    runner = {"dask": options_for(cluster, lease=lease_of(ttl))}
    return scheduler.add(Job(name=name, task=task, params=params, runner=runner, **fields))


def await_entered(folder: Path, *names: str) -> list[Marks]:
    marks = [Marks(folder, name) for name in names]
    for each in marks:
        each.await_start(PATIENCE_SECONDS)
    return marks


# -- the library


def test_all_jobs_on_a_cluster_are_cancelled_within_a_second(make_cluster: MakeCluster, tmp_path: Path) -> None:
    """`make bench` measures it with 200 jobs."""
    cluster = make_cluster("a", "b", slots=20)
    names = [f"j{number}" for number in range(40)]
    with Scheduler(log=False) as scheduler:
        for name in names:
            declare(scheduler, cluster, tasks.beat, tmp_path, name)
        scheduler.start()
        await_entered(tmp_path, *names)
        asked = mono()
        report = scheduler.stop(within=20.0)
        took = mono() - asked

    assert not report.survivors
    assert {job.outcome for job in report.jobs} == {Outcome.CANCELLED}
    assert took < 1.0 + SLACK_SECONDS


def test_a_run_that_ignores_its_cancel_is_ended(cluster: DaskCluster, tmp_path: Path) -> None:
    """By TERM or KILL, and nothing needs to be written for it: `otherwise: kill` is the default."""
    with Scheduler(log=False) as scheduler:
        run = declare(scheduler, cluster, tasks.ignore, tmp_path, "deaf", join="500ms").start()
        [marks] = await_entered(tmp_path, "deaf")
        report = scheduler.stop(within=20.0)

    marks.await_stop(SLACK_SECONDS)
    assert run.outcome is Outcome.CANCELLED
    assert not report.survivors


def test_a_stop_ends_on_time_though_a_worker_does_not_answer(make_cluster: MakeCluster, tmp_path: Path) -> None:
    """The run is lost then: its end cannot be confirmed, and the lease ends it."""
    cluster = make_cluster("a")
    with Scheduler(log=False) as scheduler:
        run = declare(scheduler, cluster, tasks.beat, tmp_path, "frozen", ttl=TTL, join="1s").start()
        [marks] = await_entered(tmp_path, "frozen")
        cluster.workers["a"].signal(signal.SIGSTOP)
        frozen = mono()
        scheduler.stop(within=20.0)
        took = mono() - frozen

    assert run.outcome is Outcome.LOST
    assert took < 1.0 + 2.0 + SLACK_SECONDS  # the policy, and what a kill may take
    assert marks.await_stop(TTL + GRACE + SLACK_SECONDS) < frozen + TTL + GRACE + SLACK_SECONDS


def test_a_join_policy_that_waits_lets_a_run_finish(cluster: DaskCluster, tmp_path: Path) -> None:
    with Scheduler(log=False) as scheduler:
        job = declare(scheduler, cluster, tasks.ignore_for_a_second, tmp_path, "slow", join="wait")
        run = job.start()
        await_entered(tmp_path, "slow")
        report = scheduler.stop(within=20.0)

    assert run.outcome is Outcome.CANCELLED
    assert not report.survivors


def clients_of(cluster: DaskCluster) -> int:
    """Return how many connections of programs the Dask scheduler has."""
    with cluster.client() as client:
        found = client.run_on_scheduler(_clients)
    return len([each for each in found if "-taskloom-" in each])


def _clients(dask_scheduler: Any) -> list[str]:
    return [*dask_scheduler.clients]


def test_a_reload_closes_the_connection_that_no_job_needs(make_cluster: MakeCluster, tmp_path: Path) -> None:
    """And a job that is brought back connects again."""
    cluster = make_cluster("a")
    params = {"folder": str(tmp_path), "name": "one"}
    job = Job(name="one", task=tasks.beat, params=params, runner={"dask": options_for(cluster)}, start="manual")
    with Scheduler(log=False) as scheduler:
        scheduler.add(job).start()
        [marks] = await_entered(tmp_path, "one")
        assert clients_of(cluster) == 1

        scheduler.reload([])
        assert wait_until(lambda: clients_of(cluster) == 0, PATIENCE_SECONDS)
        assert not living([marks.starts[0].pid])

        scheduler.reload([job])
        again = scheduler.job("one").start()
        assert wait_until(lambda: len(marks.starts) == 2, PATIENCE_SECONDS)
        assert clients_of(cluster) == 1
        scheduler.stop(within=20.0)
        assert again.outcome is Outcome.CANCELLED


def test_a_lost_run_is_started_again_only_when_the_first_has_stopped(make_cluster: MakeCluster, tmp_path: Path) -> None:
    cluster = make_cluster("a", "b", slots=1)
    with Scheduler(log=False) as scheduler:
        restart = {"when": "on-failure", "delay": "10ms"}
        job = declare(scheduler, cluster, tasks.beat, tmp_path, "again", ttl=TTL, restart=restart)
        first = job.start()
        [marks] = await_entered(tmp_path, "again")
        victim = next(worker for worker in cluster.workers.values() if marks.starts[0].pid in descendants(worker.pid))
        victim.signal(signal.SIGSTOP)  # so that the end of the run cannot be confirmed
        assert wait_until(lambda: len(marks.starts) == 2, TTL + GRACE + 10.0 + PATIENCE_SECONDS)
        assert first.outcome is Outcome.LOST

        before, after = marks.starts
        assert not living([before.pid])
        assert after.second > before.second + TTL


# -- taskloom run


@pytest.fixture
def job_file(tmp_path: Path, cluster: DaskCluster) -> Callable[..., Path]:
    """Write a job file whose jobs are on the cluster: name=task. The tasks are installed by `installed`."""

    def write(address: str = "", extra: str = "", ttl: float = CALM_TTL, **jobs: str) -> Path:
        lease = ", ".join(f"{name}: {value}" for name, value in lease_of(ttl).items())
        lines = [
            f"  {name}:\n    task: {task}\n    params: {{folder: '{tmp_path}', name: {name}}}\n{extra}"
            for name, task in jobs.items()
        ]
        head = f"defaults:\n  runner: {{dask: {{scheduler: '{address or cluster.address}', lease: {{{lease}}}}}}}\n"
        path = tmp_path / "jobs.yaml"
        path.write_text(f"{head}jobs:\n" + "".join(lines))
        return path

    return write


@pytest.fixture
def installed(tmp_path: Path, child_env: dict[str, str]) -> dict[str, str]:
    """The environment of a program in which the tasks are installed under their names."""
    folder = tmp_path / "site"
    add_distribution(folder, "cluster-toys", SOURCE, beat="beat", brief="brief", fail="fail", ignore="ignore")
    return child_env | {"PYTHONPATH": f"{folder}:{ROOT}"}


def run_program(path: Path, env: dict[str, str], *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "taskloom", "run", str(path), *options],
        env=env,
        cwd=path.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(program: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for the end of a program; return its exit code, and all that it has written to stderr."""
    try:
        stderr = program.communicate(timeout=2 * PATIENCE_SECONDS)[1]
    finally:
        program.kill()
        program.communicate()
    return program.returncode, stderr


def quiet(stderr: str) -> bool:
    return "Traceback" not in stderr and "internal error" not in stderr and "ResourceWarning" not in stderr


@pytest.fixture
def own(make_cluster: MakeCluster, installed: dict[str, str]) -> DaskCluster:
    """A cluster whose worker `a` has the tasks installed."""
    cluster = make_cluster()
    cluster.add_worker("a", env={"PYTHONPATH": installed["PYTHONPATH"]})
    return cluster


def test_a_program_runs_its_jobs_and_leaves_with_0(
    own: DaskCluster, job_file: Any, installed: dict[str, str], tmp_path: Path
) -> None:
    code, stderr = ended(run_program(job_file(own.address, one="brief", two="brief"), installed))

    assert code == 0, stderr
    assert quiet(stderr), stderr
    assert [len(Marks(tmp_path, name).starts) for name in ("one", "two")] == [1, 1]


def test_a_failing_job_lets_its_program_leave_with_1(
    own: DaskCluster, job_file: Any, installed: dict[str, str]
) -> None:
    code, stderr = ended(run_program(job_file(own.address, lamp="fail"), installed))

    assert code == 1, stderr
    assert "lamp finds no device" in stderr


def test_a_terminated_program_stops_its_jobs_and_leaves_with_0(
    own: DaskCluster, job_file: Any, installed: dict[str, str], tmp_path: Path
) -> None:
    program = run_program(job_file(own.address, one="beat", two="beat"), installed)
    marks = await_entered(tmp_path, "one", "two")

    program.send_signal(signal.SIGTERM)
    code, stderr = ended(program)

    assert code == 0, stderr
    assert quiet(stderr), stderr
    for each in marks:
        each.await_stop(SLACK_SECONDS)


def test_a_killed_program_leaves_no_job_beyond_the_lease(
    own: DaskCluster, job_file: Any, installed: dict[str, str], tmp_path: Path
) -> None:
    program = run_program(job_file(own.address, ttl=TTL, polite="beat", deaf="ignore"), installed)
    marks = await_entered(tmp_path, "polite", "deaf")

    program.kill()
    killed = mono()
    ended(program)

    for each in marks:
        assert each.await_stop(TTL + GRACE + SLACK_SECONDS) < killed + TTL + GRACE + SLACK_SECONDS
        assert len(each.starts) == 1


def test_a_program_whose_worker_is_killed_says_so_and_leaves_with_1(
    own: DaskCluster, job_file: Any, installed: dict[str, str], tmp_path: Path
) -> None:
    program = run_program(job_file(own.address, victim="beat"), installed)
    await_entered(tmp_path, "victim")

    own.workers["a"].kill()
    code, stderr = ended(program)

    assert code == 1, stderr
    assert "lost" in stderr
    assert quiet(stderr), stderr


def test_a_task_that_is_on_no_worker_is_refused_with_the_host_and_what_is_there(
    cluster: DaskCluster, job_file: Any, installed: dict[str, str]
) -> None:
    """The workers of the shared cluster have only the built-in tasks."""
    code, stderr = ended(run_program(job_file(cluster.address, one="beat"), installed))

    assert code == 1, stderr
    for part in ("beat", socket.gethostname(), sys.executable, "countdown"):
        assert part in stderr, part
    assert quiet(stderr), stderr


def test_a_run_is_placed_only_where_its_task_is_installed(
    own: DaskCluster, job_file: Any, installed: dict[str, str], tmp_path: Path
) -> None:
    own.add_workers("bare", slots=20)

    code, stderr = ended(
        run_program(job_file(own.address, **{f"j{number}": "brief" for number in range(6)}), installed)
    )

    assert code == 0, stderr
    assert all(len(Marks(tmp_path, f"j{number}").starts) == 1 for number in range(6))


def takes_anything(ctx: Context, what: Any) -> None:
    """Do nothing."""


def test_params_that_are_not_data_are_refused_when_the_job_is_declared(cluster: DaskCluster) -> None:
    with Scheduler(log=False) as scheduler, pytest.raises(InvalidJob, match="what") as refused:
        scheduler.add(
            Job(name="odd", task=takes_anything, params={"what": object()}, runner={"dask": options_for(cluster)})
        )

    assert "cannot" in str(refused.value)
