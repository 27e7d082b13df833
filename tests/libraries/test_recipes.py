"""Each recipe of the page about client libraries stops in less than a second, in a real program."""

from __future__ import annotations

import os
import pty
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import pytest
from tests.support.recipe_program import RecipeProgram, install_recipes

pytestmark = pytest.mark.libraries

LOCAL = "127.0.0.1"
# What the page promises.
STOPS_WITHIN_SECONDS = 1.0
# How long the run goes on before it is stopped: until then it has long been in its blocking call.
GOES_ON_SECONDS = 0.7

Check = Callable[..., None]
TESTED: set[str] = set()


@pytest.fixture
def check(tmp_path: Path, child_env: dict[str, str], need_library: Callable[[str], Any]) -> Iterator[Check]:
    """Run a recipe, stop it with TERM, and check how it ended."""
    programs: list[RecipeProgram] = []

    def check(
        recipe: str,
        library: str = "",
        until: Callable[[], object] = lambda: True,
        start_method: str = "spawn",
        **params: object,
    ) -> None:
        if library:
            need_library(library)
        packages = tmp_path / "packages"
        packages.mkdir()
        install_recipes(packages, start_method)
        program = RecipeProgram(recipe, params, tmp_path, child_env | {"PYTHONPATH": str(packages)})
        programs.append(program)
        program.wait_until(lambda: program.event("started"))
        program.wait_until(until)
        program.pass_time(GOES_ON_SECONDS)

        seconds, ended = program.stop()

        assert ended["outcome"] == "cancelled", program.output
        assert seconds < STOPS_WITHIN_SECONDS, program.output
        assert program.process.returncode == 0, program.output

    yield check

    for program in programs:
        program.kill()


@pytest.mark.parametrize(
    ("recipe", "library"), [("with_requests", "requests"), ("with_httpx", "httpx"), ("with_async_httpx", "httpx")]
)
def test_http(check: Check, silent_server: Any, recipe: str, library: str) -> None:
    check(recipe, library, silent_server.is_reached.is_set, url=f"http://{LOCAL}:{silent_server.port}/")


def test_websockets(check: Check, need_library: Callable[[str], Any]) -> None:
    need_library("websockets")
    is_reached, is_over = threading.Event(), threading.Event()

    def serve(connection: Any) -> None:
        connection.send("welcome")
        is_reached.set()
        is_over.wait(60)

    with need_library("websockets.sync.server").serve(serve, LOCAL, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            port = server.socket.getsockname()[1]
            check("with_websockets", "websockets", is_reached.is_set, url=f"ws://{LOCAL}:{port}")
        finally:
            is_over.set()
            server.shutdown()
            thread.join()


def test_paho_mqtt(check: Check, mosquitto: int) -> None:
    check("with_paho", "paho.mqtt.client", port=mosquitto)


@pytest.mark.parametrize("recipe", ["with_redis", "with_redis_queue"])
def test_redis(check: Check, redis_server: int, recipe: str) -> None:
    check(recipe, "redis", port=redis_server)


@pytest.mark.parametrize("recipe", ["with_psycopg", "with_psycopg_query"])
def test_psycopg(check: Check, postgresql: str, recipe: str) -> None:
    check(recipe, "psycopg", dsn=postgresql)


def test_zmq(check: Check, need_library: Callable[[str], Any]) -> None:
    zmq = need_library("zmq")
    with zmq.Context() as context, context.socket(zmq.PUSH) as sender:
        port = sender.bind_to_random_port(f"tcp://{LOCAL}")
        check("with_zmq", "zmq", address=f"tcp://{LOCAL}:{port}")


def test_serial(check: Check) -> None:
    master, slave = pty.openpty()
    try:
        check("with_serial", "serial", device=os.ttyname(slave))
    finally:
        os.close(master)
        os.close(slave)


def test_watchdog(check: Check, tmp_path: Path) -> None:
    check("with_watchdog", "watchdog.observers", path=str(tmp_path))


def test_grpc(check: Check, need_library: Callable[[str], Any]) -> None:
    grpc = need_library("grpc")
    is_reached, is_over = threading.Event(), threading.Event()

    def listen(request: bytes, context: Any) -> Iterator[bytes]:
        yield b"welcome"
        is_reached.set()
        is_over.wait(60)

    handlers = {"Listen": grpc.unary_stream_rpc_method_handler(listen)}
    with futures.ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("News", handlers),))
        port = server.add_insecure_port(f"{LOCAL}:0")
        server.start()
        try:
            check("with_grpc", "grpc", is_reached.is_set, address=f"{LOCAL}:{port}")
        finally:
            is_over.set()
            server.stop(0).wait()


def test_grpc_server(check: Check, free_port: int) -> None:
    check("with_grpc_server", "grpc", lambda: accepts(free_port), address=f"{LOCAL}:{free_port}")


def accepts(port: int) -> bool:
    """Return whether something listens on the port."""
    try:
        socket.create_connection((LOCAL, port)).close()
    except OSError:
        return False
    return True


def test_asyncio(check: Check, silent_server: Any) -> None:
    check("with_asyncio", "", silent_server.is_reached.is_set, host=LOCAL, port=silent_server.port)


@pytest.mark.parametrize(
    ("recipe", "library", "params"),
    [
        ("with_asyncio_run", "asyncio", {}),
        ("with_trio", "trio", {}),
        ("with_anyio", "anyio", {}),
        ("with_anyio", "anyio", {"backend": "trio"}),
        ("with_thread_pool", "concurrent.futures", {}),
        ("with_sqlite", "sqlite3", {}),
    ],
)
def test_loops_and_threads(check: Check, recipe: str, library: str, params: dict[str, object]) -> None:
    check(recipe, library, **params)


@pytest.mark.parametrize("start_method", ["spawn", "forkserver", "fork"])
@pytest.mark.parametrize("recipe", ["with_multiprocessing", "with_process_pool", "with_process_executor"])
def test_processes(check: Check, recipe: str, start_method: str) -> None:
    check(recipe, start_method=start_method)


def test_http_server(check: Check, free_port: int) -> None:
    check("with_http_server", "", lambda: accepts(free_port), port=free_port)
