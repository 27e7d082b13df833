"""Pauses the garbage collector while many objects are created and none of them is garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["paused_gc"]


@contextmanager
def paused_gc() -> Iterator[None]:
    """Disable automatic garbage collection inside the block; restore the previous setting afterwards.

    If two threads are in such blocks at once, the first that leaves may enable collection for the other. That costs
    time only.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
