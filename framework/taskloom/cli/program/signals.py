"""What the n-th signal means. The program and its watcher process both ask here, so they cannot disagree."""

from __future__ import annotations

import signal
from enum import Enum

__all__ = ["AGAIN_SECONDS", "HURRY_SECONDS", "LAST_WORD_SECONDS", "SignalAction", "SignalPolicy"]

# A double press or a signal sent to the whole group and to us again is one wish, not two.
AGAIN_SECONDS = 0.5
# What a second signal leaves to the runs.
HURRY_SECONDS = 2.0
# How much later than a deadline the watcher ends the program itself.
LAST_WORD_SECONDS = 0.5


class SignalAction(Enum):
    """What to do about a signal."""

    NOTHING = "nothing"
    """It repeats the one before too quickly to be meant."""
    STOP = "stop"
    """Stop everything gracefully."""
    HURRY = "hurry"
    """Leave two more seconds."""
    LEAVE = "leave"
    """Leave at once, by a hard exit with 128 + its number."""
    STATUS = "status"
    """Say how everything stands; nothing stops."""
    RELOAD = "reload"
    """Read the job files again."""


class SignalPolicy:
    """Counts the stop signals. `has_terminal`: HUP then means that the terminal has gone."""

    def __init__(self, *, has_terminal: bool) -> None:
        self.has_terminal = has_terminal
        self._stops = {signal.SIGINT, signal.SIGTERM} | ({signal.SIGHUP} if has_terminal else set())
        self._next = [SignalAction.STOP, SignalAction.HURRY, SignalAction.LEAVE]
        self._counted_at = float("-inf")

    def is_stop(self, number: int) -> bool:
        """Tell whether this signal asks for a stop."""
        return number in self._stops

    def step(self, number: int, now: float) -> SignalAction:
        """Take in a signal at that monotonic second."""
        if number == signal.SIGQUIT:
            return SignalAction.STATUS
        if not self.is_stop(number):
            return SignalAction.RELOAD if number == signal.SIGHUP else SignalAction.NOTHING
        if now - self._counted_at < AGAIN_SECONDS:
            return SignalAction.NOTHING
        self._counted_at = now
        return self._next.pop(0) if len(self._next) > 1 else SignalAction.LEAVE

    def stopping(self) -> None:
        """Take note that the program stops by itself: the first signal from now on is for hurrying."""
        if self._next[0] is SignalAction.STOP:
            del self._next[0]
