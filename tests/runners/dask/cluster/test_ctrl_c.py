"""Ctrl-C at a terminal, for programs with jobs on a cluster: once, twice, thrice, and whatever the cluster is doing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.cluster_bench import CALM_TTL, GRACE, TTL, MakeCluster, lease_of
from tests.support.dask_cluster import DaskCluster, descendants, free_port

from taskloom.clock import mono
from taskloom.testing.runner_bench import living
from taskloom.testing.runner_tasks import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

SOON = 60.0
# Of a loaded machine, on which an interpreter that has imported Dask takes its time to end.
SLACK_SECONDS = 10.0
JOBS = """\
defaults:
  runner: {{dask: {{{cluster}}}}}
jobs:
  polite:
    task: countdown
    params: {{start: 600, interval: 100ms}}
  deaf:
    task: countdown
    params: {{start: 600, interval: 100ms, deaf: true}}
    join: {join}
"""
FIRST = "Ctrl-C: stopping all jobs"
SECOND = "Ctrl-C: at most 2 more seconds"
THIRD = "Ctrl-C: exiting at once; left: "


class Program:
    """`taskloom run` in a process group of its own, as a shell starts it."""

    def __init__(self, folder: Path, env: dict[str, str], cluster: str, join: str) -> None:
        (folder / "jobs.yaml").write_text(JOBS.format(cluster=cluster, join=join))
        self._log = folder / "stderr"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "taskloom", "run", "jobs.yaml"],
                env=env,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        self._family: list[int] = []
        self._pressed = 0.0

    @property
    def log(self) -> str:
        return self._log.read_text()

    def await_text(self, *texts: str) -> None:
        """Wait until its log has all of these."""
        assert wait_until(lambda: all(text in self.log for text in texts), SOON), self.log

    def press(self, text: str) -> None:
        """Press Ctrl-C, again if it came too early after the one before, until the log says that it counts."""
        self._family = self._family or descendants(self._process.pid)
        self._pressed = self._pressed or mono()
        end = mono() + SOON
        while text not in self.log and mono() < end:
            os.killpg(self._process.pid, signal.SIGINT)
            wait_until(lambda: text in self.log, 0.7)
        assert text in self.log, self.log

    def end(self, within: float) -> int:
        """Wait for its end, which comes `within` seconds after the first Ctrl-C and leaves nothing; return the code."""
        code = self._process.wait(SOON)
        took = mono() - self._pressed

        assert took < within + SLACK_SECONDS, self.log
        assert wait_until(lambda: not living(self._family), SOON), self._family
        for stray in ("Traceback", "internal error", "ResourceWarning", "Exception ignored", "Dask: "):
            assert stray not in self.log, self.log
        return code

    def kill(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(SOON)


RunProgram = Callable[..., Program]


@pytest.fixture
def run_program(tmp_path: Path, child_env: dict[str, str]) -> Iterator[RunProgram]:
    """Start a program with two jobs on a cluster: its options as they are written in a job file."""
    programs: list[Program] = []

    def run(cluster: str, join: str = "1s") -> Program:
        folder = tmp_path / "program"
        folder.mkdir()
        programs.append(Program(folder, child_env, cluster, join))
        return programs[-1]

    yield run
    for program in programs:
        program.kill()


def written(cluster: DaskCluster, ttl: float) -> str:
    lease = ", ".join(f"{name}: {value}" for name, value in lease_of(ttl).items())
    return f'scheduler: "{cluster.address}", lease: {{{lease}}}'


def begun(
    run_program: RunProgram, cluster: DaskCluster, *, ttl: float = CALM_TTL, **options: str
) -> tuple[Program, list[int]]:
    """Start a program, and wait until its jobs have begun; return it, and the processes of its runs."""
    program = run_program(written(cluster, ttl), **options)
    program.await_text("polite       started", "deaf         started")
    return program, descendants(cluster.workers["a"].pid)


def test_a_first_ctrl_c_stops_all_runs_there(make_cluster: MakeCluster, run_program: RunProgram) -> None:
    program, runs = begun(run_program, make_cluster("a"))

    program.press(FIRST)

    assert program.end(1.0 + 2.0) == 130
    assert not living(runs)
    assert "killed 1 run: deaf (SIGKILL after " in program.log


def test_a_second_ctrl_c_leaves_two_seconds(make_cluster: MakeCluster, run_program: RunProgram) -> None:
    program, runs = begun(run_program, make_cluster("a"), join="10m")

    program.press(FIRST)
    program.press(SECOND)

    assert program.end(0.7 + 2.0 + 2.0) == 130
    assert not living(runs)


def test_a_third_ctrl_c_leaves_at_once_and_the_lease_ends_the_runs(
    make_cluster: MakeCluster, run_program: RunProgram
) -> None:
    cluster = make_cluster("a")
    program, runs = begun(run_program, cluster, ttl=TTL, join="10m")
    cluster.workers["a"].signal(signal.SIGSTOP)  # so that no run can end on request

    program.press(FIRST)
    program.press(SECOND)
    program.press(THIRD)

    assert program.end(0.7 + 0.7) == 130
    assert wait_until(lambda: not living(runs), TTL + GRACE + SLACK_SECONDS)


def test_a_ctrl_c_while_the_dask_scheduler_is_frozen_ends_on_time(
    make_cluster: MakeCluster, run_program: RunProgram
) -> None:
    cluster = make_cluster("a")
    program, runs = begun(run_program, cluster, ttl=TTL)
    assert cluster.scheduler is not None
    cluster.scheduler.signal(signal.SIGSTOP)

    program.press(FIRST)
    program.press(SECOND)

    assert program.end(0.7 + 2.0 + 2.0) == 1
    assert "lost after " in program.log
    assert wait_until(lambda: not living(runs), TTL + GRACE + SLACK_SECONDS)


def test_a_ctrl_c_while_the_dask_scheduler_is_gone_ends_on_time(
    make_cluster: MakeCluster, run_program: RunProgram
) -> None:
    cluster = make_cluster("a")
    program, _ = begun(run_program, cluster, ttl=TTL)
    assert cluster.scheduler is not None
    cluster.scheduler.kill()
    program.await_text("trying to connect again")

    program.press(FIRST)
    program.press(SECOND)

    assert program.end(0.7 + 2.0 + 2.0) == 1


def test_a_ctrl_c_while_a_cluster_is_awaited_ends_at_once(run_program: RunProgram) -> None:
    program = run_program(f'scheduler: "tcp://127.0.0.1:{free_port()}", wait: 10m')
    program.await_text("waiting for the cluster at ")

    program.press(FIRST)

    assert program.end(0.0) == 130
    assert "cancelled" in program.log


def test_a_ctrl_c_leaves_nothing_of_a_local_cluster(run_program: RunProgram) -> None:
    program = run_program("local: 1")
    program.await_text("polite       started", "deaf         started")

    program.press(FIRST)

    assert program.end(1.0 + 2.0) == 130


def test_a_ctrl_c_while_a_local_cluster_starts_leaves_nothing_of_it(run_program: RunProgram) -> None:
    program = run_program("local: 1")
    program.await_text("loaded 2 jobs")

    program.press(FIRST)

    assert program.end(0.0) == 130
