"""A real `taskloom drill`: the examples pass, and a task that ignores its token is reported with its line."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Call = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).resolve().parents[2]

# Its jobs need a cluster, and one of them is killed.
ON_CLUSTER = "cluster.yaml"
# Long enough for a busy machine: only a failure takes this long.
PATIENCE_SECONDS = 60.0


@pytest.fixture
def drill(taskloom_cli: Call, toy_packages: Path, tmp_path: Path) -> Call:
    """Drill misbehaving tasks, each as a job of the same name."""

    def drill(*tasks: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        jobs = "".join(f"  {name}: {{task: {name}}}\n" for name in tasks)
        (tmp_path / "jobs.yaml").write_text(f"defaults: {{join: 300ms}}\njobs:\n{jobs}")
        return taskloom_cli(
            *("drill", "jobs.yaml", "--warm-up", "100ms", *options),
            env={"PYTHONPATH": str(toy_packages)},
            timeout=PATIENCE_SECONDS,
        )

    return drill


def line_of(mark: str, toy_packages: Path) -> int:
    lines = (toy_packages / "misbehaving.py").read_text().splitlines()
    return next(number for number, line in enumerate(lines, start=1) if mark in line)


@pytest.mark.long
def test_every_example_passes(taskloom_cli: Call, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "jobs", tmp_path / "jobs", ignore=shutil.ignore_patterns(ON_CLUSTER))

    answer = taskloom_cli("drill", "jobs", "--warm-up", "50ms", "-o", "json", timeout=PATIENCE_SECONDS)

    data = json.loads(answer.stdout)
    assert answer.returncode == 0, answer.stderr
    assert data["passes"] is True
    assert data["drilled"] == len(data["jobs"]) >= 10
    assert "Traceback" not in answer.stderr


@pytest.mark.cluster
@pytest.mark.timeout(300)
def test_the_example_on_a_cluster_has_a_drill_on_one_local_cluster(taskloom_cli: Call, tmp_path: Path) -> None:
    shutil.copy(ROOT / "jobs" / ON_CLUSTER, tmp_path)

    answer = taskloom_cli("drill", ON_CLUSTER, "--warm-up", "50ms", "-o", "json", timeout=3 * PATIENCE_SECONDS)

    data = {job["job"]: job for job in json.loads(answer.stdout)["jobs"]}
    verdicts = {name: job["verdict"] for name, job in data.items()}
    assert verdicts == {"shards": "in time", "far": "in time", "far-deaf": "killed", "near": "in time"}, answer.stderr
    assert answer.returncode == 1
    killed = re.fullmatch(r"SIGKILL after (\d+\.\d) s", data["far-deaf"]["killed"])
    assert killed is not None, data["far-deaf"]
    assert float(killed[1]) >= 2.0
    assert not any(job["threads_left"] for job in data.values())
    assert "Traceback" not in answer.stderr


def test_a_task_that_ignores_its_token_fails_the_drill_and_its_line_is_named(drill: Call, toy_packages: Path) -> None:
    answer = drill("polite", "deaf")

    place = f"{toy_packages / 'misbehaving.py'}:{line_of('DEAF STANDS HERE', toy_packages)} in deaf"
    assert answer.returncode == 1
    assert f"deaf did not stop within 300ms (task deaf, declared at jobs.yaml:4)\n  at {place}\n" in answer.stdout
    assert "time.sleep(seconds)  # DEAF STANDS HERE" in answer.stdout
    assert answer.stdout.endswith("2 jobs drilled: 1 passed, 1 did not\n")


@pytest.mark.long
def test_a_run_that_does_not_stop_delays_neither_other_drills_nor_the_exit(drill: Call) -> None:
    answer = drill("deaf", "swallower", "polite", options=("-o", "json"))

    data = json.loads(answer.stdout)
    assert answer.returncode == 1
    assert [job["verdict"] for job in data["jobs"]] == ["over budget", "over budget", "in time"]
    assert data["jobs"][1]["has_seen_stop"] is True


def test_tasks_that_fail_end_or_leak_threads_are_distinguished(drill: Call) -> None:
    answer = drill("bad", "leaver", "leaker", "silent_leaver", options=("-o", "json"))

    data = {job["job"]: job for job in json.loads(answer.stdout)["jobs"]}
    assert answer.returncode == 1
    assert {name: job["verdict"] for name, job in data.items()} == {
        "bad": "failed",
        "leaver": "failed",
        "leaker": "ended by itself",
        "silent_leaver": "ended by itself",
    }
    assert data["bad"]["error"] == "ValueError: boom"
    assert data["leaker"]["threads_left"] == ["leaked"]


def test_output_of_a_task_is_not_in_the_result(drill: Call) -> None:
    answer = drill("printer", options=("-o", "json"))

    assert json.loads(answer.stdout)["jobs"][0]["verdict"] == "in time"
    assert "xxxx" in answer.stderr


@pytest.mark.parametrize(
    "closed", [*(pytest.param(one, marks=pytest.mark.long) for one in (">&-", "2>&-")), ">&- 2>&- <&-"]
)
def test_streams_that_the_caller_closed_do_not_change_the_exit_code(
    child_env: dict[str, str], toy_packages: Path, tmp_path: Path, closed: str
) -> None:
    (tmp_path / "jobs.yaml").write_text("jobs:\n  polite: {task: polite}\n")
    command = [sys.executable, "-m", "taskloom", "drill", "jobs.yaml", "--warm-up", "10ms"]

    answer = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *command],
        cwd=tmp_path,
        env=child_env | {"PYTHONPATH": str(toy_packages)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )

    assert answer.returncode == 0, answer.stderr


@pytest.mark.long
def test_ctrl_c_ends_the_drill_with_130_and_reports_the_finished_drills(
    child_env: dict[str, str], toy_packages: Path, tmp_path: Path
) -> None:
    (tmp_path / "jobs.yaml").write_text("jobs:\n  first: {task: silent_leaver}\n  second: {task: polite}\n")
    program = subprocess.Popen(
        [sys.executable, "-m", "taskloom", "drill", "jobs.yaml", "--warm-up", "1h", "-o", "json"],
        cwd=tmp_path,
        env=child_env | {"PYTHONPATH": str(toy_packages)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        output = read_until(program, b"second       started")
        program.send_signal(signal.SIGINT)
        answer, _ = program.communicate(timeout=PATIENCE_SECONDS)
    finally:
        program.kill()
        program.wait()

    data: dict[str, Any] = json.loads(answer)
    assert program.returncode == 130, output
    assert (data["passes"], data["wanted"], data["drilled"]) == (False, 2, 1)
    assert data["jobs"][0]["job"] == "first"


def read_until(program: subprocess.Popen[bytes], text: bytes) -> bytes:
    """Read standard error until it contains the text, and return what was read."""
    assert program.stderr is not None
    output = b""
    while text not in output:
        readable, _, _ = select.select([program.stderr], [], [], PATIENCE_SECONDS)
        piece = os.read(program.stderr.fileno(), 65536) if readable else b""
        assert piece, f"{text!r} is missing:\n{output.decode()}"
        output += piece
    return output


@pytest.mark.long
def test_a_task_that_holds_the_gil_ends_the_drill_with_1_and_all_stacks(drill: Call, toy_packages: Path) -> None:
    answer = drill("polite", "gil")

    assert answer.returncode == 1
    assert "drilling gil (2 of 2)" in answer.stderr
    assert f'misbehaving.py", line {line_of("GIL IS HELD HERE", toy_packages)} in gil' in answer.stderr
