"""`taskloom drill`: its options, exit codes and output streams.

Always in a child process, because a drill may end with a hard exit.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Call = Callable[..., subprocess.CompletedProcess[str]]

JOBS = """\
jobs:
  tick:
    task: countdown
    params: {start: 1000, interval: 10ms}
    labels: [slow]
    join: 5s
  launch:
    task: countdown
    params: {start: 1, interval: 1ms}
  off:
    task: countdown
    enabled: false
    labels: [off]
"""


@pytest.fixture
def call(taskloom_cli: Call, tmp_path: Path) -> Call:
    (tmp_path / "jobs.yaml").write_text(JOBS)

    def call(*options: str, file: str = "jobs.yaml") -> subprocess.CompletedProcess[str]:
        return taskloom_cli("drill", file, "--warm-up", "100ms", *options)

    return call


def parsed(answer: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    return {job["job"]: job for job in json.loads(answer.stdout)["jobs"]}


def test_every_enabled_job_is_drilled_and_the_exit_code_is_0_if_all_pass(call: Call) -> None:
    answer = call("-o", "json")

    assert answer.returncode == 0, answer.stderr
    jobs = parsed(answer)
    assert list(jobs) == ["tick", "launch"]
    assert jobs["tick"]["verdict"] == "in time"
    assert jobs["tick"]["budget"] == 5.0
    assert jobs["launch"]["verdict"] == "ended by itself"


def test_the_table_goes_to_stdout_and_the_events_to_stderr(call: Call) -> None:
    answer = call()

    assert [line.split()[0] for line in answer.stdout.splitlines() if line] == ["JOB", "tick", "launch", "2"]
    assert "drilling tick (1 of 2)" in answer.stderr
    assert "tick         stopping: stop drill" in answer.stderr
    assert "drilled launch: ended by itself" in answer.stderr


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--job", "launch"], ["launch"]),
        pytest.param(["--job", "launch", "--job", "tick"], ["tick", "launch"], marks=pytest.mark.long),
        pytest.param(["-l", "slow"], ["tick"], marks=pytest.mark.long),
        pytest.param(["-l", "slow", "-l", "off"], ["tick"], marks=pytest.mark.long),
    ],
)
def test_jobs_are_selected_by_name_and_label(call: Call, options: list[str], names: list[str]) -> None:
    assert list(parsed(call(*options, "-o", "json"))) == names


@pytest.mark.long
def test_the_budget_option_replaces_the_budget_of_every_job(call: Call) -> None:
    answer = call("--budget", "1.5s", "--job", "tick", "-o", "json")

    assert parsed(answer)["tick"]["budget"] == 1.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--job", "tik"], "cannot find job 'tik'; jobs: tick, launch, off; did you mean 'tick'?"),
        *(
            pytest.param(*row, marks=pytest.mark.long)
            for row in (
                (["--job", "off"], "cannot find an enabled job with name 'off': there is nothing to drill"),
                (["-l", "fast"], "cannot find an enabled job with label 'fast': there is nothing to drill"),
                (["--budget", "0s"], "cannot use '0s' as a duration; it must be more than 0"),
                (["--budget", "soon"], "cannot read 'soon' as a duration"),
                (["--warm-up", "-1s"], "cannot read '-1s' as a duration"),
            )
        ),
    ],
)
def test_an_unusable_option_is_refused_and_nothing_starts(call: Call, options: list[str], message: str) -> None:
    answer = call(*options)

    assert answer.returncode == 2
    assert message in answer.stderr
    assert "drilling" not in answer.stderr
    assert answer.stdout == ""


def test_errors_in_a_job_file_are_shown_with_their_place_and_nothing_starts(call: Call, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(JOBS.replace("join: 5s", "join: soon"))

    answer = call(file="bad.yaml")

    assert answer.returncode == 2
    assert "bad.yaml:6:11: error: job 'tick': cannot " in answer.stderr
    assert answer.stdout == ""


def test_the_help_warns_that_the_tasks_really_run(taskloom_cli: Call) -> None:
    answer = taskloom_cli("drill", "--help")

    assert "The tasks really run: they open their sockets and write their files." in " ".join(answer.stdout.split())
    assert "Act:\n  drill" in taskloom_cli("--help").stdout


@pytest.mark.long
@pytest.mark.parametrize("options", [(), ("-o", "json")])
def test_contents_of_secret_files_are_masked_in_the_log_and_in_the_result(
    call: Call, tmp_path: Path, options: tuple[str, ...]
) -> None:
    (tmp_path / "pin").write_text("71345\n")
    (tmp_path / "secret.yaml").write_text(
        "jobs:\n  a:\n    task: countdown\n    params:\n      failures: ${file:pin}\n      start: 0\n"
    )

    answer = call(*options, file="secret.yaml")

    assert answer.returncode == 1
    for text in (answer.stdout, answer.stderr):
        assert "fails because of failures: **********" in text
        assert "71345" not in text
