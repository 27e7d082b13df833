"""Another process, as the watcher and the init see the program: signals to it, its pending signals, its end."""

from __future__ import annotations

import os
import select
import signal

__all__ = ["Child", "Process"]

# A parent reports this of a child whose end another has collected. It cannot happen while SIGCHLD is not ignored.
_UNKNOWN = 70


class Process:
    """A process by its pid. Make it while the process is known to be alive.

    Unlike a pid, a pidfd is never reused for another process. Without pidfds (old kernels, some sandboxes) the end is
    seen by asking again, and `fileno` is None.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.fileno = _open(pid)
        """Readable once the process has ended."""

    def send(self, number: int) -> None:
        """Send a signal, if the process is still there and may be signalled."""
        try:
            if self.fileno is not None:
                signal.pidfd_send_signal(self.fileno, number)
            else:
                os.kill(self.pid, number)
        except (ProcessLookupError, PermissionError):
            pass

    def has_ended(self) -> bool:
        """Return whether the process has ended."""
        if self.fileno is not None:
            return self.wait(0.0)
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        return False

    def wait(self, seconds: float) -> bool:
        """Wait for the end for this long at most, and return whether it has come. Needs a pidfd, else returns False."""
        if self.fileno is None:
            return False
        poller = select.poll()
        poller.register(self.fileno, select.POLLIN)
        return bool(poller.poll(seconds * 1000))

    def has_pending(self, number: int) -> bool:
        """Return whether a signal was sent to the process that it has not handled yet. False if unknown."""
        if self.fileno is None:
            return False
        try:
            with open(f"/proc/self/fdinfo/{self.fileno}", encoding="ascii") as file:  # noqa: PTH123
                # /proc may show another pid namespace, in which the process has another pid.
                pid = _field(file.read(), "Pid:")
            with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
                return bool(int(_field(file.read(), "ShdPnd:"), 16) >> (number - 1) & 1)
        except (OSError, ValueError):
            return False

    def close(self) -> None:
        """Close the pidfd."""
        if self.fileno is not None:
            try:
                os.close(self.fileno)
            except OSError:
                pass  # code that closes all descriptors has closed it
            self.fileno = None


class Child(Process):
    """A child of this process, which also collects the end of every other child and of every orphan."""

    def __init__(self, pid: int) -> None:
        super().__init__(pid)
        self.code: int | None = None
        """The exit code once it has ended; 128 + the number of the signal that ended it."""

    def has_ended(self) -> bool:
        """Collect all children that have ended, and return whether this one has."""
        while self.code is None and self._collect(os.WNOHANG):
            pass
        return self.code is not None

    def wait_for_end(self) -> int:
        """Collect children until this one has ended; return its code."""
        while self.code is None:
            self._collect(0)
        return self.code

    def _collect(self, options: int) -> bool:
        """Collect one child; return whether there may be more."""
        try:
            pid, status = os.waitpid(-1, options)
        except ChildProcessError:
            self.code = _UNKNOWN
            return False
        if pid == self.pid:
            code = os.waitstatus_to_exitcode(status)
            self.code = code if code >= 0 else 128 - code
        return pid != 0


def _open(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def _field(text: str, name: str) -> str:
    """Return the first word after a name at the beginning of a line."""
    for line in text.splitlines():
        if line.startswith(name):
            return line[len(name) :].split()[0]
    raise ValueError(name)
