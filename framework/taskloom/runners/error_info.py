"""Converts exceptions to text. The text keeps no object of the task alive, and no error of the exception escapes."""

from __future__ import annotations

from taskloom.core.model import ErrorInfo
from taskloom.errors import TaskFailure

__all__ = ["LONGEST_TEXT", "describe"]

# A message of 10 MB was seen in practice; 64 KiB are enough for every traceback that a person reads.
LONGEST_TEXT = 64 * 1024


def describe(error: BaseException) -> ErrorInfo:
    """Return type, message and traceback text of the error, each at most 64 KiB.

    Never raises. If the error's own `__str__` raises, or there is not enough stack or memory to format it, the result
    contains what could be formatted.
    """
    try:
        is_explained = isinstance(error, TaskFailure)
        return ErrorInfo(type(error).__qualname__, _cut(_message(error)), _cut(_traceback(error)), is_explained)
    except BaseException:  # noqa: BLE001 - formatting calls code of the exception's class
        return ErrorInfo(type(error).__qualname__, "", "")


def _message(error: BaseException) -> str:
    try:
        # A copy as a plain str: an instance of a subclass would stay alive, with everything it references.
        return str.__str__(str(error))
    except BaseException as second:  # noqa: BLE001 - as above
        return f"(its message cannot be read: {type(second).__qualname__})"


def _traceback(error: BaseException) -> str:
    import traceback

    # Without the frame that called the body: it belongs to Taskloom and is the same for every run.
    first = error.__traceback__
    if first is not None and first.tb_next is not None:
        first = first.tb_next
    try:
        return "".join(traceback.format_exception(type(error), error, first))
    except BaseException as second:  # noqa: BLE001 - as above
        return f"(its traceback cannot be written: {type(second).__qualname__})\n"


def _cut(text: str) -> str:
    """Shorten a text that is too long. Both ends are kept: one shows the cause, the other the place."""
    if len(text) <= LONGEST_TEXT:
        return text
    half = LONGEST_TEXT // 2 - 32
    return f"{text[:half]}\n... {len(text) - 2 * half} characters left out ...\n{text[-half:]}"
