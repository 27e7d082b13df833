"""The two pipes between the program and its watcher, and what is written to them.

Program to watcher: the number of each signal that the program gets, in one byte, which C code writes without the GIL
(`signal.set_wakeup_fd`); between them commands, which begin with a byte that is the number of no signal.
Watcher to program: one record for each signal, of a fixed length.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from taskloom.sync.own_descriptor import OwnDescriptor

__all__ = ["Command", "CommandReader", "Order", "Pipes", "Told"]

# Commands and records are shorter than PIPE_BUF, so each is written as a whole or not at all.
_COMMAND = struct.Struct("=Bd")
_TOLD = struct.Struct("=BBid")
_MOST_READ = 4096 // _TOLD.size * _TOLD.size


class Order(IntEnum):
    """An order of the program to its watcher."""

    GRACE = 250
    """End the program this many seconds after the deadline of a stop: its jobs may have to be killed then.

    After a third signal it is ended as before: that leaves them no time.
    """
    BEGIN = 251
    """The program can react to signals now. The seconds: how long a stop may take.

    It is sent again once the job files are read, if they say another time; a stop that has begun keeps the first one.
    """
    STOP_BEGAN = 252
    """A stop has begun that no signal asked for: its deadline counts from now."""
    LIMIT = 253
    """End the program in this many seconds, unless an earlier deadline is set."""
    DISMISS = 254
    """End it no more."""


class Command(NamedTuple):
    """An order, with its seconds."""

    order: Order
    seconds: float = 0.0

    def encoded(self) -> bytes:
        """Return its bytes."""
        return _COMMAND.pack(self.order, self.seconds)


class CommandReader:
    """Splits what was read into signal numbers and commands; keeps an incomplete command for the next call."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[int | Command]:
        """Yield what the bytes contain, in order."""
        data = self._rest + data
        at = 0
        while at < len(data):
            if data[at] < Order.GRACE:
                yield data[at]
                at += 1
                continue
            if len(data) - at < _COMMAND.size:
                break
            order, seconds = _COMMAND.unpack_from(data, at)
            yield Command(Order(order), seconds)
            at += _COMMAND.size
        self._rest = data[at:]


class Told(NamedTuple):
    """A record for the program. `number` 0: the watcher is ready, and `pid` is its own; a negative one is an error."""

    number: int
    at: float
    """When the signal arrived: monotonic seconds."""
    is_direct: bool
    """The program got the signal itself; its own handler has run or will."""
    counts: bool
    """It is a signal of its own, not the copy of one that was told before."""
    pid: int = 0

    def encoded(self) -> bytes:
        """Return its bytes."""
        return _TOLD.pack(self.number, self.is_direct | self.counts << 1, self.pid, self.at)

    @staticmethod
    def read(descriptor: int) -> list[Told] | None:
        """Return the records that can be read without waiting, or None if the watcher has closed its end.

        Also None if other code of the program has closed the descriptor, as daemons close all of them.
        """
        try:
            data = os.read(descriptor, _MOST_READ)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not data or len(data) % _TOLD.size:
            return None
        return [
            Told(number, at, bool(flags & 1), bool(flags & 2), pid)
            for number, flags, pid, at in _TOLD.iter_unpack(data)
        ]


class Pipes:
    """The ends of both pipes. After the fork each process keeps its own side. Raises OSError if none can be made."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        try:
            self.echo, self.echoing = os.pipe()
        except OSError:
            os.close(self.reading)
            os.close(self.writing)
            raise
        for descriptor in (self.writing, self.echo, self.echoing):
            os.set_blocking(descriptor, False)
        # After code that closes all descriptors, the numbers may belong to other files.
        self._writing, self._echo = OwnDescriptor(self.writing), OwnDescriptor(self.echo)

    def keep_program_side(self) -> None:
        """Close what only the watcher uses."""
        os.close(self.reading)
        os.close(self.echoing)

    @property
    def is_open(self) -> bool:
        """Whether the program still has both of its ends."""
        return self._writing.is_ours() and self._echo.is_ours()

    def watcher_side(self) -> tuple[int, int]:
        """Return what the watcher keeps."""
        return self.reading, self.echoing

    def send(self, order: Order, seconds: float = 0.0) -> None:
        """Write a command. Without effect if the watcher has ended or has not read for very long."""
        if not self._writing.is_ours():
            return
        try:
            os.write(self.writing, Command(order, seconds).encoded())
        except OSError:
            pass  # the program works without it

    def close_program_side(self) -> None:
        """Close what the program uses, as far as it still has it."""
        self._writing.close()
        self._echo.close()
