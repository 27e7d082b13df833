"""socket-reader with `listen`: which ports and paths it can use, and what it leaves behind."""

from __future__ import annotations

import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from taskloom import PermanentFailure
from taskloom.testing import FakeContext
from taskloom_plugins.endpoints import EndpointError
from taskloom_plugins.socket_reader import SocketReader

if TYPE_CHECKING:
    from tests.plugins.conftest import Start


@pytest.fixture
def socket_path(tmp_path: Path) -> Path:
    return tmp_path / "reader.sock"


def run_alone(reader: SocketReader) -> None:
    """Run a reader that fails at once, in the calling thread."""
    with FakeContext() as ctx:
        reader.run(ctx)


def test_a_port_in_use_is_a_clear_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"

        with pytest.raises(EndpointError) as caught:
            run_alone(SocketReader(listen=address))

    assert str(caught.value) == f"cannot listen on {address}: address already in use"


def test_an_unknown_host_is_a_clear_failure() -> None:
    with pytest.raises(EndpointError) as caught:
        run_alone(SocketReader(listen="tcp://no such host:1"))

    assert str(caught.value).startswith("cannot listen on tcp://no such host:1: cannot find host 'no such host': ")


def test_an_address_of_another_machine_is_a_clear_failure() -> None:
    with pytest.raises(EndpointError) as caught:
        run_alone(SocketReader(listen="udp://192.0.2.1:5514"))

    assert str(caught.value) == "cannot listen on udp://192.0.2.1:5514: cannot assign requested address"


def test_a_path_too_long_for_a_unix_socket_is_a_permanent_failure() -> None:
    path = "/tmp/" + "x" * 103

    with pytest.raises(PermanentFailure) as caught:
        run_alone(SocketReader(listen=f"unix://{path}"))

    assert str(caught.value) == (f"cannot listen on unix://{path}: the path has 108 bytes; a unix socket allows 107")


def test_a_missing_folder_is_a_clear_failure() -> None:
    with pytest.raises(EndpointError) as caught:
        run_alone(SocketReader(listen="unix:///no/such/folder/S"))

    assert str(caught.value) == "cannot listen on unix:///no/such/folder/S: no such file or directory"


@pytest.mark.parametrize("scheme", ["unix", "unix-dgram"])
def test_a_socket_of_a_killed_program_is_replaced_and_the_file_removed_at_the_end(
    start: Start, out: Path, socket_path: Path, scheme: str
) -> None:
    kind = socket.SOCK_STREAM if scheme == "unix" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_UNIX, kind) as left_behind:
        left_behind.bind(str(socket_path))

    reader = start(SocketReader(listen=f"{scheme}://{socket_path}", output=str(out)))
    with reader.client() as client:
        client.send(b"hello\n")
        reader.until_count("frames", 1)
    reader.stop()

    assert not socket_path.exists()


def test_a_socket_with_a_listener_is_left_alone(socket_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(socket_path))
        other.listen()

        with pytest.raises(EndpointError, match="address already in use"):
            run_alone(SocketReader(listen=f"unix://{socket_path}"))

        assert socket_path.is_socket()


def test_a_file_that_is_not_a_socket_is_left_alone(socket_path: Path) -> None:
    socket_path.write_text("precious")

    with pytest.raises(EndpointError) as caught:
        run_alone(SocketReader(listen=f"unix://{socket_path}"))

    assert str(caught.value) == f"cannot listen on unix://{socket_path}: the file at this path is not a socket"
    assert socket_path.read_text() == "precious"


def test_a_socket_with_which_another_program_replaced_ours_is_not_removed(
    start: Start, out: Path, socket_path: Path
) -> None:
    reader = start(SocketReader(listen=f"unix://{socket_path}", output=str(out)))
    reader.until_log("listening on")
    socket_path.unlink()
    socket_path.write_text("theirs")

    reader.stop()

    assert socket_path.read_text() == "theirs"


@pytest.mark.parametrize("mode", ["600", "0666"])
def test_the_permissions_of_a_unix_socket_do_not_depend_on_the_umask(
    start: Start, out: Path, socket_path: Path, mode: str
) -> None:
    reader = start(SocketReader(listen=f"unix://{socket_path}", output=str(out), mode=mode))
    reader.until_log("listening on")

    assert stat.S_IMODE(socket_path.stat().st_mode) == int(mode, 8)

    reader.stop()


def test_a_unix_socket_never_has_wider_permissions_than_requested(
    start: Start, out: Path, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is new just before `chmod` makes its permissions exact; they are not wider then."""
    modes: list[int] = []
    real = Path.chmod

    def chmod(self: Path, mode: int, **options: bool) -> None:
        modes.append(stat.S_IMODE(self.stat().st_mode))
        real(self, mode, **options)

    monkeypatch.setattr(Path, "chmod", chmod)
    start(SocketReader(listen=f"unix://{socket_path}", output=str(out), mode="600")).until_log("listening on")

    assert [mode & 0o077 for mode in modes] == [0]
