"""The one thread that stands by for deadlines.

While runs live it looks up every second and a half, so that a deadline farther away than that can be set without
waking it: the first one of a stop would else wake it at the very moment when the stopped run wants to run. While
there is neither a run nor a deadline it sleeps without end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

from taskloom.clock import Clock
from taskloom.core.inputs import RunResponsive, RunUnresponsive
from taskloom.scheduler.heartbeats import SAMPLE_SECONDS, HeartbeatMonitor

__all__ = ["Timer"]

# A lock cannot wait for 300 years, and a stop may be given longer than that.
LONGEST_SLEEP_SECONDS = 86400.0
# Less than the first reminder of a stop (2 s), and well under one wake-up a second.
LOOK_UP_SECONDS = 1.5
_AWAKE = float("-inf")
# Where Linux takes, from a thread for itself, by how much its sleeps may be longer than asked for.
_SLACK_FILE = "/proc/{thread}/timerslack_ns"


class Timer:
    """Calls `tick` on its own thread: with True when the deadline has come, else whenever it was rung.

    `relieve` is asked how soon the waking helpers want to be looked after, in seconds. `tell` takes what the poll
    sampler has to say of runs that their watchdogs miss.
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
        self._alarm: SimpleQueue[None] = SimpleQueue()
        self._deadline: float | None = None
        # Until when it sleeps. Written before the deadline is read once more, as a new deadline is written before
        # this is read: one of the two always sees the other.
        self._sleeps_until = _AWAKE
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self._is_sharp = False

    def prepare(self) -> None:
        """Have the thread ready. Raises RuntimeError when there is none to be had."""
        if self._thread is None:
            thread = threading.Thread(target=self._keep_time, name="taskloom-timer", daemon=True)
            thread.start()
            self._thread = thread

    def set_deadline(self, deadline: float | None) -> None:
        """Take the monotonic second at which to tick next, or None. Only the turn calls it."""
        self._deadline = deadline
        if deadline is None:
            return
        if self._thread is None and not self._is_closed:
            # Before any run: a schedule or a start delay is all that there is.
            try:
                self.prepare()
            except RuntimeError:
                return  # no thread is to be had; the next deadline that is set tries again
        if deadline < self._sleeps_until:
            self.wake()

    def wake(self) -> None:
        """Wake the thread; from any thread, never blocks."""
        self._alarm.put(None)

    def close(self) -> None:
        """Let the thread end."""
        self._is_closed = True
        self.wake()

    def join(self, timeout: float) -> None:
        """Wait so many seconds for the thread to be gone."""
        if self._thread is not None:
            self._thread.join(min(timeout, LONGEST_SLEEP_SECONDS))

    def _keep_time(self) -> None:
        sample_at: float | None = None
        while not self._is_closed:
            now = self._clock.now().mono
            if sample_at is None and not self.heartbeats.is_idle:
                sample_at = now + SAMPLE_SECONDS
            self._sleep(now, sample_at)
            now = self._clock.now().mono
            self._tick(self._has_come(now))
            if sample_at is not None and now >= sample_at:
                self.heartbeats.sample(now, now - sample_at)
                sample_at = None

    def _sleep(self, now: float, sample_at: float | None) -> None:
        if self._deadline is not None and not self._is_sharp:
            self._is_sharp = True
            _sleep_sharply()
        relief = self._grow_if_stuck()
        longest = LOOK_UP_SECONDS if self.heartbeats.tracks else LONGEST_SLEEP_SECONDS
        until = now + (longest if relief is None else min(longest, relief))
        if sample_at is not None:
            until = min(until, sample_at)
        self._sleeps_until = until
        deadline = self._deadline
        if deadline is not None and deadline < until:
            self._sleeps_until = until = deadline
        try:
            self._alarm.get(timeout=max(0.0, until - now))
        except Empty:
            pass
        self._sleeps_until = _AWAKE

    def _has_come(self, now: float) -> bool:
        deadline = self._deadline
        if deadline is None or now < deadline:
            return False
        # Gone before the Tick is told, and set anew by the turn that takes it in: one Tick is enough, however
        # long that turn is busy with other things.
        self._deadline = None
        return True


def _sleep_sharply() -> None:
    """Have this thread's sleeps end on time. By itself Linux adds up to 50 us, half of how late a schedule fires."""
    try:  # not by pathlib: nothing else of a start-up needs it
        with open(_SLACK_FILE.format(thread=threading.get_native_id()), "wb", 0) as file:  # noqa: PTH123
            file.write(b"1")
    except OSError:
        pass  # another system, or a locked one: then it is as late as everybody
