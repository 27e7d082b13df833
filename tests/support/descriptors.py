"""The descriptors that this process has open."""

from __future__ import annotations

import os
from contextlib import suppress

__all__ = ["open_descriptors"]


def open_descriptors() -> set[int]:
    """Return the numbers of all open descriptors, without that of the search itself."""
    found = set()
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - the numbers, not paths
        with suppress(OSError):
            os.fstat(int(name))
            found.add(int(name))
    return found
