"""The proxy passes everything on, nothing while it is cut, and everything after the repair."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
from tests.support.tcp_proxy import TcpProxy

from taskloom.clock import mono

SHORT_SECONDS = 0.2
PATIENCE_SECONDS = 20.0


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that sends everything back."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threads: list[threading.Thread] = []

        def answer(connection: socket.socket) -> None:
            with connection:
                try:
                    while data := connection.recv(65536):
                        connection.sendall(data)
                except OSError:
                    return

        def serve() -> None:
            while True:
                connection = server.accept()[0]
                if is_over.is_set():
                    return connection.close()
                threads.append(threading.Thread(target=answer, args=(connection,)))
                threads[-1].start()

        is_over = threading.Event()
        threads.append(threading.Thread(target=serve))
        threads[0].start()
        port = server.getsockname()[1]
        yield port
        is_over.set()
        socket.create_connection(("127.0.0.1", port)).close()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)


@pytest.fixture
def proxy() -> Iterator[TcpProxy]:
    with TcpProxy() as proxy:
        yield proxy


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)


def receive(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count and (more := connection.recv(65536)):
        data += more
    return data


def test_everything_is_passed_on(proxy: TcpProxy, echo: int) -> None:
    text = b"0123456789" * 50_000
    with connect(proxy.forward(echo)) as connection:
        sender = threading.Thread(target=connection.sendall, args=(text,))
        sender.start()
        assert receive(connection, len(text)) == text
        sender.join(PATIENCE_SECONDS)


def test_nothing_passes_a_cut_cable_and_all_of_it_arrives_after_the_repair(proxy: TcpProxy, echo: int) -> None:
    port = proxy.forward(echo)
    with connect(port) as connection:
        connection.sendall(b"before")
        assert receive(connection, 6) == b"before"
        proxy.cut()
        connection.sendall(b"during")
        connection.settimeout(SHORT_SECONDS)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        with connect(port) as late:
            late.sendall(b"late")
            late.settimeout(SHORT_SECONDS)
            with pytest.raises(TimeoutError):
                late.recv(1)
            proxy.heal()
            for each, text in ((connection, b"during"), (late, b"late")):
                each.settimeout(PATIENCE_SECONDS)
                assert receive(each, len(text)) == text


def test_a_delay_is_added_in_each_direction(proxy: TcpProxy, echo: int) -> None:
    proxy.delay(SHORT_SECONDS)
    with connect(proxy.forward(echo)) as connection:
        began = mono()
        connection.sendall(b"slow")
        assert receive(connection, 4) == b"slow"
        assert mono() - began >= 2 * SHORT_SECONDS


def test_a_reset_ends_the_connections_and_new_ones_pass(proxy: TcpProxy, echo: int) -> None:
    port = proxy.forward(echo)
    with connect(port) as connection:
        connection.sendall(b"before")
        assert receive(connection, 6) == b"before"
        proxy.reset()
        try:
            assert connection.recv(1) == b""
        except ConnectionResetError:
            pass
    with connect(port) as connection:
        connection.sendall(b"after")
        assert receive(connection, 5) == b"after"


def test_a_connection_to_a_port_where_nothing_listens_ends(proxy: TcpProxy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with connect(proxy.forward(port)) as connection:
        try:
            assert connection.recv(1) == b""
        except ConnectionResetError:
            pass
