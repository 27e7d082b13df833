"""A third-party distribution, installed beside Taskloom's wheel, adds tasks by its entry points alone."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

DISTRIBUTION = Path(__file__).parent / "acme"

JOBS = """\
jobs:
  heart:
    task: heartbeat
    params: {every: 10ms, limit: 3}
  drum:
    task: beat
    params: {word: boom, times: 2, every: 10ms}
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def fresh_python(tmp_path_factory: pytest.TempPathFactory, wheel: Path, build_wheel: Callable[[Path], Path]) -> Path:
    """A fresh environment with both wheels. It borrows only Taskloom's dependencies, so that no network is needed."""
    place = tmp_path_factory.mktemp("fresh environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    python = place / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, str(wheel), str(build_wheel(DISTRIBUTION))], check=True)
    # Python does not read path files in a folder that a path file adds, so this checkout's editable install is not
    # visible.
    [site_packages] = place.glob("lib/python*/site-packages")
    (site_packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return python


@pytest.fixture
def run(fresh_python: Path, child_env: dict[str, str], tmp_path: Path) -> Run:
    """Run the fresh environment's `taskloom`, from a folder with a job file in it."""
    (tmp_path / "beats.yaml").write_text(JOBS, encoding="utf-8")

    def run(*arguments: str, program: str = "taskloom") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [fresh_python.with_name(program), *arguments],
            cwd=tmp_path,
            env=child_env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    return run


def test_the_fresh_environment_does_not_see_the_checkout(run: Run, fresh_python: Path) -> None:
    answer = run("-c", "import taskloom, taskloom_plugins; print(taskloom.__file__)", program="python")

    assert answer.stderr == ""
    assert Path(answer.stdout).is_relative_to(fresh_python.parents[1])


def test_a_third_party_class_and_function_run_from_yaml(run: Run) -> None:
    answer = run("run", "beats.yaml")

    assert answer.returncode == 0, answer.stderr
    assert "beat 3" in answer.stderr
    assert "boom 2" in answer.stderr
    assert "beat 4" not in answer.stderr
    assert "Traceback" not in answer.stderr


def test_tasks_lists_third_party_tasks_with_distribution_and_version(run: Run) -> None:
    answer = run("tasks")

    lines = {line.split()[0]: line for line in answer.stdout.splitlines() if line.split()}
    assert answer.returncode == 0, answer.stderr
    for name in ("beat", "heartbeat"):
        assert "acme-beats 1.2.3" in lines[name]
    assert "taskloom 0." in lines["countdown"]


@pytest.mark.parametrize(("task", "parameters"), [("heartbeat", ["every", "limit"]), ("beat", ["word", "times"])])
def test_tasks_with_a_name_prints_its_parameters(run: Run, task: str, parameters: list[str]) -> None:
    answer = run("tasks", task)

    assert answer.returncode == 0, answer.stderr
    for parameter in parameters:
        assert parameter in answer.stdout


def test_third_party_parameters_are_checked_before_anything_starts(run: Run, tmp_path: Path) -> None:
    (tmp_path / "beats.yaml").write_text(JOBS.replace("every: 10ms, limit: 3", "every: soon, limit: -1"))

    answer = run("validate", "beats.yaml")

    assert answer.returncode == 2
    assert "beats.yaml:4:21: error: job 'heart': " in answer.stderr + answer.stdout
    assert "beats.yaml:4:34: error: job 'heart': " in answer.stderr + answer.stdout
    assert "Traceback" not in answer.stderr
