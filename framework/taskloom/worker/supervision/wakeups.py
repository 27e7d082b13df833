"""Signals of the supervisor: SIGCHLD wakes its loop, all others are ignored.

SIGTERM as well: `systemctl stop`, `pkill -f taskloom` and the end of a machine send it to many processes at once. The
program is one of them, and stops its runs in its own order, with the time that their job files give them.
"""

import posix

from taskloom.worker.supervision.system import ignore_signals, signals, unblock_signals


class Wakeups:
    """A pipe that becomes readable when a signal arrives, without a race between the signal and the wait."""

    def __init__(self) -> None:
        self.fileno, writing = posix.pipe2(posix.O_CLOEXEC | posix.O_NONBLOCK)
        signals.set_wakeup_fd(writing, warn_on_full_buffer=False)
        ignore_signals()
        signals.signal(signals.SIGCHLD, self._on_child)
        unblock_signals()  # the thread that started us may have blocked some

    def clear(self) -> None:
        """Make the pipe unreadable again."""
        try:
            posix.read(self.fileno, 4096)
        except BlockingIOError:
            pass

    def _on_child(self, *_: object) -> None:
        """Exist: the default action would not write into the pipe."""
