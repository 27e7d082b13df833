"""The one thread that writes descriptors 1 and 2.

So a reader that went away, a full pipe or a terminal on hold stops nobody but this thread: log lines are dropped
and counted once too many wait, and task data makes its own run wait, until it is cancelled. The thread polls
before each write and writes at most 4 KiB, which a pipe that polls writable takes without blocking; so it can
always be told to end.

Log lines are held for some milliseconds and written in the order of their times: they come from many threads, and
"started" is told by another thread than the first words of the run.
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

# What a pipe that polls writable takes in one piece (PIPE_BUF on Linux).
WRITE_BYTES = 4096
# Some ten thousand lines; then something is wrong with the reader, and new lines are dropped.
LOG_BYTES = 2 * 1024 * 1024
# Longer than a few switches between threads on a busy machine, shorter than anybody sees.
HOLD_SECONDS = 0.02
# Task data waits sooner: what is queued here is lost in a crash.
DATA_BYTES = 512 * 1024


class Output:
    """Queues for two descriptors, and the thread that empties them."""

    def __init__(self) -> None:
        self.dropped_lines = 0
        self.lost_bytes = 0
        self._lock = allocate_lock()
        self._queues: dict[int, deque[bytes]] = {1: deque(), 2: deque()}
        self._sizes = {1: 0, 2: 0}
        self._dead: set[int] = set()
        # Log lines that are held: (time, order of coming, text), and since when there are any.
        self._held: list[tuple[float, int, bytes]] = []
        self._held_since = 0.0
        self._rooms: list[Latch] = []
        self._until: float | None = None
        self._ended = Latch()
        self._bell = WakeupFd()
        self._thread = threading.Thread(target=self._run, name="taskloom-output", daemon=True)
        self._thread.start()

    def line(self, text: bytes, at: float | None = None) -> None:
        """Queue a whole line of the log for descriptor 2; never blocks. `at`: seconds since the epoch.

        Dropped, and counted, when too much is queued.
        """
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
            self._bell.set()

    def data(self, content: bytes) -> None:
        """Queue a task's data for descriptor 1.

        Blocks while too much is queued. Raises Cancelled when the run whose thread it is is asked to stop.
        """
        while True:
            with self._lock:
                if self._sizes[1] <= DATA_BYTES or 1 in self._dead or self._until is not None:
                    self._append(1, content)
                    break
                room = Latch()
                self._rooms.append(room)
            self._wait_for(room, len(content))
        self._bell.set()

    def last_word(self, content: bytes) -> None:
        """Queue data for descriptor 1 without waiting for room: the program ends after it."""
        with self._lock:
            self._append(1, content)
        self._bell.set()

    def close(self, timeout: float) -> bool:
        """Write what is queued while the descriptors take it, for so many seconds at most. True when all went out."""
        self._until = mono() + timeout
        self._bell.set()
        self._ended.wait(timeout + 0.1)
        return not (self._queues[1] or self._queues[2] or self._held)

    def _wait_for(self, room: Latch, size: int) -> None:
        context = current_run.get()
        if context is None:
            room.wait()
            return
        handle = context.on_cancel(room.open)
        room.wait()
        handle.close()
        if context.cancelled and self._sizes[1] > DATA_BYTES:
            self.lost_bytes += size
            raise Cancelled

    def _append(self, descriptor: int, content: bytes) -> None:
        if descriptor in self._dead:
            self.lost_bytes += len(content)
        else:
            self._queues[descriptor].append(content)
            self._sizes[descriptor] += len(content)

    # -- the thread

    def _run(self) -> None:
        while not self._is_over():
            self._release_lines()
            waiting = [descriptor for descriptor in (1, 2) if self._queues[descriptor]]
            for descriptor in self._writable(waiting):
                self._write(descriptor)
        self._make_room()
        self._ended.open()

    def _is_over(self) -> bool:
        if self._until is None:
            return False
        return not (self._queues[1] or self._queues[2] or self._held) or mono() >= self._until

    def _release_lines(self) -> None:
        """Queue the held lines, in the order of their times, once they were held long enough."""
        if not self._held or (self._until is None and mono() < self._held_since + HOLD_SECONDS):
            return
        with self._lock:
            held, self._held = self._held, []
            if 2 in self._dead:
                self.lost_bytes += sum(len(text) for _, _, text in held)
                self._sizes[2] = 0
                return
            self._queues[2].extend(text for _, _, text in sorted(held))

    def _patience(self) -> float | None:
        """Return for how many seconds there is nothing to do unless something comes; None: for ever."""
        ends = [self._until] if self._until is not None else []
        if self._held:
            ends.append(self._held_since + HOLD_SECONDS)
        return max(0.0, min(ends) - mono()) if ends else None

    def _writable(self, waiting: list[int]) -> list[int]:
        """Wait until a descriptor with work is writable or gone, or the bell rings."""
        poller = select.poll()
        poller.register(self._bell, select.POLLIN)
        for descriptor in waiting:
            poller.register(descriptor, select.POLLOUT)
        patience = self._patience()
        ready = [descriptor for descriptor, _ in poller.poll(None if patience is None else patience * 1000)]
        self._bell.clear()
        return [descriptor for descriptor in ready if descriptor in waiting]

    def _write(self, descriptor: int) -> None:
        piece = self._take(descriptor)
        try:
            written = os.write(descriptor, piece)
        except BlockingIOError:
            written = 0  # somebody set it non-blocking, and it took less than poll promised
        except OSError:
            self._bury(descriptor, len(piece))
            return
        with self._lock:
            self._sizes[descriptor] -= written
            if written < len(piece):
                self._queues[descriptor].appendleft(piece[written:])
        self._make_room()

    def _take(self, descriptor: int) -> bytes:
        """Take up to WRITE_BYTES from the front: many short lines in one write."""
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

    def _bury(self, descriptor: int, lost: int) -> None:
        """Nobody reads it any more: drop what is queued, and all that comes."""
        with self._lock:
            self._dead.add(descriptor)
            self.lost_bytes += lost + sum(map(len, self._queues[descriptor]))
            self._queues[descriptor].clear()
            self._sizes[descriptor] = 0
        self._make_room()

    def _make_room(self) -> None:
        with self._lock:
            if self._until is None and self._sizes[1] > DATA_BYTES:
                return
            rooms, self._rooms = self._rooms, []
        for room in rooms:
            room.open()
