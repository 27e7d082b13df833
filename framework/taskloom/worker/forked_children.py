"""Children that the task forks have nothing of the worker: they do not speak for the run, and signals end them.

The signals are blocked from before the fork until the child is reset: one that comes in between, such as that of
`Process.terminate()` right after `Process.start()`, would be handled as the worker's, and lost.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

__all__ = ["reset_children"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def reset_children(*steps: Callable[[], object]) -> None:
    """Call the steps in each child that is forked from now on, on its one thread. They must not wait."""
    # The mask of each thread that is about to fork.
    masks = threading.local()

    def block() -> None:
        masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)

    def unblock() -> None:
        mask = masks.__dict__.pop("before", None)
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def reset() -> None:
        try:
            for step in steps:
                _call(step)
        finally:
            unblock()

    os.register_at_fork(before=block, after_in_parent=unblock, after_in_child=reset)


def _call(step: Callable[[], object]) -> None:
    try:
        step()
    except Exception:  # noqa: BLE001 - one part that stays as it was must not keep the others so
        pass
