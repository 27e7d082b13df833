"""How long a restart is delayed, when a job restarts too often, and how many restarts may begin at once.

Pure arithmetic on monotonic seconds; `after_run` decides whether there is a restart at all.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from taskloom.core.policies import RestartPolicy

__all__ = [
    "FLAPPING_RESTARTS",
    "FLAPPING_SECONDS",
    "GATE_RESTARTS",
    "GATE_SECONDS",
    "HEALTHY_SECONDS",
    "Backoff",
    "RestartGate",
]

# A run that was ready for this long resets the delay, as in pebble. If it were shorter, the delay of a job that fails
# every few seconds would never grow.
HEALTHY_SECONDS = 30.0
# Only reported: systemd gives up at 5 starts in 10 s, which its users complain about.
FLAPPING_RESTARTS, FLAPPING_SECONDS = 5, 60.0
# 200 restarts a second for all jobs together, in groups. A failing run costs about half a millisecond with its log
# line, so a storm of failures takes a tenth of a core; each group is one wake-up.
GATE_RESTARTS, GATE_SECONDS = 20, 0.1


@dataclass(slots=True, eq=False)
class Backoff:
    """The restarts of one job: the next delay, and how many there were lately."""

    # The last delay without jitter; 0.0 before the first failure.
    delay: float = 0.0
    # When the latest counted restarts began.
    times: deque[float] = field(default_factory=deque)

    @property
    def has_history(self) -> bool:
        """Whether it remembers a delay or restarts."""
        return self.delay > 0.0 or bool(self.times)

    def next_delay(self, policy: RestartPolicy, healthy: float, random: float) -> float:
        """Return the seconds until the next restart.

        `healthy`: seconds for which the run that ended was ready. `random`: a number from 0.0 to 1.0, for jitter.
        """
        if self.delay == 0.0 or healthy >= max(HEALTHY_SECONDS, self.delay):
            self.delay = min(policy.delay, policy.max_delay)
        else:
            self.delay = min(self.delay * policy.factor, policy.max_delay)
        return self.delay * (1.0 + policy.jitter * random)

    def is_exhausted(self, policy: RestartPolicy, now: float) -> bool:
        """Return whether one more restart would exceed the policy's limit."""
        limit = policy.limit
        return limit is not None and self.count_since(now - limit.within) >= limit.times

    def is_flapping(self, now: float) -> bool:
        """Return whether the job restarted so often lately that something must be wrong."""
        return self.count_recent(now) >= FLAPPING_RESTARTS

    def count_recent(self, now: float) -> int:
        """Return how many restarts began in the last FLAPPING_SECONDS, as far as they are remembered."""
        return self.count_since(now - FLAPPING_SECONDS)

    def record_restart(self, policy: RestartPolicy, now: float) -> None:
        """Record that a counted restart begins."""
        self.times.append(now)
        kept = max(FLAPPING_RESTARTS, policy.limit.times if policy.limit is not None else 0)
        while len(self.times) > kept:
            self.times.popleft()

    def count_since(self, when: float) -> int:
        """Return how many restarts began after the monotonic second `when`, as far as they are remembered."""
        return sum(time > when for time in self.times)


class RestartGate:
    """Limits how many restarts begin per GATE_SECONDS, for all jobs together: five thousand may fail at once."""

    def __init__(self) -> None:
        self._opened_at = float("-inf")
        self._admitted = 0

    def try_acquire(self, now: float) -> bool:
        """Return whether a restart may begin now, and count it if so."""
        if now >= self._opened_at + GATE_SECONDS:
            self._opened_at, self._admitted = now, 0
        if self._admitted >= GATE_RESTARTS:
            return False
        self._admitted += 1
        return True

    @property
    def opens_at(self) -> float:
        """The time from which more restarts may begin, in monotonic seconds."""
        return self._opened_at + GATE_SECONDS
