"""The event file that `taskloom run --events PATH` writes: each event is a JSON line."""

from __future__ import annotations

import os
import stat

from taskloom.core.events import Event, as_dict
from taskloom.text import to_json

__all__ = ["EventFile"]


class EventFile:
    """Appends events to a file; a listener of the scheduler, called on one thread only.

    Raises OSError if the file cannot be opened, or is a pipe without a reader.
    """

    def __init__(self, path: str) -> None:
        # Non-blocking, since opening a pipe without a reader would block the start.
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
        self._descriptor = os.open(path, flags, 0o644)
        if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            os.set_blocking(self._descriptor, True)
        self.error: OSError | None = None

    def __call__(self, event: Event) -> None:
        """Write the event. After a failure nothing more is written, and `error` has the cause."""
        if self.error is not None:
            raise self.error
        line = (to_json(as_dict(event)) + "\n").encode("utf-8", "backslashreplace")
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
        except OSError as error:
            self.error = error
            raise
