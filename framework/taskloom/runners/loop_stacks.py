"""The place where the run of a coroutine currently is. A coroutine that awaits is on no thread's stack.

Nothing here imports asyncio: `taskloom.runners.stacks` reads the stacks of all runs, and most are not coroutines.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any, Protocol

__all__ = ["Line", "LoopRun", "coroutine_lines", "loop_runs", "thread_lines"]

Line = tuple[CodeType, int | None]
"""The code object of a frame, and its current line number."""


class LoopRun(Protocol):
    """A run that executes an event loop."""

    def stacks(self, frames: dict[int, FrameType]) -> Iterator[tuple[str, list[Line]]]:
        """Yield what the run waits for: a name and the lines of a stack, outermost first; the most important first.

        `frames`: the current frame of each thread. Any thread may call it, at any time.
        """


loop_runs: dict[int, LoopRun] = {}
"""For each thread that executes an event loop for a run, by its id: the run."""


def coroutine_lines(coroutine: Any) -> list[Line]:
    """Return the lines of a suspended coroutine and of what it awaits, outermost first.

    Its thread may go on meanwhile, so everything is read in one short loop, and any part may be missing.
    """
    lines: list[Line] = []
    while coroutine is not None:
        frame = _first_of(coroutine, "cr_frame", "gi_frame", "ag_frame")
        if frame is None:
            break
        lines.append((frame.f_code, frame.f_lineno))
        coroutine = _first_of(coroutine, "cr_await", "gi_yieldfrom", "ag_await")
    return lines


def thread_lines(innermost: FrameType | None) -> list[Line]:
    """Return the lines of a thread's stack, outermost first."""
    lines: list[Line] = []
    frame = innermost
    while frame is not None:
        lines.append((frame.f_code, frame.f_lineno))
        frame = frame.f_back
    lines.reverse()
    return lines


def _first_of(owner: Any, *names: str) -> Any:
    return next((getattr(owner, name) for name in names if hasattr(owner, name)), None)
