"""A run below a real supervisor, and the processes that belong to it, found by a mark in their environment."""

from __future__ import annotations

import os
import select
import signal
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from taskloom.clock import mono
from taskloom.runners.process.channel import Done, SupervisorMessage, parse_message
from taskloom.runners.process.launch import Launched, LaunchSpec, launch

# A supervisor keeps variables of this kind, so that it has the mark as well.
MARK = "LC_TASKLOOM_TEST"
# Bounds failures alone.
SECONDS = 30.0

Kind = TypeVar("Kind")


def python(source: str) -> list[str]:
    """Return the command that executes Python source and starts fast."""
    return [sys.executable, "-I", "-S", "-c", source]


def shell(source: str) -> list[str]:
    """Return the command that executes a shell script."""
    return ["/bin/sh", "-c", source]


def marked(mark: str) -> dict[int, str]:
    """Return the living processes with this mark in their environment: pid -> command line."""
    found = {}
    wanted = f"{MARK}={mark}".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    if b"State:\tZ" not in (entry / "status").read_bytes():
                        found[int(entry.name)] = command
            except OSError:
                pass  # it has ended
    return found


def await_none_marked(mark: str, *, but: frozenset[int] = frozenset()) -> dict[int, str]:
    """Wait until none of the marked processes is left but those; return those that are when the time is over."""
    deadline = mono() + SECONDS
    while (left := {pid: name for pid, name in marked(mark).items() if pid not in but}) and mono() < deadline:
        await_one_end(left, 0.1)
    return left


def await_one_end(pids: Any, seconds: float) -> None:
    """Wait until one of the processes has ended, this many seconds at most."""
    poller = select.poll()
    handles = []
    for pid in pids:
        try:
            handles.append(os.pidfd_open(pid))
        except OSError:
            continue
        poller.register(handles[-1], select.POLLIN)
    try:
        poller.poll(seconds * 1000)
    finally:
        for handle in handles:
            os.close(handle)


def kill_marked(mark: str) -> None:
    """Kill what is left, after a failed test."""
    for _ in range(100):
        if not (left := marked(mark)):
            return
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        await_one_end(left, 0.1)


class Supervised:
    """A run, started. Use it in a `with` statement, which leaves nothing of it."""

    def __init__(self, argv: Sequence[str], *, env: dict[str, str] | None = None, **fields: Any) -> None:
        self.mark = uuid.uuid4().hex
        environment = {"PATH": os.environ["PATH"], MARK: self.mark} | (env or {})
        before = os.environ.get(MARK)
        os.environ[MARK] = self.mark
        try:
            self.launched: Launched = launch(LaunchSpec(argv=argv, env=environment, job="job", **fields))
        finally:
            if before is None:
                del os.environ[MARK]
            else:
                os.environ[MARK] = before
        self._received = b""
        self._written = {1: b"", 2: b""}

    def __enter__(self) -> Supervised:
        return self

    def __exit__(self, *_: object) -> None:
        self.launched.close()
        kill_marked(self.mark)
        assert self.launched.reap(SECONDS)

    def send(self, line: bytes) -> None:
        """Send an order."""
        self.launched.channel.send(line)

    def next_message(self) -> SupervisorMessage | None:
        """Wait for the next message; None at the end of file."""
        while b"\n" not in self._received:
            part = self._read(self.launched.channel.fileno())
            if not part:
                assert not self._received
                return None
            self._received += part
        line, _, self._received = self._received.partition(b"\n")
        return parse_message(line.decode())

    def until(self, kind: type[Kind]) -> Kind:
        """Wait for a message of this kind."""
        while True:
            message = self.next_message()
            assert message is not None, f"no {kind.__name__}; its output: {self._written}"
            if isinstance(message, kind):
                return message

    def rest(self) -> list[SupervisorMessage]:
        """Return all messages up to the end of file."""
        messages = []
        while (message := self.next_message()) is not None:
            messages.append(message)
        return messages

    def rest_until_done(self) -> list[SupervisorMessage]:
        """Return the messages before the last one, which is that no process is left; check that this is true."""
        *messages, last = self.rest()
        assert isinstance(last, Done)
        assert self.launched.reap(SECONDS)
        assert marked(self.mark) == {}
        return messages

    def line(self) -> str:
        """Wait for the next line on standard output."""
        while b"\n" not in self._written[1]:
            part = self._read(self.launched.stdout)
            assert part, f"it wrote no line, but {self._written[1]!r} and {self.output(2)!r}"
            self._written[1] += part
        line, _, self._written[1] = self._written[1].partition(b"\n")
        return line.decode()

    def output(self, descriptor: int = 1) -> str:
        """Return all that is written to a descriptor from here on, up to the end of file."""
        reading = self.launched.stdout if descriptor == 1 else self.launched.stderr
        while part := self._read(reading):
            self._written[descriptor] += part
        return self._written[descriptor].decode("utf-8", "surrogateescape")

    def _read(self, descriptor: int) -> bytes:
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        assert poller.poll(SECONDS * 1000), f"nothing came for {SECONDS:g} s; left: {marked(self.mark)}"
        try:
            return os.read(descriptor, 65_536)
        except ConnectionResetError:
            return b""  # the supervisor was killed with orders that it had not read
