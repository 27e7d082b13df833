"""The thread that reads what the program sends to the run. Its end of stream is a request to stop."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

from taskloom.core.endings import Reason, ReasonKind
from taskloom.runners.wire import (
    Cancel,
    Down,
    LineReader,
    PollInterval,
    ProtocolError,
    Spec,
    StackRequest,
    Urgent,
    decode_down,
)
from taskloom.sync.kept_thread import KeptThread

if TYPE_CHECKING:
    from taskloom.sync.own_descriptor import OwnDescriptor

__all__ = ["PROGRAM_ENDED", "Listener", "Listening"]

PROGRAM_ENDED = Reason(ReasonKind.SHUTDOWN, "the program that started it has ended")


class Listening(Protocol):
    """Called on the listener's thread for what comes; no method may block for long."""

    def cancel(self, reason: Reason) -> None:
        """Request the run to stop; idempotent."""

    def set_urgent(self) -> None:
        """Mark the stop as urgent."""

    def set_poll_interval(self, seconds: float) -> None:
        """Change the poll interval."""

    def answer_stack(self, request: int) -> None:
        """Send where the run is."""

    def tend(self) -> float | None:
        """Do what is due; return after how many seconds to call it again, None if nothing is."""


class Listener:
    """Reads the messages. `rest`: what was read already, after the first line."""

    def __init__(self, control: OwnDescriptor, rest: bytes, run: Listening) -> None:
        self._control = control
        self._run = run
        self._lines = LineReader()
        self._received = [rest] if rest else []
        # The messages that were read and not handled yet.
        self._messages: list[Down] = []
        self._thread = KeptThread("taskloom-control", self._step, lambda _: None)

    def start(self) -> None:
        """Start the thread. Raises RuntimeError if that is not possible."""
        self._thread.start()

    def _step(self) -> bool:
        """Handle the messages that have come, or wait for some; return True if no more will come."""
        if not self._received and not self._messages and not self._receive():
            return True
        try:
            for data in self._received:
                self._messages += [decode_down(line) for line in self._lines.feed(data)]
        except ProtocolError as error:
            self._run.cancel(Reason(ReasonKind.SHUTDOWN, f"the program broke the protocol: {error}"))
            return True
        self._received.clear()
        while self._messages:
            # Each is idempotent: a message that a MemoryError interrupts is handled once more.
            self._handle(self._messages[0])
            del self._messages[0]
        return False

    def _receive(self) -> bool:
        """Wait for bytes; return False at the end of the stream, or if the task has closed the socket.

        A read that has begun holds the socket open: if the task closes all descriptors, one more message gets through,
        and that is the request to stop.
        """
        tend_after = self._run.tend()
        if tend_after is not None and not _is_readable(self._control.number, tend_after):
            return True
        if not self._control.is_ours():
            return False
        try:
            data = os.read(self._control.number, 65536)
        except OSError:
            data = b""  # the program has ended, and did not read all that was sent
        if data:
            self._received.append(data)
        else:
            self._run.cancel(PROGRAM_ENDED)
        return bool(data)

    def _handle(self, message: Down) -> None:
        if isinstance(message, Cancel):
            self._run.cancel(message.reason)
        elif isinstance(message, Urgent):
            self._run.set_urgent()
        elif isinstance(message, PollInterval):
            self._run.set_poll_interval(message.seconds)
        elif isinstance(message, StackRequest):
            self._run.answer_stack(message.id)
        elif isinstance(message, Spec):
            text = "the program broke the protocol: it sent a second spec"
            self._run.cancel(Reason(ReasonKind.SHUTDOWN, text))


def _is_readable(number: int, timeout: float) -> bool:
    """Wait at most `timeout` seconds for bytes; return whether there are some."""
    import select

    poll = select.poll()
    poll.register(number, select.POLLIN)
    return bool(poll.poll(timeout * 1000))
