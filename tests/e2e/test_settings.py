"""Settings of the job file, of the environment and of env files, in a real `taskloom run`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taskloom.diagnostics import MASK

Start = Callable[..., Any]

DEAF = "jobs: {deaf: {task: deaf, join: wait}, heart: {task: bad, essential: true, after: {deaf: started}}}"


@pytest.mark.long
def test_the_stop_may_take_as_long_as_the_job_file_says(start_program: Start) -> None:
    program = start_program(f"taskloom: {{stop_within: 300ms}}\n{DEAF}")

    assert program.end() == 3
    [overdue] = program.events("stop_overdue")
    assert (overdue["job"], overdue["within"]) == ("deaf", 0.3)


@pytest.mark.long
@pytest.mark.parametrize(
    ("options", "environ", "env_file"),
    [
        (["--stop-within", "300ms"], {"TASKLOOM_STOP_WITHIN": "1h"}, ""),
        ([], {"TASKLOOM_STOP_WITHIN": "300ms"}, "TASKLOOM_STOP_WITHIN=1h"),
        ([], {"TASKLOOM_STOP_WITHIN": ""}, "TASKLOOM_STOP_WITHIN=300ms"),
    ],
    ids=["option", "environment", "env file"],
)
def test_other_places_go_before_the_job_file(
    start_program: Start, tmp_path: Path, options: list[str], environ: dict[str, str], env_file: str
) -> None:
    (tmp_path / "e").write_text(env_file)

    program = start_program(f"taskloom: {{stop_within: 1h}}\n{DEAF}", "--env-file", "e", *options, env=environ)

    assert program.end() == 3
    assert program.events("stop_overdue")[0]["within"] == 0.3


@pytest.mark.long
def test_the_watcher_learns_the_time_of_the_job_file(start_program: Start) -> None:
    reading, writing = os.pipe()
    program = start_program("taskloom: {stop_within: 300ms}\njobs: {hog: {task: gil}}", stdout=writing)
    os.close(writing)
    assert os.read(reading, 100) == b"holding"
    os.close(reading)

    program.send(signal.SIGTERM)

    assert program.end() == -signal.SIGKILL
    assert "in gil" in program.stderr


@pytest.mark.long
def test_a_reload_reads_files_of_values_again_and_says_what_it_cannot_change(
    start_program: Start, tmp_path: Path
) -> None:
    jobs = """
taskloom: {{stop_within: 20s, log_format: {0}}}
jobs:
  web: {{task: sayer, params: {{text: "${{file:word}} ${{MORE}}"}}}}
  same: {{task: polite}}
"""
    (tmp_path / "word").write_text("first-word\n")
    (tmp_path / "e").write_text("MORE=more\n")
    program = start_program(jobs.format("short"), "--env-file", "e", env={"TASKLOOM_LOGLEVEL": "debug"})
    program.wait_for(f"says {MASK} more")
    program.wait_for("same         started")
    assert "variable TASKLOOM_LOGLEVEL; did you mean 'TASKLOOM_LOG_LEVEL'?" in program.stderr

    (tmp_path / "word").write_text("other-word\n")
    program.reload(jobs.format("full"))
    program.wait_for("reload: settings apply at the next start of the program: log_format")
    program.wait_for("reload: 1 restarted (web), 1 untouched")
    program.wait_for_event("started", "web", count=2)

    (tmp_path / "e").write_text("oops\n")
    program.reload(jobs.format("short"))
    program.wait_for("reload: cannot use the job files (1 error); nothing has changed")
    assert "e:1:1: error: cannot read this line: it is not NAME=VALUE" in program.stderr
    for hidden in ("oops", "first-word", "other-word"):
        assert hidden not in program.stderr
    program.send(signal.SIGTERM)
    assert program.end() == 0


@pytest.mark.long
def test_the_log_is_as_the_job_file_says(start_program: Start, tmp_path: Path) -> None:
    settings = "{log_level: warning, log_format: json, log_dir: '${file:place}', control: false}"
    (tmp_path / "place").write_text("log\n")

    program = start_program(f"taskloom: {settings}\njobs: {{a: {{task: bad}}}}")

    assert program.end() == 1
    lines = [json.loads(line) for line in program.stderr.splitlines() if line.startswith("{")]
    assert {line["level"] for line in lines if line["message"].startswith(("loaded", "started", "failed"))} == {"ERROR"}
    assert [each.name for each in (tmp_path / "log").iterdir()] != []


@pytest.mark.parametrize("file", ["taskloom.yaml", "jobs/web.yaml"])
def test_a_run_without_a_path_says_which_one_it_uses(
    file: str, tmp_path: Path, child_env: dict[str, str], toy_packages: Path
) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text("taskloom: {control: false}\njobs: {a: {task: silent_leaver}}")

    ended = subprocess.run(
        [sys.executable, "-m", "taskloom", "run"],
        cwd=tmp_path,
        env=child_env | {"PYTHONPATH": str(toy_packages)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )

    assert ended.returncode == 0
    used = "jobs/" if "/" in file else file
    assert f"loaded 1 job from {used} (no PATH was given): a\n" in ended.stderr


@pytest.mark.parametrize(("variable", "text"), [("TASKLOOM_LOG_LEVEL", "loud"), ("TASKLOOM_STOP_WITHIN", "soon")])
def test_a_bad_variable_is_a_usage_error_and_nothing_starts(start_program: Start, variable: str, text: str) -> None:
    program = start_program("jobs: {a: {task: silent_leaver}}", env={variable: text})

    assert program.end() == 2
    assert f"Error: {variable}: cannot " in program.stderr
    assert not program.events_path.exists()
