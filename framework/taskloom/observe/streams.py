"""What stands in for `sys.stdout` and `sys.stderr` under the command line: both feed the output thread."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["DataStream", "TextStream"]


class DataStream(io.RawIOBase):
    """The binary side: every write is one piece, handed on whole."""

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
        """Stay open: a task that closes its stdout must not close everybody's."""


class TextStream(io.TextIOBase):
    """The text side: each thread's line is handed on whole, so that lines of several runs never mix."""

    def __init__(self, put: Callable[[bytes], None], descriptor: int) -> None:
        super().__init__()
        self._raw = DataStream(put, descriptor)
        self._pending = threading.local()

    @property
    def buffer(self) -> Any:
        """The binary side, for `sys.stdout.buffer.write`."""
        return self._raw

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._raw.fileno()

    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> int:
        waiting = getattr(self._pending, "text", "") + text
        whole, newline, rest = waiting.rpartition("\n")
        self._pending.text = rest
        if newline:
            self._hand_on(whole + newline)
        return len(text)

    def flush(self) -> None:
        text = getattr(self._pending, "text", "")
        if text:
            self._pending.text = ""
            self._hand_on(text)

    def close(self) -> None:
        """Stay open, as the binary side does."""
        self.flush()

    def _hand_on(self, text: str) -> None:
        self._raw.write(text.encode("utf-8", "backslashreplace"))
