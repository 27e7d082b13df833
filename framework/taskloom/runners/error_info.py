"""From an exception to text: nothing of it may stay alive, and nothing in it may hurt us."""

from __future__ import annotations

from taskloom.core.model import ErrorInfo
from taskloom.errors import TaskFailure

__all__ = ["LONGEST_TEXT", "describe"]

# A message of 10 MB was seen in the wild; 64 KiB holds every traceback that a person reads.
LONGEST_TEXT = 64 * 1024


def describe(error: BaseException) -> ErrorInfo:
    """Return type, message and traceback text of the error, each at most 64 KiB.

    Never raises: an error whose own `__str__` raises, or that cannot be formatted for want of stack or
    memory, is described by what can still be said.
    """
    try:
        is_explained = isinstance(error, TaskFailure)
        return ErrorInfo(type(error).__qualname__, _cut(_message(error)), _cut(_traceback(error)), is_explained)
    except BaseException:  # noqa: BLE001 - the plugin's exception has its own code, and it runs here
        return ErrorInfo(type(error).__qualname__, "", "")


def _message(error: BaseException) -> str:
    try:
        # A copy in a plain str: a str of the plugin's own class would stay alive, with all that it holds.
        return str.__str__(str(error))
    except BaseException as second:  # noqa: BLE001 - as above
        return f"(its message cannot be read: {type(second).__qualname__})"


def _traceback(error: BaseException) -> str:
    import traceback

    # Without the frame that called the body: it is ours, and the same for every run.
    place = error.__traceback__
    try:
        return "".join(
            traceback.format_exception(type(error), error, place.tb_next if place and place.tb_next else place)
        )
    except BaseException as second:  # noqa: BLE001 - as above
        return f"(its traceback cannot be written: {type(second).__qualname__})\n"


def _cut(text: str) -> str:
    """Keep both ends of a text that is too long: the cause is at one, the place at the other."""
    if len(text) <= LONGEST_TEXT:
        return text
    half = LONGEST_TEXT // 2 - 32
    return f"{text[:half]}\n... {len(text) - 2 * half} characters left out ...\n{text[-half:]}"
