"""The output of `taskloom run --events`: each event is a JSON line, in a file or on standard output.

A file that cannot be written is told at once, and tried again until it can be, or until the program ends: its disk may
get room, its folder may come back, a pipe may get a reader again. Meanwhile the events wait in the queue of the
listener, which counts those that are too many. A file that was moved or removed, as logrotate does, is made again. So
every event is written once and whole, or counted as lost; and no job ever waits for that.
"""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Callable
from typing import Protocol

from taskloom.clock import mono
from taskloom.core.events import Event, as_dict
from taskloom.observe.masking import Masker
from taskloom.sync.wakeup_fd import WakeupFd
from taskloom.text import to_json

__all__ = ["EventFile", "EventSink", "EventStream", "is_standard_output"]

# A disk that is full is asked once a second whether it has room.
RETRY_SECONDS = 1.0
# A failure that goes on is told again after this time.
REMINDER_SECONDS = 60.0
_STANDARD_OUTPUT = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


def is_standard_output(path: str | None) -> bool:
    """Return whether a path of the command line means standard output."""
    return path in _STANDARD_OUTPUT


def _tell_no_one(sentence: str) -> None:
    """Discard a sentence."""


def _absolute(path: str) -> str:
    try:
        return os.path.join(os.getcwd(), path) if path else path  # noqa: PTH118, PTH109 - a `/` at the end counts
    except OSError:  # the working directory is gone
        return path


def _as_line(event: Event, masker: Masker) -> bytes:
    return (to_json(masker.mask_data(as_dict(event))) + "\n").encode("utf-8", "backslashreplace")


class EventFile:
    """Appends events to a file; a listener of the scheduler, called on one thread only.

    Raises OSError if the file cannot be opened, or is a pipe without a reader.
    """

    def __init__(self, path: str, masker: Masker | None = None) -> None:
        self.tell: Callable[[str], object] = _tell_no_one
        """Called with a sentence when the file cannot be written, and when it can be again."""
        self._path = path
        self._masker = masker or Masker()
        # Absolute, as far as the working directory is known: a task may change it.
        self._place = _absolute(path)
        # Set by `finish`: the events that are left are tried until then, in monotonic seconds.
        self._until = float("inf")
        self._finishing = WakeupFd()
        self._failed_at: float | None = None
        self._told_at = float("-inf")
        self._told = ""
        self._open()

    def __call__(self, event: Event) -> None:
        """Write the event, however long that takes. Raises OSError if it was not written before the program ends."""
        line = _as_line(event, self._masker)
        rest, written_to = line, self._file
        while rest:
            try:
                self._follow_path()
                if written_to != self._file:  # the other file has only the beginning of the line
                    rest, written_to = line, self._file
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:
                if not self._wait_writable():
                    raise TimeoutError("it was not read in time") from None
            except OSError as error:
                self._report(error)
                if not self._wait_for_retry():
                    raise OSError(error.errno, error.strerror or str(error), self._path) from error
        if self._failed_at is not None:
            self._failed_at, self._told = None, ""
            self.tell(f"writing events to {self._path!r} again")

    def finish(self, seconds: float) -> None:
        """Let what is left be written within `seconds`; whatever fails then is lost. Called on any thread."""
        self._until = mono() + seconds
        self._finishing.set()

    # -- the file

    def _open(self) -> None:
        # Non-blocking, since opening a pipe without a reader would block the start, and writing a full one the end.
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
        self._descriptor = os.open(self._place, flags, 0o644)
        status = os.fstat(self._descriptor)
        self._file = (status.st_dev, status.st_ino)
        # Others, such as a terminal or a pipe of `/dev/fd`, are not files that could be moved.
        self._may_move = stat.S_ISREG(status.st_mode) or stat.S_ISFIFO(status.st_mode)

    def _follow_path(self) -> None:
        """Open the file that the path names now, if that is another one. Raises OSError if it cannot be opened."""
        if not self._may_move:
            return
        try:
            status = os.stat(self._place)  # noqa: PTH116 - called for each event, and pathlib is slower
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError:
            return  # it cannot be seen, but what is open can be written
        else:
            if (status.st_dev, status.st_ino) == self._file:
                return
        before = self._descriptor
        self._open()
        os.close(before)

    # -- failures

    def _report(self, error: OSError) -> None:
        why, now = error.strerror or str(error), mono()
        if self._failed_at is None:
            self._failed_at = now
        if why != self._told or now >= self._told_at + REMINDER_SECONDS:
            self._told, self._told_at = why, now
            self.tell(f"cannot write events to {self._path!r}: {why}; trying again")

    def _wait_for_retry(self) -> bool:
        """Wait until the next attempt is due; return False if the program ends, and there is none."""
        if self._until != float("inf"):
            return False
        poller = select.poll()
        poller.register(self._finishing, select.POLLIN)
        # At the end of the program each event has one more attempt.
        poller.poll(RETRY_SECONDS * 1000)
        return True

    def _wait_writable(self) -> bool:
        """Wait until the pipe has room; return False if it has none before the program ends."""
        poller = select.poll()
        poller.register(self._descriptor, select.POLLOUT)
        if self._until == float("inf"):
            poller.register(self._finishing, select.POLLIN)
            poller.poll()
            return True
        return bool(poller.poll(max(0.0, self._until - mono()) * 1000))


class EventStream:
    """Writes events to standard output; a listener of the scheduler. `put` queues the bytes, and may block.

    Failures of the stream are told by the output thread. `is_gone` returns whether it can never be written again.
    """

    def __init__(
        self, put: Callable[[bytes], object], is_gone: Callable[[], bool], masker: Masker | None = None
    ) -> None:
        self.tell: Callable[[str], object] = _tell_no_one
        """Called with a sentence when the stream has ended."""
        self._put = put
        self._is_gone = is_gone
        self._masker = masker or Masker()

    def report_end(self) -> None:
        """Tell at once that nothing can be written any more; called when the stream has ended."""
        self.tell("cannot write events to standard output: its reader has gone; further events are lost")

    def __call__(self, event: Event) -> None:
        """Queue the event. Raises BrokenPipeError if nothing can be written any more."""
        if self._is_gone():
            raise BrokenPipeError("standard output has no reader")
        self._put(_as_line(event, self._masker))

    def finish(self, seconds: float) -> None:
        """Do nothing: the output thread writes what is queued, at the end of the program."""


class EventSink(Protocol):
    """An EventFile or an EventStream."""

    tell: Callable[[str], object]

    def __call__(self, event: Event) -> None:
        """Write the event."""

    def finish(self, seconds: float) -> None:
        """Let what is left be written within `seconds`."""
