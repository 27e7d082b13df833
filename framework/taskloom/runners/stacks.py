"""Where threads stand: one look at the frames of all of them."""

from __future__ import annotations

import os
import sys
import sysconfig
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from taskloom.runners import Stack
from taskloom.sync.gc_pause import paused_gc

__all__ = ["capture_stacks"]


def _spellings(folder: Path) -> tuple[str, ...]:
    """Return the beginnings of the paths in a folder: code may name its file with or without symbolic links."""
    return tuple({f"{folder}{os.sep}", f"{folder.resolve()}{os.sep}"})


_OURS = _spellings(Path(__file__).parent.parent)
_LIBRARY = _spellings(Path(os.__file__).parent)
_INSTALLED = _spellings(Path(sysconfig.get_paths()["purelib"]))


def capture_stacks(idents: Sequence[int | None], texts: int) -> list[Stack]:
    """Return a Stack for each thread, in order; the whole text for the first `texts` of them."""
    frames = _frames()
    try:
        return [_stack(frames.get(ident or 0), number < texts) for number, ident in enumerate(idents)]
    finally:
        frames.clear()  # a frame keeps every local of its task alive


def _frames() -> dict[int, FrameType]:
    """Read the frames of all threads.

    On 3.11 a garbage collection inside `sys._current_frames` can deadlock (cpython#106883): it is paused there.
    """
    if sys.version_info >= (3, 12):
        return sys._current_frames()
    with paused_gc():
        return sys._current_frames()


def _stack(frame: FrameType | None, with_text: bool) -> Stack:
    if frame is None:
        return Stack("", "")
    return Stack(_where(frame), _text(frame) if with_text else "")


def _text(innermost: FrameType) -> str:
    """Write the stack from the first frame that is the author's: what led there is the same for every run."""
    lines = traceback.StackSummary.extract(traceback.walk_stack(innermost))
    lines.reverse()
    first = next((number for number, line in enumerate(lines) if _is_theirs(line.filename)), 0)
    return "".join(traceback.StackSummary.from_list(lines[first:]).format())


def _where(innermost: FrameType) -> str:
    """Name the innermost frame that the task's author would call theirs, or else the innermost."""
    frame: FrameType | None = innermost
    while frame is not None and not _is_theirs(frame.f_code.co_filename):
        frame = frame.f_back
    place = frame or innermost
    return f"{place.f_code.co_filename}:{place.f_lineno} in {place.f_code.co_name}"


def _is_theirs(path: str) -> bool:
    if path.startswith((*_OURS, "<frozen")):
        return False
    return path.startswith(_INSTALLED) or not path.startswith(_LIBRARY)
