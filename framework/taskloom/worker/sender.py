"""The thread that sends to the program. No other thread writes to the control socket.

- A message is encoded on the thread that sends it and then queued, so it is whole or not there at all, even if a signal
  interrupts that thread with an exception at any line.
- Queueing takes no lock: a finalizer may log on a thread that is just logging.
- The same thread samples the heartbeat. While the run waits on its token, and reports nothing, it sleeps. A run that
  then stops waiting goes on only when the program has been told: it may hold the GIL from then on.
- Once the program is gone, or the task has closed the socket, everything is dropped.
"""

from __future__ import annotations

import os
from _thread import get_ident
from collections import deque
from typing import TYPE_CHECKING

from taskloom.clock import mono
from taskloom.runners.wire import Logged, Up, encode
from taskloom.sync.kept_thread import KeptThread
from taskloom.sync.latch import Latch
from taskloom.sync.own_descriptor import OwnDescriptor
from taskloom.sync.waker import Waker
from taskloom.text import plural

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskloom.worker.heartbeat import Heartbeat

__all__ = ["MOST_QUEUED", "SAMPLE_SECONDS", "Sender"]

SAMPLE_SECONDS = 0.2
"""Progress and heartbeats are sent at most so often; the program samples poll ages once a second."""
MOST_QUEUED = 8 * 1024 * 1024
"""Bytes. While more is queued, a thread that logs waits."""
# Then its record is dropped: the program does not read, and the task has to go on and see its cancellation.
_LONGEST_LOG_WAIT_SECONDS = 1.0
# How long a run that stops waiting is held up at most; it takes a fraction of a millisecond if the program reads.
_RESUME_SECONDS = 0.05
_WARNING = 30


class Sender:
    """Sends messages to the program. Any thread may call any method. Implements the Sampler of a CancelToken."""

    def __init__(self, control: OwnDescriptor, on_closed: Callable[[], object]) -> None:
        self.is_idle = False
        """Whether nothing is sampled: `resume` has to be called when there is something to see."""
        self.is_closed_by_task = False
        """Whether the task has closed the socket: the program cannot learn how the run ends."""
        self._on_closed = on_closed
        self._control = control
        self._heartbeat: Heartbeat | None = None
        # A latch is opened once all that was queued before it is sent.
        self._queue: deque[bytes | Latch] = deque()
        self._queued = 0
        # The rest of the line that is being sent.
        self._unsent = memoryview(b"")
        self._waker = Waker()
        self._has_space = Latch()
        self._lost_logs = 0
        self._last: list[bytes] = []
        self._samples_at: float | None = None
        # Opened once the program knows that the run does not wait any more.
        self._resumed: deque[Latch] = deque()
        self._is_noticed = False
        self._is_sampling = False
        self._is_connected = True
        self._pid = os.getpid()
        self._thread = KeptThread("taskloom-sender", self._step, self._failed)

    def start(self, heartbeat: Heartbeat) -> None:
        """Start the thread. Raises RuntimeError if that is not possible."""
        self._heartbeat = heartbeat
        self._thread.start()

    def send(self, message: Up) -> None:
        """Queue a message; never blocks."""
        self._put(encode(message))

    def log(self, message: Logged) -> None:
        """Queue a log record. If too much is queued, wait at most a second; after that it is dropped and counted.

        Then all that follow are dropped at once, until the program reads again.
        """
        if self._queued > MOST_QUEUED and get_ident() != self._thread.ident and not self._wait_for_space():
            self._lost_logs += 1
        else:
            self.send(message)

    def begin_sampling(self) -> None:
        """Called when the body is entered: send its heartbeats from now on."""
        self._is_sampling = True
        self._waker.release()

    def resume(self) -> None:
        """Called when the run stops waiting, on its thread: wait until that is sent, and sample from then on."""
        self.is_idle = False
        if self._is_connected and get_ident() != self._thread.ident:
            sent = Latch()
            self._resumed.append(sent)
            self._waker.release()
            sent.wait(_RESUME_SECONDS)

    def notice(self) -> None:
        """Called when something is reported while nothing is sampled: sample again."""
        self.is_idle = False
        self._is_noticed = True
        self._waker.release()

    def end(self, last: Up) -> None:
        """Queue the message about the end, after the last progress and counters."""
        self._last.append(encode(last))
        self._waker.release()

    def flush(self) -> None:
        """Wait until all that was queued is sent, or the program is gone.

        If the thread could not be started, the caller sends it: the program has to learn of that.
        """
        if self._thread.ident is None:
            self._send_queue()
            if self._last:
                self._send_end()
        elif os.getpid() == self._pid:
            sent = Latch()
            self._queue.append(sent)
            self._waker.release()
            self._thread.wait_for(sent)

    def disconnect(self) -> None:
        """Called in a forked child, which must not send: drop everything from now on."""
        self._is_connected = False
        self._queue = deque()
        self._queued = 0
        self._pid = 0
        self._control.close()

    # -- on other threads

    def _put(self, line: bytes) -> None:
        if self._is_connected:
            self._queued += len(line)
            self._queue.append(line)
            self._waker.release()

    def _wait_for_space(self) -> bool:
        if self._lost_logs:
            return False
        until = mono() + _LONGEST_LOG_WAIT_SECONDS
        while self._queued > MOST_QUEUED and self._is_connected:
            if not self._has_space.wait(max(0.0, until - mono())):
                return False
        return True

    # -- on the thread

    def _step(self) -> bool:
        """Wait for something to do, and do it. Never over: the thread ends with the process."""
        self._waker.wait(None if self._samples_at is None else max(0.0, self._samples_at - mono()))
        self._send_queue()
        if self._heartbeat is not None and self._is_sampling:
            if self._resumed:
                self._send_resumed(self._heartbeat)
            if self._is_noticed:
                self._is_noticed = self.is_idle = False
            if not self.is_idle:
                self._sample(self._heartbeat)
        if self._last:
            self._send_end()
        return False

    def _send_queue(self) -> None:
        """Send what is queued. The sum may miss what other threads queue meanwhile, so it is made again at the end."""
        self._send_rest()
        queue = self._queue
        while queue:
            item = queue.popleft()
            if isinstance(item, Latch):
                item.open()
            else:
                self._queued -= len(item)
                self._send_line(item)
        self._queued = sum(len(item) for item in list(queue) if not isinstance(item, Latch))
        space, self._has_space = self._has_space, Latch()
        space.open()
        if self._lost_logs:
            self._report_lost_logs()

    def _report_lost_logs(self) -> None:
        from taskloom.clock import wall

        count, self._lost_logs = self._lost_logs, 0
        text = f"{plural(count, 'log record')} of this run were dropped: the program did not take them in time"
        self._send_line(encode(Logged(_WARNING, "taskloom.task", text, wall())))

    def _sample(self, heartbeat: Heartbeat) -> None:
        now = mono()
        if self._samples_at is None:
            self._samples_at = now + SAMPLE_SECONDS
        elif now >= self._samples_at:
            # In this order: a run that stops waiting, or reports something, does that first and then reads `is_idle`.
            # Reports that it leaves for us are seen in the next step, even if the last line overwrites its `is_idle`.
            self.is_idle = True
            for polled in heartbeat.poll_changes():
                self._send_line(encode(polled))
            for gauged in heartbeat.gauges_changes():
                self._send_line(encode(gauged))
            self.is_idle = self.is_idle and heartbeat.is_waiting
            self._samples_at = None if self.is_idle else now + SAMPLE_SECONDS

    def _send_resumed(self, heartbeat: Heartbeat) -> None:
        """Send that the run does not wait any more, and let it go on."""
        for message in heartbeat.poll_changes():
            self._send_line(encode(message))
        self.is_idle = False
        while self._resumed:
            self._resumed.popleft().open()

    def _send_end(self) -> None:
        # Messages that were queued before `end` was called may have come after `_send_queue`.
        self._send_queue()
        for message in self._heartbeat.gauges_changes() if self._heartbeat is not None else []:
            self._send_line(encode(message))
        self._is_sampling, self._samples_at = False, None
        self._send_line(self._last[0])
        self._last.pop()

    def _send_line(self, line: bytes) -> None:
        self._unsent = memoryview(line)
        self._send_rest()

    def _send_rest(self) -> None:
        while self._unsent and self._is_connected:
            if not self._control.is_ours():
                self._is_connected, self.is_closed_by_task = False, True
                self._on_closed()
                break
            try:
                sent = os.write(self._control.number, self._unsent)
            except OSError:
                self._is_connected = False  # the program is gone
                break
            self._unsent = self._unsent[sent:]
        if not self._is_connected:
            self._unsent = memoryview(b"")

    def _failed(self, error: BaseException) -> None:
        """Called after an exception, such as a MemoryError: the rest of a line that was begun is sent first."""
        self._waker.release()
