"""A service manager in place of systemd: a datagram socket that keeps all messages."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

__all__ = ["FakeServiceManager"]

# Reached only in failures.
PATIENCE_SECONDS = 30.0


class FakeServiceManager:
    """Receives on a socket with this address; `@name` is an abstract one."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.messages: list[str] = []
        self._arrived = threading.Condition()
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self._thread = threading.Thread(target=self._receive)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self._sock.getsockname())
        self._thread.join()
        self._sock.close()

    @property
    def lines(self) -> list[str]:
        """Every line of every message so far, in order."""
        with self._arrived:
            return [line for message in self.messages for line in message.split("\n")]

    def names(self) -> list[str]:
        """Return the names of the lines so far, without those that are repeated: STATUS and WATCHDOG."""
        found = [line.partition("=")[0] for line in self.lines]
        return [name for name in found if name not in {"STATUS", "WATCHDOG", "EXTEND_TIMEOUT_USEC"}]

    def wait_for(self, text: str, count: int = 1) -> str:
        """Wait until `count` messages have this text; return the last of these."""
        return self.wait(lambda messages: sum(text in each for each in messages) >= count, text)[-1]

    def wait(self, until: Callable[[list[str]], bool], text: str = "") -> list[str]:
        """Wait until the messages so far are enough; return those with the text."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: until(self.messages), PATIENCE_SECONDS), self.messages
            return [each for each in self.messages if text in each]

    def _receive(self) -> None:
        while True:
            message = self._sock.recv(65536).decode()
            if not message:
                return
            with self._arrived:
                self.messages.append(message)
                self._arrived.notify_all()
