"""Sends a message to a command: a new process for each, which reads the JSON from standard input.

The process leads a group of its own. When it has ended, or its time is over, the whole group is killed, so that nothing
of it stays behind; the leader is collected only after that, since its number must not mean another process by then.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
from _thread import allocate_lock
from collections.abc import Sequence

from taskloom.clock import mono
from taskloom.notify.transport import NotSent
from taskloom.signal_names import signal_name
from taskloom.text import duration, printable

__all__ = ["CommandTransport"]

# The characters of standard error that the reason of a failure shows.
_MOST_ERROR = 300
_READ_BYTES = 64 << 10
# Killed processes end at once, unless they wait for a device; then the init or systemd collects them.
_KILL_SECONDS = 1.0
# Without these, another try may succeed: such as EAGAIN, for lack of processes.
_FINAL = frozenset({errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ENOEXEC, errno.ELOOP})
_ABORTED = "the program is ending"


class CommandTransport:
    """The command of one receiver: the program and its arguments, started without a shell."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        # Held while a process is started or killed, so that `abort` finds each one.
        self._guard = allocate_lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._is_aborted = False

    def send(self, number: str, body: bytes, until: float) -> None:
        """Run the command. Raises NotSent unless it ends in time with exit code 0."""
        began = mono()
        process = self._start(number, body)
        tail = b""
        try:
            is_over, tail = _wait(process, until)
        finally:
            code = self._end(process)
        if self._is_aborted:
            raise NotSent(_ABORTED)
        if not is_over:
            raise NotSent(f"killed, since it took longer than {duration(max(0.0, until - began), is_rounded=True)}")
        if code:
            how = f"exit code {code}" if code > 0 else f"ended by {signal_name(-code)}"
            said = printable(tail.decode(errors="replace").strip().rpartition("\n")[2][-_MOST_ERROR:])
            raise NotSent(f"{how}: {said}" if said else how)

    def abort(self) -> None:
        """Kill the process, and start no other one."""
        with self._guard:
            self._is_aborted = True
            if self._process is not None:
                _kill(self._process)

    def _start(self, number: str, body: bytes) -> subprocess.Popen[bytes]:
        try:
            # A file, not a pipe: a command that does not read cannot hold up this thread.
            given = os.memfd_create("taskloom-notification")
        except OSError as error:
            raise NotSent(f"no memory for the message: {error.strerror}") from None
        try:
            os.write(given, body)
            os.lseek(given, 0, os.SEEK_SET)
            with self._guard:
                if self._is_aborted:
                    raise NotSent(_ABORTED)
                self._process = subprocess.Popen(
                    self._command,
                    stdin=given,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    bufsize=0,
                    process_group=0,
                    env={**os.environ, "TASKLOOM_NOTIFICATION": number},
                )
                return self._process
        except OSError as error:
            is_final = error.errno in _FINAL
            raise NotSent(f"cannot start it: {(error.strerror or str(error)).lower()}", is_final=is_final) from None
        finally:
            os.close(given)

    def _end(self, process: subprocess.Popen[bytes]) -> int:
        """Kill what is left of the group, collect the leader, and return its exit code."""
        with self._guard:
            _kill(process)
            self._process = None
        try:
            code = process.wait(_KILL_SECONDS)
        except subprocess.TimeoutExpired:
            code = -signal.SIGKILL
        if process.stderr is not None:
            process.stderr.close()
        return code


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the group, and the leader, which may have left it. It was not collected: its number means no other one."""
    if process.returncode is None:
        for kill in (os.killpg, os.kill):
            try:
                kill(process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass


def _wait(process: subprocess.Popen[bytes], until: float) -> tuple[bool, bytes]:
    """Wait for the end of the leader; return whether it has come, and the end of its standard error.

    The process is not collected.
    """
    errors = process.stderr
    tail = b""
    try:
        ended = os.pidfd_open(process.pid)
    except OSError as error:
        raise NotSent(f"cannot wait for it: {(error.strerror or str(error)).lower()}") from None
    try:
        poll = select.poll()
        poll.register(ended, select.POLLIN)
        if errors is not None:
            os.set_blocking(errors.fileno(), False)
            poll.register(errors.fileno(), select.POLLIN)
        while (left := until - mono()) > 0:
            ready = {descriptor for descriptor, _ in poll.poll(int(left * 1000) + 1)}
            if errors is not None and errors.fileno() in ready:
                read = _read(errors.fileno())
                tail = (tail + read)[-4 * _MOST_ERROR :]
                if not read:
                    poll.unregister(errors.fileno())
                    errors = None
            # Not after the end of the error stream: a process that is left behind may write to it for ever.
            if ended in ready:
                return True, tail
        return False, tail
    finally:
        os.close(ended)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, _READ_BYTES)
    except BlockingIOError:
        return b""
