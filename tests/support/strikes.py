"""Raises an exception at the nth line of Taskloom that a thread executes, as a signal or a lack of memory may do."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import taskloom

__all__ = ["Strike", "StuckError", "call_struck"]

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
