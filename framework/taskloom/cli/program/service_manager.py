"""Tells the service manager, such as systemd, how the program is: ready, reloading, stopping, alive, and in words.

One thread does it, and only if there is a `NOTIFY_SOCKET`. It sleeps until there is news or the next sign of life is
due. It asks the scheduler's thread each time: that is what keeps the jobs and their stop going, so no answer means no
sign of life, and the service manager ends the program. A line of text costs a snapshot of all jobs, so it rests between
two of them for a second, or for longer if a snapshot takes long.
"""

from __future__ import annotations

import os
from _thread import allocate_lock
from collections import deque
from collections.abc import Callable, MutableMapping
from math import inf

from taskloom.cli.program.init import pipes_to_init
from taskloom.cli.program.notify_socket import NotifySocket, take_notify_socket
from taskloom.clock import mono
from taskloom.control.job_view import is_wrong
from taskloom.control.readiness import readiness
from taskloom.core.model import JobState, Phase, Reason, ReasonKind
from taskloom.errors import TaskloomError
from taskloom.scheduler.facade import Scheduler
from taskloom.scheduler.snapshots import Snapshot
from taskloom.sync.kept_thread import KeptThread
from taskloom.sync.latch import Latch
from taskloom.sync.waker import lock_timeout
from taskloom.text import first_of, plural
from taskloom.waiting.passed import take_passed_sockets

__all__ = ["ServiceManager", "service_manager", "status_line"]

READY_SECONDS = 60.0
"""After this time the program counts as ready in any case: systemd allows 90 seconds for a start."""
REST_SECONDS = 1.0
_LONGEST_REST = 5.0
# A snapshot takes no more than this part of the time between two lines of text.
_SHARE = 20.0
# For an answer of the scheduler's thread. Ten spinning tasks delay it by some tenths of a second.
_ANSWER_SECONDS = 2.0
# While the program stops, it asks for this much more time, each time.
_EXTEND_EVERY, _EXTEND_SECONDS = 5.0, 15.0
# If a message could not be sent.
_RETRY_SECONDS = 0.5
_CLOSE_SECONDS = 0.3
_MOST_NAMED = 3


def service_manager(environ: MutableMapping[str, str], warn: Callable[[str], object]) -> ServiceManager:
    """Take from the environment what a service manager has passed: how it is notified, and the sockets it has opened.

    Called before anything is started, so that no child process gets any of it.
    """
    pids = {os.getpid()} if pipes_to_init() is None else {os.getpid(), 1}  # the init in front was process 1
    take_passed_sockets(environ, pids)
    notify, problem = take_notify_socket(environ, pids)
    if problem:
        warn(problem)
    return ServiceManager(notify)


class ServiceManager:
    """The service manager, or none: then every method does nothing. Any thread may call any method; none blocks."""

    def __init__(self, notify: NotifySocket | None) -> None:
        self._notify = notify
        self._scheduler: Scheduler | None = None
        self._pid = os.getpid()
        # Messages that are still to be sent, in order. The thread removes one once it is sent.
        self._outgoing: deque[tuple[str, ...]] = deque()
        # A binary semaphore: free from when the thread is woken until it has noticed.
        self._news = allocate_lock()
        self._news.acquire()
        self._has_news = True
        self._is_resting = False
        self._is_closing = False
        self._closed = Latch()
        self._thread: KeptThread | None = None
        # For the thread alone, or never changed by another one while it may read it.
        self._is_ready = False
        self._is_stopping = False
        self._began = 0.0
        self._status = ""
        self._status_at = 0.0
        self._feed_at = inf
        self._extend_at = inf
        self._deadline: float | None = None

    def start(self, scheduler: Scheduler) -> None:
        """Start the thread; the jobs have been added. Raises RuntimeError if the system refuses it."""
        notify = self._notify
        if notify is None:
            return
        self._scheduler = scheduler
        self._began = mono()
        if notify.watchdog is not None:
            self._feed_at = self._began
        self._thread = KeptThread("taskloom-service", self._step, lambda _: None)
        self._thread.start()

    def put(self) -> None:
        """Note that something has happened."""
        if self._thread is not None and not self._has_news:
            self._has_news = True
            if not self._is_resting:
                self._wake()

    def stop_began(self) -> None:
        """Tell that the program stops."""
        if self._thread is not None and not self._is_stopping:
            self._is_stopping = True
            self._has_news = True
            self._wake()

    def reloading(self) -> None:
        """Tell that the program reads its files again. The time is that of the request: systemd compares it."""
        if self._may_reload():
            self._outgoing.append(("RELOADING=1", f"MONOTONIC_USEC={int(mono() * 1e6)}"))
            self._wake()

    def reloaded(self) -> None:
        """Tell that this is over."""
        if self._may_reload():
            self._outgoing.append(("READY=1",))
            self.put()
            self._wake()

    def close(self) -> None:
        """Send what is still to be sent, and end the thread; wait for it for a moment. Idempotent."""
        thread = self._thread
        if thread is not None and os.getpid() == self._pid:
            self._is_closing = True
            self._wake()
            if thread.wait_for(self._closed, _CLOSE_SECONDS):
                thread.join(_CLOSE_SECONDS)

    def _may_reload(self) -> bool:
        # A program that stops is neither ready nor reloading: STOPPING=1 is the last of these three.
        return self._thread is not None and self._is_ready and not self._is_stopping

    def _wake(self) -> None:
        try:
            self._news.release()
        except RuntimeError:
            pass  # it will notice this as well
        if self._thread is not None:
            self._thread.ensure()

    # -- on the thread

    def _step(self) -> bool:
        """Send what is due, or sleep; return True at the end."""
        # Read before the jobs are looked at: what had happened before `close` is told.
        is_last = self._is_closing
        notify, now = self._notify, mono()
        if notify is None:
            return True
        if now >= self._feed_at and notify.watchdog is not None:
            self._feed_at = now + notify.watchdog / 2  # as sd_watchdog_enabled(3) recommends
            self._feed(notify, notify.watchdog)
        self._tell(now)
        while self._outgoing and notify.send(*self._outgoing[0]):
            self._outgoing.popleft()
        if is_last:
            self._closed.open()
            return True
        self._sleep()
        return False

    def _feed(self, notify: NotifySocket, watchdog: float) -> None:
        """Give a sign of life if the scheduler's thread gives one."""
        if self._scheduler is None:
            return
        try:
            with self._scheduler.answers_within(watchdog / 4):
                _ = self._scheduler.stop_reason
        except TaskloomError:
            self._feed_at = mono() + watchdog / 8  # it may only be slow: there is time for one more try
            return
        notify.send("WATCHDOG=1")

    def _tell(self, now: float) -> None:
        """Look at the jobs if something has happened, and tell what has changed."""
        is_late = not self._is_ready and now >= self._began + READY_SECONDS
        if now >= self._extend_at:
            self._extend(now)
        is_first_of_stop = self._is_stopping and self._extend_at == inf
        is_due = is_late or is_first_of_stop or (self._has_news and now >= self._status_at)
        if not is_due or self._scheduler is None:
            return
        self._has_news = False
        try:
            with self._scheduler.answers_within(_ANSWER_SECONDS):
                snapshot = self._scheduler.snapshot()
        except TaskloomError:
            snapshot = None
            self._has_news = True
        self._status_at = mono() + max(REST_SECONDS, min(_LONGEST_REST, _SHARE * (mono() - now)))
        if is_first_of_stop:
            self._begin_stop(snapshot, now)
        if snapshot is not None:
            self._tell_state(snapshot, is_late=is_late)

    def _tell_state(self, snapshot: Snapshot, *, is_late: bool) -> None:
        found = readiness(snapshot)
        lines = []
        if not self._is_ready and (is_late or found.is_ready):
            self._is_ready = True
            lines.append("READY=1")
        status = status_line(snapshot)
        if status != self._status:
            self._status = status
            lines.append(f"STATUS={status}")
        if lines:
            last = self._outgoing.pop() if self._outgoing else None
            if last is not None and not last[0].startswith("STATUS="):
                self._outgoing.append(last)  # otherwise it could not be sent, and is out of date
            self._outgoing.append(tuple(lines))

    def _begin_stop(self, snapshot: Snapshot | None, now: float) -> None:
        """Tell that the program stops, and learn until when it may ask for more time."""
        reason = snapshot.stop_reason if snapshot is not None else None
        if not self._is_ready and _has_done_its_work(reason):
            self._outgoing.append(("READY=1",))  # otherwise systemd would call this start a failure
        self._is_ready = True
        self._outgoing.append(("STOPPING=1",))
        if snapshot is not None and snapshot.phase is Phase.STOPPING:
            self._deadline = inf if snapshot.stop_left is None else now + snapshot.stop_left
        self._extend_at = now
        self._extend(now)

    def _extend(self, now: float) -> None:
        """Ask for more time as long as the stop is within its deadline."""
        self._extend_at = now + _EXTEND_EVERY
        if self._deadline is not None and now < self._deadline:
            self._outgoing.append((f"EXTEND_TIMEOUT_USEC={int(_EXTEND_SECONDS * 1e6)}",))

    def _sleep(self) -> None:
        """Wait until something is due, or this thread is woken."""
        until = min(self._feed_at, self._extend_at)
        if not self._is_ready:
            until = min(until, self._began + READY_SECONDS)
        if self._outgoing:
            until = min(until, mono() + _RETRY_SECONDS)
        self._is_resting = mono() < self._status_at
        # Set before it is read: what `put` notes from here on is seen below, or wakes this thread.
        if self._is_resting or self._has_news:
            until = min(until, self._status_at)
        self._news.acquire(True, lock_timeout(until - mono() if until < inf else None))


def _has_done_its_work(reason: Reason | None) -> bool:
    return reason is not None and reason.kind is ReasonKind.FINISHED


def status_line(snapshot: Snapshot) -> str:
    """Return what `systemctl status` shows: how many jobs are in which state, and who is awaited or in trouble."""
    found = readiness(snapshot)
    if snapshot.phase is not Phase.OPEN:
        awaited = [each.report.job for each in snapshot.jobs if each.report.state is JobState.STOPPING]
        return f"{found}: waiting for {first_of(awaited, _MOST_NAMED)}" if awaited else str(found)
    counts: dict[str, int] = {}
    for status in snapshot.jobs:
        counts[status.state] = counts.get(status.state, 0) + 1
    states = ", ".join(f"{count:,} {state}" for state, count in counts.items())
    wrong = [status.report.job for status in snapshot.jobs if is_wrong(status)]
    parts = [plural(len(snapshot.jobs), "job") + (f": {states}" if states else "")]
    if not found.is_ready:
        parts.append(f"not ready: {found}")
    if wrong:
        parts.append(f"in trouble: {first_of(wrong, _MOST_NAMED)}")
    return "; ".join(parts)
