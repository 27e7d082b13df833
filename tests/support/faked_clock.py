"""A wall clock that a test sets, for a program under libfaketime. The program's monotonic clock is not changed."""

from __future__ import annotations

import time
from pathlib import Path

__all__ = ["FakedClock", "find_libfaketime"]

_LIBRARIES = ("usr/lib/*/faketime/libfaketimeMT.so.1", "usr/lib*/faketime/libfaketimeMT.so.1")


def find_libfaketime() -> Path | None:
    """Return the library of Debian's package faketime, or None."""
    return next((library for pattern in _LIBRARIES for library in Path("/").glob(pattern)), None)


class FakedClock:
    """The wall clock of programs with the environment `env`."""

    def __init__(self, library: Path, folder: Path) -> None:
        self._file = folder / "offset"
        self.set("+0")
        self.env = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, offset: str) -> None:
        """Set the difference to the real clock, such as `-1h`."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(offset + "\n")
        fresh.replace(self._file)

    def show(self, wall: float) -> None:
        """Have the clock show this second since the epoch, and go on from there."""
        self.set(f"{wall - time.time():+.3f}")
