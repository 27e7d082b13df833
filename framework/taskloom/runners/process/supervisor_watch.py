"""Sees to it that the supervisor of one run kills when it is told to, and exits when it is done."""

from __future__ import annotations

import os
import signal
from math import inf
from typing import TYPE_CHECKING

from taskloom.runners.proc import Process, read_process
from taskloom.runners.process.orphans import is_alive, state_of

if TYPE_CHECKING:
    from taskloom.runners.process.launch import Launched

__all__ = ["SupervisorWatch"]

# The time from `done` to the exit of the supervisor.
_EXIT_SECONDS = 1.0
# A supervisor that was told to kill needs milliseconds, unless it was stopped or the machine hardly runs. So often, and
# at such intervals, it is looked at before it is killed itself.
_KILL_SECONDS = 0.3
_MOST_KILL_CHECKS = 3
# Its exit is looked for at intervals that grow between these.
_FIRST_LOOK_SECONDS = 0.001
_LONGEST_LOOK_SECONDS = 0.05


class SupervisorWatch:
    """The deadlines of one supervisor. Belongs to the IO thread; times are monotonic seconds."""

    def __init__(self) -> None:
        self.main: Process | None = None
        """The main process of the run, from its start on."""
        self._main_pid = 0
        self._check_at = inf
        self._kill_checks = 0
        self._look_at = inf
        self._look_seconds = _FIRST_LOOK_SECONDS

    def main_started(self, pid: int) -> None:
        """Record the main process."""
        self._main_pid = pid
        self.main = read_process(pid)

    def next_timer(self) -> float:
        """Return when `check_kill` or `has_exited` is to be called, whichever was begun; inf for never."""
        return min(self._check_at, self._look_at)

    def kill_ordered(self, launched: Launched, now: float) -> None:
        """Begin to check that it kills."""
        # A process of the run may have stopped it. It is our child, and its number is its own.
        _continue(launched.pid)
        self._check_at = min(self._check_at, now + _KILL_SECONDS)

    def check_kill(self, launched: Launched, now: float, *, has_main_exited: bool) -> bool:
        """Have the supervisor go on if it was stopped; kill it if it does nothing: the main process ends with it.

        Returns whether it was killed just now.
        A supervisor that is at work is let alone, however long that takes: who forks faster than the machine can kill
        would be left.
        """
        if self._check_at > now:
            return False
        self._check_at = now + _KILL_SECONDS
        if self._is_held_by_kernel():
            return False
        self._kill_checks += 1
        _continue(launched.pid)
        is_at_work = has_main_exited or state_of(launched.pid) == "R"
        if is_at_work or self._kill_checks < _MOST_KILL_CHECKS:
            return False
        launched.kill_supervisor()
        self._check_at = inf
        return True

    def expect_exit(self, now: float) -> None:
        """Begin to look for its exit; it is killed if that takes too long."""
        self._check_at = now + _EXIT_SECONDS
        self._look_at = now

    def has_exited(self, launched: Launched, now: float, *, is_done: bool) -> bool:
        """Return whether it has exited, or was killed just now: then its exit status is still to be taken.

        `is_done`: no process of the run is left. Otherwise it waits for the end of the main process, too.
        """
        if self._look_at <= now:
            if launched.reap() and (is_done or not is_alive(self.main)):
                return True
            self._look_at = now + self._look_seconds
            self._look_seconds = min(2 * self._look_seconds, _LONGEST_LOOK_SECONDS)
        if self._check_at <= now:
            if not self._is_held_by_kernel():
                launched.kill_supervisor()
                return True
            self._check_at = now + _KILL_SECONDS
        return False

    def _is_held_by_kernel(self) -> bool:
        """Return whether the main process waits for a device that does not answer: not even SIGKILL ends it then."""
        return state_of(self._main_pid) == "D"


def _continue(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGCONT)
    except OSError:
        pass  # it has ended
