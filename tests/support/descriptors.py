"""The descriptors that this process has open."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["no_descriptor_is_left", "open_descriptors"]

# Reached only when a test fails.
PATIENCE_SECONDS = 20.0


def open_descriptors() -> set[int]:
    """Return the numbers of all open descriptors, without that of the search itself."""
    found = set()
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - the numbers, not paths
        with suppress(OSError):
            os.fstat(int(name))
            found.add(int(name))
    return found


@contextmanager
def no_descriptor_is_left() -> Iterator[None]:
    """Fail if a descriptor is open after the block that was not before it.

    Never compare counts: what the tests before have left for the garbage collector is closed at any time. Threads that
    began in the block and are about to end are waited for. A thread that wakes another one holds the descriptor for
    that until its call has returned, although all has ended meanwhile.
    """
    threads, before = {*threading.enumerate()}, open_descriptors()
    yield
    for thread in {*threading.enumerate()} - threads:
        if not isinstance(thread, threading._DummyThread):  # such a thread cannot be joined
            thread.join(PATIENCE_SECONDS)
    left = open_descriptors() - before
    assert not left, [Path(f"/proc/self/fd/{number}").readlink() for number in left]
