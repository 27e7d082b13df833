"""The thread that waits for deadlines.

While runs live it wakes up every CHECK_SECONDS. So a deadline farther away than that can be set without waking it:
otherwise the first deadline of a stop would wake it at the very moment when the stopped run needs the GIL. Without
runs and without a deadline it sleeps until it is woken.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

from taskloom.clock import Clock
from taskloom.core.inputs import RunResponsive, RunUnresponsive
from taskloom.scheduler.heartbeats import SAMPLE_SECONDS, HeartbeatMonitor

__all__ = ["Timer"]

# A stop may have more than 292 years, the longest that a lock can wait; the timer then sleeps several times.
LONGEST_SLEEP_SECONDS = 86400.0
# Shorter than the first progress report of a stop (2 s), and well under one wake-up a second.
CHECK_SECONDS = 1.5
_AWAKE = float("-inf")
# Linux: a thread writes here by how many nanoseconds its sleeps may be prolonged.
_SLACK_FILE = "/proc/{thread}/timerslack_ns"


class Timer:
    """Calls `tick` on its own thread at each wake-up: with True if the deadline has passed.

    `grow_if_stuck` adds helper threads to the callback pool if needed, and returns after how many seconds it wants to
    be called again. `post` takes what the heartbeat monitor reports about unresponsive runs.
    """

    def __init__(
        self,
        clock: Clock,
        tick: Callable[[bool], None],
        grow_if_stuck: Callable[[], float | None],
        post: Callable[[RunUnresponsive | RunResponsive], None],
    ) -> None:
        self.heartbeats = HeartbeatMonitor(self.wake, post)
        self._clock = clock
        self._tick = tick
        self._grow_if_stuck = grow_if_stuck
        self._wakeups: SimpleQueue[None] = SimpleQueue()
        self._deadline: float | None = None
        # When the current sleep ends. The timer thread writes this and then reads `_deadline` again; `set_deadline`
        # writes `_deadline` and then reads this. Whatever the order, one of the two sees the other's value.
        self._sleeps_until = _AWAKE
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self._is_precise = False

    def prepare(self) -> None:
        """Start the thread unless it is running. Raises RuntimeError if no thread can be started."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="taskloom-timer", daemon=True)
            thread.start()
            self._thread = thread

    def set_deadline(self, deadline: float | None) -> None:
        """Set the monotonic second at which to tick next, or None. Calls must not overlap."""
        self._deadline = deadline
        if deadline is None:
            return
        if self._thread is None and not self._is_closed:
            # Before the first run: a job waits for its schedule or start delay.
            try:
                self.prepare()
            except RuntimeError:
                return  # no thread can be started now; the next call tries again
        if deadline < self._sleeps_until:
            self.wake()

    def wake(self) -> None:
        """Wake the thread; never blocks, any thread may call it."""
        self._wakeups.put(None)

    def close(self) -> None:
        """Let the thread end."""
        self._is_closed = True
        self.wake()

    def join(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for the thread to end."""
        if self._thread is not None:
            self._thread.join(min(timeout, LONGEST_SLEEP_SECONDS))

    def _run(self) -> None:
        sample_at: float | None = None
        while not self._is_closed:
            now = self._clock.now().mono
            if sample_at is None and not self.heartbeats.is_idle:
                sample_at = now + SAMPLE_SECONDS
            self._sleep(now, sample_at)
            now = self._clock.now().mono
            self._tick(self._take_passed_deadline(now))
            if sample_at is not None and now >= sample_at:
                self.heartbeats.sample(now, now - sample_at)
                sample_at = None

    def _sleep(self, now: float, sample_at: float | None) -> None:
        if self._deadline is not None and not self._is_precise:
            self._is_precise = True
            _minimize_timer_slack()
        grow_after = self._grow_if_stuck()
        longest = CHECK_SECONDS if self.heartbeats.tracks else LONGEST_SLEEP_SECONDS
        until = now + (longest if grow_after is None else min(longest, grow_after))
        if sample_at is not None:
            until = min(until, sample_at)
        self._sleeps_until = until
        deadline = self._deadline
        if deadline is not None and deadline < until:
            self._sleeps_until = until = deadline
        try:
            self._wakeups.get(timeout=max(0.0, until - now))
        except Empty:
            pass
        self._sleeps_until = _AWAKE

    def _take_passed_deadline(self, now: float) -> bool:
        """Return whether the deadline has passed, and if so clear it."""
        deadline = self._deadline
        if deadline is None or now < deadline:
            return False
        # Cleared before the Tick is queued, and set again by the thread that processes the Tick. So only one Tick is
        # queued, however long the engine is busy with other messages.
        self._deadline = None
        return True


def _minimize_timer_slack() -> None:
    """Have this thread's sleeps end on time.

    By default Linux prolongs a sleep by up to 50 us, which is half of the delay of a scheduled start.
    """
    try:  # not by pathlib: nothing else of a start-up needs it
        with open(_SLACK_FILE.format(thread=threading.get_native_id()), "wb", 0) as file:  # noqa: PTH123
            file.write(b"1")
    except OSError:
        pass  # another system, or no permission: then the sleeps are as late as those of other threads
