"""A command that runs beside a program: its check, or what stops it.

It has a supervisor of its own, so that nothing of it is left either, and runs as the same user, in the same folder and
in the same environment as the program.
"""

from __future__ import annotations

import os
import select
from collections.abc import Mapping
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING

from taskloom.clock import mono
from taskloom.runners.process.channel import Done, Exited, StartFailed, parse_message
from taskloom.runners.process.launch import CannotLaunch, Launched, launch
from taskloom.signal_names import signal_name
from taskloom.sync.wakeup_fd import WakeupFd
from taskloom.text import duration, printable

if TYPE_CHECKING:
    from taskloom.runners.process.launch import LaunchSpec

__all__ = ["HelperCommand", "HelperFailed"]

# After SIGKILL nothing is left within milliseconds, unless a process hangs in the kernel.
_KILL_SECONDS = 5.0
_CHUNK = 65_536
# The end of its output says why it failed, as a rule.
_KEPT = 4096
_LONGEST_QUOTE = 200


class HelperFailed(Exception):
    """A command has failed. The message says how: `exit code 1: no such database`."""


class HelperCommand:
    """One command. `run` is for a helper thread, `kill` for any thread."""

    def __init__(
        self, beside: LaunchSpec, argv: tuple[str, ...], added: Mapping[str, str], timeout: float | None
    ) -> None:
        """`beside`: what the program was started with. `timeout`: seconds; None for no limit but `kill`."""
        self._spec = replace(beside, argv=argv, env={**beside.env, **added}, stdin=None, control=False, linger=0.0)
        self._timeout = timeout
        self._wakeup = WakeupFd()
        self._output = b""
        self._exited: Exited | None = None
        self._failed: StartFailed | None = None
        self._is_over = False
        self._unread = b""

    def kill(self) -> None:
        """Kill it, or do not start it. Idempotent; never blocks."""
        self._wakeup.set()

    def run(self) -> None:
        """Run it to its end; raise HelperFailed unless it exits with 0 in time."""
        try:
            launched = launch(self._spec)
        except CannotLaunch as error:
            raise HelperFailed(str(error)) from None
        try:
            why = self._follow(launched)
        finally:
            launched.close()
            launched.reap(_KILL_SECONDS)
        if why:
            raise HelperFailed(why)

    def _follow(self, launched: Launched) -> str:
        """Wait for its end, and kill it if it takes too long; return why it has failed, or ""."""
        poll = select.poll()
        channel = launched.channel.fileno()
        for descriptor in (channel, launched.stdout, launched.stderr, self._wakeup.fileno()):
            poll.register(descriptor, select.POLLIN)
        deadline = inf if self._timeout is None else mono() + self._timeout
        why = ""
        while not self._is_over:
            left = deadline - mono()
            ready = poll.poll(None if left == inf else max(0, int(left * 1000) + 1))
            is_late = mono() >= deadline
            for descriptor, _ in ready:
                if descriptor == channel:
                    self._read_channel(launched)
                elif descriptor != self._wakeup.fileno():
                    if not self._read_output(descriptor):
                        poll.unregister(descriptor)
                elif not why:
                    is_late = True
            if is_late and why:
                return why
            if is_late:
                why = "it was ended with the program"
                if self._timeout is not None and mono() >= deadline:
                    why = f"no result within {duration(self._timeout)}"
                poll.unregister(self._wakeup.fileno())
                deadline = mono() + _KILL_SECONDS
                _send(launched, b"kill\n")
        return why or self._verdict(launched)

    def _read_channel(self, launched: Launched) -> None:
        try:
            data = launched.channel.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._is_over = True  # the supervisor is gone
        *lines, self._unread = (self._unread + data).split(b"\n")
        for message in map(parse_message, (line.decode("utf-8", "replace") for line in lines)):
            if isinstance(message, Exited):
                self._exited = message
            elif isinstance(message, StartFailed):
                self._failed = message
                self._is_over = True
            elif isinstance(message, Done):
                self._is_over = True

    def _read_output(self, descriptor: int) -> bool:
        """Keep the end of what it has written; return False at the end of its output."""
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._output = (self._output + data)[-_KEPT:]
        return bool(data)

    def _verdict(self, launched: Launched) -> str:
        if self._failed is not None:
            return str(launched.why_failed(self._failed))
        if self._exited is None:
            return "its supervisor was killed"
        status = self._exited.status
        if os.WIFSIGNALED(status):
            return signal_name(os.WTERMSIG(status))
        code = os.WEXITSTATUS(status)
        if code == 0:
            return ""
        for descriptor in (launched.stdout, launched.stderr):
            self._read_output(descriptor)
        lines = self._output.decode("utf-8", "replace").strip().splitlines()
        return f"exit code {code}: {printable(lines[-1])[:_LONGEST_QUOTE]}" if lines else f"exit code {code}"


def _send(launched: Launched, order: bytes) -> None:
    try:
        launched.channel.send(order)
    except OSError:
        pass  # it is gone, or ends by our closing of the channel
