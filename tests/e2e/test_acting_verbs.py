"""`taskloom stop`, `start`, `reload`, `shutdown` and the others, beside a real `taskloom run`."""

from __future__ import annotations

import json
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.child_programs import ChildProgram
from tests.support.shells import completed

pytestmark = pytest.mark.long

Start = Callable[..., Any]
Cli = Callable[..., subprocess.CompletedProcess[str]]

JOBS = """
jobs:
  web: {task: polite}
  deaf: {task: deaf, join: 300ms}
  bad: {task: bad, start: manual}
  crew: {task: polite, replicas: 2, labels: [team]}
  nightly: {task: polite, schedule: {every: 1h}}
"""


@pytest.fixture
def child_env(child_env: dict[str, str]) -> dict[str, str]:
    """A name of its own for the program: root's clients also find those that run in /run/taskloom of the machine."""
    return {**child_env, "TASKLOOM_NAME": f"acting-{secrets.token_hex(4)}"}


@pytest.fixture
def program(start_program: Start) -> Any:
    """A program with a polite, a deaf, a failing, a replicated and a scheduled job."""
    program = start_program(JOBS)
    program.wait_for_event("ready", "crew.2")
    program.wait_for_event("started", "deaf")
    return program


@pytest.fixture(params=["bash", "zsh"])
def shell(request: pytest.FixtureRequest, need_tool: Callable[[str], str]) -> str:
    """The path of each shell on a terminal."""
    return need_tool(request.param)


@pytest.fixture
def client(child_env: dict[str, str], tmp_path: Path) -> Callable[..., ChildProgram]:
    """Start a verb that waits, as a process of its own."""

    def start(*arguments: str) -> ChildProgram:
        return ChildProgram([sys.executable, "-m", "taskloom", *arguments], child_env, tmp_path)

    return start


def test_jobs_are_stopped_started_and_restarted(program: Any, taskloom_cli: Cli) -> None:
    stopped = taskloom_cli("stop", "web", "crew")
    assert (stopped.returncode, stopped.stderr) == (0, "")
    assert [re.sub(r"\d+\.\d s", "0 s", line) for line in sorted(stopped.stdout.splitlines())] == [
        "crew.1: stopped after 0 s, cancelled",
        "crew.2: stopped after 0 s, cancelled",
        "web: stopped after 0 s, cancelled",
    ]
    assert taskloom_cli("stop", "web").stdout == "web: was not running (finished)\n"

    started = taskloom_cli("start", "web", "bad", "-o", "json")
    assert started.returncode == 1
    jobs = {job["job"]: job for job in json.loads(started.stdout)["jobs"]}
    assert (jobs["web"]["state"], jobs["bad"]["state"], jobs["bad"]["error"]) == (
        "ready", "failed", "ValueError: boom"
    )  # fmt: skip

    assert taskloom_cli("restart", "nightly").returncode == 0
    assert taskloom_cli("restart", "nightly").returncode == 0
    assert program.wait_for_event("ended", "nightly")["outcome"] == "cancelled"
    # The log says who did it.
    assert re.search(r"stop web: requested by .*uid \d+, pid \d+", program.stderr)


def test_the_stop_of_a_deaf_job_says_where_it_is(program: Any, taskloom_cli: Cli) -> None:
    stopped = taskloom_cli("stop", "deaf")

    assert stopped.returncode == 3
    assert re.fullmatch(
        r"deaf: still running after 0\.\d s of stopping, at .*misbehaving\.py:\d+ in deaf\n", stopped.stderr
    )
    assert program.process.poll() is None


def test_a_shutdown_with_survivors_shows_what_run_shows_and_ends_as_it_ends(program: Any, taskloom_cli: Cli) -> None:
    ended = taskloom_cli("shutdown", "--within", "1s")

    assert ended.returncode == 3
    assert program.end() == 3
    assert "deaf is still running" in ended.stdout
    assert "DEAF STANDS HERE" in ended.stdout
    # The deaf run goes on while both are made.
    summary, shown = (re.sub(r"\d+\.\d s", "0 s", text) for text in (program.stderr, ended.stdout))
    assert shown.split("\n\ndeaf is")[0] in summary


def test_a_shutdown_of_polite_jobs_is_0_and_json_is_the_report(start_program: Start, taskloom_cli: Cli) -> None:
    program = start_program("jobs: {web: {task: polite}}")
    program.wait_for_event("ready", "web")

    ended = taskloom_cli("shutdown", "-o", "json")

    assert ended.returncode == 0
    assert program.end() == 0
    report = json.loads(ended.stdout)
    assert (report["exit_code"], report["survivors"], report["jobs"][0]["outcome"]) == (0, [], "cancelled")
    gone = taskloom_cli("stop", "web")
    assert gone.returncode == 4


def test_a_shutdown_says_who_is_awaited_and_a_second_one_hurries_it(
    start_program: Start, taskloom_cli: Cli, client: Callable[..., ChildProgram]
) -> None:
    program = start_program("jobs: {deaf: {task: deaf, join: wait}}", "--stop-within", "forever")
    program.wait_for_event("started", "deaf")

    with client("shutdown") as first:
        first.wait_for("waiting for deaf")
        second = taskloom_cli("shutdown", "--within", "500ms")
        code, _ = first.end()

    assert (second.returncode, code, program.end()) == (3, 3, 3)


def test_a_program_that_is_killed_ends_the_verbs_that_wait(
    start_program: Start, client: Callable[..., ChildProgram]
) -> None:
    program = start_program("jobs: {deaf: {task: deaf, join: 100s}}", "--stop-within", "100s")
    program.wait_for_event("started", "deaf")

    with client("stop", "deaf") as stop, client("shutdown") as shutdown:
        program.wait_for_event("cancel_requested", "deaf")
        shutdown.wait_for("waiting for deaf")
        program.kill()
        codes = stop.end()[0], shutdown.end()[0]

    assert codes == (4, 4)
    assert "killed" in stop.output
    assert "killed" in shutdown.output


def test_ctrl_c_in_the_client_leaves_the_stop_under_way(
    start_program: Start, client: Callable[..., ChildProgram], tmp_path: Path
) -> None:
    until = tmp_path / "release"
    program = start_program(
        f"jobs: {{stuck: {{task: stuck, join: 100s, params: {{until: '{until}'}}}}, web: {{task: polite}}}}"
    )
    program.wait_for_event("started", "stuck")

    with client("stop", "stuck") as stop:
        program.wait_for_event("cancel_requested", "stuck")
        stop.send(signal.SIGINT)  # once: a second one would end an interpreter that is about to exit
        code, _ = stop.end()
    until.touch()

    assert code == 130
    assert "interrupted; the program goes on with the stop: stuck" in stop.output
    program.wait_for_event("ended", "stuck")
    program.send(signal.SIGTERM)
    assert program.end() == 0


def test_a_reload_is_shown_before_and_after_and_a_broken_file_changes_nothing(
    start_program: Start, taskloom_cli: Cli
) -> None:
    program = start_program("jobs: {web: {task: sayer, params: {text: one}}, db: {task: polite}}")
    program.wait_for("says one")
    (program.folder / "jobs.yaml").write_text("jobs: {web: {task: sayer, params: {text: two}}, new: {task: polite}}")

    preview = taskloom_cli("reload", "--preview")
    assert preview.returncode == 0
    rows = [line.split() for line in preview.stdout.splitlines()]
    assert [row[:2] for row in rows[1:4]] == [["web", "restart"], ["db", "remove"], ["new", "add"]] or sorted(
        row[:2] for row in rows[1:4]
    ) == [["db", "remove"], ["new", "add"], ["web", "restart"]]
    assert "says two" not in program.stderr

    assert taskloom_cli("reload").returncode == 0
    program.wait_for("says two")

    (program.folder / "jobs.yaml").write_text("jobs: {web: {task: sayer, deamon: true}}")
    broken = taskloom_cli("reload")
    assert broken.returncode == 1
    assert "jobs.yaml:1" in broken.stderr
    assert "did you mean" in broken.stderr or "deamon" in broken.stderr
    assert program.process.poll() is None


def test_a_verb_ends_by_itself_beside_a_task_that_holds_the_gil(start_program: Start, taskloom_cli: Cli) -> None:
    program = start_program("jobs: {hog: {task: gil}}", stdout=subprocess.PIPE)
    assert program.process.stdout.read(7) == "holding"

    asked = taskloom_cli("stop", "hog", "--timeout", "1s")

    assert asked.returncode == 4
    assert "does not answer" in asked.stderr
    assert f"kill -QUIT {program.process.pid}" in asked.stderr
    program.process.stdout.close()
    program.kill()


def test_a_program_that_its_watcher_kills_during_a_shutdown_is_told(start_program: Start, taskloom_cli: Cli) -> None:
    program = start_program("jobs: {hog: {task: last_hog}}", "--stop-within", "1s")
    program.wait_for_event("started", "hog")

    ended = taskloom_cli("shutdown")

    assert ended.returncode == 4
    assert "ended without its stop report: it was killed, or it exited hard" in ended.stderr
    assert program.end() == -signal.SIGKILL


def test_two_clients_steer_one_program_at_the_same_time(program: Any, client: Callable[..., ChildProgram]) -> None:
    with client("restart", "web") as one, client("stop", "crew") as other, client("restart", "crew.1") as third:
        codes = [each.end()[0] for each in (one, other, third)]

    assert codes[:2] == [0, 0]
    # Either the restart came first and was stopped, or it came last.
    assert codes[2] in {0, 1}


def test_wait_for_finished_follows_a_program_to_its_end(program: Any, client: Callable[..., ChildProgram]) -> None:
    with client("wait", "web", "--for", "finished", "--timeout", "forever") as wait:
        program.send(signal.SIGTERM)
        code, _ = wait.end()

    # It may have found the program already gone.
    assert code in {0, 4}
    assert program.end() == 3


def test_a_tab_completes_the_jobs_of_the_running_program(program: Any, child_env: dict[str, str], shell: str) -> None:
    env = {**child_env, "PATH": f"{Path(sys.executable).parent}:{child_env['PATH']}"}
    expected = {"taskloom stop we": "web", "taskloom start -l te": "team", "taskloom stop crew.1 crew.": "crew.2"}

    assert completed(shell, expected, env, program.folder) == expected
