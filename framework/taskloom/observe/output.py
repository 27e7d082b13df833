"""The one thread that writes to descriptors 1 and 2.

A reader that has gone, a full pipe, a full disk or a paused terminal blocks only this thread. If too many log lines are
queued, new ones are dropped and counted; if too much task data is queued, the run that writes it waits until it is
cancelled. The thread polls before each write and writes at most 4 KiB, which a writable pipe takes without blocking, so
the thread can always be ended.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from taskloom.clock import mono
from taskloom.errors import Cancelled
from taskloom.observe.descriptor import Descriptor, Writing
from taskloom.observe.held_lines import HOLD_SECONDS, HeldLines
from taskloom.runners.context import current_run
from taskloom.sync.kept_thread import KeptThread
from taskloom.sync.latch import Latch
from taskloom.sync.wakeup_fd import WakeupFd

__all__ = ["HOLD_SECONDS", "Output"]

# About ten thousand lines. A reader that is further behind is taken to be stuck, and new lines are dropped.
LOG_BYTES = 2 * 1024 * 1024
# Less than for log lines, since queued data is lost in a crash.
DATA_BYTES = 512 * 1024
# Kept at the end for writing lines whose run has not been reported as started.
LAST_LINES_SECONDS = 0.1
# The last sentence, about what was lost, is written only if that takes no longer.
LAST_SENTENCE_SECONDS = 0.05
# A descriptor that fails again and again is reported no more often than this.
FAILURE_SECONDS = 10.0
# After an exception in the thread itself, such as a MemoryError.
_RECOVERY_SECONDS = 0.01


def _tell_no_one(sentence: str) -> None:
    """Discard a sentence."""


def _nothing_left() -> None:
    """Do nothing: no text is held back."""


class _Written(NamedTuple):
    """A write whose result is still to be recorded."""

    descriptor: Descriptor
    number: int
    before: Writing
    result: int | OSError


class Output:
    """The queues of two descriptors, and the thread that writes them."""

    def __init__(self, data: int = 1, log: int = 2) -> None:
        self.dropped_lines = 0
        self.tell: Callable[[str], object] = _tell_no_one
        """Called on the output thread with a sentence about output that cannot be written."""
        self.data_ended: Callable[[], object] = _nothing_left
        """Called on the output thread when standard output has ended: its reader has gone, or it is not open."""
        self.before_end: Callable[[], object] = _nothing_left
        """Called by `close`, to queue what is held back elsewhere; nothing that it queues blocks."""
        # Re-entrant: the garbage collector may run a finalizer while we hold it, and the finalizer may print.
        self._lock = threading.RLock()
        self._data = Descriptor(data, "standard output")
        self._log = Descriptor(log, "standard error")
        self._held = HeldLines()
        # Lines that are held no longer, and the one that the thread is about to queue.
        self._released: deque[bytes] = deque()
        self._in_hand: bytes | None = None
        self._written: _Written | None = None
        self._told_at: dict[int, float] = {}
        self._waiters: list[Latch] = []
        self._deadline: float | None = None
        # Set by `close`: each write moves the deadline by the patience, but not beyond the latest.
        self._patience = self._latest = 0.0
        # Whether `close` has queued what was held back. Before that the thread has more to come, however idle it is.
        self._is_all_queued = False
        self._is_detached = False
        self._is_reporting = False
        self._ended = Latch()
        self._wakeup = WakeupFd()
        # Whether the thread will look at the queues once more. It sets this to False before it looks: so either it
        # sees what was queued before, or the writer sees False and wakes it.
        self._is_woken = False
        self._thread = KeptThread("taskloom-output", self._run, self._recover)
        self._thread.start()

    @property
    def is_data_ended(self) -> bool:
        """Whether standard output can never be written again: its reader has gone, or it is not open."""
        return self._data.state is Writing.ENDED

    @property
    def lost(self) -> tuple[int, int]:
        """The bytes of standard output and of standard error that could not be written."""
        return self._data.lost, self._log.lost

    def line(self, text: bytes, at: float | None = None, run: str = "", *, is_start: bool = False) -> None:
        """Queue a whole line of the log for descriptor 2; never blocks. `at`: monotonic seconds, None for now.

        Lines are written in the order of their times; those of a run (`run`: its id) after the one that `is_start`. If
        too much is queued, the line is dropped and counted.
        """
        if self._is_detached:
            _write_whole(self._log.number, text)
            return
        now = mono()
        at = now if at is None else at
        with self._lock:
            if self._log.size > LOG_BYTES:
                self._drop(text)
                text = b""
                if not is_start:
                    return
            if self._log.state is Writing.ENDED:
                self._log.lost += len(text)
                text = b""
            was_due = self._held.due()
            if is_start:
                self._held.add_start(text, at, now, run)
            elif text:
                self._held.add(text, at, now, run)
            self._log.size += len(text)
            due = self._held.due()
            is_earlier = due is not None and (was_due is None or due < was_due)
        if is_earlier:
            self._wakeup.set()

    def text(self, content: bytes, *, run: str = "", is_rest: bool = False) -> None:
        """Queue what a task has written to standard error, unchanged, among the log lines; never blocks.

        The rest at the end of a run or a thread gets a line break: a log line follows.
        """
        self.line(content + b"\n" if is_rest and not content.endswith(b"\n") else content, run=run)

    def data(self, content: bytes, *, run: str = "", is_rest: bool = False) -> None:
        """Queue a task's data for descriptor 1.

        Blocks while too much is queued, unless it `is_rest`, which a thread that ends has left. Raises Cancelled once
        the run on the calling thread is cancelled. While the descriptor cannot be written, data that is too much is
        counted and left out instead: a full disk stops no job.
        """
        if self._is_detached:
            _write_whole(self._data.number, content)
            return
        while True:
            with self._lock:
                is_full = self._data.size > DATA_BYTES
                if is_full and self._data.state is Writing.FAILING:
                    self._data.lost += len(content)
                    return
                if is_rest or not is_full or self._deadline is not None:
                    self._data.add(content)
                    break
                room = Latch()
                self._waiters.append(room)
            self._wait_for(room)
        if not self._is_woken:
            self._wake()

    def final_data(self, content: bytes) -> None:
        """Queue data for descriptor 1 even if too much is queued: the program ends after it."""
        with self._lock:
            self._data.add(content)
        self._wakeup.set()

    def detach(self) -> None:
        """Write from now on at once, on the caller's thread: called in a forked child, which has no output thread.

        The queued output is dropped there, since the parent writes it.
        """
        self._is_detached = True

    def close(self, timeout: float, until: float = 0.0) -> None:
        """Write what is queued, then report what is lost.

        Gives up after `timeout` seconds in which nothing could be written. `until`: the monotonic second at which it
        gives up in any case, if that is later: a machine that is busy, or a slow reader, gets the last lines too.
        """
        with self._lock:
            # From here on no data blocks its writer.
            self._patience, deadline = timeout, mono() + timeout
            self._latest = max(deadline, until)
            self._deadline = deadline
            self._data.hurry()
            self._log.hurry()
        try:
            self.before_end()
        finally:
            self._is_all_queued = True
            self._wakeup.set()
        self._thread.wait_for(self._ended, self._latest - mono() + 2 * LAST_SENTENCE_SECONDS)

    def _wake(self) -> None:
        """Wake the thread; one system call for many prints."""
        try:
            # First: after the wake-up the thread may have set it to False already.
            self._is_woken = True
            self._wakeup.set()
        except BaseException:
            self._is_woken = False
            raise

    def _wait_for(self, room: Latch) -> None:
        context = current_run.get()
        if context is None:
            room.wait()
            return
        handle = context.on_cancel(room.open)
        room.wait()
        handle.close()
        if context.cancelled and self._data.size > DATA_BYTES:
            raise Cancelled

    def _drop(self, text: bytes) -> None:
        if self._log.state is Writing.FAILING:
            self._log.lost += len(text)
        else:
            self.dropped_lines += 1

    # -- the thread

    def _run(self) -> bool:
        """Do what there is to do; return True once the end is reported."""
        if not self._is_over():
            self._step()
            return False
        if not self._is_reporting:  # if an error interrupts the report of the losses, the rest of it is left out
            self._is_reporting = True
            self._report_losses()
        self._wake_waiters()
        self._ended.open()
        return True

    def _recover(self, error: BaseException) -> None:
        """Count the line in hand as lost, and wait a little: there was no memory for a moment, or a listener raised."""
        lost, self._in_hand = self._in_hand, None
        if lost is not None:
            self.dropped_lines += 1
        self._ended.wait(_RECOVERY_SECONDS)

    def _is_over(self) -> bool:
        if self._deadline is None:
            return False
        is_held = bool(self._held or self._released)
        is_waiting = self._data.is_waiting or self._log.is_waiting or is_held
        return mono() >= self._deadline or (self._is_all_queued and not is_waiting)

    def _step(self) -> None:
        """Wait until there is something to do, and do it."""
        if self._written is not None:
            self._record()  # that was interrupted; then the thread may be over
            return
        self._is_woken = False
        self._release_lines()
        now = mono()
        waiting = [each for each in (self._data, self._log) if each.is_waiting]
        for each in self._writable([each for each in waiting if now >= each.retry_at], waiting):
            self._write(each)

    def _release_lines(self) -> None:
        """Queue the held lines that are due, in the order of their times.

        At the end of the program the last events may still come, so lines still wait for the start of their run, but
        not to the very end.
        """
        now, end = mono(), self._unstarted_until()
        is_last = end is not None and now >= end
        with self._lock:
            # On one line: an error that strikes before it leaves them held.
            self._released.extend(self._held.release(now, at_once=end is not None, everything=is_last))
            while self._released:
                self._in_hand = self._released.popleft()
                self._log.add_held(self._in_hand)
                self._in_hand = None

    def _unstarted_until(self) -> float | None:
        """Return until when lines wait for the start of their run, once the program ends; None before."""
        return None if self._deadline is None else self._deadline - LAST_LINES_SECONDS

    def _writable(self, ready: list[Descriptor], waiting: list[Descriptor]) -> list[Descriptor]:
        """Wait until one of `ready` is writable or closed, or something else is to be done; return the former."""
        poller = select.poll()
        poller.register(self._wakeup, select.POLLIN)
        for each in ready:
            poller.register(each.number, select.POLLOUT)
        # When there is something to do even if nothing new is queued.
        ends = [each.retry_at for each in waiting if each not in ready]
        ends += [
            end
            for end in (self._deadline, self._held.due(), self._unstarted_until() if self._held else None)
            if end is not None
        ]
        timeout = max(0.0, min(ends) - mono()) * 1000 if ends else None
        found = {descriptor for descriptor, _ in poller.poll(timeout)}
        self._wakeup.clear()
        return [each for each in ready if each.number in found]

    def _write(self, descriptor: Descriptor) -> None:
        with self._lock:
            piece, before = descriptor.take(), descriptor.state
        self._written = _Written(descriptor, descriptor.writes, before, descriptor.write(piece))
        self._record()

    def _record(self) -> None:
        """Record the last write, unless that is done. Also called after an error: nothing is written once more."""
        written = self._written
        if written is None:
            return
        with self._lock:
            written.descriptor.wrote(written.result, mono(), written.number)
            if self._deadline is not None and isinstance(written.result, int):
                self._deadline = min(self._latest, max(self._deadline, mono() + self._patience))
        self._written = None
        if written.descriptor is self._data:
            self._wake_waiters()
        self._report(written.descriptor, written.before)

    def _report(self, descriptor: Descriptor, before: Writing) -> None:
        """Report that a descriptor cannot be written, or can be written again."""
        if descriptor.state is before or self._deadline is not None:
            return
        if descriptor.state is Writing.FAILING:
            if mono() >= self._told_at.get(descriptor.number, float("-inf")) + FAILURE_SECONDS:
                self._told_at[descriptor.number] = mono()
                self.tell(f"cannot write to {descriptor.name}: {_cause(descriptor)}; trying again")
        elif descriptor.state is Writing.ENDED and descriptor is self._data:
            self.data_ended()
        elif before is Writing.FAILING and descriptor.state is Writing.OPEN and descriptor.lost:
            self.tell(_loss(descriptor))

    def _report_losses(self) -> None:
        """Count what was not written in time, and report what was lost, if standard error is written at once."""
        self._release_lines()
        with self._lock:
            self._data.give_up()
        if self._data.lost:
            self.tell(_loss(self._data))
        if self._log.lost:
            self.tell(_loss(self._log))
        self._release_lines()
        deadline = mono() + LAST_SENTENCE_SECONDS
        self._log.hurry()
        while self._log.is_waiting and self._log.state is Writing.OPEN and mono() < deadline:
            poller = select.poll()
            poller.register(self._log.number, select.POLLOUT)
            if not poller.poll(max(0.0, deadline - mono()) * 1000):
                return
            self._write(self._log)

    def _wake_waiters(self) -> None:
        with self._lock:
            is_full = self._data.size > DATA_BYTES and self._data.state is Writing.OPEN
            if is_full and self._deadline is None:
                return
            rooms = list(self._waiters)
        for room in rooms:
            room.open()
        with self._lock:  # after it: an error that strikes before leaves them for the next time
            self._waiters = [room for room in self._waiters if not room.is_open]


def _cause(descriptor: Descriptor) -> str:
    error = descriptor.error
    return "it was not read in time" if error is None else error.strerror or str(error)


def _loss(descriptor: Descriptor) -> str:
    count = descriptor.lost
    lost = "1 byte of output was lost" if count == 1 else f"{count:,} bytes of output were lost"
    return f"{lost} on {descriptor.name}: {_cause(descriptor)}"


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
