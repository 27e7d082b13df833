"""The progress of a simulation on a terminal, and Ctrl-C, which ends it with a report of what was simulated so far."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, TextIO, TypeGuard

from taskloom.cli.simulate.findings import simulated_time
from taskloom.core.model import Reason, ReasonKind
from taskloom.observe.terminal import is_plain, is_terminal
from taskloom.text import duration, plural

if TYPE_CHECKING:
    from types import FrameType

    from taskloom.simulation import Progress

__all__ = ["Interrupt", "ProgressLine", "has_progress"]

# A simulation that is shorter shows no progress.
FIRST_SECONDS = 0.5
# How often the line is written again; people read no faster.
PAUSE_SECONDS = 0.2
_CTRL_C = Reason(ReasonKind.SIGNAL, "Ctrl-C")
_USUAL_COLUMNS = 80


def has_progress(
    stderr: TextIO | None, *, shares_terminal: bool, environ: Mapping[str, str] = os.environ
) -> TypeGuard[TextIO]:
    """Return whether the progress is shown: standard error is a terminal that can go back to the start of a line.

    `shares_terminal`: data are written to the same terminal, which the progress would spoil.
    """
    return stderr is not None and not shares_terminal and not is_plain(environ) and is_terminal(stderr)


class ProgressLine:
    """One line on standard error that is written again and again. It has no escapes, only a carriage return.

    `clock` returns seconds. Call it with the progress as often as you like.
    """

    def __init__(self, seconds: float, clock: Callable[[], float], stream: TextIO) -> None:
        self._of_seconds, self._clock, self._stream = seconds, clock, stream
        self._next_at = clock() + FIRST_SECONDS
        self._width = 0

    def __call__(self, progress: Progress) -> None:
        """Write the line if it is time to."""
        now = self._clock()
        if now >= self._next_at:
            self._next_at = now + PAUSE_SECONDS
            percent = int(100 * min(1.0, progress.seconds / self._of_seconds))
            done = f"{simulated_time(progress.seconds)} of {duration(self._of_seconds)}"
            self._write(f"simulated {done} ({percent}%), {plural(progress.firings, 'firing')}")

    def erase(self) -> None:
        """Leave an empty line, as if nothing had been written."""
        if self._width:
            self._write("")
            self._width = 0

    def _write(self, text: str) -> None:
        shown = text[: _columns(self._stream) - 1]  # a line that is wrapped cannot be written again
        padding = " " * (self._width - len(shown))
        back = "" if shown else "\r"
        try:
            self._stream.write(f"\r{shown}{padding}{back}")
            self._stream.flush()
        except (OSError, ValueError):  # the terminal is gone; the simulation goes on
            self._next_at = float("inf")
        self._width = len(shown)


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or _USUAL_COLUMNS
    except (OSError, ValueError):
        return _USUAL_COLUMNS


class Interrupt:
    """The first Ctrl-C asks the simulation to stop; the second one leaves at once, as it does everywhere in Python."""

    def __init__(self) -> None:
        self._reason: Reason | None = None

    @property
    def reason(self) -> Reason | None:
        """Why the simulation has to stop; None if it does not."""
        return self._reason

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        """Catch the first Ctrl-C, unless SIGINT is ignored or this is not the main thread."""
        is_main = threading.current_thread() is threading.main_thread()
        before = signal.getsignal(signal.SIGINT) if is_main else None
        if before is not signal.default_int_handler:
            yield
            return
        signal.signal(signal.SIGINT, self._on_signal)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._reason = _CTRL_C
