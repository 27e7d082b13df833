"""Fixtures for programs that users connect to socket-reader."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from tests.plugins.conftest import Start, start
from tests.support.real_clients import Program, Receiver

from taskloom_plugins.socket_reader import SocketReader

__all__ = ["Begin", "Spawn", "start"]

ROOT = Path(__file__).resolve().parents[2]

Begin = Callable[..., Receiver]


@pytest.fixture
def begin(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Begin:
    """Start a socket-reader with these params, in the test's folder; each has an output file of its own."""
    monkeypatch.chdir(tmp_path)
    outputs = (tmp_path / f"out-{number}.log" for number in range(100))

    def go(**params: Any) -> Receiver:
        output = Path(params.pop("output", None) or next(outputs))
        return Receiver(start(SocketReader(output=str(output), **params)), output)

    return go


Spawn = Callable[..., Program]


@pytest.fixture
def spawn(need_tool: Callable[[str], str], tmp_path: Path) -> Iterator[Spawn]:
    """Start a program in the test's folder; it is terminated at the end of the test.

    In its arguments the names of the keyword arguments are replaced by their values. With `stdin`, it reads this text;
    without, the test feeds it.
    """
    running: list[Program] = []

    def go(*command: str, stdin: str | None = None, **values: str) -> Program:
        names = "|".join(values) or "$^"
        arguments = [re.sub(names, lambda found: values[found[0]], each) for each in command[1:]]
        source: IO[bytes] | int = subprocess.PIPE
        if stdin is not None:
            (tmp_path / "stdin").write_text(stdin)
            source = (tmp_path / "stdin").open("rb")
        told = tmp_path / f"{command[0]}.err"
        with told.open("wb") as file:
            process = subprocess.Popen(
                [need_tool(command[0]), *arguments], cwd=tmp_path, stdin=source, stdout=file, stderr=file
            )
        if not isinstance(source, int):
            source.close()
        running.append(Program(process, told))
        return running[-1]

    yield go

    for each in running:
        each.close()


@pytest.fixture
def free_port() -> str:
    """A port of loopback that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


@pytest.fixture
def need_namespaces(need_tool: Callable[[str], str], tmp_path: Path) -> list[str]:
    """The command that runs another one with mounts and a network of its own.

    Where the machine does not allow that, the test is skipped, loudly.
    """
    command = [need_tool("unshare"), "--mount", "--net", *(["--map-root-user"] if os.getuid() else [])]
    (tmp_path / "probe").touch()
    probe = [*command, need_tool("mount"), "--bind", str(tmp_path / "probe"), "/etc/resolv.conf"]
    tried = subprocess.run(probe, capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"LOUD: this machine allows no mount in a namespace: {tried.stderr.strip()}")
    return command


@pytest.fixture
def in_namespaces(
    need_namespaces: list[str], need_tool: Callable[[str], str], tmp_path: Path, child_env: dict[str, str]
) -> Callable[..., None]:
    """Run a module of tests/support to its end, with mounts and a network of its own and the test's folder."""

    def run(module: str, *arguments: str) -> None:
        need_tool("ip")
        done = subprocess.run(
            [*need_namespaces, sys.executable, "-m", module, *arguments, tmp_path],
            cwd=ROOT,
            env=child_env,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")

    return run
