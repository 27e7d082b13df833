"""A program without home, working directory, standard streams or a writable disk ends in time, with its own code."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.toy_distribution import add_distribution

SOON = 20.0
JOBS = "jobs: {one: {task: countdown, params: {start: 1, interval: 1ms}}}"
BAD_JOBS = "jobs: {one: {task: countdwon}}"

Run = Callable[..., subprocess.CompletedProcess[str]]

# In quotes: the path may have blanks.
TASKLOOM = '"$PYTHON" -m taskloom'


@pytest.fixture
def run(child_env: dict[str, str], tmp_path: Path) -> Run:
    """Run a command of a shell, in which `$PYTHON` is the interpreter, in a folder with two job files."""
    (tmp_path / "jobs.yaml").write_text(JOBS)
    (tmp_path / "bad.yaml").write_text(BAD_JOBS)

    def run(command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        env = child_env | {"PYTHON": sys.executable, "JOBS": f"{tmp_path}/jobs.yaml"} | variables
        return subprocess.run(
            ["/bin/sh", "-c", command], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=SOON, check=False
        )

    return run


CLOSED = ["0<&-", "1>&-", "2>&-", "0<&- 1>&-", "1>&- 2>&-", "0<&- 1>&- 2>&-"]
IN_SHORT = CLOSED[-1]


@pytest.mark.parametrize(
    "closed", [each if each == IN_SHORT else pytest.param(each, marks=pytest.mark.long) for each in CLOSED]
)
@pytest.mark.parametrize(("file", "code"), [("jobs.yaml", 0), pytest.param("bad.yaml", 2, marks=pytest.mark.long)])
def test_closed_standard_streams_change_no_exit_code(run: Run, closed: str, file: str, code: int) -> None:
    answer = run(f"exec {TASKLOOM} run {file} {closed}")

    assert answer.returncode == code
    assert ("liftoff" in answer.stderr) is (code == 0 and "2>" not in closed)
    assert answer.stdout == ""


READS_STREAMS = """
import os
kinds = [os.readlink(f"/proc/self/fd/{number}") for number in (0, 1, 2)]
def run(ctx):
    with open("kinds", "w") as file:
        file.write(" ".join(kinds))
"""


def test_nothing_of_ours_gets_the_number_of_a_closed_standard_stream(run: Run, tmp_path: Path) -> None:
    """Otherwise what a task prints would be written into a pipe or a connection."""
    add_distribution(tmp_path, "acme", READS_STREAMS, reader="run")
    (tmp_path / "jobs.yaml").write_text("jobs: {one: {task: reader}}")

    answer = run(f"exec {TASKLOOM} run jobs.yaml 0<&- 1>&- 2>&-", PYTHONPATH=str(tmp_path))

    assert answer.returncode == 0
    assert (tmp_path / "kinds").read_text() == "/dev/null /dev/null /dev/null"


@pytest.mark.long
@pytest.mark.parametrize("home", ["unset HOME", "HOME=/nonexistent", "HOME="])
def test_no_home_is_needed(run: Run, home: str) -> None:
    answer = run(f"{home}; exec {TASKLOOM} run jobs.yaml")

    assert answer.returncode == 0, answer.stderr


def test_a_deleted_working_directory_is_a_mistake_in_words(run: Run) -> None:
    answer = run(f"mkdir gone; cd gone; rmdir ../gone; exec {TASKLOOM} run jobs.yaml")

    assert answer.returncode == 2
    assert answer.stderr == "jobs.yaml:1:1: error: cannot read the file: no such file or directory\n"


@pytest.mark.long
def test_a_deleted_working_directory_stops_no_job_with_an_absolute_path(run: Run) -> None:
    answer = run(f"mkdir gone; cd gone; rmdir ../gone; exec {TASKLOOM} run $JOBS")

    assert answer.returncode == 0, answer.stderr


@pytest.mark.long
def test_a_read_only_root_stops_no_job(run: Run, need_tool: Callable[[str], str]) -> None:
    unshare = need_tool("unshare")
    prepare = "mount -o bind / /mnt && mount -o remount,ro,bind / && ! touch x 2> /dev/null"
    if run(f"{unshare} --mount /bin/sh -c '{prepare}'").returncode != 0:
        if os.environ.get("CI"):
            pytest.fail("cannot make the root read-only, and under CI nothing may be missing")
        pytest.skip("LOUD: only root can make the root read-only")

    answer = run(f"exec {unshare} --mount /bin/sh -c '{prepare}; exec {TASKLOOM} run jobs.yaml'")

    assert answer.returncode == 0, answer.stderr


@pytest.mark.long
def test_events_that_cannot_be_written_are_a_mistake_in_words(run: Run) -> None:
    answer = run(f"exec {TASKLOOM} run jobs.yaml --events /nonexistent/events.jsonl")

    assert answer.returncode == 2
    assert "cannot write events to '/nonexistent/events.jsonl': No such file or directory" in answer.stderr


@pytest.mark.long
def test_a_foreign_user_without_a_name_runs_jobs(run: Run, need_tool: Callable[[str], str], tmp_path: Path) -> None:
    setpriv = need_tool("setpriv")
    if os.geteuid() != 0:
        pytest.skip("LOUD: only root can change the user id")
    tmp_path.chmod(0o755)
    user = (
        f"{setpriv} --reuid 1999999 --regid 1999999 --clear-groups "
        "--inh-caps=-all,+dac_read_search --ambient-caps=-all,+dac_read_search"
    )

    answer = run(f"unset HOME USER LOGNAME; exec {user} {TASKLOOM} run jobs.yaml")

    assert answer.returncode == 0, answer.stderr
