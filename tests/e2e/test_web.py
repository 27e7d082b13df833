"""A real `taskloom run --http`: its link, its token, and its mistakes in words."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.certificates import write_certificates

PATIENCE_SECONDS = 30.0
POLITE = "jobs: {web: {task: polite}}"


def place_of(program: Any) -> tuple[int, Path]:
    """Wait for the line about the page; return its port and the file of its token."""
    program.wait_for("its token is in ")
    [(port, file)] = re.findall(r"web page https?://[^:]+:(\d+)/ .*its token is in ([^)]+)\)", program.stderr)
    return int(port), Path(file)


def ask(connection: http.client.HTTPConnection, method: str, path: str, token: str, body: str = "") -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token}", **({"Content-Type": "application/json"} if body else {})}
    connection.request(method, path, body or None, headers)
    reply = connection.getresponse()
    return reply.status, json.loads(reply.read())


def test_the_page_acts_and_goes_with_the_program(start_program: Callable[..., Any]) -> None:
    program = start_program(POLITE, "--http", "127.0.0.1:0")
    port, file = place_of(program)
    token = file.read_text().strip()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)

    assert ask(connection, "GET", "/v1/jobs", token)[1]["jobs"][0]["job"] == "web"
    assert ask(connection, "POST", "/v1/shutdown", token, "{}")[0] == 202

    code = program.end()
    connection.close()
    assert code == 0
    assert token not in program.stderr
    assert "by the web page, from 127.0.0.1" in program.stderr


def test_a_stop_does_not_wait_for_streams(start_program: Callable[..., Any]) -> None:
    program = start_program(POLITE, "--http", "127.0.0.1:0")
    port, file = place_of(program)
    streams = [http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS) for _ in range(8)]
    for stream in streams:
        stream.request("GET", "/v1/events?follow=true", headers={"Authorization": f"Bearer {file.read_text().strip()}"})
    replies = [stream.getresponse() for stream in streams]

    program.send(signal.SIGTERM)

    assert program.end() == 0
    ends = [reply.read() for reply in replies]
    for stream in streams:
        stream.close()
    assert all(b"event: end" in end for end in ends)


def test_the_page_has_tls(start_program: Callable[..., Any], tmp_path: Path) -> None:
    files = write_certificates(tmp_path)
    program = start_program(
        POLITE, "--http", "127.0.0.1:0", "--http-cert", str(files["cert_file"]), "--http-key", str(files["key_file"])
    )
    port, file = place_of(program)
    context = ssl.create_default_context(cafile=str(files["ca_file"]))
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS, context=context)

    assert ask(connection, "GET", "/v1/access", file.read_text().strip())[1]["may_act"] is True

    connection.close()
    program.send(signal.SIGTERM)
    assert program.end() == 0


@pytest.mark.parametrize(
    "options, words",
    [
        (["--http", "127.0.0.1:{taken}"], "cannot serve the web page at 127.0.0.1:{taken}: address already in use"),
        (["--http", "0.0.0.0:0"], "cannot serve '0.0.0.0:0' without TLS: other machines reach it"),
        (
            ["--http", "127.0.0.1:0", "--http-cert", "no.pem", "--http-key", "no.pem"],
            "cannot use certificate 'no.pem' with key 'no.pem': no such file",
        ),
        (["--http", "127.0.0.1"], "cannot use '127.0.0.1' as an address"),
        (["--http", "127.0.0.1:0", "--no-control"], "cannot use both --http and --no-control"),
        (["--http-host", "a"], "cannot use --http-host without --http"),
    ],
)
def test_a_page_that_cannot_be_served_starts_nothing(
    start_program: Callable[..., Any], options: list[str], words: str
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])

        program = start_program(POLITE, *(each.replace("{taken}", port) for each in options))

        assert program.end() == 2
    assert words.replace("{taken}", port) in " ".join(program.stderr.split())
    assert "started" not in program.stderr
