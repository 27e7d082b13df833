"""Raises an exception at the nth line of Taskloom that a thread executes, as a signal or a lack of memory may do."""

from __future__ import annotations

import dis
import gc
import linecache
import sys
import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

import taskloom

__all__ = ["Strike", "StuckError", "ThreadStrike", "call_struck", "strike_each_line"]

# More than any trial has: the loop ends when a strike comes too late.
MOST_LINES = 100_000
# Limits only how long a failing trial takes.
PATIENCE_SECONDS = 30.0

HOME = str(Path(taskloom.__file__).parent)


class StuckError(AssertionError):
    """A call that should have returned did not."""


class Strike:
    """A trace function. It raises `error` at line number `nth` and, if `times` is larger, at the lines after it."""

    def __init__(self, nth: int, error: type[BaseException], times: int = 1) -> None:
        self.nth = nth
        self.error = error
        self.left = times
        self.count = 0
        self.places: list[str] = []
        """Where it has struck: `file:line in function`."""

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        return self._line if frame.f_code.co_filename.startswith(HOME) else None

    def _line(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line" and self.left:
            self.count += 1
            if self.count >= self.nth:
                self.left -= 1
                code = frame.f_code
                self.places.append(f"{code.co_filename.removeprefix(HOME)}:{frame.f_lineno} in {code.co_name}")
                raise self.error
        return self._line


def call_struck(strike: Strike, call: Callable[[], object]) -> bool:
    """Make the call on this thread with the strike; return whether its exception came out of the call."""
    before = sys.gettrace()
    sys.settrace(strike)
    try:
        call()
    except strike.error:
        return True
    finally:
        sys.settrace(before)
    return False


class ThreadStrike:
    """A trace function of new threads: raises `error` at line number `nth` of the threads with one name, once.

    Only the lines in `places` count: files or folders of Taskloom. Two kinds of line do not, since no exception can
    come there: the end of a `with` block, where a trace function sees the line of the `with` once more, and `try:`.
    """

    def __init__(
        self, thread: str, places: tuple[str, ...], nth: int, error: type[BaseException] = MemoryError
    ) -> None:
        self.thread = thread
        self.nth = nth
        self.error = error
        self.count = 0
        self.place = ""
        """Where it has struck: `file:line in function`."""
        self._places = tuple(f"{HOME}/{place}" for place in places)

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        # `current_thread` would make an object for a thread that has just been forgotten, which stays.
        thread = threading._active.get(threading.get_ident())  # type: ignore[attr-defined]
        if thread is None or not thread.name.startswith(self.thread) or frame.f_code.co_name == "__del__":
            return None
        return self._line if frame.f_code.co_filename.startswith(self._places) else None

    def _line(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "line" and not self.place and frame.f_lasti not in _harmless(frame.f_code):
            self.count += 1
            if self.count == self.nth:
                code = frame.f_code
                self.place = f"{code.co_filename.removeprefix(HOME)}:{frame.f_lineno} in {code.co_name}"
                raise self.error
        return self._line


@cache
def _harmless(code: CodeType) -> frozenset[int]:
    """Return where a trace function sees a line at which nothing can fail."""
    first: dict[int, int] = {}
    found: set[int] = set()
    for offset, line in dis.findlinestarts(code):
        if not line:
            continue
        text = linecache.getline(code.co_filename, line).strip()
        is_again = first.setdefault(line, offset) != offset
        if text == "try:" or (is_again and text.startswith("with ")):
            found.add(offset)
    return frozenset(found)


def strike_each_line(
    thread: str, places: tuple[str, ...], trial: Callable[[], object], *, first: int = 1, step: int = 1
) -> Iterator[ThreadStrike]:
    """Call the trial with a strike at every `step`th line of a thread, from the `first` on; yield it after each call.

    Fails if the trial does not return, or raises, and says where it was struck. Ends when no line was struck.
    """
    # A collection would have the struck thread execute the finalizers of other tests' garbage, and what they call.
    gc.collect()
    gc.freeze()  # so that a collection after each trial takes no time
    was_enabled = gc.isenabled()
    try:
        for nth in range(first, MOST_LINES, step):
            strike = ThreadStrike(thread, places, nth)
            gc.disable()
            try:
                _make_trial(strike, trial)
            finally:
                gc.enable()
            gc.collect()
            if not strike.place:
                return
            yield strike
    finally:
        gc.unfreeze()
        if not was_enabled:
            gc.disable()
    raise AssertionError("more lines than expected")


def _make_trial(strike: ThreadStrike, trial: Callable[[], object]) -> None:
    errors: list[BaseException] = []

    def call() -> None:
        try:
            trial()
        except BaseException as error:  # noqa: BLE001 - raised by the caller
            error.add_note(f"struck at line {strike.nth}: {strike.place}")
            errors.append(error)

    threading.settrace(strike)
    try:
        driver = threading.Thread(target=call, name="driver", daemon=True)
        driver.start()
        driver.join(PATIENCE_SECONDS)
    finally:
        threading.settrace(None)
    if driver.is_alive():
        pytest.fail(f"the trial hangs after a strike at line {strike.nth}: {strike.place}")
    if errors:
        raise errors[0]
