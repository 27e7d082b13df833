"""Converts exceptions to text. The text keeps no object of the task alive, and no error of the exception escapes."""

from __future__ import annotations

from types import TracebackType

from taskloom.core.endings import ErrorInfo
from taskloom.errors import TaskFailure
from taskloom.text import LONGEST_TRACEBACK, kind_of, message_of, traceback_of

__all__ = ["LONGEST_TEXT", "describe", "drop_first_frame", "frames_of", "set_frames"]

# A message of 10 MB was seen in practice.
LONGEST_TEXT = LONGEST_TRACEBACK
# Between the run's thread and the constructor of the task there are frames of these.
_MAKERS = (
    "taskloom.catalog.params",
    "taskloom.cli.drill.poll_times",
    "taskloom.runners.binding",
    "taskloom.worker.order",
    "importlib",
    "importlib._bootstrap",
    "importlib._bootstrap_external",
)
_TRACEBACK = BaseException.__dict__["__traceback__"]


def frames_of(error: BaseException) -> TracebackType | None:
    """Return the traceback object of the error, whatever its class has made of the attribute."""
    found: TracebackType | None = _TRACEBACK.__get__(error)
    return found


def set_frames(error: BaseException, frames: TracebackType | None) -> None:
    """Set the traceback object of the error, whatever its class has made of the attribute."""
    _TRACEBACK.__set__(error, frames)


def drop_first_frame(error: BaseException) -> None:
    """Let the traceback begin one frame later: the task's own code, as for any other run."""
    frames = frames_of(error)
    if frames is not None:
        set_frames(error, frames.tb_next)


def describe(error: BaseException) -> ErrorInfo:
    """Return type, message and traceback text of the error, each at most 64 KiB.

    Never raises. If the error's own `__str__` raises, or there is not enough stack or memory to format it, the result
    contains what could be formatted.
    """
    kind = kind_of(error)
    try:
        # Not isinstance, which asks the object for its `__class__`.
        is_explained = issubclass(type(error), TaskFailure)
        return ErrorInfo(kind, message_of(error, LONGEST_TEXT), _traceback(error), is_explained)
    except BaseException:  # noqa: BLE001 - too little stack or memory
        return ErrorInfo(kind, "", "")


def _traceback(error: BaseException) -> str:
    # Without the frame that called the body: it belongs to Taskloom and is the same for every run.
    first = frames_of(error)
    if first is not None and first.tb_next is not None:
        first = first.tb_next
    while first is not None and first.tb_next is not None and first.tb_frame.f_globals.get("__name__") in _MAKERS:
        first = first.tb_next
    return traceback_of(error, first)
