"""Pauses the garbage collector while many objects are created and none of them is garbage.

A Ctrl-C may strike any line, and a collector that stays disabled would leak memory in the host for ever. So each block
keeps an object alive, and `resume_gc` enables the collector again if no such object exists. It is called at the end of
each block, and by the scheduler's thread before it sleeps.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["paused_gc", "resume_gc"]


class _Block:
    """Alive while the code of one block is executed."""

    __slots__ = ("__weakref__",)


class _Pause:
    """The pause of this process."""

    def __init__(self) -> None:
        self.blocks: list[weakref.ref[_Block]] = []
        self.is_ours = False
        """Whether we have disabled the collector; a host that has disabled it keeps it so."""


_PAUSE = _Pause()


@contextmanager
def paused_gc() -> Iterator[None]:
    """Disable automatic garbage collection inside the block; restore the previous setting afterwards.

    If two threads are in such blocks at once, the first that leaves may enable collection for the other. That costs
    time only.
    """
    block: _Block | None = _Block()
    _PAUSE.blocks.append(weakref.ref(block))  # type: ignore[arg-type]
    if gc.isenabled():
        _PAUSE.is_ours = True
        gc.disable()
    try:
        yield
    finally:
        block = None
        resume_gc()


def resume_gc() -> None:
    """Enable the collector again if we have disabled it and no block is executed. Any thread may call it."""
    if _PAUSE.is_ours:
        alive = [block for block in _PAUSE.blocks if block() is not None]
        _PAUSE.blocks[:] = alive
        if not alive:
            gc.enable()
            _PAUSE.is_ours = False  # after it: an interrupt in between changes nothing
