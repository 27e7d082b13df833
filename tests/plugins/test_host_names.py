"""Host names that come, go and change: which failures end a run, and which are tried again."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from taskloom.testing import FakeContext
from taskloom_plugins.endpoints import EndpointError, UnknownHostError
from taskloom_plugins.socket_reader import SocketReader
from taskloom_plugins.socket_sender import SocketSender

if TYPE_CHECKING:
    from tests.plugins.conftest import Start

QUICK: dict[str, Any] = {"reconnect_delay": 0.01, "reconnect_max": 0.02}
NOT_FOUND = ["EAI_NONAME", "EAI_NODATA", "EAI_ADDRFAMILY", "EAI_FAMILY"]
TEMPORARY = ["EAI_AGAIN", "EAI_FAIL", "EAI_MEMORY", "EAI_SYSTEM"]


class Names:
    """A resolver: what it answers to the next questions, and then for good."""

    def __init__(self, port: int) -> None:
        self.address = f"tcp://peer.example:{port}"
        self.next: list[OSError | list[str]] = []
        self.then: OSError | list[str] = ["127.0.0.1"]
        self.asked = 0

    def fail(self, *names: str) -> None:
        """Answer the next questions with these errors of getaddrinfo."""
        self.next += [socket.gaierror(getattr(socket, name), f"{name} happened") for name in names]


@pytest.fixture
def names(server: socket.socket, monkeypatch: pytest.MonkeyPatch) -> Names:
    """The answers to all questions for `peer.example`, at first the address of the server."""
    resolver, real = Names(server.getsockname()[1]), socket.getaddrinfo

    def resolve(host: str, port: int, *args: Any, **options: Any) -> list[Any]:
        if host != "peer.example" or options.get("flags", 0) & socket.AI_NUMERICHOST:
            return real(host, port, *args, **options)
        resolver.asked += 1
        answer = resolver.next.pop(0) if resolver.next else resolver.then
        if isinstance(answer, OSError):
            raise answer
        return [found for ip in answer for found in real(ip, port, *args, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return resolver


@pytest.mark.parametrize("code", NOT_FOUND)
@pytest.mark.parametrize("task", [SocketReader, SocketSender])
def test_a_name_that_was_never_found_is_a_clear_failure(names: Names, code: str, task: Any) -> None:
    names.fail(code)

    with FakeContext() as ctx, pytest.raises(UnknownHostError) as caught:
        task(**{"connect" if task is SocketReader else "to": names.address}).run(ctx)

    assert str(caught.value) == (
        f"cannot connect to {names.address}: cannot find host 'peer.example': {code[:1].lower()}{code[1:]} happened"
    )
    assert names.asked == 1


@pytest.mark.parametrize("code", NOT_FOUND)
def test_a_name_that_was_connected_to_before_is_tried_again(
    start: Start, out: Path, server: socket.socket, names: Names, code: str
) -> None:
    reader = start(SocketReader(connect=names.address, output=str(out), **QUICK))
    first, _ = server.accept()
    reader.until_log("connected to")

    names.fail(code, code, code)
    first.close()
    second, _ = server.accept()
    with second:
        second.sendall(b"back again\n")
        reader.until_count("frames", 1)
    reader.stop()

    assert out.read_text() == "back again\n"
    assert names.asked == 5
    assert reader.ctx.counts["reconnects"] == 4
    assert reader.ctx.times_ready == 1
    assert any(
        f"cannot connect to {names.address}: cannot find host 'peer.example'" in line for line in reader.ctx.messages
    )


def test_without_reconnect_a_name_is_looked_up_once(server: socket.socket, names: Names) -> None:
    names.fail("EAI_AGAIN")

    with FakeContext() as ctx, pytest.raises(ConnectionError, match=r"cannot look up 'peer\.example' now"):
        SocketReader(connect=names.address, reconnect=False).run(ctx)

    assert names.asked == 1


@pytest.mark.parametrize("code", TEMPORARY)
def test_trouble_of_the_resolver_is_tried_again_from_the_beginning(
    start: Start, out: Path, server: socket.socket, names: Names, code: str
) -> None:
    names.fail(code, code)
    reader = start(SocketReader(connect=names.address, output=str(out), **QUICK))

    server.accept()[0].close()
    reader.until_log("connected to")
    reader.stop()

    assert names.asked >= 3


def test_too_few_descriptors_for_a_look_up_are_waited_for(
    start: Start, out: Path, server: socket.socket, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = socket.socketpair, [OSError(24, "Too many open files")]

    def socketpair(*args: Any) -> Any:
        if threading.current_thread().name == "test-job" and failures:
            raise failures.pop()
        return real(*args)

    monkeypatch.setattr(socket, "socketpair", socketpair)
    names.next = [OSError(24, "Too many open files")]
    reader = start(SocketReader(connect=names.address, output=str(out), **QUICK))

    server.accept()[0].close()
    reader.until_log("connected to")
    reader.stop()

    assert any("cannot look up 'peer.example' now: too many open files" in line for line in reader.ctx.messages)


def test_a_look_up_without_a_free_thread_is_tried_again(
    start: Start, out: Path, server: socket.socket, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = threading.Thread.start, ["can't start new thread"]

    def begin(self: threading.Thread) -> None:
        if self.name == "job-lookup" and failures:
            raise RuntimeError(failures.pop())
        real(self)

    monkeypatch.setattr(threading.Thread, "start", begin)
    reader = start(SocketReader(connect=names.address, output=str(out), **QUICK))

    server.accept()[0].close()
    reader.until_log("connected to")
    reader.stop()

    assert names.asked >= 1


def test_each_attempt_uses_the_present_addresses_of_a_name(
    start: Start, out: Path, server: socket.socket, names: Names
) -> None:
    """The peer moves from one address to another while it is down."""
    port = server.getsockname()[1]
    names.then = ["127.0.0.2"]
    reader = start(SocketReader(connect=names.address, output=str(out), **QUICK))
    reader.until_count("reconnects", 2)

    with socket.create_server(("127.0.0.3", port)) as moved:
        names.then = ["127.0.0.3"]
        peer, _ = moved.accept()
        with peer:
            peer.sendall(b"from the new address\n")
            reader.until_count("frames", 1)
    reader.stop()

    assert out.read_text() == "from the new address\n"


def test_every_address_of_a_name_is_tried(start: Start, out: Path, server: socket.socket, names: Names) -> None:
    names.then = ["::1", "127.0.0.2", "127.0.0.1"]
    reader = start(SocketReader(connect=names.address, output=str(out), **QUICK))

    peer, _ = server.accept()
    with peer:
        peer.sendall(b"here\n")
        reader.until_count("frames", 1)
    reader.stop()

    assert reader.ctx.counts["reconnects"] == 0


def test_a_sender_finds_a_name_again_that_was_gone(start: Start, server: socket.socket, names: Names) -> None:
    sender = start(SocketSender(to=names.address, count=0, interval=0.005, **QUICK))
    first, _ = server.accept()
    with first:
        assert first.recv(100).startswith(b"hello 1\n")
        names.fail("EAI_NONAME", "EAI_NODATA", "EAI_AGAIN")
    second, _ = server.accept()
    with second:
        assert second.recv(100).startswith(b"hello ")
    sender.stop()

    assert names.asked >= 5


# -- listening on a name ---------------------------------------------------------------------------


def test_a_reader_listens_on_every_address_of_a_name(start: Start, out: Path, names: Names) -> None:
    names.then = ["::1", "127.0.0.1", "127.0.0.1", "192.0.2.1"]  # the last one belongs to another machine

    reader = start(SocketReader(listen="tcp://peer.example:0", output=str(out)))
    reader.until_log("listening on", times=2)
    port = reader.address.port
    for host in ("::1", "127.0.0.1"):
        with socket.create_connection((host, port)) as client:
            client.sendall(host.encode() + b"\n")
    reader.until_count("frames", 2)
    reader.stop()

    assert [line for line in reader.ctx.messages if "listening" in line] == [
        f"listening on tcp://[::1]:{port}",
        f"listening on tcp://127.0.0.1:{port}",
    ]
    assert sorted(out.read_text().splitlines()) == ["127.0.0.1", "::1"]


def test_datagrams_to_every_address_of_a_name_are_read(start: Start, out: Path, names: Names) -> None:
    names.then = ["::1", "127.0.0.1"]

    reader = start(SocketReader(listen="udp://peer.example:0", output=str(out), format="json"))
    reader.until_log("listening on", times=2)
    port = reader.address.port
    for family, host in ((socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1")):
        with socket.socket(family, socket.SOCK_DGRAM) as client:
            client.sendto(b"x", (host, port))
    reader.until_count("frames", 2)
    reader.stop()

    assert '"from":"udp://[::1]:' in out.read_text()
    assert '"from":"udp://127.0.0.1:' in out.read_text()


def test_a_port_that_is_taken_on_one_address_of_a_name_is_a_clear_failure(names: Names) -> None:
    names.then = ["::1", "127.0.0.1"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with FakeContext() as ctx, pytest.raises(EndpointError) as caught:
            SocketReader(listen=f"tcp://peer.example:{port}").run(ctx)

    assert str(caught.value) == f"cannot listen on tcp://peer.example:{port}: address already in use"
    with socket.socket(socket.AF_INET6) as free:
        free.bind(("::1", port))  # the other socket is closed


def test_a_free_port_is_free_on_every_address(start: Start, out: Path, names: Names) -> None:
    """The first choice of the kernel for ::1 is taken on 127.0.0.1, so another port is chosen for both."""
    names.then = ["::1", "127.0.0.1"]
    real, failures = socket.socket.bind, [OSError(98, "Address already in use")]

    class Taken(socket.socket):
        def bind(self, address: Any) -> None:
            if address[0] == "127.0.0.1" and failures:
                raise failures.pop()
            real(self, address)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(socket, "socket", Taken)
        reader = start(SocketReader(listen="tcp://peer.example:0", output=str(out)))
        reader.until_log("listening on", times=2)
        reader.stop()

    assert not failures


@pytest.mark.parametrize("code", [*NOT_FOUND, *TEMPORARY])
def test_a_name_to_listen_on_that_cannot_be_found_is_a_clear_failure(names: Names, code: str) -> None:
    names.fail(code)

    with FakeContext() as ctx, pytest.raises(EndpointError, match=r"^cannot listen on tcp://peer.example:0: cannot "):
        SocketReader(listen="tcp://peer.example:0").run(ctx)


@pytest.mark.parametrize("host", ["*", "[::]", "[0:0::0]", ""])
@pytest.mark.parametrize("scheme", ["tcp", "udp"])
def test_every_interface_means_both_families(start: Start, out: Path, scheme: str, host: str) -> None:
    reader = start(SocketReader(listen=f"{scheme}://{host}:0", output=str(out)))
    address = reader.address

    for family, target in ((socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1")):
        with socket.socket(family, address.kind) as client:
            client.connect((target, address.port))
            client.send(b"x\n")
    reader.until_count("frames", 2)
    reader.stop()


def test_every_interface_of_ipv4_leaves_the_port_of_ipv6_free(start: Start, out: Path) -> None:
    reader = start(SocketReader(listen="tcp://0.0.0.0:0", output=str(out)))

    with socket.socket(socket.AF_INET6) as other:
        other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        other.bind(("::", reader.address.port))


def test_an_ipv4_mapped_address_is_the_ipv4_address(start: Start, out: Path) -> None:
    reader = start(SocketReader(listen="tcp://[::ffff:127.0.0.1]:0", output=str(out)))
    address = f"tcp://[::ffff:127.0.0.1]:{reader.address.port}"

    start(SocketSender(to=address, count=1), job="sender").join()
    reader.until_count("frames", 1)
    reader.stop()

    assert reader.ctx.messages[0] == f"listening on tcp://127.0.0.1:{reader.address.port}"
