"""The notifications of real programs: to a command and to a server on this machine."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import select
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import Program
from tests.support.webhook_server import HANG, WebhookServer, reply

Start = Callable[..., Program]
Cli = Callable[..., "subprocess.CompletedProcess[str]"]

OK = reply("200 OK")
HOPELESS = "jobs: {one: {task: hopeless, labels: [night]}, two: {task: polite}}"


def settings(*receivers: dict[str, Any]) -> str:
    return f"taskloom: {{notify: {json.dumps(list(receivers))}}}\n"


@pytest.mark.long
def test_a_failure_reaches_a_command_and_a_signed_webhook(start_program: Start, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    with WebhookServer([OK]) as server:
        command = {"command": ["sh", "-c", f"cat > {out}"], "labels": ["night"]}
        webhook = {"webhook": server.url, "secret": "s3cret-of-hook", "on": ["failed"]}
        program = start_program(settings(command, webhook) + HOPELESS)
        [posted] = server.wait(lambda posted: len(posted) == 1)
        program.send(signal.SIGTERM)
        assert program.end() == 1

    message, told = json.loads(posted.body), json.loads(out.read_text())
    assert (message["kinds"], told["kinds"]) == ({"failed": 1}, {"failed": 1})
    assert message["notifications"][0]["event"]["error"]["message"] == "no such device"
    signed = posted.headers["Taskloom-Timestamp"].encode() + b"." + posted.body
    expected = hmac.new(b"s3cret-of-hook", signed, hashlib.sha256).hexdigest()
    assert posted.headers["Taskloom-Signature"] == f"v1={expected}"
    assert "s3cret-of-hook" not in program.stderr


@pytest.mark.long
def test_a_receiver_that_hangs_delays_no_stop_and_leaves_no_process(start_program: Start, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    command = {"command": ["sh", "-c", f"echo $$ > {pid}.new; mv {pid}.new {pid}; exec sleep 1000"]}
    with WebhookServer([HANG]) as server:
        program = start_program(settings(command, {"webhook": server.url}) + HOPELESS)
        server.wait(lambda posted: len(posted) == 1)
        while not pid.exists():
            program.pass_time(0.01)
        program.send(signal.SIGTERM)
        assert program.end() == 1

    assert f"1 notification not sent to webhook 127.0.0.1:{server.port} (the program is ending)" in program.stderr
    assert "ending child processes" not in program.stderr
    assert not Path(f"/proc/{pid.read_text().strip()}").exists()


@pytest.mark.long
def test_a_dead_endpoint_is_shown_by_status(start_program: Start, taskloom_cli: Cli, tmp_path: Path) -> None:
    with WebhookServer([reply("404 Gone")]) as server:
        options = ("--socket", str(tmp_path / "s"))
        program = start_program(
            settings({"webhook": server.url}) + HOPELESS, *options, env={"TASKLOOM_CONTROL": "true"}
        )
        program.wait_for("cannot send notifications")
        shown = taskloom_cli("status", "--socket", str(tmp_path / "s"))
        program.send(signal.SIGTERM)
        program.end()

    assert f"notifications cannot be sent to webhook 127.0.0.1:{server.port}: HTTP 404 Gone; 1 notification lost\n" in (
        shown.stdout
    )


@pytest.mark.long
def test_a_reload_says_that_other_receivers_apply_at_the_next_start(start_program: Start) -> None:
    program = start_program(settings({"command": ["true"]}) + HOPELESS)
    program.wait_for("no such device")
    program.reload(settings({"command": ["false"]}) + HOPELESS)
    program.wait_for("settings apply at the next start of the program: notify")
    program.send(signal.SIGTERM)
    assert program.end() == 1


@pytest.mark.long
def test_a_history_that_cannot_be_written_and_its_recovery_are_told(start_program: Start, tmp_path: Path) -> None:
    history = tmp_path / "h.sqlite"
    history.write_bytes(b"not a database" * 1000)
    with WebhookServer([OK]) as server:
        receiver = {"webhook": server.url, "on": ["history_degraded", "recovered"], "every": 0}
        options = ("--history", str(history))
        program = start_program(settings(receiver) + "jobs: {one: {task: polite}}", *options)
        server.wait(lambda posted: len(posted) == 1)
        history.unlink()
        server.wait(lambda posted: len(posted) == 2)
        program.send(signal.SIGTERM)
        assert program.end() == 0

    assert [json.loads(each.body)["kinds"] for each in server.posted] == [{"history_degraded": 1}, {"recovered": 1}]


@pytest.mark.long
def test_a_job_that_flaps_until_it_gives_up_and_one_that_recovers_are_told_of_once_each(
    start_program: Start, tmp_path: Path
) -> None:
    out, mark = tmp_path / "out", tmp_path / "mark"
    restart = "{when: on-failure, delay: 10ms, jitter: 0, factor: 1, limit: {times: 6, within: 1m}}"
    receiver = {"command": ["sh", "-c", f"cat >> {out}; echo >> {out}"], "every": 0}
    once = f"test -e {mark} || {{ touch {mark}; exit 1; }}"
    jobs = f"""jobs:
  flaps: {{task: command, params: {{argv: [sh, -c, exit 3]}}, restart: {restart}}}
  heals: {{task: command, params: {{argv: [sh, -c, "{once}"]}}, restart: {restart}}}
"""
    assert start_program(settings(receiver) + jobs).end() == 1

    found: Counter[tuple[str, str]] = Counter()
    for line in out.read_text().splitlines():
        for each in json.loads(line)["notifications"]:
            found[each["job"], each["kind"]] += each["count"]
    assert found == {
        ("flaps", "failed"): 7,
        ("flaps", "flapping"): 1,
        ("flaps", "gave_up"): 1,
        ("heals", "failed"): 1,
        ("heals", "recovered"): 1,
    }


# -- taskloom notify --test


@pytest.mark.parametrize(
    ("receivers", "code", "lines"),
    [
        ([{"command": ["true"]}], 0, ["command true  sent"]),
        ([{"command": ["false"]}, {"command": ["true"]}], 1,
         ["command false  failed: exit code 1", "command true  sent"]),
        ([{"command": ["/nowhere"]}], 1, ["command /nowhere  failed: cannot start it: no such file or directory"]),
    ],
)  # fmt: skip
def test_a_test_message_goes_to_each_receiver(
    taskloom_cli: Cli, tmp_path: Path, receivers: list[dict[str, Any]], code: int, lines: list[str]
) -> None:
    (tmp_path / "a.yaml").write_text(settings(*receivers) + "jobs: {a: {task: countdown}}\n")

    result = taskloom_cli("notify", "--test", "a.yaml")

    assert (result.returncode, result.stdout.splitlines(), result.stderr) == (code, lines, "")


def test_a_test_message_says_that_it_is_one(taskloom_cli: Cli, tmp_path: Path) -> None:
    with WebhookServer([OK]) as server:
        (tmp_path / "a.yaml").write_text(
            settings({"webhook": server.url, "secret": "x"}) + "jobs: {a: {task: countdown}}\n"
        )
        result = taskloom_cli("notify", "--test", "-o", "json", "a.yaml")

    message = json.loads(server.posted[0].body)
    assert message["kinds"] == {"test": 1}
    assert message["text"].endswith("] this is a test of notifications")
    assert json.loads(result.stdout) == {"receivers": [{"name": f"webhook 127.0.0.1:{server.port}", "reason": ""}]}


def test_an_interrupt_of_the_test_leaves_no_command(child_env: dict[str, str], tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    command = ["sh", "-c", f"echo $$ > {fifo}; exec sleep 1000"]
    (tmp_path / "a.yaml").write_text(settings({"command": command}) + "jobs: {a: {task: countdown}}\n")
    arguments = [sys.executable, "-m", "taskloom", "notify", "--test", "a.yaml"]
    with subprocess.Popen(arguments, cwd=tmp_path, env=child_env, stderr=subprocess.PIPE) as process:
        pid = int(fifo.read_text())
        handle = os.pidfd_open(pid)
        process.send_signal(signal.SIGINT)
        code = process.wait(30)

    with os.fdopen(handle):
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        assert poll.poll(10_000), "the command still runs"
    assert code == 130


@pytest.mark.parametrize(
    ("arguments", "file", "stderr"),
    [
        (["--test"], "", "cannot find a receiver: the job files have no setting notify under taskloom"),
        ([], settings({"command": ["true"]}), "cannot tell what to send; expected --test"),
        (["--test"], settings({"command": []}),
         "cannot use [] as notify.0.command; expected a list of the program and its arguments"),
    ],
)  # fmt: skip
def test_without_a_receiver_or_with_a_mistake_nothing_is_sent(
    taskloom_cli: Cli, tmp_path: Path, arguments: list[str], file: str, stderr: str
) -> None:
    (tmp_path / "a.yaml").write_text(file + "jobs: {a: {task: countdown}}\n")

    result = taskloom_cli("notify", *arguments, "a.yaml")

    assert (result.returncode, result.stdout) == (2, "")
    assert stderr in result.stderr
