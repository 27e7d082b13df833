"""The one thread that writes to descriptors 1 and 2.

A reader that has gone, a full pipe or a paused terminal blocks only this thread. If too many log lines are queued, new
ones are dropped and counted; if too much task data is queued, the run that writes it waits until it is cancelled. The
thread polls before each write and writes at most 4 KiB, which a writable pipe takes without blocking, so the thread
can always be ended.

Log lines are held for some milliseconds and written in the order of their times: they come from many threads, and the
line "started" comes from another thread than the first output of the run.
"""

from __future__ import annotations

import os
import select
import threading
from _thread import allocate_lock
from collections import deque

from taskloom.clock import mono, wall
from taskloom.errors import Cancelled
from taskloom.runners.context import current_run
from taskloom.sync.latch import Latch
from taskloom.sync.wakeup_fd import WakeupFd

__all__ = ["Output"]

# A writable pipe takes this much in one piece (PIPE_BUF on Linux).
WRITE_BYTES = 4096
# About ten thousand lines. A reader that is further behind is taken to be stuck, and new lines are dropped.
LOG_BYTES = 2 * 1024 * 1024
# Longer than a few thread switches on a busy machine, shorter than a person notices.
HOLD_SECONDS = 0.02
# Less than for log lines, since queued data is lost in a crash.
DATA_BYTES = 512 * 1024


class Output:
    """The queues of two descriptors, and the thread that writes them."""

    def __init__(self) -> None:
        self.dropped_lines = 0
        self._lock = allocate_lock()
        self._queues: dict[int, deque[bytes]] = {1: deque(), 2: deque()}
        self._sizes = {1: 0, 2: 0}
        self._closed: set[int] = set()
        # Held log lines: (time, order of arrival, text); and when the first of them was added.
        self._held: list[tuple[float, int, bytes]] = []
        self._held_since = 0.0
        self._waiters: list[Latch] = []
        self._deadline: float | None = None
        self._is_detached = False
        self._ended = Latch()
        self._wakeup = WakeupFd()
        self._thread = threading.Thread(target=self._run, name="taskloom-output", daemon=True)
        self._thread.start()

    def line(self, text: bytes, at: float | None = None) -> None:
        """Queue a whole line of the log for descriptor 2; never blocks. `at`: seconds since the epoch.

        If too much is queued, the line is dropped and counted.
        """
        if self._is_detached:
            _write_whole(2, text)
            return
        with self._lock:
            if self._sizes[2] > LOG_BYTES:
                self.dropped_lines += 1
                return
            if not self._held:
                self._held_since = mono()
            self._held.append((wall() if at is None else at, len(self._held), text))
            self._sizes[2] += len(text)
            is_first = len(self._held) == 1
        if is_first:
            self._wakeup.set()

    def data(self, content: bytes) -> None:
        """Queue a task's data for descriptor 1.

        Blocks while too much is queued. Raises Cancelled once the run on the calling thread is cancelled.
        """
        if self._is_detached:
            _write_whole(1, content)
            return
        while True:
            with self._lock:
                if self._sizes[1] <= DATA_BYTES or 1 in self._closed or self._deadline is not None:
                    self._append(1, content)
                    break
                room = Latch()
                self._waiters.append(room)
            self._wait_for(room)
        self._wakeup.set()

    def final_data(self, content: bytes) -> None:
        """Queue data for descriptor 1 even if too much is queued: the program ends after it."""
        with self._lock:
            self._append(1, content)
        self._wakeup.set()

    def detach(self) -> None:
        """Write from now on at once, on the caller's thread: called in a forked child, which has no output thread.

        What is queued is dropped there, since the parent writes it.
        """
        self._is_detached = True

    def close(self, timeout: float) -> None:
        """Write what is queued, for `timeout` seconds at most."""
        self._deadline = mono() + timeout
        self._wakeup.set()
        self._ended.wait(timeout + 0.1)

    def _wait_for(self, room: Latch) -> None:
        context = current_run.get()
        if context is None:
            room.wait()
            return
        handle = context.on_cancel(room.open)
        room.wait()
        handle.close()
        if context.cancelled and self._sizes[1] > DATA_BYTES:
            raise Cancelled

    def _append(self, descriptor: int, content: bytes) -> None:
        if descriptor not in self._closed:
            self._queues[descriptor].append(content)
            self._sizes[descriptor] += len(content)

    # -- the thread

    def _run(self) -> None:
        while not self._is_over():
            self._release_lines()
            waiting = [descriptor for descriptor in (1, 2) if self._queues[descriptor]]
            for descriptor in self._writable(waiting):
                self._write(descriptor)
        self._wake_waiters()
        self._ended.open()

    def _is_over(self) -> bool:
        if self._deadline is None:
            return False
        return not (self._queues[1] or self._queues[2] or self._held) or mono() >= self._deadline

    def _release_lines(self) -> None:
        """Queue the held lines in the order of their times, once they have been held for HOLD_SECONDS."""
        if not self._held or (self._deadline is None and mono() < self._held_since + HOLD_SECONDS):
            return
        with self._lock:
            held, self._held = self._held, []
            if 2 in self._closed:
                self._sizes[2] = 0
            else:
                self._queues[2].extend(text for _, _, text in sorted(held))

    def _writable(self, waiting: list[int]) -> list[int]:
        """Wait until a descriptor of `waiting` is writable or closed, or something is queued; return the former."""
        poller = select.poll()
        poller.register(self._wakeup, select.POLLIN)
        for descriptor in waiting:
            poller.register(descriptor, select.POLLOUT)
        # When there is something to do even if nothing new is queued.
        ends = [self._deadline] if self._deadline is not None else []
        if self._held:
            ends.append(self._held_since + HOLD_SECONDS)
        timeout = max(0.0, min(ends) - mono()) * 1000 if ends else None
        ready = [descriptor for descriptor, _ in poller.poll(timeout)]
        self._wakeup.clear()
        return [descriptor for descriptor in ready if descriptor in waiting]

    def _write(self, descriptor: int) -> None:
        piece = self._take(descriptor)
        try:
            written = os.write(descriptor, piece)
        except BlockingIOError:
            written = 0  # a task made the descriptor non-blocking, and it was not as writable as poll said
        except OSError:
            self._mark_closed(descriptor)
            return
        with self._lock:
            self._sizes[descriptor] -= written
            if written < len(piece):
                self._queues[descriptor].appendleft(piece[written:])
        self._wake_waiters()

    def _take(self, descriptor: int) -> bytes:
        """Remove up to WRITE_BYTES from the front of the queue: many short lines in one write."""
        queue, pieces, size = self._queues[descriptor], [], 0
        with self._lock:
            while queue and size < WRITE_BYTES:
                piece = queue.popleft()
                if size + len(piece) > WRITE_BYTES:
                    queue.appendleft(piece[WRITE_BYTES - size :])
                    piece = piece[: WRITE_BYTES - size]
                pieces.append(piece)
                size += len(piece)
        return b"".join(pieces)

    def _mark_closed(self, descriptor: int) -> None:
        """Drop what is queued for a descriptor without a reader, and all that will be written to it."""
        with self._lock:
            self._closed.add(descriptor)
            self._queues[descriptor].clear()
            self._sizes[descriptor] = 0
        self._wake_waiters()

    def _wake_waiters(self) -> None:
        with self._lock:
            if self._deadline is None and self._sizes[1] > DATA_BYTES:
                return
            rooms, self._waiters = self._waiters, []
        for room in rooms:
            room.open()


def _write_whole(descriptor: int, content: bytes) -> None:
    """Write everything, as long as the descriptor takes it."""
    while content:
        try:
            content = content[os.write(descriptor, content) :]
        except BlockingIOError:
            poller = select.poll()
            poller.register(descriptor, select.POLLOUT)
            poller.poll()
        except OSError:
            return  # as in the program: output that cannot be written changes nothing else
