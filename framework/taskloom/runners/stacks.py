"""Captures the stacks of threads: reads the frames of all threads at once."""

from __future__ import annotations

import linecache
import os
import sys
import sysconfig
import traceback
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from taskloom.runners import Stack
from taskloom.runners.loop_stacks import Line, loop_runs, thread_lines
from taskloom.sync.gc_pause import paused_gc

__all__ = ["capture_stacks", "stack_of"]


def _spellings(folder: Path) -> tuple[str, ...]:
    """Return the path prefixes of a folder: code may have its file name with or without symbolic links."""
    return tuple({f"{folder}{os.sep}", f"{folder.resolve()}{os.sep}"})


_TASKLOOM = _spellings(Path(__file__).parent.parent)
_LIBRARY = _spellings(Path(os.__file__).parent)
_INSTALLED = _spellings(Path(sysconfig.get_paths()["purelib"]))


def capture_stacks(idents: Sequence[int | None], texts: int) -> list[Stack]:
    """Return a Stack for each thread, in order; with the whole text for the first `texts` of them."""
    with _no_collection():
        frames = sys._current_frames()
        try:
            read = [_read(ident or 0, frames, number < texts) for number, ident in enumerate(idents)]
        finally:
            frames.clear()  # a frame keeps all local variables of its task alive
    return [Stack(each.where, _text_of(each.stacks)) for each in read]


def stack_of(lines: Sequence[tuple[str, int | None, str]]) -> Stack:
    """Return the Stack of a thread of another process: file, line number and function of each frame, outermost first.

    Stack("", "") if there is none.
    """
    if not lines:
        return Stack("", "")
    file, number, function = next((line for line in reversed(lines) if _is_task_code(line[0])), lines[-1])
    return Stack(f"{file}:{number or '?'} in {function}", _formatted(lines))


def _no_collection() -> AbstractContextManager[None]:
    """Return a block without automatic garbage collection on Python 3.11, where any allocation may begin one.

    Inside `sys._current_frames` it can deadlock (cpython#106883). Inside `f_back`, which makes the frame object of the
    caller, a finalizer lets other threads run: one of them may return from that frame, which is then read after its
    end, and the process crashes (as in cpython#99110). Later versions collect between two instructions.
    """
    return nullcontext() if sys.version_info >= (3, 12) else paused_gc()


class _Read(NamedTuple):
    """The place of one thread, and its stacks."""

    where: str
    stacks: Sequence[tuple[str, list[Line]]]
    """Each with its name, "" for none; empty if no text is wanted."""


def _read(ident: int, frames: dict[int, FrameType], with_text: bool) -> _Read:
    frame = frames.get(ident)
    if frame is None:
        return _Read("", ())
    if ident in loop_runs:
        return _read_loop(ident, frames, with_text)
    return _Read(_where(frame), [("", thread_lines(frame))] if with_text else ())


def _read_loop(ident: int, frames: dict[int, FrameType], with_text: bool) -> _Read:
    """Read where the run of a coroutine is: on its thread if code of the task executes there, else where it awaits.

    If the run has ended meanwhile, that is the place of the thread.
    """
    own = thread_lines(frames.get(ident))
    run = loop_runs.get(ident)
    if run is None or any(_is_task_code(code.co_filename) for code, _ in own):
        stacks = [("", own)]
    else:
        stacks = [(name, lines) for name, lines in run.stacks(frames) if lines] or [("", own)]
    return _Read(_innermost_place(stacks[0][1]), stacks if with_text else ())


def _text_of(stacks: Sequence[tuple[str, list[Line]]]) -> str:
    """Format the stacks: this reads the files of the code, which may take long."""
    return "".join(f"{name}\n{_text(lines)}" if name else _text(lines) for name, lines in stacks)


def _innermost_place(lines: list[Line]) -> str:
    """Return the place of the innermost line that is task code, or else of the innermost line."""
    code, lineno = next((line for line in reversed(lines) if _is_task_code(line[0].co_filename)), lines[-1])
    return f"{code.co_filename}:{lineno} in {code.co_name}"


def _text(read: list[Line]) -> str:
    """Format the stack from the first frame of the task on: the frames before it are the same for every run.

    `read` was read in one short loop and is looked up here: its thread goes on meanwhile, and CPython 3.11 can crash on
    a frame that is walked while it ends.
    """
    return _formatted([(code.co_filename, lineno, code.co_name) for code, lineno in read])


def _formatted(read: Sequence[tuple[str, int | None, str]]) -> str:
    lines = [traceback.FrameSummary(filename, lineno, name, lookup_line=False) for filename, lineno, name in read]
    for filename in {line.filename for line in lines}:
        linecache.checkcache(filename)
    first = next((number for number, line in enumerate(lines) if _is_task_code(line.filename)), 0)
    return "".join(traceback.StackSummary.from_list(lines[first:]).format())


def _where(innermost: FrameType) -> str:
    """Return the place of the innermost frame that is task code, or else of the innermost frame."""
    frame: FrameType | None = innermost
    while frame is not None and not _is_task_code(frame.f_code.co_filename):
        frame = frame.f_back
    found = frame or innermost
    return f"{found.f_code.co_filename}:{found.f_lineno} in {found.f_code.co_name}"


def _is_task_code(path: str) -> bool:
    """Return whether a file belongs neither to Taskloom nor to the standard library; installed packages count."""
    if path.startswith((*_TASKLOOM, "<frozen")):
        return False
    return path.startswith(_INSTALLED) or not path.startswith(_LIBRARY)
