"""The end of a forked child that has come back from the code of a task.

A task may call `os.fork` and, in the child, simply return. The child must not go on as the run: its end would be
reported to a scheduler that has no thread there.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import NoReturn

from taskloom.core.endings import ErrorInfo, How

__all__ = ["leave_child"]

FAILED = 1


def leave_child(how: How, error: ErrorInfo | None) -> NoReturn:
    """Exit the child as a Python program ends: with its exit code, and the traceback of an exception on stderr.

    Called on the thread that forked, which is the child's main thread.
    """
    try:
        code = _exit_code(how, error)
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except BaseException:  # noqa: BLE001 - whatever happens, the child ends here
        code = FAILED
    finally:
        os._exit(code)


def _exit_code(how: How, error: ErrorInfo | None) -> int:
    if how in (How.RETURNED, How.CANCELLED) or error is None:
        return 0
    if error.type == "SystemExit":
        return _code_of_exit(error.message)
    if sys.stderr is not None:
        sys.stderr.write(error.traceback or f"{error}\n")
    return FAILED


def _code_of_exit(message: str) -> int:
    """Return what `sys.exit` was called for: nothing, a number, or a text that is printed."""
    if message in ("", "None"):
        return 0
    try:
        return int(message) & 0xFF
    except ValueError:
        if sys.stderr is not None:
            sys.stderr.write(f"{message}\n")
        return FAILED
