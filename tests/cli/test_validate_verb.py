"""`taskloom validate`: problems on standard error, a summary on standard output, an exit code."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from taskloom.cli.validate import validate

GOOD = "jobs:\n  c:\n    task: countdown\n    join: 5s\n  b:\n    task: countdown\n    daemon: true\n"
BAD = "jobs:\n  a:\n    task: countdwon\n    daemon: no\n"

Call = Callable[..., Result]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.chdir(tmp_path)
    Path("good.yaml").write_text(GOOD)
    Path("bad.yaml").write_text(BAD)
    Path("slow.yaml").write_text("jobs:\n  a:\n    task: countdown\n    join: wait\n")

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(validate, arguments, catch_exceptions=False)

    return call


def test_good_files_give_a_summary_and_0(call: Call) -> None:
    answer = call("good.yaml")

    assert answer.exit_code == 0
    assert answer.stdout == "2 jobs in 1 file: no problems; worst-case stop 10s\n"
    assert answer.stderr == ""


def test_bad_files_give_every_problem_as_a_frame_and_2(call: Call) -> None:
    answer = call("bad.yaml", "good.yaml")

    assert answer.exit_code == 2
    assert answer.stdout == "2 files: 2 errors\n"
    assert answer.stderr == (
        "bad.yaml:3:11: error: job 'a': cannot find task 'countdwon'; "
        "installed: command, countdown, socket-reader, socket-sender\n"
        "  3 |     task: countdwon\n"
        "    |           ^^^^^^^^^ did you mean 'countdown'?\n"
        "bad.yaml:4:13: error: job 'a': cannot use 'no' as daemon; expected true or false\n"
        "  4 |     daemon: no\n"
        "    |             ^^ write true or false\n"
    )


def test_warnings_do_not_change_the_exit_code(call: Call) -> None:
    answer = call("slow.yaml")

    assert answer.exit_code == 0
    assert answer.stdout == "1 job in 1 file: 1 warning; worst-case stop 30s\n"
    assert "slow.yaml:4:11: warning: job 'a': stop has no time limit of its own" in answer.stderr


@pytest.mark.parametrize(
    "within, worst", [("20s", "20s"), ("1m", "1m"), ("5", "5s"), ("2.5", "2.5s"), ("forever", "unbounded")]
)
def test_stop_within_limits_a_join_that_waits(call: Call, within: str, worst: str) -> None:
    answer = call("slow.yaml", "--stop-within", within)

    assert answer.exit_code == 0
    assert answer.stdout.endswith(f"worst-case stop {worst}\n")


@pytest.mark.parametrize("within", ["soon", "-5", "1e999", "nan"])
def test_an_invalid_stop_within_is_a_usage_error(call: Call, within: str) -> None:
    answer = call("good.yaml", "--stop-within", within)

    assert answer.exit_code == 2
    assert "Invalid value for '--stop-within': cannot " in answer.stderr


def test_no_path_is_a_usage_error(call: Call) -> None:
    assert call().exit_code == 2


def test_json_output_is_on_standard_output(call: Call) -> None:
    answer = call("bad.yaml", "good.yaml", "-o", "json")

    data = json.loads(answer.stdout)
    assert answer.exit_code == 2
    assert answer.stderr == ""
    assert data["files"] == ["bad.yaml", "good.yaml"]
    assert data["problems"][0] == {
        "path": "bad.yaml",
        "line": 3,
        "column": 11,
        "length": 9,
        "severity": "error",
        "job": "a",
        "message": "cannot find task 'countdwon'; installed: command, countdown, socket-reader, socket-sender",
        "hint": "did you mean 'countdown'?",
        "related": [],
    }


def test_the_jobs_in_json_have_their_final_values(call: Call) -> None:
    data = json.loads(call("good.yaml", "-o", "json").stdout)

    assert data["worst_stop_seconds"] == 10.0
    assert data["jobs"][1] == {
        "name": "b",
        "task": "countdown",
        "description": "",
        "labels": [],
        "log": {"level": None, "file": None},
        "enabled": True,
        "daemon": True,
        "poll_interval": 1.0,
        "join": {"within": 10.0, "otherwise": "abandon"},
        "start": {"mode": "auto", "delay": 0.0},
        "schedule": None,
        "after": [],
        "restart": {
            "when": "never",
            "delay": 0.5,
            "factor": 2.0,
            "max_delay": 30.0,
            "jitter": 0.5,
            "limit": None,
        },
        "timeout": None,
        "ready_within": None,
        "watchdog": None,
        "essential": False,
        "replicas": 1,
        "runner": "thread",
        "runner_options": {},
        "path": "good.yaml",
        "line": 5,
    }


def test_the_fields_of_supervision_are_in_json(call: Call) -> None:
    Path("supervised.yaml").write_text(
        "jobs:\n"
        "  db: {task: countdown, daemon: true, runner: {thread: {reuse: true}}, watchdog: {after: 5s, then: stop}}\n"
        "  web:\n"
        "    task: countdown\n"
        "    after: {db: started}\n"
        "    restart: {when: always, delay: 1s, limit: {times: 3, within: 1m}}\n"
        "    timeout: 5m\n"
        "    essential: true\n"
        "    replicas: 2\n"
        "  once:\n"
        "    task: countdown\n"
        "    schedule: {at: 2130-01-31T06:00, timezone: Europe/Berlin, overlap: queue}\n"
    )

    db, web, once = json.loads(call("supervised.yaml", "-o", "json").stdout)["jobs"]

    assert (db["runner"], db["runner_options"]) == ("thread", {"reuse": True})
    assert db["watchdog"] == {"after": 5.0, "then": "stop"}
    assert web["after"] == [{"job": "db", "condition": "started"}]
    assert web["restart"] == {
        "when": "always",
        "delay": 1.0,
        "factor": 2.0,
        "max_delay": 30.0,
        "jitter": 0.5,
        "limit": {"times": 3, "within": 60.0},
    }
    assert (web["timeout"], web["essential"], web["replicas"]) == (300.0, True, 2)
    assert once["schedule"] == {
        "text": "at 2130-01-31T06:00",
        "words": "once, Tue 2130-01-31 06:00:00 CET (Europe/Berlin); overlap queued",
        "every": None,
        "timezone": "Europe/Berlin",
        "jitter": 0.0,
        "overlap": "queue",
        "missed": "once",
        "grace": 3600.0,
        "immediately": False,
        "next": ["2130-01-31T05:00:00.000000Z"],
    }


def test_each_schedule_is_shown_in_words_with_its_next_start_times(call: Call) -> None:
    Path("times.yaml").write_text(
        "jobs:\n"
        "  once: {task: countdown, schedule: {at: 2130-01-31T06:00, timezone: Europe/Berlin}}\n"
        "  gone: {task: countdown, schedule: {at: 2001-01-31T06:00Z}}\n"
        "  daily: {task: countdown, schedule: {cron: 0 6 * * *, timezone: UTC}}\n"
        "  off: {task: countdown, schedule: {every: 5m}, enabled: false}\n"
    )

    answer = call("times.yaml")
    lines = answer.stdout.splitlines()

    assert lines[:4] == [
        "once: once, Tue 2130-01-31 06:00:00 CET (Europe/Berlin); overlap skipped",
        "  next: Tue 2130-01-31 06:00:00 CET",
        "gone: once, Wed 2001-01-31 06:00:00 UTC (UTC); overlap skipped",
        "  next: never again",
    ]
    assert lines[4] == "daily: at 06:00 every day, UTC time (0 6 * * *); overlap skipped"
    assert re.fullmatch(r"  next: (\w{3} \d{4}-\d\d-\d\d 06:00:00 UTC(, )?){3}", lines[5])
    assert lines[6:] == ["4 jobs in 1 file: 1 warning; worst-case stop 10s"]
    assert "job 'gone': does not start by itself: 2001-01-31T06:00Z has passed" in answer.stderr


def test_the_worst_stop_adds_up_jobs_that_are_stopped_one_after_the_other(call: Call) -> None:
    Path("chain.yaml").write_text(
        "jobs:\n  db: {task: countdown, join: 20s}\n  web: {task: countdown, join: 25s, after: db}\n"
    )

    answer = call("chain.yaml")
    data = json.loads(call("chain.yaml", "-o", "json").stdout)

    assert answer.stdout == "2 jobs in 1 file: 1 warning; worst-case stop 45s\n"
    assert "and that may take 45s: web (25s) -> db (20s)" in answer.stderr
    assert data["worst_stop_seconds"] == 45.0
    assert data["worst_stop_chain"] == [{"job": "web", "seconds": 25.0}, {"job": "db", "seconds": 20.0}]


def test_an_unbounded_stop_is_null_in_json(call: Call) -> None:
    data = json.loads(call("slow.yaml", "-o", "json", "--stop-within", "forever").stdout)

    assert data["worst_stop_seconds"] is None
    assert data["worst_stop_chain"] == [{"job": "a", "seconds": None}]
    assert data["jobs"][0]["join"]["within"] is None


def test_the_installed_program_prints_the_same_without_a_traceback(
    taskloom_cli: Callable[..., object], tmp_path: Path
) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "bad.yaml").write_text(BAD)

    answer = taskloom_cli("validate", "jobs")

    assert answer.returncode == 2  # type: ignore[attr-defined]
    assert "jobs/bad.yaml:3:11: error: job 'a': cannot find task" in answer.stderr  # type: ignore[attr-defined]
    assert "Traceback" not in answer.stderr  # type: ignore[attr-defined]


def test_validating_plain_jobs_imports_neither_pydantic_nor_rich(child_env: dict[str, str], call: Call) -> None:
    import subprocess
    import sys

    program = (
        "import sys\nfrom taskloom.cli.validate import validate\n"
        "try:\n    validate(['good.yaml'])\nexcept SystemExit: pass\n"
        "print(sorted({'pydantic', 'rich', 'asyncio', 'jsonschema'} & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True, env=child_env
    )

    assert answer.stdout.splitlines()[-1] == "[]"


def test_no_secret_of_a_file_is_in_json(call: Call) -> None:
    Path("word").write_text("hunter22\n")
    Path("secret.yaml").write_text(
        "jobs:\n"
        "  a:\n"
        "    task: countdown\n"
        "    description: ${file:word} or ${file:word}\n"
        "    runner: {process: {cwd: '/tmp/${file:word}'}}\n"
    )

    shown = call("secret.yaml", "-o", "json").stdout

    assert "hunter22" not in shown
    assert json.loads(shown)["jobs"][0]["runner_options"] == {"cwd": "/tmp/**********"}
