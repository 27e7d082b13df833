"""Poll age: every cancellation poll is a free heartbeat.

A poll only increments a counter. Once a second the monitor compares the counters of all runs with those of the last
sample. So a poll needs no timestamp, and the age has a resolution of one second. While every run waits on its token,
nothing is sampled: the first run that stops waiting resumes the sampling.
"""

from __future__ import annotations

from collections.abc import Callable

from taskloom.core.inputs import RunResponsive, RunUnresponsive
from taskloom.core.records import RunRecord
from taskloom.sync.cancel_token import CancelToken

__all__ = ["SAMPLE_SECONDS", "HeartbeatMonitor", "HeartbeatTrack"]

SAMPLE_SECONDS = 1.0


class HeartbeatTrack:
    """The samples of one run's polls. All times are monotonic seconds."""

    __slots__ = (
        "counted_from",
        "is_unobserved",
        "is_unresponsive",
        "polled_at",
        "polls",
        "record",
        "token",
        "worst_gap",
    )

    def __init__(self, record: RunRecord, token: CancelToken, now: float, *, is_unobserved: bool) -> None:
        self.record = record
        self.token = token
        self.polls = 0
        self.polled_at = now
        """When a sample last found a new poll, or the run inside a token wait."""
        self.worst_gap = 0.0
        # A task with `terminate` need not poll. Until its first poll, no poll age is reported.
        self.is_unobserved = is_unobserved
        # True between RunUnresponsive and RunResponsive.
        self.is_unresponsive = False
        # The watchdog counts from here if this is later than the last poll: the last sample at which it did not apply.
        self.counted_from = now

    def update(self, now: float) -> bool:
        """Record whether the run has polled since the last sample; return whether it is outside a token wait."""
        token = self.token
        if token.is_waiting:
            self.polled_at = now
            return False
        if token.polls != self.polls:
            self.polls = token.polls
            self.polled_at = now
            self.is_unobserved = False
        else:
            # A run elsewhere may wait for a worker long before its start: that is no silence of its task.
            started = self.record.started
            if started is not None and started.mono > self.polled_at:
                self.polled_at = started.mono
            self.worst_gap = max(self.worst_gap, now - self.polled_at)
        return True

    def age(self, now: float) -> float | None:
        """Return the seconds since the last poll, to one second; 0.0 inside a token wait; None if unobserved."""
        self.update(now)
        return None if self.is_unobserved else now - self.polled_at

    def check_watchdog(self, now: float) -> RunUnresponsive | RunResponsive | None:
        """Return the report if the run has become unresponsive or responsive; call it after `update`."""
        if self.record.unreachable is not None:
            self.counted_from = now  # it may poll, and nothing of that arrives
            return None
        watchdog = self.record.spec.watchdog
        gap = self._watched_gap(now)
        is_unresponsive = watchdog is not None and gap > watchdog.after
        if is_unresponsive is self.is_unresponsive:
            return None
        self.is_unresponsive = is_unresponsive
        run = self.record.id
        return RunUnresponsive(run, gap) if is_unresponsive else RunResponsive(run)

    def _watched_gap(self, now: float) -> float:
        """Return how long the run has not polled; 0.0 while the watchdog does not apply."""
        ready, token = self.record.ready, self.token
        has_watchdog = self.record.spec.watchdog is not None
        if not has_watchdog or ready is None or self.is_unobserved or token.is_waiting or token.is_wakeable:
            self.counted_from = now  # so time in a read that a stop would wake is never counted, however long
            return 0.0
        return now - max(self.polled_at, self.counted_from, ready.mono)


class HeartbeatMonitor:
    """Samples all runs once a second while any of them is outside a token wait, and reports for their watchdogs.

    Implements `taskloom.sync.sampler.Sampler`. Only the scheduler's timer thread calls `sample`. `wake_timer`
    makes that thread notice that `is_idle` has changed.
    """

    def __init__(self, wake_timer: Callable[[], None], post: Callable[[RunUnresponsive | RunResponsive], None]) -> None:
        self.tracks: dict[str, HeartbeatTrack] = {}
        self.is_idle = True
        self.on_sample: Callable[[], object] | None = None
        """Called after each sample, on the thread that samples. It must not block or raise."""
        self._wake_timer = wake_timer
        self._post = post

    def resume(self) -> None:
        """Resume sampling; called by the run that stopped waiting, on its thread."""
        self.is_idle = False
        self._wake_timer()

    def add(self, run: str, track: HeartbeatTrack) -> None:
        """Start to sample a run."""
        self.tracks[run] = track
        if self.is_idle:
            self.resume()

    def remove(self, run: str) -> None:
        """Stop sampling the run; idempotent."""
        self.tracks.pop(run, None)

    def sample(self, now: float, late: float = 0.0) -> None:
        """Sample every run; become idle if all of them wait. `late`: by how many seconds this sample is late.

        If that is much, the process was suspended or one run held the GIL, and no other run could have polled: the
        watchdogs do not count that time.
        """
        if late > SAMPLE_SECONDS:
            for track in list(self.tracks.values()):
                track.counted_from = max(track.polled_at, track.counted_from) + late
        # Set `is_idle` first, then sample: a run that stops waiting after its sample sees the flag and resumes us.
        self.is_idle = True
        tracks = list(self.tracks.values())
        outside = [track.update(now) for track in tracks]
        if any(outside):
            self.is_idle = False
        for track in tracks:
            report = track.check_watchdog(now)
            if report is not None:
                self._post(report)
        if self.on_sample is not None:
            self.on_sample()
