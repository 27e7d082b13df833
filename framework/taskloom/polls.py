"""Poll age: every cancellation poll is a free heartbeat.

Polls only count up; once a second somebody looks which counts have moved. So a poll costs no timestamp, and the
age is known to a second. While every run waits on its token nobody looks at all: the first run that stops
waiting rouses the sampler.
"""

from __future__ import annotations

from collections.abc import Callable

from taskloom.token import CancelToken

__all__ = ["SAMPLE_SECONDS", "PollSampler", "PollTrack"]

SAMPLE_SECONDS = 1.0


class PollTrack:
    """What is known of one run's polls. Monotonic seconds."""

    __slots__ = ("is_unobserved", "moved_at", "polls", "token", "worst_gap")

    def __init__(self, token: CancelToken, now: float, *, is_unobserved: bool) -> None:
        self.token = token
        self.polls = 0
        self.moved_at = now
        self.worst_gap = 0.0
        # A task with `terminate` may never poll at all: then nothing is said of its age.
        self.is_unobserved = is_unobserved

    def look(self, now: float) -> bool:
        """Note whether it polled since the last look; return whether it is outside a token wait."""
        token = self.token
        if token.is_waiting:
            self.moved_at = now
            return False
        if token.polls != self.polls:
            self.polls = token.polls
            self.moved_at = now
            self.is_unobserved = False
        else:
            self.worst_gap = max(self.worst_gap, now - self.moved_at)
        return True

    def age(self, now: float) -> float | None:
        """Return the seconds since it polled, to a second; 0.0 inside a token wait; None where unobserved."""
        self.look(now)
        return None if self.is_unobserved else now - self.moved_at


class PollSampler:
    """Looks at all runs once a second, while any of them is outside a token wait.

    Implements `taskloom.token.Pulse`. Only the scheduler's timer calls `sample`.
    """

    def __init__(self, alarm: Callable[[], None]) -> None:
        self.tracks: dict[str, PollTrack] = {}
        self.is_idle = True
        self._alarm = alarm

    def rouse(self) -> None:
        """Begin to look again; called by the run that stopped waiting, on its thread."""
        self.is_idle = False
        self._alarm()

    def watch(self, run: str, track: PollTrack) -> None:
        """Begin to look at a run."""
        self.tracks[run] = track
        if self.is_idle:
            self.rouse()

    def forget(self, run: str) -> None:
        """Look at the run no more."""
        self.tracks.pop(run, None)

    def sample(self, now: float) -> None:
        """Look at every run; go idle when all of them wait."""
        # Idle first, then look: a run that stops waiting after it was looked at sees the mark and rouses us.
        self.is_idle = True
        outside = [track.look(now) for track in list(self.tracks.values())]
        if any(outside):
            self.is_idle = False
