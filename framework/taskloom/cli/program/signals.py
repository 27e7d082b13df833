"""The meaning of the n-th signal, and which arrivals are one signal.

The program and its watcher both count with `SignalPolicy`, from the times that the watcher has noted, so they agree.
"""

from __future__ import annotations

import signal
from collections import deque
from enum import Enum
from typing import NamedTuple

__all__ = [
    "DEBOUNCE_SECONDS",
    "GRACE_SECONDS",
    "HURRY_SECONDS",
    "PENDING_SECONDS",
    "Arrivals",
    "Signal",
    "SignalAction",
    "SignalPolicy",
    "Way",
]

# Two signals closer than this count as one: a double press, or a signal sent to the process group and to us.
DEBOUNCE_SECONDS = 0.5
# How long a signal that the program has not handled yet may keep its copy from being counted.
PENDING_SECONDS = 10.0
# How long runs may take to stop after the second signal.
HURRY_SECONDS = 2.0
# How long after a deadline the watcher kills the program.
GRACE_SECONDS = 0.5


class SignalAction(Enum):
    """The reaction to a signal."""

    NOTHING = "nothing"
    """Ignore it: it came too soon after the one before."""
    STOP = "stop"
    """Stop all jobs gracefully."""
    HURRY = "hurry"
    """Allow two more seconds."""
    EXIT = "exit"
    """Exit at once with code 128 + its number, without cleanup."""
    STATUS = "status"
    """Show the state of every job, with stacks; nothing stops."""
    RELOAD = "reload"
    """Read the job files again."""


class Signal(NamedTuple):
    """A signal that counts."""

    number: int
    at: float
    """When it arrived: monotonic seconds."""


class Way(Enum):
    """The process that got a signal."""

    PROGRAM = "program"
    WATCHER = "watcher"
    """The watcher, or the init in front of the program."""


class Arrivals:
    """Pairs the arrivals of one signal that was sent to both processes: systemd, `kill -- -PGID` and `pkill -f` do so.

    An arrival is the copy of an earlier one that came the other way, has no copy yet, and is less than half a second
    old. Two arrivals the same way are never paired, so two reloads in a row are two.
    """

    def __init__(self) -> None:
        self._expiries: dict[tuple[int, Way], deque[float]] = {}

    def is_first(self, number: int, now: float, way: Way, *, is_pending: bool = False) -> bool:
        """Note an arrival, and return whether it is not the copy of another.

        `is_pending`: the kernel has a copy for the other process, which has not handled it yet; on a slow machine, or
        if that process is stopped, it may take longer than half a second.
        """
        other = Way.WATCHER if way is Way.PROGRAM else Way.PROGRAM
        single = self._fresh(number, other, now)
        if single:
            single.popleft()
            return False
        self._fresh(number, way, now).append(now + (PENDING_SECONDS if is_pending else DEBOUNCE_SECONDS))
        return True

    def _fresh(self, number: int, way: Way, now: float) -> deque[float]:
        """Return when each arrival without a copy expires, oldest first."""
        expiries = self._expiries.setdefault((number, way), deque())
        while expiries and expiries[0] <= now:
            expiries.popleft()
        return expiries


class SignalPolicy:
    """Counts the stop signals. `has_terminal`: SIGHUP then means that the terminal was closed."""

    def __init__(self, *, has_terminal: bool) -> None:
        self.has_terminal = has_terminal
        self._stops = {signal.SIGINT, signal.SIGTERM} | ({signal.SIGHUP} if has_terminal else set())
        self._next = [SignalAction.STOP, SignalAction.HURRY, SignalAction.EXIT]
        self._counted_at = float("-inf")

    def is_stop(self, number: int) -> bool:
        """Return whether this signal requests a stop."""
        return number in self._stops

    def action_for(self, number: int, now: float) -> SignalAction:
        """Return what to do about a signal that came at the monotonic second `now`, and count it."""
        if number == signal.SIGQUIT:
            return SignalAction.STATUS
        if not self.is_stop(number):
            return SignalAction.RELOAD if number == signal.SIGHUP else SignalAction.NOTHING
        if now - self._counted_at < DEBOUNCE_SECONDS:
            return SignalAction.NOTHING
        self._counted_at = now
        return self._next.pop(0) if len(self._next) > 1 else SignalAction.EXIT

    def stop_began(self) -> None:
        """Note that the program stops without a signal: the next stop signal means HURRY."""
        if self._next[0] is SignalAction.STOP:
            del self._next[0]
