"""The meaning of the n-th signal. The program and its watcher process both use this policy, so they agree."""

from __future__ import annotations

import signal
from enum import Enum

__all__ = ["DEBOUNCE_SECONDS", "GRACE_SECONDS", "HURRY_SECONDS", "SignalAction", "SignalPolicy"]

# Two signals closer than this count as one: a double press, or a signal sent to the process group and to us.
DEBOUNCE_SECONDS = 0.5
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
