"""socket-reader on a unix socket: what may be at its path, and names without a file."""

from __future__ import annotations

import fcntl
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.unix_paths import KINDS, SCHEMES, files_beside, left_behind, refusal

from taskloom import Cancelled, PermanentFailure
from taskloom.testing import FakeContext
from taskloom_plugins import unix_sockets
from taskloom_plugins.socket_reader import SocketReader

if TYPE_CHECKING:
    from tests.plugins.conftest import Start


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "reader.sock"


@pytest.fixture
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the two attempts to connect to a leftover follow each other at once."""
    monkeypatch.setattr(unix_sockets, "STALE_SECONDS", 0.001)


# -- a leftover -------------------------------------------------------------------------------------


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
    assert f"a socket at {path} refuses connections; it is replaced if it still does in 0.001 s" in reader.ctx.messages


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


# -- what else may be at the path -------------------------------------------------------------------


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


# -- the longest paths, and names without a file ----------------------------------------------------


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


def test_a_relative_path_is_removed_after_another_job_has_changed_the_working_directory(
    start: Start, out: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    reader = start(SocketReader(listen=f"unix://{path.name}", output=str(out)))
    reader.until_log(f"listening on unix://{path.name}")
    assert files_beside(path) == [path.name, f"{path.name}.lock"]

    monkeypatch.chdir("/")
    reader.stop()

    assert files_beside(path) == []
