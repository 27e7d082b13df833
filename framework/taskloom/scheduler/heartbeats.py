"""Poll age: every cancellation poll is a free heartbeat.

Polls only count up; once a second somebody looks which counts have moved. So a poll costs no timestamp, and the
age is known to a second. While every run waits on its token nobody looks at all: the first run that stops
waiting rouses the sampler.
"""

from __future__ import annotations

from collections.abc import Callable

from taskloom.core.inputs import RunResponsive, RunUnresponsive
from taskloom.core.records import RunRecord
from taskloom.sync.cancel_token import CancelToken

__all__ = ["SAMPLE_SECONDS", "HeartbeatMonitor", "HeartbeatTrack"]

SAMPLE_SECONDS = 1.0


class HeartbeatTrack:
    """What is known of one run's polls. Monotonic seconds."""

    __slots__ = ("counted_from", "is_missed", "is_unobserved", "moved_at", "polls", "record", "token", "worst_gap")

    def __init__(self, record: RunRecord, token: CancelToken, now: float, *, is_unobserved: bool) -> None:
        self.record = record
        self.token = token
        self.polls = 0
        self.moved_at = now
        self.worst_gap = 0.0
        # A task with `terminate` may never poll at all: then nothing is said of its age.
        self.is_unobserved = is_unobserved
        # Whether the watchdog was told of it.
        self.is_missed = False
        # When it was last seen where nobody missed its polls.
        self.counted_from = now

    def update(self, now: float) -> bool:
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
        self.update(now)
        return None if self.is_unobserved else now - self.moved_at

    def watch(self, now: float) -> RunUnresponsive | RunResponsive | None:
        """Return what the run's watchdog has to be told, if anything; call it after `look`."""
        watchdog = self.record.spec.watchdog
        gap = self._missing_for(now) if watchdog is not None else self._discount_all(now)
        is_missed = watchdog is not None and gap > watchdog.after
        if is_missed is self.is_missed:
            return None
        self.is_missed = is_missed
        run = self.record.id
        return RunUnresponsive(run, gap) if is_missed else RunResponsive(run)

    def _missing_for(self, now: float) -> float:
        """Return for how long a poll is missed: not before the run is ready, nor where a stop would wake it."""
        ready = self.record.ready
        if ready is None or self.is_unobserved or self.token.is_waiting or self.token.is_wakeable:
            return self._discount_all(now)
        return now - max(self.moved_at, self.counted_from, ready.mono)

    def discount(self, seconds: float) -> None:
        """Have so much of the time since its last poll not count for the watchdog."""
        self.counted_from = max(self.moved_at, self.counted_from) + seconds

    def _discount_all(self, now: float) -> float:
        # What comes after an hour in a read that a stop would wake has not been without a poll for an hour.
        self.counted_from = now
        return 0.0


class HeartbeatMonitor:
    """Looks at all runs once a second, while any of them is outside a token wait; tells of those that are missed.

    Implements `taskloom.sync.cancel_token.Pulse`. Only the scheduler's timer calls `sample`.
    """

    def __init__(self, alarm: Callable[[], None], post: Callable[[RunUnresponsive | RunResponsive], None]) -> None:
        self.tracks: dict[str, HeartbeatTrack] = {}
        self.is_idle = True
        self._alarm = alarm
        self._post = post

    def resume(self) -> None:
        """Begin to look again; called by the run that stopped waiting, on its thread."""
        self.is_idle = False
        self._alarm()

    def watch(self, run: str, track: HeartbeatTrack) -> None:
        """Begin to look at a run."""
        self.tracks[run] = track
        if self.is_idle:
            self.resume()

    def forget(self, run: str) -> None:
        """Look at the run no more."""
        self.tracks.pop(run, None)

    def sample(self, now: float, late: float = 0.0) -> None:
        """Look at every run; go idle when all of them wait. `late`: by how many seconds the look comes too late.

        Where that is much, the process was halted, or one run held the GIL: no other could have polled either.
        """
        if late > SAMPLE_SECONDS:
            for track in list(self.tracks.values()):
                track.discount(late)
        # Idle first, then look: a run that stops waiting after it was looked at sees the mark and rouses us.
        self.is_idle = True
        tracks = list(self.tracks.values())
        outside = [track.update(now) for track in tracks]
        if any(outside):
            self.is_idle = False
        for track in tracks:
            news = track.watch(now)
            if news is not None:
                self._post(news)
