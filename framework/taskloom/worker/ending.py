"""The end of a worker: it exits without the end of the interpreter, which would wait for the threads of the task."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from typing import NoReturn

__all__ = ["leave"]

EXIT_SECONDS = 1.0
"""How long the functions of the module `atexit`, and the last prints, get."""


def leave(code: int) -> NoReturn:
    """Call the functions of `atexit`, flush the standard streams, and exit; at most EXIT_SECONDS later."""
    try:
        thread = threading.Thread(target=_finish, name="taskloom-exit", daemon=True)
        thread.start()
        thread.join(EXIT_SECONDS)
    except BaseException:  # noqa: BLE001 - such as no more threads: the process ends all the same
        pass
    finally:
        os._exit(code)


def _finish() -> None:
    """Do all that may block for ever: a pipe that is not read, or a function of the task's libraries."""
    _flush()
    atexit._run_exitfuncs()
    _flush()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except Exception:  # noqa: BLE001 - a stream of the task, or one that is closed
            pass
