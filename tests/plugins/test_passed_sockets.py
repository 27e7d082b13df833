"""`listen: "fd://NAME"`: sockets that a parent has opened and passed to the program."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from taskloom.waiting import passed, passed_sockets
from taskloom_plugins.passed import open_passed, read_passed
from taskloom_plugins.socket_reader import SocketReader

# What a parent does between fork and exec: it puts the sockets at 3 and later, and says to whom.
LAUNCH = """
    import os, sys
    names, *command = sys.argv[1:]
    os.environ.update(LISTEN_FDS=str(len(names.split(":"))), LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES=names)
    os.execvp(command[0], command)
"""


@pytest.fixture
def untaken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process take its descriptors again."""
    monkeypatch.setattr(passed, "_taken", None)
    monkeypatch.setattr(passed, "_why_none", "")


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


@pytest.fixture
def given(untaken: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretend that these sockets were passed, with their names."""

    def give(*pairs: tuple[str, socket.socket]) -> None:
        monkeypatch.setattr(passed, "_taken", [(name, sock.fileno()) for name, sock in pairs])

    return give


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the text is compared
        call()
    return str(caught.value.args[0])


@pytest.mark.parametrize(
    ("environ", "why"),
    [
        ({}, "none was passed to this program (LISTEN_FDS is not set)"),
        ({"LISTEN_FDS": "1"}, "they were passed to process none (LISTEN_PID), not to this one"),
        ({"LISTEN_FDS": "1", "LISTEN_PID": "1"}, "they were passed to process 1 (LISTEN_PID), not to this one"),
        ({"LISTEN_FDS": "-1", "LISTEN_PID": str(os.getpid())}, "LISTEN_FDS is '-1', not a number"),
        ({"LISTEN_FDS": "0", "LISTEN_PID": str(os.getpid())}, "none was passed to this program"),
    ],
)
def test_why_there_is_no_socket_is_said(untaken: None, environ: dict[str, str], why: str) -> None:
    passed.take_passed_sockets({**environ, "HOME": "/"})

    assert refusal(lambda: passed_sockets("web")) == why


def test_the_variables_are_removed(untaken: None) -> None:
    environ = {"LISTEN_FDS": "0", "LISTEN_PID": "1", "LISTEN_FDNAMES": "a", "HOME": "/"}

    passed.take_passed_sockets(environ)

    assert environ == {"HOME": "/"}


@pytest.mark.parametrize(
    ("names", "known"), [("", "unknown"), ("web", "web"), ("web:more:than:there:are", "web"), (":second", "unknown")]
)
def test_a_socket_without_a_name_is_called_unknown(
    untaken: None, monkeypatch: pytest.MonkeyPatch, listener: socket.socket, names: str, known: str
) -> None:
    monkeypatch.setattr(passed, "_FIRST", listener.fileno())

    passed.take_passed_sockets({"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid()), "LISTEN_FDNAMES": names})

    assert refusal(lambda: passed_sockets("nothing")) == f"passed: {known} (fd {listener.fileno()})"


def test_a_socket_is_found_by_its_name_or_its_number(given: Callable[..., None], listener: socket.socket) -> None:
    given(("web", listener))

    for name in ("web", str(listener.fileno())):
        [found] = passed_sockets(name)
        with found:
            assert found.getsockname() == listener.getsockname()
            assert found.fileno() != listener.fileno()
    assert refusal(lambda: passed_sockets("wep")) == f"passed: web (fd {listener.fileno()}); did you mean 'web'?"
    assert listener.fileno() != -1  # closing a duplicate closes nothing


def test_sockets_of_one_name_belong_together(given: Callable[..., None], listener: socket.socket) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        given(("web", listener), ("web", other))
        found = open_passed(read_passed("fd://web"))  # type: ignore[arg-type]
        assert [each.getsockname() for each in found] == [listener.getsockname(), other.getsockname()]
        for each in found:
            each.close()


@pytest.mark.parametrize("text", ["fd://", "fd://a/b", "fd://a:b", "fd://2", "fd://\x1b", f"fd://{'a' * 256}"])
def test_a_name_that_cannot_be_one_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"cannot read .* as an address"):
        SocketReader(listen=text)


def test_a_passed_socket_is_only_to_listen_on() -> None:
    with pytest.raises(ValueError, match="cannot read 'fd://web' as an address; write tcp://HOST:PORT"):
        SocketReader(connect="fd://web")


def test_a_socket_that_cannot_be_listened_on_is_refused_in_words(given: Callable[..., None]) -> None:
    ours, theirs = socket.socketpair()
    odd = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, odd:
        given(("one", ours), ("odd", odd))

        assert refusal(lambda: open_passed(read_passed("fd://one"))) == (  # type: ignore[arg-type]
            "cannot listen on fd://one: it is one connection; the socket unit needs Accept=no"
        )
        assert refusal(lambda: open_passed(read_passed("fd://odd"))) == (  # type: ignore[arg-type]
            "cannot listen on fd://odd: its kind is AF_UNIX SOCK_SEQPACKET; expected TCP, UDP or a unix socket"
        )


# -- whole programs

JOBS = """
jobs:
  reader:
    task: socket-reader
    params: {listen: "fd://web", output: %s}
  lost:
    task: socket-reader
    params: {listen: "fd://wep"}
  datagrams:
    task: socket-reader
    params: {listen: "fd://web", framing: datagram}
  elsewhere:
    task: socket-reader
    params: {listen: "fd://web"}
    runner: process
"""


def launch(
    sockets: dict[str, socket.socket], command: list[str], env: dict[str, str], folder: Path
) -> subprocess.Popen[str]:
    """Start a command as a parent with socket activation does."""
    numbers = [each.fileno() for each in sockets.values()]
    # A shell puts them at 3 and later.
    moves = " ".join(f"{3 + index}<&{number}" for index, number in enumerate(numbers))
    python = [sys.executable, "-c", textwrap.dedent(LAUNCH), ":".join(sockets), *command]
    return subprocess.Popen(
        ["bash", "-c", f'exec "$@" {moves}', "bash", *python],
        env=env, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, pass_fds=numbers,
    )  # fmt: skip


@pytest.mark.long
def test_a_reader_gets_the_sockets_again_after_a_restart_and_no_child_does(
    child_env: dict[str, str],
    tmp_path: Path,
    listener: socket.socket,
    taskloom_cli: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    out, place = tmp_path / "out", str(tmp_path / "s")
    (tmp_path / "jobs.yaml").write_text(
        JOBS % out
        + "  child: {task: command, params: {argv: [sh, -c, 'ls -l /proc/self/fd; echo fds=$LISTEN_FDS.']}}\n"
    )
    command = [sys.executable, "-m", "taskloom", "run", "--socket", place, "jobs.yaml"]
    env = {**child_env, "TASKLOOM_CONTROL": "true"}
    with launch({"web": listener}, command, env, tmp_path) as program:
        assert program.stdout is not None
        shown = ""
        while not all(
            word in shown for word in ("listening on fd://web", "fds=.", "elsewhere    failed", "lost         failed")
        ):
            line = program.stdout.readline()
            assert line, shown
            shown += line
        send(listener, b"one\n", out)
        assert taskloom_cli("restart", "reader", "--socket", place).returncode == 0
        send(listener, b"two\n", out)
        program.terminate()
        shown += program.stdout.read()

    port = listener.getsockname()[1]
    assert f"listening on fd://web (tcp://127.0.0.1:{port})" in shown
    assert "cannot listen on fd://wep: cannot find this socket; passed: web (fd 3); did you mean 'web'?" in shown
    assert "cannot use framing datagram with fd://web: a stream has no datagrams; use raw" in shown
    assert "cannot listen on fd://web: cannot find this socket; none was passed" in shown
    inode = os.fstat(listener.fileno()).st_ino
    assert f"socket:[{inode}]" not in shown


@pytest.mark.long
def test_a_reader_gets_the_socket_of_systemd(child_env: dict[str, str], tmp_path: Path) -> None:
    if shutil.which("systemd-socket-activate") is None:
        if os.environ.get("CI"):
            pytest.fail("cannot find systemd-socket-activate, and under CI nothing may be missing")
        pytest.skip("LOUD: cannot find systemd-socket-activate; install the package systemd")
    path, out = tmp_path / "a.sock", tmp_path / "out"
    jobs = f'jobs: {{reader: {{task: socket-reader, params: {{listen: "fd://web", output: {out}}}}}}}\n'
    (tmp_path / "jobs.yaml").write_text(jobs)
    command = ["systemd-socket-activate", "-l", str(path), "--fdname=web"]
    # It passes on no other variables.
    command += [each for name in ("PATH", "PYTHONPATH", "HOME") if name in child_env for each in ("-E", name)]
    command += [sys.executable, "-m", "taskloom", "run", "--no-control", "--history", "off", "jobs.yaml"]
    with subprocess.Popen(command, env=child_env, cwd=tmp_path, text=True, stderr=subprocess.PIPE) as program:
        assert program.stderr is not None
        shown = program.stderr.readline()  # it listens
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"hello\n")
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""
        program.terminate()
        shown += program.stderr.read()

    assert (program.returncode, out.read_text()) == (0, "hello\n")
    assert f"listening on fd://web (unix://{path})" in shown


def send(listener: socket.socket, data: bytes, out: Path) -> None:
    """Send it, and wait until the reader has written it."""
    with socket.create_connection(listener.getsockname()) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""  # the reader has read it to its end
    assert out.read_bytes().endswith(data)
