"""A program for namespaces of its own: a socket-reader connects by name, while the name comes and goes.

unshare --mount --net python -m tests.support.dns_scenes SCENE TROUBLE FOLDER
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from tests.plugins.conftest import PATIENCE_SECONDS, Running
from tests.support.name_service import NAME, NameFault, NameServer, use_own_name_service

from taskloom_plugins.endpoints import EndpointError
from taskloom_plugins.socket_reader import SocketReader


class Setting:
    """A server, the name server, and a reader that connects to the server by its name."""

    def __init__(self, names: NameServer, trouble: NameFault) -> None:
        self.names, self.trouble = names, trouble
        self.server = socket.create_server(("", 0), backlog=1)
        self.server.settimeout(PATIENCE_SECONDS)
        self.out = Path("out.log")
        port = self.server.getsockname()[1]
        reader = SocketReader(
            connect=f"tcp://{NAME}:{port}", output=str(self.out), reconnect_delay=0.01, reconnect_max=0.02
        )
        self.reader = Running(reader, "reader", 1.0)

    def serve(self, text: str, frames: int, host: str = "127.0.0.1") -> None:
        """Accept a connection to the host, send the text, wait until it is written, and close the connection."""
        peer, _ = self.server.accept()
        with peer:
            assert peer.getsockname()[0] == host
            peer.sendall(text.encode())
            self.reader.until_count("frames", frames)

    def end(self, written: str) -> None:
        self.reader.stop()
        assert self.out.read_text() == written
        assert self.reader.ctx.times_ready == 1


def goes_and_comes_back(setting: Setting) -> None:
    """The name is gone when the connection is lost, and comes back."""
    setting.serve("one\n", 1)
    setting.names.answer_with(setting.trouble)
    setting.names.until_queries(6)
    setting.names.answer_with("127.0.0.1")
    setting.serve("two\n", 2)
    setting.end("one\ntwo\n")


def comes_back_elsewhere(setting: Setting) -> None:
    """The name comes back with another address, as after a failover."""
    setting.serve("one\n", 1)
    setting.names.answer_with(setting.trouble)
    setting.names.until_queries(6)
    setting.names.answer_with("127.0.0.2")
    setting.serve("two\n", 2, "127.0.0.2")
    setting.end("one\ntwo\n")


def goes_twice(setting: Setting) -> None:
    setting.serve("one\n", 1)
    for number in (2, 3):
        setting.names.answer_with(setting.trouble)
        setting.names.until_queries(4)
        setting.names.answer_with("127.0.0.1")
        setting.serve(f"{number}\n", number)
    setting.end("one\n2\n3\n")


def is_not_there_yet(setting: Setting) -> None:
    """The name server is in trouble when the program starts, as after a power failure of all machines."""
    setting.names.until_queries(4)
    setting.names.answer_with("127.0.0.1")
    setting.serve("one\n", 1)
    setting.end("one\n")


def never_was(setting: Setting) -> None:
    """The name server says that the name does not exist: it is probably misspelt."""
    setting.reader.until(lambda: setting.reader.has_ended, "end")
    error = setting.reader.error
    assert isinstance(error, EndpointError), error
    assert f"cannot find host '{NAME}'" in str(error)


def stops_while_it_is_gone(setting: Setting) -> None:
    setting.serve("one\n", 1)
    setting.names.answer_with(setting.trouble)
    setting.names.until_queries(2)
    setting.end("one\n")


SCENES = {
    scene.__name__: scene
    for scene in (goes_and_comes_back, comes_back_elsewhere, goes_twice, is_not_there_yet, never_was,
                  stops_while_it_is_gone)
}  # fmt: skip


def main(scene: str, trouble: str, folder: str) -> None:
    os.chdir(folder)
    use_own_name_service(Path(folder))
    first = NameFault[trouble] if scene in ("is_not_there_yet", "never_was") else "127.0.0.1"
    with NameServer(first) as names:
        setting = Setting(names, NameFault[trouble])
        try:
            SCENES[scene](setting)
        finally:
            setting.reader.ctx.cancel("end of the scene")
            setting.server.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
