"""The servers that the recipes talk to: real ones in child processes, and small ones in threads of the test."""

from __future__ import annotations

import contextlib
import importlib
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from tests.support.postgres_server import PostgresServer

PATIENCE_SECONDS = 30.0
LOCAL = "127.0.0.1"


@pytest.fixture
def need_library() -> Callable[[str], ModuleType]:
    """Import a library that a recipe uses. If it is missing, the test is skipped, loudly; under CI it fails."""

    def load(name: str) -> ModuleType:
        try:
            return importlib.import_module(name)
        except ImportError:
            if os.environ.get("CI"):
                pytest.fail(f"cannot import {name!r}, and under CI nothing may be missing")
            pytest.skip(f"LOUD: cannot import {name!r}; pip install -e '.[test-libraries]' to run this test")

    return load


@pytest.fixture
def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as sock:
        sock.bind((LOCAL, 0))
        port = sock.getsockname()[1]
    assert isinstance(port, int)
    return port


class SilentServer:
    """Accepts connections and never answers."""

    def __init__(self) -> None:
        self.is_reached = threading.Event()
        self._listener = socket.create_server((LOCAL, 0))
        self.port = self._listener.getsockname()[1]
        self._connections: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                self.is_reached.set()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE_SECONDS)
        for each in (self._listener, *self._connections):
            each.close()


@pytest.fixture
def silent_server() -> Iterator[SilentServer]:
    """A server that accepts connections and never answers."""
    server = SilentServer()
    yield server
    server.close()


@contextlib.contextmanager
def serving(command: list[str], port: int, **options: object) -> Iterator[None]:
    """Run a server while the block is executed; it begins once the server accepts connections."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, **options)  # type: ignore[call-overload]
    try:
        for _ in range(int(PATIENCE_SECONDS / 0.05)):
            with contextlib.suppress(OSError), socket.create_connection((LOCAL, port)):
                break
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
                pytest.fail(f"{command[0]} ended with exit code {process.returncode}")
        yield
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_SECONDS)
        finally:
            process.kill()


@pytest.fixture
def mosquitto(need_tool: Callable[[str], str], free_port: int) -> Iterator[int]:
    """The port of an MQTT broker."""
    with serving([need_tool("mosquitto"), "-p", str(free_port)], free_port, stderr=subprocess.DEVNULL):
        yield free_port


@pytest.fixture
def redis_server(need_tool: Callable[[str], str], free_port: int, tmp_path: Path) -> Iterator[int]:
    """The port of a Redis server."""
    options = ["--port", str(free_port), "--bind", LOCAL, "--save", "", "--dir", str(tmp_path)]
    with serving([need_tool("redis-server"), *options], free_port):
        yield free_port


@pytest.fixture
def postgresql(postgres: PostgresServer) -> str:
    """The connection string of a PostgreSQL server."""
    return f"host={LOCAL} port={postgres.port} user=postgres dbname=postgres"
