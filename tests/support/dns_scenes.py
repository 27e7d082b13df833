"""A program for namespaces of its own: a socket-reader connects by name, while the name comes and goes.

unshare --mount --net python -m tests.support.dns_scenes SCENE TROUBLE FOLDER
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from tests.plugins.conftest import PATIENCE_SECONDS, Running
from tests.support.name_service import NAME, NameServer, Trouble, use_own_name_service

from taskloom_plugins.endpoints import EndpointError
from taskloom_plugins.socket_reader import SocketReader


class Stage:
    """A server, the name server, and a reader that connects to the server by its name."""

    def __init__(self, names: NameServer, trouble: Trouble) -> None:
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


def goes_and_comes_back(stage: Stage) -> None:
    """The name is gone when the connection is lost, and comes back."""
    stage.serve("one\n", 1)
    stage.names.answer_with(stage.trouble)
    stage.names.until_queries(6)
    stage.names.answer_with("127.0.0.1")
    stage.serve("two\n", 2)
    stage.end("one\ntwo\n")


def comes_back_elsewhere(stage: Stage) -> None:
    """The name comes back with another address, as after a failover."""
    stage.serve("one\n", 1)
    stage.names.answer_with(stage.trouble)
    stage.names.until_queries(6)
    stage.names.answer_with("127.0.0.2")
    stage.serve("two\n", 2, "127.0.0.2")
    stage.end("one\ntwo\n")


def goes_twice(stage: Stage) -> None:
    stage.serve("one\n", 1)
    for number in (2, 3):
        stage.names.answer_with(stage.trouble)
        stage.names.until_queries(4)
        stage.names.answer_with("127.0.0.1")
        stage.serve(f"{number}\n", number)
    stage.end("one\n2\n3\n")


def is_not_there_yet(stage: Stage) -> None:
    """The name server is in trouble when the program starts, as after a power failure of all machines."""
    stage.names.until_queries(4)
    stage.names.answer_with("127.0.0.1")
    stage.serve("one\n", 1)
    stage.end("one\n")


def never_was(stage: Stage) -> None:
    """The name server says that the name does not exist: it is probably misspelt."""
    stage.reader.until(lambda: stage.reader.has_ended, "end")
    error = stage.reader.error
    assert isinstance(error, EndpointError), error
    assert f"cannot find host '{NAME}'" in str(error)


def stops_while_it_is_gone(stage: Stage) -> None:
    stage.serve("one\n", 1)
    stage.names.answer_with(stage.trouble)
    stage.names.until_queries(2)
    stage.end("one\n")


SCENES = {
    scene.__name__: scene
    for scene in (goes_and_comes_back, comes_back_elsewhere, goes_twice, is_not_there_yet, never_was,
                  stops_while_it_is_gone)
}  # fmt: skip


def main(scene: str, trouble: str, folder: str) -> None:
    os.chdir(folder)
    use_own_name_service(Path(folder))
    first = Trouble[trouble] if scene in ("is_not_there_yet", "never_was") else "127.0.0.1"
    with NameServer(first) as names:
        stage = Stage(names, Trouble[trouble])
        try:
            SCENES[scene](stage)
        finally:
            stage.reader.ctx.cancel("end of the scene")
            stage.server.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
