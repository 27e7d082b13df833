"""The places at which a server listens: the control socket, or the address of the metrics."""

from __future__ import annotations

import _socket
from typing import Protocol

from taskloom.control.folder_watch import FolderWatch

__all__ = ["Listening"]


class Listening(Protocol):
    """A listening socket that can be made again, from its construction until `close`."""

    @property
    def kind(self) -> str:
        """The word for it in log lines, and the end of the name of the server's thread."""

    @property
    def path(self) -> str:
        """Its place, for people."""

    @property
    def listener(self) -> _socket.socket:
        """The listening socket."""

    @property
    def is_listening(self) -> bool:
        """Whether the listening socket is open: a task may have closed it."""

    @property
    def watch(self) -> FolderWatch | None:
        """Readable when something has changed in the folder of the socket; None if nothing is watched."""

    @property
    def needs_checks(self) -> bool:
        """Whether `check` is to be called every few seconds."""

    def check(self) -> bool:
        """Make again what was removed or closed, and return whether the socket is another one. Raises OSError."""

    def close(self) -> None:
        """Stop listening. Idempotent; raises nothing. Any thread may call it."""

    def knock(self) -> None:
        """Connect to the socket, which ends a wait for clients. Any thread; never blocks, raises nothing."""

    def forget(self) -> None:
        """Close all descriptors and remove nothing. In a forked child."""
