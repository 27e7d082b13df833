"""Reads the processor time and the memory of the program from the kernel. The API has no figures of it."""

from __future__ import annotations

import os
from collections.abc import Sequence

from taskloom.top.program_facts import Usage

__all__ = ["UsageMeter"]

# Fields of /proc/PID/stat after the name of the command, whose parentheses may hold anything.
_USER, _SYSTEM, _PAGES = 11, 12, 21


class UsageMeter:
    """Reads the processor time and the memory of one process."""

    def __init__(self, proc: str = "/proc") -> None:
        self._proc = proc
        self._last: tuple[int, float, float] | None = None

    def read(self, pid: int, command: Sequence[str], now: float) -> Usage | None:
        """Return what the process uses; None if it cannot be seen, such as in another pid namespace.

        `command`: its command line, since the pid of another namespace names another process here. `now`: on the
        monotonic clock.
        """
        line = self._bytes(pid, "cmdline").rstrip(b"\0").split(b"\0")
        fields = self._bytes(pid, "stat").rpartition(b")")[2].split()
        if line != [os.fsencode(part) for part in command] or len(fields) <= _PAGES:
            return None
        seconds = (int(fields[_USER]) + int(fields[_SYSTEM])) / os.sysconf("SC_CLK_TCK")
        memory = int(fields[_PAGES]) * os.sysconf("SC_PAGE_SIZE")
        last, self._last = self._last, (pid, seconds, now)
        if last is None or last[0] != pid or now <= last[2]:
            return Usage(None, memory)
        return Usage(max(0.0, 100.0 * (seconds - last[1]) / (now - last[2])), memory)

    def _bytes(self, pid: int, name: str) -> bytes:
        try:
            with open(f"{self._proc}/{pid}/{name}", "rb") as file:  # noqa: PTH123 - as everywhere in /proc
                return file.read()
        except OSError:
            return b""
