"""The lease of a run: the moment at which the supervisor kills it, unless the parent has moved that moment before.

A run that a program on another host has started must not outlive the connection to it. The parent, a worker process of
a cluster, asks the run to end in time, but it may be stopped, swapped out or stuck in foreign code. So the supervisor
knows the moment, too, which is when the patience after such a request is over.

The moment is a second of CLOCK_BOOTTIME, which is the same for all processes of a host, whatever the wall clock does.
It goes on while the machine is suspended: a lease that has ended meanwhile is over afterwards, although no process has
had its time. poll(2) counts without the suspension, so the clock is read once a second.
"""

from time import CLOCK_BOOTTIME, clock_gettime

_FOREVER = float("inf")
_CHECK_SECONDS = 1.0


class Lease:
    """The lease of one run; None is for ever."""

    def __init__(self, until: float | None) -> None:
        self.check_at = _FOREVER if until is None else 0.0
        """When `has_ended` is to be called, on the monotonic clock."""
        self._until = until or _FOREVER

    def renew(self, until: bytes) -> None:
        """Move the end to this second, but never back, and not for a run without a lease; unless it is not a number."""
        try:
            self._until = max(self._until, float(until))
        except ValueError:
            pass

    def has_ended(self, now: float) -> bool:
        """Return whether it has ended, once; `now` is on the monotonic clock."""
        left = self._until - clock_gettime(CLOCK_BOOTTIME)
        self.check_at = now + min(left, _CHECK_SECONDS) if left > 0 else _FOREVER
        return left <= 0
