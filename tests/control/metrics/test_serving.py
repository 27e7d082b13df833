"""The address for metrics with real sockets: it answers, refuses what it must, and is in the way of nothing."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.control_server import PATIENCE_SECONDS, get
from tests.support.unix_paths import left_behind

from taskloom.clock import mono
from taskloom.control.exchange import Answer, Deferred, Reply, Request
from taskloom.control.metrics.listener import MetricsListener
from taskloom.control.metrics.serving import CLIENTS, CLOSE_SECONDS, MetricsServer
from taskloom.jobfile.fields.metrics import MetricsAddress
from taskloom.sync.latch import Latch

LOOPBACK = MetricsAddress("127.0.0.1", 0)
BIG = "x" * (8 << 20)


def ok(_: Request) -> Answer:
    return Reply(200, {}, {"content-type": "text/plain"}, "ok\n")


Serve = Callable[..., MetricsServer]


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture
def serve(log: list[str]) -> Iterator[Serve]:
    servers: list[MetricsServer] = []

    def begin(answer: Callable[[Request], Answer] = ok, address: MetricsAddress = LOOPBACK) -> MetricsServer:
        server = MetricsServer(answer, address, log=lambda line, _: log.append(line))
        servers.append(server)
        server.start()
        return server

    yield begin
    for server in servers:
        server.close()


def client_of(server: MetricsServer) -> socket.socket:
    host, _, port = server.url.removeprefix("http://").removesuffix("/metrics").rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), PATIENCE_SECONDS)


def read_all(client: socket.socket) -> bytes:
    data = b""
    while piece := client.recv(65_536):
        data += piece
    return data


def ask(client: socket.socket, path: str = "/livez") -> bytes:
    with client:
        client.sendall(get(path, connection="close"))
        return read_all(client)


def test_a_client_is_answered_over_tcp(serve: Serve) -> None:
    reply = ask(client_of(serve()))

    head, _, body = reply.partition(b"\r\n\r\n")
    assert (head.split(b" ")[1], body) == (b"200", b"ok\n")
    assert b"content-type: text/plain" in head


def test_bytes_are_sent_as_they_are(serve: Serve) -> None:
    server = serve(
        lambda _: Reply(200, {}, {"content-type": "text/plain", "content-encoding": "gzip"}, None, b"\0\xff")
    )

    head, _, body = ask(client_of(server)).partition(b"\r\n\r\n")

    assert body == b"\0\xff"
    assert b"content-length: 2" in head


def test_head_has_no_body(serve: Serve) -> None:
    with client_of(serve()) as client:
        client.sendall(get(connection="close").replace(b"GET", b"HEAD"))
        reply = read_all(client)

    assert b"content-length: 3" in reply
    assert reply.endswith(b"\r\n\r\n")


def test_a_client_is_answered_over_ipv6(serve: Serve) -> None:
    try:
        server = serve(address=MetricsAddress("::1", 0))
    except OSError as error:
        pytest.skip(f"this machine has no IPv6: {error}")

    assert server.url.startswith("http://[::1]:")
    assert ask(client_of(server)).endswith(b"ok\n")


def test_every_user_may_connect_to_a_unix_socket_that_is_removed_at_the_end(
    serve: Serve, own_runtime_folder: str
) -> None:
    path = Path(own_runtime_folder) / "m.sock"
    server = serve(address=MetricsAddress(path=str(path)))
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(path))

    assert stat.S_IMODE(path.stat().st_mode) == 0o666
    assert ask(client).endswith(b"ok\n")
    server.close()
    assert not path.exists()


def test_the_socket_of_a_killed_program_is_replaced_and_no_other_file_is(own_runtime_folder: str) -> None:
    path = Path(own_runtime_folder) / "m.sock"
    left_behind(path)
    listener = MetricsListener(MetricsAddress(path=str(path)))

    with pytest.raises(OSError, match="in use"):
        MetricsListener(MetricsAddress(path=str(path)))
    listener.close()
    path.write_text("mine")
    with pytest.raises(OSError, match="is not a socket"):
        MetricsListener(MetricsAddress(path=str(path)))

    assert path.read_text() == "mine"


def test_an_address_that_is_in_use_is_refused() -> None:
    first = MetricsListener(LOOPBACK)
    port = int(first.path.rpartition(":")[2])

    with pytest.raises(OSError, match="in use"):
        MetricsListener(MetricsAddress("127.0.0.1", port))

    first.close()
    MetricsListener(MetricsAddress("127.0.0.1", port)).close()


def test_slow_clients_do_not_hold_up_the_end(serve: Serve) -> None:
    """They have asked and read nothing: their replies fill the buffers of the kernel, and most of each is left."""
    asked = [Latch() for _ in range(8)]
    waiting = iter(asked)

    def answer(_: Request) -> Answer:
        next(waiting).open()
        return Reply(200, {}, {"content-type": "text/plain"}, BIG)

    server = serve(answer)
    clients = [client_of(server) for _ in asked]
    for client in clients:
        client.sendall(get("/metrics"))
    assert all(latch.wait(PATIENCE_SECONDS) for latch in asked)

    began = mono()
    server.close()

    # The thread ends by itself; CLOSE_SECONDS is what a thread that is held up would get.
    assert mono() - began < CLOSE_SECONDS
    for client in clients:
        client.close()


def test_a_client_whose_reply_never_comes_does_not_hold_up_the_end(serve: Serve) -> None:
    is_asked = Latch()

    def answer(_: Request) -> Answer:
        is_asked.open()
        return Deferred()

    server = serve(answer)
    with client_of(server) as client:
        client.sendall(get())
        assert is_asked.wait(PATIENCE_SECONDS)
        server.close()
        assert client.recv(1) == b""


def test_one_client_too_many_is_told_so(serve: Serve) -> None:
    is_asked = [Latch() for _ in range(CLIENTS)]
    waiting = iter(is_asked)

    def answer(_: Request) -> Answer:
        next(waiting).open()
        return Deferred()

    server = serve(answer)
    clients = [client_of(server) for _ in range(CLIENTS)]
    for client in clients:
        client.sendall(get())
    assert all(latch.wait(PATIENCE_SECONDS) for latch in is_asked)

    with client_of(server) as one_more:
        reply = read_all(one_more)

    assert json.loads(reply.partition(b"\r\n\r\n")[2])["error"]["code"] == "too-many-connections"
    for client in clients:
        client.close()


def test_an_error_while_the_reply_is_made_costs_one_request(serve: Serve, log: list[str]) -> None:
    class Broken(Deferred):
        @property
        def reply(self) -> Reply | None:
            raise ValueError("a bug")

    broken = Broken()
    broken.complete_by(mono() + PATIENCE_SECONDS, Reply(503, {}))
    answers: list[Answer] = [Reply(200, {}, {"content-type": "text/plain"}, "ok\n"), broken]
    server = serve(lambda _: answers.pop())

    first = ask(client_of(server))

    assert first.split(b" ")[1] == b"500"
    assert ask(client_of(server)).endswith(b"ok\n")
    assert len(log) == 1
    assert log[0].startswith("GET /livez failed, which is a bug in Taskloom")


def test_without_a_client_it_never_wakes_up(serve: Serve) -> None:
    server = serve()
    ask(client_of(server))
    before = server.wakeups

    ask(client_of(server))

    # A wake-up for each thing that the client does, and none beside: it waits without a limit.
    assert server.wakeups - before <= 4
    assert server._server._timeout() is None


def test_a_listener_that_a_task_has_closed_is_made_anew_at_the_same_port(serve: Serve, log: list[str]) -> None:
    server = serve()
    url = server.url

    os.close(server._listener.listener.fileno())
    server._server._wake_up()

    assert ask_until_it_is_there(server).endswith(b"ok\n")
    assert server.url == url
    assert log == ["a task has closed descriptors of the metrics socket; they are made again, and its clients are lost"]


def ask_until_it_is_there(server: MetricsServer) -> bytes:
    """Until the thread has woken up, the kernel still lets clients in at the closed socket, and drops them then."""
    for _ in range(1000):
        try:
            return ask(client_of(server))
        except (ConnectionRefusedError, ConnectionResetError):
            Latch().wait(0.01)
    raise AssertionError("it never listened again")


FORKING = """
import os, socket
from taskloom.control.exchange import Reply
from taskloom.control.metrics.serving import MetricsServer
from taskloom.jobfile.fields.metrics import MetricsAddress

server = MetricsServer(lambda _: Reply(200, {}), MetricsAddress("127.0.0.1", 0), log=print)
server.start()
fd = server._listener.listener.fileno()
child = os.fork()
if not child:
    try:
        os.fstat(fd)
    except OSError:
        os._exit(7)
    os._exit(1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
server.close()
"""


def test_a_forked_child_does_not_listen() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKING], capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.stdout, done.stderr) == ("7\n", "")
