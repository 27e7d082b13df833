"""The work of the watcher and the init while the program runs: count its signals, and end it at its hard deadline.

Signals arrive in two ways: the program reports those that it gets, and this process gets some itself. Each is told to
the program with the time of its arrival, and counted here by the same policy. So the program and its watcher agree,
even if the program reacts late because C code holds the GIL.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Collection, Iterator

from taskloom.cli.program.process import Process
from taskloom.cli.program.signals import (
    GRACE_SECONDS,
    HURRY_SECONDS,
    Arrivals,
    SignalAction,
    SignalPolicy,
    Way,
)
from taskloom.cli.program.watch_pipes import Command, CommandReader, Order, Pipes, Told
from taskloom.clock import mono

__all__ = ["DUMP_STACKS", "WATCHED", "OwnSignals", "Watch"]

# The signals with a meaning of their own.
WATCHED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
# Has faulthandler print all stacks, which needs no GIL. A real-time signal, since tasks are unlikely to use one.
DUMP_STACKS = signal.SIGRTMAX
DUMP_STACKS_SECONDS = 0.2
# Without pidfds, the end of the program is seen after this time at the latest.
ASK_SECONDS = 1.0

_NEVER = float("inf")


class OwnSignals:
    """The signals that this process gets. `fileno` is readable once there are some. Made by the main thread."""

    def __init__(self, numbers: Collection[int]) -> None:
        self.fileno, writing = self.descriptors = os.pipe()
        os.set_blocking(self.fileno, False)
        os.set_blocking(writing, False)
        # The C half of the signal handling writes the number.
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, _nothing)

    def read(self) -> bytes:
        """Return the numbers of those that have arrived since the last call, one byte each."""
        try:
            return os.read(self.fileno, 4096)
        except BlockingIOError:
            return b""


def _nothing(number: int, frame: object) -> None:
    """Handle a signal; what it means is decided where its number is read."""


class Watch:
    """Watches one program until it ends or dismisses us. Used by the only thread of the process."""

    def __init__(self, program: Process, pipes: Pipes, own: OwnSignals, *, has_terminal: bool) -> None:
        self._program = program
        self._reading, self._echoing = pipes.reading, pipes.echoing
        self._own = own
        self._commands = CommandReader()
        self._policy = SignalPolicy(has_terminal=has_terminal)
        self._arrivals = Arrivals()
        self._unsent: dict[tuple[int, bool], Told] = {}
        self._stop_within: float | None = None  # until the program begins
        self._stops_at: float | None = None
        self._grace = GRACE_SECONDS
        self._deadline = _NEVER
        self._dump_at = _NEVER
        self._is_dismissed = False

    def serve(self) -> None:
        """Watch until the end of the program, or until it dismisses us; then the pipe to it is closed."""
        os.set_blocking(self._reading, False)
        while not (self._is_dismissed or self._program.has_ended()):
            self._sleep()
            self.react()
        os.close(self._echoing)

    def pass_on(self) -> None:
        """Pass on every signal until the program has ended, as the init does once it is dismissed."""
        while not self._program.has_ended():
            poller = select.poll()
            poller.register(self._own.fileno, select.POLLIN)
            poller.poll()
            for number in self._own.read():
                if number != signal.SIGCHLD:
                    self._program.send(number)

    def react(self) -> None:
        """Do all that is due now, without waiting."""
        # The program's report first: if both processes have got a signal, its own copy is the one that is told.
        for item in self._read_commands():
            if isinstance(item, int):
                self._arrived(item, Way.PROGRAM)
            else:
                self._obey(item)
        for number in self._own.read():
            self._arrived(number, Way.WATCHER)
        self._send_unsent()
        self._enforce()

    def _sleep(self) -> None:
        poller = select.poll()
        poller.register(self._reading, select.POLLIN)
        poller.register(self._own.fileno, select.POLLIN)
        if self._unsent:
            poller.register(self._echoing, select.POLLOUT)
        if self._program.fileno is not None:
            poller.register(self._program.fileno, select.POLLIN)
        left = min(self._deadline, self._dump_at) - mono()
        if self._program.fileno is None:
            left = min(left, ASK_SECONDS)
        poller.poll(None if left == _NEVER else max(0.0, left) * 1000)

    def _read_commands(self) -> Iterator[int | Command]:
        try:
            data = os.read(self._reading, 4096)
        except BlockingIOError:
            return
        if not data:  # the program has closed the pipe
            self._is_dismissed = True
        yield from self._commands.feed(data)

    # -- signals

    def _arrived(self, number: int, way: Way) -> None:
        if number not in WATCHED:
            # The init passes on all others that are meant for the program, which only then knows of them.
            if way is Way.WATCHER and number != signal.SIGCHLD:
                self._program.send(number)
            return
        now = mono()
        is_direct = way is Way.PROGRAM
        is_pending = not is_direct and self._program.has_pending(number)
        counts = self._arrivals.is_first(number, now, way, is_pending=is_pending)
        if is_direct or counts:
            self._tell(Told(number, now, is_direct, counts))
        if counts:
            self._count(number, now)

    def _count(self, number: int, at: float) -> None:
        action = self._policy.action_for(number, at)
        if action is SignalAction.STOP:
            self._stops_at = at
            if self._stop_within is not None:
                self._limit(at + self._stop_within, self._grace)
        elif action is SignalAction.HURRY:
            self._limit(at + HURRY_SECONDS, self._grace)
        elif action is SignalAction.EXIT:
            self._limit(at)

    def _tell(self, told: Told) -> None:
        """Have a record sent. If the program reads nothing for very long, signals of one kind become one."""
        key = (told.number, told.is_direct)
        waiting = self._unsent.get(key)
        if waiting is not None:
            told = told._replace(at=waiting.at, counts=waiting.counts or told.counts)
        elif not self._unsent and self._send(told):
            return
        self._unsent[key] = told

    def _send_unsent(self) -> None:
        while self._unsent:
            key = next(iter(self._unsent))
            if not self._send(self._unsent[key]):
                return
            del self._unsent[key]

    def _send(self, told: Told) -> bool:
        """Return whether the record has left: False only if the pipe is full."""
        try:
            os.write(self._echoing, told.encoded())
        except BlockingIOError:
            return False
        except BrokenPipeError:
            pass  # the program has ended, or has closed its end
        return True

    # -- the hard deadline

    def _obey(self, command: Command) -> None:
        if command.order is Order.BEGIN:
            is_first, self._stop_within = self._stop_within is None, command.seconds
            if is_first and self._stops_at is not None:
                self._limit(self._stops_at + command.seconds, self._grace)
        elif command.order is Order.STOP_BEGAN:
            self._policy.stop_began()
            self._limit(mono() + (_NEVER if self._stop_within is None else self._stop_within), self._grace)
        elif command.order is Order.GRACE:
            self._grace = command.seconds
        elif command.order is Order.LIMIT:
            self._limit(mono() + command.seconds)
        else:
            self._is_dismissed = True

    def _limit(self, soft_deadline: float, grace: float = GRACE_SECONDS) -> None:
        """Lower the deadline to `grace` seconds after this time."""
        deadline = soft_deadline + grace
        if deadline < self._deadline:
            self._deadline = deadline
            self._dump_at = deadline - DUMP_STACKS_SECONDS

    def _enforce(self) -> None:
        now = mono()
        if now >= self._deadline:
            self._program.send(signal.SIGKILL)
            self._deadline = self._dump_at = _NEVER
        elif now >= self._dump_at:
            self._dump_at = _NEVER
            if self._stop_within is not None:  # before, the signal would end it
                self._program.send(DUMP_STACKS)
