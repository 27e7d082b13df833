"""socket-reader on a unix socket: of several owners of one path, which one has it, and what happens to its file."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from taskloom import Cancelled, PermanentFailure
from taskloom.testing import FakeContext
from taskloom_plugins import unix_sockets
from taskloom_plugins.endpoints import EndpointError
from taskloom_plugins.socket_reader import SocketReader

if TYPE_CHECKING:
    from tests.plugins.conftest import Start

KINDS = {"unix": socket.SOCK_STREAM, "unix-dgram": socket.SOCK_DGRAM}
SCHEMES = list(KINDS)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "reader.sock"


@pytest.fixture
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the two attempts to connect to a leftover follow each other at once."""
    monkeypatch.setattr(unix_sockets, "STALE_SECONDS", 0.001)


def refusal(address: str) -> str:
    """Return why a reader cannot listen, without the address."""
    with FakeContext() as ctx, pytest.raises(EndpointError) as caught:
        SocketReader(listen=address).run(ctx)
    prefix = f"cannot listen on {address}: "
    assert str(caught.value).startswith(prefix)
    return str(caught.value).removeprefix(prefix)


def left_behind(path: Path, scheme: str = "unix") -> None:
    """Make the file of a socket whose owner is gone."""
    with socket.socket(socket.AF_UNIX, KINDS[scheme]) as sock:
        sock.bind(str(path))


def files_beside(path: Path) -> list[str]:
    return sorted(each.name for each in path.parent.iterdir() if each.name != "out.log")


# -- a living owner --------------------------------------------------------------------------------


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


# -- a leftover ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_delay")
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("other", SCHEMES)
def test_the_socket_of_a_killed_program_is_replaced(
    start: Start, out: Path, path: Path, scheme: str, other: str
) -> None:
    left_behind(path, other)
    Path(f"{path}.lock").touch()

    reader = start(SocketReader(listen=f"{scheme}://{path}", output=str(out)))
    with reader.client() as client:
        client.send(b"hello\n")
        reader.until_count("frames", 1)
    reader.stop()

    assert files_beside(path) == []


def test_a_stop_wakes_a_reader_that_waits_whether_a_socket_is_a_leftover(
    start: Start, out: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unix_sockets, "STALE_SECONDS", 3600.0)
    left_behind(path)
    begun = threading.Event()
    real = FakeContext.sleep

    def sleep(self: FakeContext, seconds: float) -> None:
        begun.set()
        real(self, seconds)

    monkeypatch.setattr(FakeContext, "sleep", sleep)
    reader = start(SocketReader(listen=f"unix://{path}", output=str(out)))
    assert begun.wait(20)

    reader.ctx.cancel("stop")
    with pytest.raises(Cancelled):
        reader.join()

    assert files_beside(path) == [path.name]


# -- what else may be at the path ------------------------------------------------------------------


def make_link(path: Path) -> None:
    path.symlink_to("elsewhere")


def make_link_to_listener(path: Path) -> None:
    left_behind(path.with_name("target"))
    path.symlink_to("target")


OTHERS: list[tuple[Callable[[Path], object], str]] = [
    (Path.touch, "the file at this path is not a socket"),
    (Path.mkdir, "there is a folder at this path"),
    (make_link, "there is a symbolic link at this path"),
    (make_link_to_listener, "there is a symbolic link at this path"),
    (os.mkfifo, "the file at this path is not a socket"),
]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(("make", "why"), OTHERS)
def test_what_is_not_a_socket_is_refused_in_words_and_left_alone(
    path: Path, scheme: str, make: Callable[[Path], object], why: str
) -> None:
    make(path)
    before = (path.lstat().st_ino, files_beside(path))

    assert refusal(f"{scheme}://{path}") == why
    assert (path.lstat().st_ino, files_beside(path)) == before


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (Path.mkdir, "cannot open its lock file '{}.lock': Is a directory"),
        (os.mkfifo, "its lock file '{}.lock' is not a regular file"),
        (make_link, "cannot open its lock file '{}.lock': Too many levels of symbolic links"),
    ],
)
def test_a_lock_file_that_is_something_else_is_refused_and_left_alone(
    path: Path, make: Callable[[Path], object], why: str
) -> None:
    lock = path.with_name("reader.sock.lock")
    make(lock)

    assert refusal(f"unix://{path}") == why.format(path)
    assert files_beside(path) == [lock.name]


def test_a_lock_file_with_contents_is_used_but_not_removed(start: Start, out: Path, path: Path) -> None:
    lock = path.with_name("reader.sock.lock")
    lock.write_text("1234\n")

    reader = start(SocketReader(listen=f"unix://{path}", output=str(out)))
    reader.until_log("listening on")
    reader.stop()

    assert lock.read_text() == "1234\n"
    assert files_beside(path) == [lock.name]


def test_a_lock_of_another_program_is_respected(path: Path) -> None:
    with Path(f"{path}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        assert refusal(f"unix://{path}") == f"address already in use: another reader holds '{path}.lock'"


def test_a_reader_that_opened_the_lock_file_just_before_it_was_removed_tries_again(
    start: Start, out: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1. We open the lock file. 2. Its owner removes it and releases the lock. 3. We lock a file without a name."""
    lock = Path(f"{path}.lock")
    lock.touch()
    real = fcntl.flock
    removed: list[int] = []

    def flock(descriptor: int, operation: int) -> None:
        if not removed:
            removed.append(lock.stat().st_ino)
            lock.unlink()
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    reader = start(SocketReader(listen=f"unix://{path}", output=str(out)))
    reader.until_log("listening on")

    assert refusal(f"unix://{path}") == f"address already in use: another reader holds '{path}.lock'"

    reader.stop()
    assert files_beside(path) == []


def test_a_folder_in_which_nothing_may_be_created_is_a_clear_failure(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a read-only file system; the test may run as root, who may write to any folder."""
    real = os.open

    def refuse(name: str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT and name.endswith(".lock"):
            raise OSError(30, "Read-only file system")
        return real(name, flags, mode)

    monkeypatch.setattr(os, "open", refuse)

    assert refusal(f"unix://{path}") == "read-only file system"


# -- the longest paths, and names without a file ---------------------------------------------------


@pytest.mark.parametrize("size", [99, 100, 101, 106, 107])
def test_a_path_of_up_to_107_bytes_works(
    start: Start, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "é" + "x" * (size - 2)

    reader = start(SocketReader(listen=f"unix://{name}", output=str(out)))
    with reader.client() as client:
        client.send(b"hello\n")
        reader.until_count("frames", 1)
    assert refusal(f"unix://{name}").startswith("address already in use")
    reader.stop()

    assert out.read_text() == "hello\n"
    assert files_beside(tmp_path / name) == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_name_that_begins_with_at_is_an_abstract_socket(
    start: Start, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.chdir(tmp_path)
    name = f"@taskloom-test-{os.getpid()}"
    reader = start(SocketReader(listen=f"{scheme}://{name}", output=str(out)))
    reader.until_log(f"listening on {scheme}://{name}")

    assert refusal(f"{scheme}://{name}") == "address already in use"
    with socket.socket(socket.AF_UNIX, KINDS[scheme]) as client:
        client.connect("\0" + name[1:])
        client.send(b"hello\n")
        reader.until_count("frames", 1)
    reader.stop()

    assert out.read_text() == "hello\n"
    assert files_beside(tmp_path / name) == []


def test_a_reader_connects_to_an_abstract_socket(start: Start, out: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0taskloom-server-{os.getpid()}")
        server.listen()
        reader = start(SocketReader(connect=f"unix://@taskloom-server-{os.getpid()}", output=str(out)))
        peer, _ = server.accept()
        with peer:
            peer.sendall(b"hello\n")
            reader.until_count("frames", 1)
    reader.stop()

    assert out.read_text() == "hello\n"


def test_an_abstract_name_over_the_limit_is_a_permanent_failure() -> None:
    with (
        FakeContext() as ctx,
        pytest.raises(PermanentFailure, match="the name has 108 bytes; a unix socket allows 107"),
    ):
        SocketReader(listen="unix://@" + "x" * 107).run(ctx)


def test_a_relative_path_may_begin_with_at(
    start: Start, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    reader = start(SocketReader(listen="unix://./@file", output=str(out)))
    reader.until_log("listening on unix://./@file")

    assert Path("@file").is_socket()

    reader.stop()


# -- many owners at once ---------------------------------------------------------------------------


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


# -- the end ---------------------------------------------------------------------------------------


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
