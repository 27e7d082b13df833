"""`reload` and `shutdown`, against a scripted program."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h11
import pytest
from tests.support.fake_control import fake_program, reply, short_folder

from taskloom.cli.entry import call

CHANGES = {
    "changes": [
        {"job": "web", "action": "restart", "fields": ["params", "daemon"]},
        {"job": "new", "action": "add", "fields": []},
        {"job": "same", "action": "keep", "fields": []},
    ],
    "sum": "1 added (new), 1 restarted (web), 1 untouched",
    "warnings": [],
    "text": "",
}
STATUS = {
    "job": "web", "task": "deaf", "daemon": False, "state": "stopping", "waiting_for": None, "runs": 1, "run": "web#1",
    "outcome": None, "seconds": 2.0, "reason": "shutdown: by bob", "error": None, "overdue": True, "marks": ["overdue"],
    "next_firing": None, "failed": False, "counts": {"frames": 3},
}  # fmt: skip
SURVIVOR = {
    "job": "web", "run": "web#1", "where": "tick.py:3 in wait", "stack": "  File tick.py\n", "poll_age": 2.0,
    "within": 0.5, "waited": 0.6, "otherwise": "exit", "callbacks": [],
}  # fmt: skip
REPORT: dict[str, Any] = {
    "exit_code": 3, "reason": {"kind": "shutdown", "text": "by bob"}, "seconds": 0.6, "jobs": [STATUS],
    "survivors": [SURVIVOR], "threads_left": [], "processes_left": [],
}  # fmt: skip


class Answers:
    """The answers by method and path; an answer None closes the connection."""

    def __init__(self, **answers: tuple[int, Mapping[str, Any]] | None) -> None:
        self._answers = answers

    def __call__(self, connection: socket.socket, request: h11.Request) -> None:
        path = request.target.decode().split("?")[0].removeprefix("/v1/")
        answer = self._answers[f"{request.method.decode().lower()}_{path}"]
        if answer is not None:
            connection.sendall(reply(answer[1], answer[0]))


def test_reload_shows_the_change_of_each_job(capsys: pytest.CaptureFixture[str]) -> None:
    with fake_program(Answers(post_reload=(200, CHANGES))) as fake:
        code = call(["reload", "--preview", "--socket", str(fake.path)])

    assert code == 0
    assert json.loads(fake.requests[0][3]) == {"preview": True}
    assert capsys.readouterr().out == (
        "JOB  CHANGE   FIELDS\n"
        "web  restart  params, daemon\n"
        "new  add\n"
        "nothing is changed yet: 1 added (new), 1 restarted (web), 1 untouched\n"
    )


def test_reload_without_a_change_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    nothing = {**CHANGES, "changes": [], "sum": "nothing has changed, 3 untouched", "text": "a.yaml:1:1: warning: x"}
    with fake_program(Answers(post_reload=(200, nothing))) as fake:
        code = call(["reload", "--socket", str(fake.path)])

    assert (code, *capsys.readouterr()) == (
        0, "reloaded: nothing has changed, 3 untouched\n", "a.yaml:1:1: warning: x\n"
    )  # fmt: skip


@pytest.mark.parametrize("output", ["text", "json"])
def test_the_problems_of_files_are_shown(output: str, capsys: pytest.CaptureFixture[str]) -> None:
    error = {"code": "bad-files", "message": "cannot use the job files (1 error); nothing has changed"}
    body = {"error": error, "problems": [{"message": "x"}], "text": "a.yaml:3:5: error: cannot find field 'deamon'"}
    with fake_program(Answers(post_reload=(422, body))) as fake:
        code = call(["reload", "-o", output, "--socket", str(fake.path)])

    out, err = capsys.readouterr()
    assert code == 1
    if output == "json":
        assert json.loads(out) == body
    else:
        assert err == f"{body['text']}\ntaskloom: {error['message']}\n"


def test_a_reload_while_the_program_stops_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    body = {"error": {"code": "scheduler-stopped", "message": "cannot reload: the program is stopping"}}
    with fake_program(Answers(post_reload=(409, body))) as fake:
        code = call(["reload", "--socket", str(fake.path)])

    assert (code, *capsys.readouterr()) == (1, "", "taskloom: cannot reload: the program is stopping\n")


# -- shutdown


STOPPING = (202, {"start": "0123abcd", "seq": 7, "reason": "shutdown: by bob"})


def test_shutdown_shows_the_summary_and_has_the_code_of_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    with fake_program(Answers(post_shutdown=STOPPING, get_stop=(200, REPORT))) as fake:
        code = call(["shutdown", "--within", "500ms", "--socket", str(fake.path)])

    out, err = capsys.readouterr()
    assert (code, err) == (3, "")
    assert json.loads(fake.requests[0][3]) == {"within": 0.5}
    assert fake.requests[1][1] == "/v1/stop?wait=true"
    assert out == (
        "JOB  STATE              OUTCOME  RUNS  TIME   NOTE\n"
        "web  stopping, overdue  -        1     2.0 s  frames 3 (shutdown: by bob)\n"
        "\n"
        "web is still running 0.6 s after its stop was requested (within 500ms, otherwise exit)\n"
        "  at tick.py:3 in wait\n"
        "  no poll for 2.0 s at that time\n"
        "  its stack, innermost last:\n"
        "    File tick.py\n"
    )


@pytest.mark.parametrize(
    ("texts", "state", "note"),
    [
        ({"held": "stopped by alice (uid 1)", "reason": "user: stop, by alice (uid 1)", "marks": ["stopped by user"]},
         "finished, stopped by user", "(by alice (uid 1))"),
        ({"held": "stopped: enough", "reason": "user: enough", "marks": ["stopped by user"]},
         "finished, stopped by user", "(enough)"),
        ({"held": "paused by alice", "reason": None, "marks": ["paused"]}, "finished, paused", "(by alice)"),
        ({"held": "stopped", "reason": None, "marks": ["paused", "stopped by user"]},
         "finished, paused, stopped by user", ""),
    ],
)  # fmt: skip
def test_shutdown_shows_how_users_held_a_job_back(
    texts: dict[str, Any], state: str, note: str, capsys: pytest.CaptureFixture[str]
) -> None:
    web = {**REPORT["jobs"][0], "state": "finished", "outcome": "cancelled", "counts": {}, "overdue": False, **texts}
    report = {**REPORT, "jobs": [web], "survivors": []}
    with fake_program(Answers(post_shutdown=STOPPING, get_stop=(200, report))) as fake:
        call(["shutdown", "--socket", str(fake.path)])

    row = capsys.readouterr().out.splitlines()[1]
    assert row == f"web  {state}  cancelled  1     2.0 s  {note}".rstrip()


def test_shutdown_as_json_is_the_report_of_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    with fake_program(Answers(post_shutdown=STOPPING, get_stop=(200, REPORT))) as fake:
        code = call(["shutdown", "-o", "json", "--socket", str(fake.path)])

    assert (code, json.loads(capsys.readouterr().out)) == (3, REPORT)


def test_shutdown_without_waiting_returns_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with fake_program(Answers(post_shutdown=STOPPING)) as fake:
        code = call(["shutdown", "--no-wait", "--socket", str(fake.path)])

    out, _ = capsys.readouterr()
    assert code == 0
    assert out.endswith(" is stopping (shutdown: by bob)\n")


def test_a_program_that_is_killed_meanwhile_is_told() -> None:
    # The one that listens is a process of its own, which ends while the report is awaited.
    with short_folder() as folder:
        path = folder / "jobs-3f2a.sock"
        program = f"""
import os
from pathlib import Path
from tests.support.fake_control import FakeControl, reply

def answer(connection, request):
    if request.method == b"POST":
        connection.sendall(reply({STOPPING[1]!r}, 202))
    else:
        os._exit(9)

fake = FakeControl(Path({str(path)!r}), answer)
print("listening", flush=True)
"""
        root = Path(__file__).resolve().parents[3]
        environment = {**os.environ, "PYTHONPATH": str(root)}
        with subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment
        ) as peer:  # fmt: skip
            assert peer.stdout is not None
            assert peer.stdout.readline() == "listening\n"
            done = subprocess.run(
                [sys.executable, "-m", "taskloom", "shutdown", "--socket", str(path)],
                capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            peer.kill()

    assert done.returncode == 4
    assert "ended without its stop report: it was killed, or it exited hard" in done.stderr


@pytest.mark.parametrize(
    "change",
    [
        {"reason": {"kind": "unheard-of", "text": ""}},
        {"jobs": [{**STATUS, "state": "levitating"}]},
        {"jobs": [{**STATUS, "next_firing": "soon"}]},
        {"jobs": 3},
        {"survivors": [{**SURVIVOR, "otherwise": "ignore"}]},
        {"survivors": [{**SURVIVOR, "within": "long"}]},
        {"exit_code": "three"},
    ],
    ids=["reason", "state", "instant", "jobs", "otherwise", "within", "code"],
)
def test_a_report_that_cannot_be_read_is_one_line(change: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    with fake_program(Answers(post_shutdown=STOPPING, get_stop=(200, {**REPORT, **change}))) as fake:
        code = call(["shutdown", "--socket", str(fake.path)])

    _, err = capsys.readouterr()
    assert code == 4
    assert err.startswith("taskloom: cannot read the answer of ")
    assert err.count("\n") == 1
