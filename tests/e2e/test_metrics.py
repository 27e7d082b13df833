"""A real `taskloom run --metrics`: scraped, probed, and stopped while clients are slow."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.metrics import values_of

PATIENCE_SECONDS = 30.0

JOBS = """
jobs:
  web: {task: polite}
  bad: {task: bad, daemon: true}
  db: {task: opening, params: {until: open}, daemon: true}
"""
POLITE = "jobs: {web: {task: polite}}"
NO_PACKAGE = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "prometheus_client":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
"""

Verb = Callable[..., "subprocess.CompletedProcess[str]"]


def url_of(program: Any) -> str:
    """Wait for the line that names the address, and return the URL without its path."""
    program.wait_for("/metrics\n")
    [found] = re.findall(r"metrics at (http://\S+)/metrics\n", program.stderr)
    return str(found)


def fetch(url: str) -> tuple[int, str, str]:
    """Return the status, the content type and the text of a reply."""
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as reply:
            return reply.status, reply.headers["content-type"], reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["content-type"], error.read().decode()


def test_a_program_is_scraped_and_probed_until_its_end(start_program: Callable[..., Any], tmp_path: Path) -> None:
    program = start_program(JOBS, "--metrics", "127.0.0.1:0")
    url = url_of(program)
    program.wait_for("bad          failed")
    assert fetch(f"{url}/readyz")[::2] == (503, "waiting\n")
    (tmp_path / "open").touch()
    program.wait_for_event("ready", "db")

    status, kind, text = fetch(f"{url}/metrics")

    assert (status, kind) == (200, "application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert {key: value for key, value in values_of(text, "taskloom_job_runs_total").items() if value} == {
        "bad failed": 1.0
    }
    assert values_of(text, "taskloom_job_ready") == {"web": 1.0, "bad": 0.0, "db": 1.0}
    assert values_of(text, "taskloom_run_duration_seconds_count") == {"web": 0.0, "bad": 1.0, "db": 0.0}
    assert fetch(f"{url}/livez")[::2] == (200, "ok\n")
    assert fetch(f"{url}/readyz?verbose")[::2] == (200, "ready\n")
    assert fetch(f"{url}/v1/jobs")[0] == 404
    program.send(signal.SIGTERM)
    assert program.end() == 1


@pytest.mark.long
def test_probes_answer_during_the_stop(start_program: Callable[..., Any], tmp_path: Path) -> None:
    jobs = "jobs: {web: {task: stuck, params: {until: go}, join: 20s}}"
    program = start_program(jobs, "--metrics", "127.0.0.1:0")
    url = url_of(program)
    program.wait_for_event("started")
    program.send(signal.SIGTERM)
    program.wait_for_event("cancel_requested")

    assert fetch(f"{url}/readyz")[::2] == (503, "stopping\n")
    assert fetch(f"{url}/livez")[::2] == (200, "ok\n")
    assert values_of(fetch(f"{url}/metrics")[2], "taskloom_stopping") == {"": 1.0}

    (tmp_path / "go").touch()
    assert program.end() == 0


def test_clients_that_read_nothing_do_not_hold_up_a_stop(start_program: Callable[..., Any]) -> None:
    """Their replies are longer than all buffers of the kernel between them and the program."""
    jobs = "jobs: {web: {task: polite, replicas: 300}}"
    program = start_program(jobs, "--metrics", "127.0.0.1:0", "--stop-within", "10s")
    host, port = url_of(program).removeprefix("http://").split(":")
    program.wait_for_event("ready", "web.300")
    clients = []
    for _ in range(8):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((host, int(port)))
        client.sendall(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
        assert client.recv(8) == b"HTTP/1.1"
        clients.append(client)

    program.send(signal.SIGTERM)

    assert program.end() == 0
    for client in clients:
        client.close()


@pytest.mark.long
def test_without_a_control_socket_there_are_metrics_all_the_same(start_program: Callable[..., Any]) -> None:
    program = start_program(POLITE, "--metrics", "127.0.0.1:0", "--no-control")

    assert values_of(fetch(f"{url_of(program)}/metrics")[2], "taskloom_job_ready").keys() == {"web"}
    program.send(signal.SIGTERM)
    assert program.end() == 0


@pytest.mark.long
def test_a_unix_socket_is_scraped(start_program: Callable[..., Any], tmp_path: Path) -> None:
    program = start_program(POLITE, "--metrics", "unix://./m.sock")
    program.wait_for("metrics at unix://./m.sock")
    client = socket.socket(socket.AF_UNIX)
    with client:
        client.settimeout(PATIENCE_SECONDS)
        client.connect(str(tmp_path / "m.sock"))
        client.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        reply = b"".join(iter(lambda: client.recv(4096), b""))

    assert reply.endswith(b"\r\n\r\nok\n")
    program.send(signal.SIGTERM)
    assert program.end() == 0
    assert not (tmp_path / "m.sock").exists()


@pytest.mark.parametrize("options", [("--metrics", "ADDRESS"), pytest.param((), marks=pytest.mark.long)])
def test_an_address_in_use_is_refused_before_anything_starts(
    start_program: Callable[..., Any], options: tuple[str, ...]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        jobs = POLITE if options else f"taskloom:\n  metrics: {address}\n{POLITE}"
        program = start_program(jobs, *(word.replace("ADDRESS", address) for word in options))

        assert program.end() == 2
    origin = "option --metrics" if options else "jobs.yaml:2"
    assert f"cannot give metrics at {address} ({origin}): address already in use" in program.stderr
    assert program.events("scheduler_started", "queued") == []


def test_a_missing_package_is_refused_with_the_line_that_installs_it(
    start_program: Callable[..., Any], toy_packages: Path, tmp_path: Path
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(NO_PACKAGE)
    path = {"PYTHONPATH": f"{tmp_path / 'site'}:{toy_packages}"}

    program = start_program(POLITE, env=path | {"TASKLOOM_METRICS": "127.0.0.1:0"})

    assert program.end() == 2
    assert (
        "cannot give metrics (TASKLOOM_METRICS): the package prometheus-client is not installed; "
        "pip install 'taskloom[metrics]'\n"
    ) in program.stderr


@pytest.mark.long
@pytest.mark.parametrize("options", [(), ("--metrics", "127.0.0.1:0")])
def test_the_package_is_imported_before_the_first_job_or_never(
    start_program: Callable[..., Any], options: tuple[str, ...]
) -> None:
    program = start_program(POLITE, *options, env={"PYTHONPROFILEIMPORTTIME": "1"})
    program.wait_for("web          started")
    before, _, _ = program.stderr.partition("web          started")
    if options:
        fetch(f"{url_of(program)}/metrics")
    program.send(signal.SIGTERM)
    program.end()

    assert ("prometheus_client" in before) is bool(options)
    assert "prometheus_client" not in program.stderr[len(before) :]


# -- taskloom health


def test_health_says_whether_a_program_lives_and_is_ready(
    start_program: Callable[..., Any], taskloom_cli: Verb, tmp_path: Path
) -> None:
    program = start_program(JOBS, "--name", "probed")
    program.wait_for("bad          failed")

    def health(*words: str) -> tuple[int, str, str]:
        done = taskloom_cli("health", *words, "--name", "probed")
        return done.returncode, done.stdout, done.stderr

    assert health() == (0, "live\n", "")
    assert health("--ready") == (1, "", "taskloom: not ready: waiting for db\n")
    code, text, _ = health("--ready", "-o", "json")
    data = json.loads(text)
    assert (code, data["ok"], data["live"], data["ready"], data["missing"]) == (1, False, True, False, ["db"])
    (tmp_path / "open").touch()
    program.wait_for_event("ready", "db")
    assert health("--ready") == (0, "ready\n", "")
    assert json.loads(health("-o", "json")[1])["ok"] is True
    program.send(signal.SIGTERM)
    assert program.end() == 1
    assert health()[0] == 4


@pytest.mark.long
def test_a_program_that_does_not_answer_is_not_alive(start_program: Callable[..., Any], taskloom_cli: Verb) -> None:
    program = start_program(POLITE, "--name", "frozen")
    program.wait_for("web          started")
    program.send(signal.SIGSTOP)

    done = taskloom_cli("health", "--name", "frozen")

    assert (done.returncode, done.stdout) == (4, "")
    assert "does not answer" in done.stderr
    program.send(signal.SIGCONT)
    program.send(signal.SIGTERM)
    assert program.end() == 0
