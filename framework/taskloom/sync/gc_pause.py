"""Pausing the garbage collector where much is made and none of it is garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["paused_gc"]


@contextmanager
def paused_gc() -> Iterator[None]:
    """Collect nothing inside the block; leave collection as it was found.

    Two threads in such a block at once: the first to leave may switch it on for the other, which costs time only.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
