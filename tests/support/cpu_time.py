"""The CPU time that a test itself uses, as it would be in a process without the tests before it."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["cpu_seconds"]


@contextmanager
def cpu_seconds() -> Iterator[Callable[[], float]]:
    """Return how many CPU seconds this thread has used since the block began, each time it is called.

    Other threads do not count, and a collection does not look through what other tests have left.
    """
    gc.collect()
    gc.freeze()  # for good: what the folder's conftest.py has frozen would thaw as well
    began = time.thread_time()
    yield lambda: time.thread_time() - began
