"""Standard output and standard error of the verbs: a write that fails ends no verb in the middle.

A verb has an exit code of its own, which scripts read. If the reader of a pipe has gone (`| head`), what is left is
discarded and the code stays. Any other failure, such as a full disk, is remembered: the exit code becomes 1, with one
sentence on standard error. Closed descriptors are opened on /dev/null, since the next file or socket would get their
number otherwise. Plugins that are imported can neither close nor replace the streams for good.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from taskloom.cli.program.detached import reserve_descriptors

__all__ = ["StandardStreams", "final_code", "imports_on_stderr"]

_FAILED = 1
_NAMES = {1: "standard output", 2: "standard error"}


class _Raw(io.RawIOBase):
    """A descriptor. The first error of a write is kept in `error`; after it everything is discarded."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.error: OSError | None = None
        self.name = ("<stdin>", "<stdout>", "<stderr>")[number]
        self.mode = "wb"

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.number

    def isatty(self) -> bool:
        try:
            return os.isatty(self.number)
        except OSError:
            return False

    def write(self, data: Any) -> int:
        content = memoryview(data).tobytes()
        while self.error is None:
            try:
                return os.write(self.number, content)
            except BlockingIOError:  # another process that shares the descriptor has made it non-blocking
                poller = select.poll()
                poller.register(self.number, select.POLLOUT)
                poller.poll()
            except OSError as error:
                self.error = error
        return len(content)

    def close(self) -> None:
        """Stay open."""


class _Buffer(io.BufferedWriter):
    """The binary stream. A text stream around it closes it when it is collected: that must do no harm."""

    def close(self) -> None:
        """Flush, and stay open."""
        self.flush()

    def detach(self) -> Any:
        """Flush and return the stream below, and stay usable."""
        self.flush()
        return self.raw


class _Text(io.TextIOWrapper):
    """The text stream. No plugin can close it."""

    def close(self) -> None:
        """Flush, and stay open."""
        self.flush()

    def detach(self) -> Any:
        """Flush and return the binary stream, and stay usable."""
        self.flush()
        return self.buffer


class StandardStreams:
    """Both streams of one call of the command line."""

    def __init__(self) -> None:
        reserve_descriptors()
        self._raws = [_Raw(1), _Raw(2)]
        self._texts = [_text(raw, original) for raw, original in zip(self._raws, _originals(), strict=True)]

    @classmethod
    def install(cls) -> StandardStreams | None:
        """Replace `sys.stdout` and `sys.stderr`; return None, and change nothing, if a host has done so already."""
        if sys.stdout is not sys.__stdout__ or sys.stderr is not sys.__stderr__:
            return None
        global _installed  # noqa: PLW0603 - a process has one standard output
        _installed = cls()
        sys.stdout, sys.stderr = _installed._texts
        return _installed

    def final_code(self, code: int, *, keeps_code: bool = False) -> int:
        """Write what is left and return the exit code: `code`, or 1 if output was lost.

        A pipe without a reader changes no code, and with `keeps_code` nothing does. May be called more than once.
        """
        for stream in self._texts:
            stream.flush()
        lost = [raw for raw in self._raws if raw.error is not None and raw.error.errno != errno.EPIPE]
        if not lost or keeps_code:
            return code
        sentences = [f"taskloom: cannot write to {_NAMES[raw.number]}: {_reason(raw.error)}\n" for raw in lost]
        self._texts[1].write("".join(sentences))
        self._texts[1].flush()
        return _FAILED

    def restore(self) -> None:
        """Put Python's own streams back, such that the end of the interpreter finds nothing that it cannot write."""
        for raw, original in zip(self._raws, _originals(), strict=True):
            try:
                if original is not None:
                    original.flush()
            except ValueError:
                continue  # a plugin has closed it
            except OSError as error:
                raw.error = error
            if raw.error is not None:
                _discard(raw.number)
        sys.stdout, sys.stderr = _originals()


_installed: StandardStreams | None = None


def final_code(code: int) -> int:
    """Write what is left and return the exit code, as `StandardStreams.final_code`: for a verb that exits by itself."""
    return code if _installed is None else _installed.final_code(code)


@contextmanager
def imports_on_stderr() -> Iterator[None]:
    """Send to standard error what plugins print when they are imported; undo it if they replace the streams."""
    before = sys.stdout, sys.stderr
    sys.stdout = sys.stderr
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _originals() -> tuple[Any, Any]:
    return sys.__stdout__, sys.__stderr__


def _text(raw: _Raw, original: Any) -> _Text:
    encoding = getattr(original, "encoding", None) or "utf-8"
    is_eager = raw.number == 2 or raw.isatty()
    return _Text(_Buffer(raw), encoding, "backslashreplace", line_buffering=is_eager, write_through=raw.number == 2)


def _reason(error: OSError | None) -> str:
    return "" if error is None else error.strerror or str(error)


def _discard(number: int) -> None:
    """Let a descriptor discard everything: what is left in buffers would fail again when the interpreter ends."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)
    except OSError:
        pass  # no descriptor is free; the worst case is one line of the interpreter about its own stream
