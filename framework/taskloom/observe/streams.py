"""The replacements of `sys.stdout` and `sys.stderr` under the command line: both pass text to the output thread."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["DataStream", "TextStream"]


class DataStream(io.RawIOBase):
    """The binary stream: passes every write on in one piece."""

    def __init__(self, put: Callable[[bytes], None], descriptor: int) -> None:
        super().__init__()
        self._put = put
        self._descriptor = descriptor

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def write(self, data: Any) -> int:
        content = bytes(data)
        self._put(content)
        return len(content)

    def close(self) -> None:
        """Stay open: a task that closes its stdout must not close that of the others."""


class TextStream(io.TextIOBase):
    """The text stream: passes on whole lines of each thread, so that lines of several runs never mix."""

    encoding = "utf-8"

    def __init__(self, put: Callable[[bytes], None], descriptor: int) -> None:
        super().__init__()
        self.buffer = DataStream(put, descriptor)
        """The binary stream, for `sys.stdout.buffer.write`."""
        self._pending = threading.local()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.buffer.fileno()

    def write(self, text: str) -> int:
        pending = getattr(self._pending, "text", "") + text
        whole, newline, rest = pending.rpartition("\n")
        self._pending.text = rest
        if newline:
            self._pass_on(whole + newline)
        return len(text)

    def flush(self) -> None:
        text = getattr(self._pending, "text", "")
        if text:
            self._pending.text = ""
            self._pass_on(text)

    def close(self) -> None:
        """Flush, and stay open as the binary stream does."""
        self.flush()

    def forget(self) -> None:
        """Drop the text without a newline: called in a forked child, since the parent writes it."""
        self._pending = threading.local()

    def _pass_on(self, text: str) -> None:
        self.buffer.write(text.encode("utf-8", "backslashreplace"))
