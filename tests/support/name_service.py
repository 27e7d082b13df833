"""A name server on loopback whose answers a test chooses; for a network namespace of its own."""

from __future__ import annotations

import enum
import ipaddress
import os
import select
import socket
import struct
import subprocess
import threading
from pathlib import Path
from types import TracebackType

NAME = "feed.example"
# Reached only when a test fails.
_PATIENCE_SECONDS = 20.0
_ADDRESS_RECORD, _INTERNET = 1, 1


class NameFault(enum.Enum):
    """Why the name server has no address, with the code of its answer (RFC 1035, 4.1.1)."""

    UNKNOWN_NAME = 3
    SERVER_FAILURE = 2
    REFUSED = 5
    NO_ADDRESS = 0
    """The name exists and has no address."""
    SILENCE = -1
    """It does not answer at all."""


class NameServer:
    """Answers queries for any name with one IPv4 address, or with trouble."""

    def __init__(self, answer: str | NameFault) -> None:
        self._answer = answer
        self._queries = 0
        self._changed = threading.Condition()
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind(("127.0.0.1", 53))
        self._ours, self._end = os.pipe()
        self._thread = threading.Thread(target=self._serve, name="test-name-server")

    def __enter__(self) -> NameServer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._end)
        self._thread.join()
        os.close(self._ours)
        self._sock.close()

    def answer_with(self, answer: str | NameFault) -> None:
        """Answer all further queries in this way, and count them from 0."""
        with self._changed:
            self._answer, self._queries = answer, 0

    def until_queries(self, count: int) -> None:
        """Wait until this number of queries came since the last change of the answer."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._queries >= count, _PATIENCE_SECONDS), self._queries

    def _serve(self) -> None:
        while True:
            ready, _, _ = select.select([self._sock.fileno(), self._ours], [], [])
            if self._ours in ready:
                return
            query, client = self._sock.recvfrom(512)
            with self._changed:
                self._queries += 1
                answer = self._answer
                self._changed.notify_all()
            if answer is not NameFault.SILENCE:
                self._sock.sendto(_response(query, answer), client)


def _response(query: bytes, answer: str | NameFault) -> bytes:
    """Return the response to a query of one question."""
    end = query.index(0, 12) + 5  # the name ends with an empty label; then its type and class
    question = query[12:end]
    is_found = isinstance(answer, str) and question.endswith(struct.pack("!HH", _ADDRESS_RECORD, _INTERNET))
    code = answer.value if isinstance(answer, NameFault) else 0
    header = query[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, int(is_found), 0, 0)
    if not is_found or not isinstance(answer, str):
        return header + question
    address = ipaddress.IPv4Address(answer).packed
    record = struct.pack("!HHHIH", 0xC00C, _ADDRESS_RECORD, _INTERNET, 0, len(address))
    return header + question + record + address


def use_own_name_service(folder: Path) -> None:
    """Make this process, in namespaces of its own, ask 127.0.0.1 for names."""
    files = {
        "/etc/hosts": "127.0.0.1 localhost\n",
        "/etc/resolv.conf": "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
        "/etc/nsswitch.conf": "hosts: files dns\n",
    }
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for path, text in files.items():
        mine = folder / path.replace("/", "-")
        mine.write_text(text)
        subprocess.run(["mount", "--bind", mine, path], check=True)
