"""`validate` warns where the jobs need more threads than the limits allow, and only there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from taskloom.cli import limits
from taskloom.cli.limits import (
    OWN_THREADS,
    PROCESSES_OF_PROGRAM,
    THREADS_OF_CLUSTER,
    THREADS_OF_RUNNER,
    THREADS_OF_WORKER_RUN,
    Limit,
    limit_warnings,
    thread_limits,
)
from taskloom.core.model import JobSpec, RunnerSpec
from taskloom.program import Program
from taskloom.runners.binding import Binding, Body
from taskloom.testing import make_job

JOBS = [make_job("one"), replace(make_job("many"), replicas=4), replace(make_job("off"), enabled=False)]
NEEDED = 5 + OWN_THREADS


def limit(threads: int, name: str = "ulimit -u") -> Limit:
    return Limit(threads, name, f"raise {name}")


def test_jobs_within_the_limits_cause_no_warning() -> None:
    assert limit_warnings(JOBS, "jobs.yaml", [limit(NEEDED), limit(NEEDED + 100)]) == []


def test_no_known_limit_is_not_a_warning() -> None:
    assert limit_warnings(JOBS, "jobs.yaml", []) == []


def test_the_lowest_limit_is_named_with_the_threads_that_are_needed() -> None:
    [problem] = limit_warnings(JOBS, "jobs.yaml", [limit(NEEDED + 1), limit(NEEDED - 1, "pids.max")])

    assert str(problem) == (
        "jobs.yaml:1:1: warning: not all jobs can run at the same time: 5 runs and 9 threads of Taskloom need 14, "
        "but pids.max allows 13; further runs end start_failed"
    )
    assert problem.hint == "raise pids.max"


def test_replicas_that_are_declared_one_by_one_count_the_same() -> None:
    jobs: list[JobSpec] = [each for job in JOBS for each in job.replicated()]

    assert limit_warnings(jobs, "jobs.yaml", [limit(NEEDED - 1)]) == limit_warnings(
        JOBS, "jobs.yaml", [limit(NEEDED - 1)]
    )


def test_runs_in_processes_count_their_threads_where_the_limit_does() -> None:
    task, program = make_job("apart"), make_job("program")
    binding = Binding(lambda: Body(print, None), program=lambda: Program(argv=("true",)))
    jobs = [
        *JOBS,
        replace(task, replicas=2, runner=RunnerSpec("process")),
        replace(program, binding=binding, runner=RunnerSpec("process")),
    ]
    needed = NEEDED + 2 * THREADS_OF_WORKER_RUN + PROCESSES_OF_PROGRAM + THREADS_OF_RUNNER

    [problem] = limit_warnings(jobs, "jobs.yaml", [limit(needed - 1)])

    assert str(problem) == (
        "jobs.yaml:1:1: warning: not all jobs can run at the same time: 8 runs, 3 of them in processes (which have 10 "
        "threads), and 11 threads of Taskloom need 26, but ulimit -u allows 25; further runs end start_failed"
    )
    assert limit_warnings(jobs, "jobs.yaml", [limit(needed)]) == []


def test_runs_on_a_cluster_have_one_thread_for_all_of_them() -> None:
    there = [replace(make_job(f"far{n}"), runner=RunnerSpec("dask", {"local": 1})) for n in range(9)]
    other = replace(make_job("other"), runner=RunnerSpec("dask", {"scheduler": "tcp://localhost:8786"}))
    needed = NEEDED + 2 * THREADS_OF_CLUSTER

    assert limit_warnings([*JOBS, *there, other], "jobs.yaml", [limit(needed)]) == []
    assert len(limit_warnings([*JOBS, *there, other], "jobs.yaml", [limit(needed - 1)])) == 1


def test_the_memory_of_this_process_is_for_its_own_threads() -> None:
    jobs = [*JOBS, replace(make_job("apart"), replicas=100, runner=RunnerSpec("process"))]
    own = NEEDED + THREADS_OF_RUNNER

    memory = [limit(threads, "ulimit -v")._replace(counts_processes=False) for threads in (own, own - 1)]

    assert limit_warnings(jobs, "jobs.yaml", memory[:1]) == []
    [problem] = limit_warnings(jobs, "jobs.yaml", [memory[1], limit(own + 200)])
    assert "5 runs and 11 threads of Taskloom need 16, but ulimit -v allows 15" in problem.message


CGROUPS = {
    "version 2": ("0::/user/one\n", "25 1 0:1 / {top} rw - cgroup2 cgroup2 rw\n"),
    "version 1": ("8:pids:/user/one\n0::/\n", "39 31 0:36 / {top} rw,relatime - cgroup cgroup rw,pids\n"),
    "a container": ("0::/docker/7/user/one\n", "25 1 0:1 /docker/7 {top} rw - cgroup2 cgroup rw\n"),
}


@pytest.mark.parametrize("kind", CGROUPS)
@pytest.mark.parametrize(
    ("written", "expected"), [(("max", "40"), {40}), (("30", "40"), {30, 40}), (("max", "max"), set())]
)
def test_every_cgroup_above_us_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, written: tuple[str, str], expected: set[int]
) -> None:
    ours, mounts = CGROUPS[kind]
    (tmp_path / "user" / "one").mkdir(parents=True)
    (tmp_path / "user" / "one" / "pids.max").write_text(f"{written[0]}\n")
    (tmp_path / "user" / "pids.max").write_text(f"{written[1]}\n")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "pids.max").write_text("3\n")
    files = {"/proc/self/cgroup": ours, "/proc/self/mountinfo": mounts.format(top=tmp_path)}
    real = limits._text
    monkeypatch.setattr(limits, "_text", lambda path: files.get(str(path), "") or real(path))

    found = {each.threads for each in thread_limits() if each.name.endswith("pids.max") and str(tmp_path) in each.name}

    assert found == expected


def test_validate_warns_and_still_accepts_the_file(
    child_env: dict[str, str], need_tool: Callable[[str], str], tmp_path: Path
) -> None:
    (tmp_path / "jobs.yaml").write_text("jobs: {many: {task: countdown, replicas: 300}}")

    answer = subprocess.run(
        [need_tool("prlimit"), f"--as={900 << 20}", sys.executable, "-m", "taskloom", "validate", "jobs.yaml"],
        cwd=tmp_path, env=child_env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert answer.returncode == 0
    assert "jobs.yaml:1:1: warning: not all jobs can run at the same time: 300 runs and 9 threads" in answer.stderr
    assert "1 warning" in answer.stdout
