"""The replacements of `sys.stdout` and `sys.stderr` under the command line: both pass text to the output thread.

They are shared by all tasks, so no task can close them, and each thread has a line of its own. A text
without a newline is passed on when it flushes, when it is MOST_PENDING_BYTES long, when the run or the thread
ends, and when the program ends.
"""

from __future__ import annotations

import codecs
import io
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from taskloom.runners.context import current_run
from taskloom.runners.thread_owner import calling_run

__all__ = ["MOST_PENDING_BYTES", "DataStream", "Put", "TextStream"]

# As much as Python's own text streams collect.
MOST_PENDING_BYTES = 8192
_NEWLINES = (None, "", "\n", "\r", "\r\n")


class Put(Protocol):
    """Takes the bytes of a stream."""

    def __call__(self, content: bytes, *, run: str = "", is_rest: bool = False) -> object:
        """Take the bytes that the run `run` has written ("" for other threads). Must not block if it `is_rest`."""


def _run_id() -> str:
    context = calling_run()
    return "" if context is None else context.run_id


class _Stream(io.BufferedIOBase):
    """The common part of the binary streams."""

    def __init__(self, put: Put, descriptor: int) -> None:
        super().__init__()
        self._put = put
        self._descriptor = descriptor
        self.name = ("<stdin>", "<stdout>", "<stderr>")[descriptor]
        self.mode = "wb"

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return _is_terminal(self._descriptor)

    def write(self, data: Any) -> int:
        content = memoryview(data).tobytes()
        if content:
            self._put(content, run=_run_id())
        return len(content)

    def close(self) -> None:
        """Stay open: a task that closes its stdout must not close that of the others."""


class DataStream(_Stream):
    """The binary stream: passes every write on in one piece."""

    def __init__(self, put: Put, descriptor: int) -> None:
        super().__init__(put, descriptor)
        self.raw: Any = _Stream(put, descriptor)

    def detach(self) -> Any:
        """Return the stream below, and stay usable."""
        return self.raw


class _Pending:
    """The text of one thread without a newline. Any thread may take it."""

    __slots__ = ("_pieces", "_size", "run")

    def __init__(self) -> None:
        # A deque: appending and removing are atomic, so the owner needs no lock against the end of the program.
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self.run = ""

    def add(self, content: bytes) -> int:
        """Append; return how many bytes there are."""
        if not content:
            return self._size
        self._pieces.append(content)
        self._size += len(content)
        return self._size

    def take(self) -> bytes:
        """Remove and return everything."""
        taken = []
        try:
            while self._pieces:
                taken.append(self._pieces.popleft())
        except IndexError:
            pass  # another thread has taken the rest
        self._size = 0
        return b"".join(taken)


class _Owner:
    """Belongs to one thread: passes on what the thread has left, when the thread has ended."""

    def __init__(self, stream: TextStream) -> None:
        self.pending = _Pending()
        self._stream = stream
        self._pid = os.getpid()
        stream.register(self.pending)

    def __del__(self, getpid: Callable[[], int] = os.getpid) -> None:
        try:
            # In a forked child the interpreter drops what other threads had, before any hook of a fork runs. A lock may
            # be held for ever then, and the parent writes it.
            if self._pid == getpid():
                self._stream.unregister(self.pending)
        except Exception:  # noqa: BLE001 - a finalizer cannot report it; the interpreter may be ending
            pass


class TextStream(io.TextIOBase):
    """The text stream: passes on whole lines of each thread, so that lines of several runs never mix.

    As `sys.stdout` it has what scripts use of an `io.TextIOWrapper`. `reconfigure` applies to all threads.
    """

    def __init__(self, put: Put, descriptor: int, *, encoding: str = "utf-8", errors: str = "backslashreplace") -> None:
        super().__init__()
        self._buffer = DataStream(put, descriptor)
        self._put = put
        self._encoding, self._errors, self._newline = encoding, errors, "\n"
        self._line_buffering, self._write_through = True, False
        self.mode = "w"
        self._pending: dict[int, _Pending] = {}
        self._of_thread = threading.local()

    # -- what scripts ask of it

    @property
    def buffer(self) -> Any:
        """The binary stream, for `sys.stdout.buffer.write`."""
        return self._buffer

    @property
    def name(self) -> str:
        """The name that Python gives to the standard stream."""
        return self._buffer.name

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    @property
    def errors(self) -> str:  # type: ignore[override]
        return self._errors

    @property
    def newlines(self) -> None:  # type: ignore[override]
        """None, as for every stream that is only written."""

    @property
    def line_buffering(self) -> bool:
        """Whether each line is passed on at once: it always is."""
        return self._line_buffering

    @property
    def write_through(self) -> bool:
        """Whether each write is passed on at once, even without a newline."""
        return self._write_through

    def reconfigure(
        self,
        *,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = "\n",
        line_buffering: bool | None = None,
        write_through: bool | None = None,
    ) -> None:
        """Change the settings, as `io.TextIOWrapper.reconfigure` does; the text before is written with the old ones.

        Unlike there, a new encoding keeps the error handler: the setting of one task must not make the prints of
        another one fail.
        """
        if newline not in _NEWLINES:
            raise ValueError(f"illegal newline value: {newline!r}")
        name = self._encoding if encoding is None else encoding
        codecs.lookup(name)
        how = self._errors if errors is None else errors
        codecs.lookup_error(how)
        self.flush()
        self._encoding, self._errors, self._newline = name, how, newline or "\n"
        self._line_buffering = self._line_buffering if line_buffering is None else bool(line_buffering)
        self._write_through = self._write_through if write_through is None else bool(write_through)

    def detach(self) -> Any:
        """Flush and return the binary stream. This stream stays usable: other tasks print to it."""
        self.flush()
        return self._buffer

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._buffer.fileno()

    def isatty(self) -> bool:
        return self._buffer.isatty()

    def close(self) -> None:
        """Flush, and stay open as the binary stream does."""
        self.flush()

    # -- writing

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        # Without calls where that is possible: a flood of prints comes through here, and each print writes twice.
        owner = getattr(self._of_thread, "owner", None)
        pending = self._own() if owner is None else owner.pending
        context = current_run.get()
        run = _run_id() if context is None else context.run_id
        if pending.run != run:
            self._pass_on(pending.take(), pending.run)  # of the run before, if its thread is used again
            pending.run = run
        end = text.rfind("\n") + 1
        rest = text
        if end:
            rest = text[end:]
            pending.add(self._encoded(text[:end] if rest else text))
            self._pass_on(pending.take(), run)
            if not rest:
                return len(text)
        size = pending.add(self._encoded(rest))
        if size >= MOST_PENDING_BYTES or (size and self._write_through):
            self._pass_on(pending.take(), run)
        return len(text)

    def flush(self) -> None:
        """Pass on what the calling thread has written."""
        owner = getattr(self._of_thread, "owner", None)
        if owner is not None:
            self._pass_on(owner.pending.take(), owner.pending.run)

    def flush_run(self, run: str) -> None:
        """Pass on what a run that has ended has left. Called on any thread; never blocks."""
        for pending in self._pending.copy().values():
            if pending.run == run:
                self._pass_on(pending.take(), run, is_rest=True)

    def flush_all(self) -> None:
        """Pass on what all threads have left: the program ends. Never blocks."""
        for pending in self._pending.copy().values():
            self._pass_on(pending.take(), pending.run, is_rest=True)

    def forget(self) -> None:
        """Drop the text without a newline: called in a forked child, since the parent writes it."""
        for pending in self._pending.copy().values():
            pending.take()  # first, since an owner passes on what its thread has left
        self._of_thread = threading.local()

    def register(self, pending: _Pending) -> None:
        """Remember what a thread has not passed on yet."""
        self._pending[id(pending)] = pending

    def unregister(self, pending: _Pending) -> None:
        """Pass on what a thread has left, and forget it. Called when the thread has ended; never blocks."""
        self._pending.pop(id(pending), None)
        self._pass_on(pending.take(), pending.run, is_rest=True)

    def _own(self) -> _Pending:
        owner = getattr(self._of_thread, "owner", None)
        if owner is None:
            owner = self._of_thread.owner = _Owner(self)
        return owner.pending

    def _encoded(self, text: str) -> bytes:
        if self._newline != "\n":
            text = text.replace("\n", self._newline)
        return text.encode(self._encoding, self._errors)

    def _pass_on(self, content: bytes, run: str, *, is_rest: bool = False) -> None:
        if content:
            self._put(content, run=run, is_rest=is_rest)


def _is_terminal(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:
        return False
