"""The prints of tasks, on their way to the output thread: secrets are masked, and each line is recorded for its job.

A secret may come in two pieces: what could be the beginning of one is held back until the line goes on, or its run
ends. Up to 3 characters are passed on, so that a prompt or a row of dots comes out at once; if they turn out to be the
beginning of a secret, its rest is masked.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

from taskloom.diagnostics import MASK
from taskloom.observe.job_logs import MOST_LINE, JobLogs
from taskloom.observe.masking import Masker
from taskloom.observe.secret_forms import LEAST_CHARACTERS
from taskloom.observe.streams import Put
from taskloom.text import shortened

__all__ = ["Prints"]


class _Tail(NamedTuple):
    """The end of what was written last, where a secret may begin: what is out already, and what is held back."""

    shown: str = ""
    held: str = ""


class Prints:
    """The way of one stream. `put` takes the bytes; `logs` keeps each line of them."""

    def __init__(self, put: Put, masker: Masker, logs: JobLogs) -> None:
        self._put = put
        self._masker = masker
        self._logs = logs
        # By run. Re-entrant: the garbage collector may run a finalizer while we hold it, and the finalizer may print.
        self._lock = threading.RLock()
        self._tails: dict[str, _Tail] = {}
        self._pending: dict[str, bytes] = {}

    def __call__(self, content: bytes, *, run: str = "", is_rest: bool = False) -> None:
        """Pass on what the run `run` has written ("" for other threads). Blocks if `put` does."""
        if self._masker.has_secrets or self._tails:
            content = self._masked(content, run)
            if not content:
                return
        if content.find(b"\n") == len(content) - 1 < MOST_LINE and (not self._pending or run not in self._pending):
            self._logs.printed(content, run)  # most prints are one line
        else:
            self._note(content, run)
            if is_rest:  # its thread has ended: what comes next in this run is another line
                self._note_rest(run)
        self._put(content, run=run, is_rest=is_rest)

    def end(self, run: str) -> None:
        """Pass on what is held back of a run that has ended; never blocks."""
        tail = self._tails.pop(run, None)
        if tail is not None and tail.held:
            content = _encoded(tail.held)
            self._note(content, run)
            self._put(content, run=run, is_rest=True)
        self._note_rest(run)

    def end_all(self) -> None:
        """Pass on what is held back of all runs: the program ends. Never blocks."""
        for run in [*self._tails.copy(), *self._pending.copy()]:
            self.end(run)

    def forget(self) -> None:
        """Drop what is held back: called in a forked child, since the parent writes it."""
        self._lock = threading.RLock()
        self._tails, self._pending = {}, {}

    def _masked(self, content: bytes, run: str) -> bytes:
        with self._lock:
            before = self._tails.pop(run, None) or _Tail()
            # As UTF-8, with each foreign byte escaped: it comes out as it went in.
            text = before.shown + before.held + content.decode("utf-8", "surrogateescape")
            pieces, done, masked = [], len(before.shown), 0
            for start, end in self._masker.spans(text):
                pieces += [text[done : max(start, done)], MASK]
                done = masked = end
            tail = max(masked, self._masker.unfinished(text))
            held = min(len(text), max(done, tail + LEAST_CHARACTERS - 1))
            pieces.append(text[done:held])
            if tail < len(text):
                self._tails[run] = _Tail(text[tail:held], text[held:])
        return _encoded("".join(pieces))

    def _note(self, content: bytes, run: str) -> None:
        """Record the lines that are whole."""
        if self._pending and run in self._pending:
            content = self._pending.pop(run, b"") + content
        if content.endswith(b"\n"):
            for line in content[:-1].split(b"\n"):
                self._record(line, run)
            return
        *lines, rest = content.split(b"\n")
        for line in lines:
            self._record(line, run)
        if len(rest) < MOST_LINE:
            self._pending[run] = rest
        else:
            self._record(rest, run)

    def _note_rest(self, run: str) -> None:
        rest = self._pending.pop(run, None)
        if rest:
            self._record(rest, run)

    def _record(self, line: bytes, run: str) -> None:
        if len(line) > MOST_LINE:
            line = shortened(line.decode("utf-8", "backslashreplace"), MOST_LINE).encode("utf-8", "backslashreplace")
        self._logs.printed(line, run)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
