"""socket-reader on a unix socket: of several owners of one path, which one has it, and what happens to its file."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.unix_paths import KINDS, SCHEMES, files_beside, left_behind, refusal

from taskloom.testing import FakeContext
from taskloom_plugins import unix_sockets
from taskloom_plugins.endpoints import EndpointError
from taskloom_plugins.socket_reader import SocketReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.plugins.conftest import Start


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "reader.sock"


@pytest.fixture
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the two attempts to connect to a leftover follow each other at once."""
    monkeypatch.setattr(unix_sockets, "STALE_SECONDS", 0.001)


# -- a living owner ---------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("other", SCHEMES)
def test_a_second_reader_of_a_path_is_refused_and_the_first_one_is_not_disturbed(
    start: Start, out: Path, path: Path, scheme: str, other: str
) -> None:
    reader = start(SocketReader(listen=f"{scheme}://{path}", output=str(out)))
    reader.until_log("listening on")

    why = refusal(f"{other}://{path}")

    assert why == f"address already in use: another reader holds '{path}.lock'"
    with reader.client() as client:
        client.send(b"hello\n")
        reader.until_count("frames", 1)
    reader.stop()
    assert files_beside(path) == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_socket_of_a_program_that_uses_no_lock_is_not_taken(path: Path, scheme: str) -> None:
    with socket.socket(socket.AF_UNIX, KINDS[scheme]) as other:
        other.bind(str(path))
        if scheme == "unix":
            other.listen()
        before = path.lstat().st_ino

        assert refusal(f"{scheme}://{path}") == "address already in use"
        assert path.lstat().st_ino == before
        assert files_beside(path) == [path.name]


def test_a_listener_with_a_full_backlog_is_not_taken_for_a_leftover(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other, contextlib.ExitStack() as waiting:
        other.bind(str(path))
        other.listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                client = waiting.enter_context(socket.socket(socket.AF_UNIX))
                client.setblocking(False)
                client.connect(str(path))

        assert refusal(f"unix://{path}") == "address already in use"
        assert path.is_socket()


@pytest.mark.parametrize(("scheme", "other"), [("unix", "unix-dgram"), ("unix-dgram", "unix")])
def test_a_living_socket_of_another_type_is_named(path: Path, scheme: str, other: str) -> None:
    with socket.socket(socket.AF_UNIX, KINDS[other]) as sock:
        sock.bind(str(path))
        if other == "unix":
            sock.listen()

        assert refusal(f"{scheme}://{path}") == "address already in use, by a socket of another type"
        assert path.is_socket()


def test_a_datagram_socket_that_is_connected_to_another_peer_is_not_taken(path: Path) -> None:
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer,
    ):
        other.bind(str(path))
        peer.bind("\0taskloom-test-peer")
        other.connect(peer.getsockname())

        assert refusal(f"unix-dgram://{path}") == "address already in use"
        assert path.is_socket()


def test_a_program_between_bind_and_listen_has_a_second_to_listen(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """1. The other program binds. 2. The reader is refused. 3. The other one listens. 4. The reader tries again."""
    waited: list[float] = []

    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))

        def sleep(self: FakeContext, seconds: float) -> None:
            waited.append(seconds)
            other.listen()

        monkeypatch.setattr(FakeContext, "sleep", sleep)

        assert refusal(f"unix://{path}") == "address already in use"
        assert waited == [1.0]
        assert path.is_socket()


def test_a_leftover_that_another_program_replaces_meanwhile_is_not_removed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_behind(path)

    def sleep(self: FakeContext, seconds: float) -> None:
        path.unlink()
        left_behind(path)  # as it looks while its new owner has not called listen yet

    monkeypatch.setattr(FakeContext, "sleep", sleep)

    assert refusal(f"unix://{path}") == "address already in use: another program has just created it"
    assert files_beside(path) == [path.name]


def test_a_socket_that_replaces_the_leftover_in_the_last_moment_gets_its_path_back(
    path: Path, no_delay: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program replaces the file between the second attempt to connect and its removal."""
    left_behind(path)
    real = os.rename
    with socket.socket(socket.AF_UNIX) as other:

        def rename(source: str, target: str) -> None:
            path.unlink()
            other.bind(str(path))
            other.listen()
            real(source, target)

        monkeypatch.setattr(os, "rename", rename)

        assert refusal(f"unix://{path}") == "address already in use: another program has just created it"
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
        assert files_beside(path) == [path.name]


def test_a_file_that_appears_in_the_last_moment_is_not_replaced(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.link

    def link(source: str, target: str) -> None:
        path.write_text("theirs")
        real(source, target)

    monkeypatch.setattr(os, "link", link)

    assert refusal(f"unix://{path}") == "address already in use: another program has just created it"
    assert path.read_text() == "theirs"
    assert files_beside(path) == [path.name]


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_without_hard_links_the_path_is_taken_all_the_same(
    start: Start, out: Path, path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(os, "link", refuse(code))
    reader = start(SocketReader(listen=f"unix://{path}", output=str(out)))
    reader.until_log("listening on")

    with reader.client() as client:
        client.send(b"hello\n")
        reader.until_count("frames", 1)
    assert files_beside(path) == [path.name, f"{path.name}.lock"]
    reader.stop()
    assert files_beside(path) == []


def test_without_hard_links_a_file_that_appears_in_the_last_moment_is_not_replaced(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(source: str, target: str) -> None:
        path.write_text("theirs")
        refuse(errno.EPERM)(source, target)

    monkeypatch.setattr(os, "link", link)

    assert refusal(f"unix://{path}") == "address already in use: another program has just created it"
    assert path.read_text() == "theirs"
    assert files_beside(path) == [path.name]


def test_without_hard_links_and_another_way_the_reason_is_that_of_the_link(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", refuse(errno.EPERM))
    monkeypatch.setattr("ctypes.CDLL", lambda *args, **kwargs: object())

    assert refusal(f"unix://{path}") == "operation not permitted"
    assert files_beside(path) == []


def refuse(code: int) -> Callable[[str, str], None]:
    """Return a link(2) of a file system without hard links."""

    def link(source: str, target: str) -> None:
        raise OSError(code, os.strerror(code))

    return link


# -- many owners at once ----------------------------------------------------------------------------


def race(path: Path, scheme: str) -> list[str]:
    """Start two readers of the path at the same moment; return how each of them began."""
    both = threading.Barrier(2)
    outcomes: list[str] = []
    with FakeContext(job="a") as one, FakeContext(job="b") as two:

        def run(ctx: FakeContext, other: FakeContext) -> None:
            both.wait()
            try:
                SocketReader(listen=f"{scheme}://{path}", output=os.devnull).run(ctx)
                outcomes.append("ready")
            except EndpointError as error:
                outcomes.append("refused" if "already in use" in str(error) else str(error))
                other.is_ready.wait(20)
                other.cancel("the race is over")

        threads = [threading.Thread(target=run, args=pair) for pair in ((one, two), (two, one))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        if any(thread.is_alive() for thread in threads):
            one.cancel()
            two.cancel()
            outcomes.append("two are ready")
            for thread in threads:
                thread.join(20)
    return sorted(outcomes)


@pytest.mark.parametrize("leftover", [False, True])
@pytest.mark.parametrize("starts", [20, pytest.param(500, marks=pytest.mark.long)])
def test_of_two_readers_of_one_path_exactly_one_is_ready(
    path: Path, no_delay: None, fast_switching: None, starts: int, leftover: bool
) -> None:
    for number in range(starts):
        if leftover:
            left_behind(path)

        assert race(path, SCHEMES[number % 2]) == ["ready", "refused"], number
        assert files_beside(path) == []


OTHER_PROCESS = """
import sys
from taskloom.testing import FakeContext
from taskloom_plugins.socket_reader import SocketReader

class Context(FakeContext):
    def ready(self):
        print("ready", flush=True)
        sys.stdin.read()
        self.cancel("the other side has closed our input")

with Context(job="other") as ctx:
    SocketReader(listen=sys.argv[1], output="/dev/null").run(ctx)
"""


def test_the_reader_of_another_process_keeps_its_path_until_it_is_killed(
    start: Start, out: Path, path: Path, no_delay: None
) -> None:
    address = f"unix://{path}"
    command = [sys.executable, "-c", OTHER_PROCESS, address]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"ready\n"

        assert refusal(address) == f"address already in use: another reader holds '{path}.lock'"
        other.kill()
        other.wait(20)
    assert files_beside(path) == [path.name, f"{path.name}.lock"]

    reader = start(SocketReader(listen=address, output=str(out)))
    reader.until_log(f"listening on {address}")
    reader.stop()
    assert files_beside(path) == []


def test_a_child_that_was_forked_does_not_keep_the_lock(start: Start, out: Path, path: Path) -> None:
    """A fork shares the descriptors: closing ours releases neither the lock nor the socket."""
    address = f"unix://{path}"
    first = start(SocketReader(listen=address, output=str(out)))
    first.until_log("listening on")
    gate, end = os.pipe()
    with warnings.catch_warnings():  # Python 3.12 warns of a fork beside threads; this child takes no lock
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:  # only system calls: other threads may hold any lock of the interpreter
        os.close(end)
        os.read(gate, 1)
        os._exit(0)
    os.close(gate)
    first.stop()

    second = start(SocketReader(listen=address, output=str(out)))
    second.until_log("listening on")
    second.stop()

    os.close(end)
    assert os.waitpid(child, 0)[1] == 0
    assert files_beside(path) == []


# -- the end ----------------------------------------------------------------------------------------


def test_a_socket_is_seen_only_once_it_accepts_connections(
    start: Start, out: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    real = socket.socket.listen

    class Watched(socket.socket):
        def listen(self, backlog: int = 128) -> None:
            seen.append(path.exists())
            real(self, backlog)

    monkeypatch.setattr(socket, "socket", Watched)
    start(SocketReader(listen=f"unix://{path}", output=str(out))).until_log("listening on")

    assert seen == [False]


def test_the_socket_of_another_program_at_our_path_is_not_removed_at_the_end(
    start: Start, out: Path, path: Path
) -> None:
    reader = start(SocketReader(listen=f"unix://{path}", output=str(out)))
    reader.until_log("listening on")
    path.unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()

        reader.stop()

        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
    assert files_beside(path) == [path.name]
