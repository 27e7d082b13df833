"""Reads the stacks that a worker writes when it gets DUMP_SIGNAL, which it does even while a thread holds the GIL.

The worker has a file in memory for it, which is opened through /proc when it is wanted: see `Hello.dump`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator

from taskloom.clock import mono
from taskloom.runners import Stack
from taskloom.runners.stack_signal import DUMP_SIGNAL
from taskloom.runners.stacks import stack_of
from taskloom.runners.wire import Hello
from taskloom.sync.waker import Waker

__all__ = ["dump_stack", "parse_dump"]

_LOOK_SECONDS = 0.005
# The file grows with each dump. One of a hundred threads, which is the most, has far less than this.
_LONGEST_DUMP = 1024 * 1024
_THREAD = re.compile(r"(?:Current thread|Thread) 0x([0-9a-f]+)")
_FRAME = re.compile(r'  File "(.*)", line (\d+|\?\?\?) in (.*)')


def dump_stack(hello: Hello, signal: Callable[[int], object], until: float) -> Stack:
    """Have the worker write its stacks, and return that of its run; Stack("", "") if it does not in time.

    Blocks until monotonic second `until` at most. `signal` sends a signal to the worker. Any thread may call it, but
    one at a time for each worker.
    """
    text = _dump(hello, signal, until) if hello.dump >= 0 else ""
    return parse_dump(text, hello.thread)


def parse_dump(text: str, thread: int) -> Stack:
    """Return the stack of the thread with this id in what `faulthandler` has written."""
    lines: list[tuple[str, int | None, str]] = []
    is_wanted = False
    for line in text.splitlines():
        found = _THREAD.match(line)
        if found is not None:
            is_wanted = int(found[1], 16) == thread
        frame = _FRAME.match(line) if is_wanted else None
        if frame is not None:
            lines.append((frame[1], int(frame[2]) if frame[2].isdecimal() else None, frame[3]))
    lines.reverse()  # the innermost frame comes first in a dump, and last in a traceback
    return stack_of(lines)


def _dump(hello: Hello, signal: Callable[[int], object], until: float) -> str:
    try:
        number = os.open(f"/proc/{hello.pid}/fd/{hello.dump}", os.O_RDONLY)
    except OSError:
        return ""  # it has ended, or the task has closed all descriptors
    try:
        first = os.fstat(number).st_size
        signal(DUMP_SIGNAL)
        data = b""
        for found in _looks(number, first, until):
            if found and found == data:
                break  # nothing came for a while: that is all
            data = found
    finally:
        os.close(number)
    return data.decode("utf-8", "replace")


def _looks(number: int, first: int, until: float) -> Iterator[bytes]:
    """Yield what was written after the byte `first`, again and again."""
    waker = Waker()
    while mono() < until:
        waker.wait(_LOOK_SECONDS)
        try:
            yield os.pread(number, _LONGEST_DUMP, first)
        except OSError:
            return  # the descriptor was one of another file
