"""Exit handlers, pools, open files: the interpreter would end them, and a hard exit would leave them out."""

from __future__ import annotations

import atexit
import gc
import io
import os
import stat
import sys
import threading
from collections.abc import Callable
from typing import Any

from taskloom.sync.gc_pause import paused_gc

__all__ = ["call_exit_handlers", "close_pools", "flush_files", "place_of_main_thread"]

_FILES = (io.BufferedWriter, io.BufferedRandom, io.BufferedRWPair, io.TextIOWrapper)


def call_exit_handlers() -> None:
    """Call the handlers of `atexit`, on the main thread, once. Their exceptions go to `sys.unraisablehook`."""
    atexit._run_exitfuncs()


def close_pools() -> None:
    """Let the idle threads of executors end, as the interpreter does before it waits for threads.

    Each handler waits for the threads of its pools, so it is called on a thread of its own. Later submits are refused.
    """
    handlers: list[Callable[[], Any]] = list(getattr(threading, "_threading_atexits", ()))
    for handler in reversed(handlers):
        module = getattr(getattr(handler, "func", handler), "__module__", "") or ""
        if module.startswith("taskloom"):
            continue  # the jobs have been stopped
        try:
            threading.Thread(target=handler, name="taskloom-pool-closer", daemon=True).start()
        except RuntimeError:
            return  # no thread can be started: the pools are awaited as they are


def flush_files() -> None:
    """Write what is in the buffers of Python's open files: those on disk first, since a pipe may block for ever."""
    # Not isinstance, which asks each object for its `__class__`: a proxy of an object that is gone raises there.
    with_ranks = [(_rank(file), file) for file in gc.get_objects() if issubclass(type(file), _FILES)]
    for _, file in sorted(with_ranks, key=lambda item: item[0]):
        try:
            if not file.closed:
                file.flush()
        except Exception:  # noqa: BLE001 - one that cannot be written must not keep others from it
            continue


def place_of_main_thread() -> str:
    """Return `file:line in function` of the main thread in an exit handler, or "" if the handler is written in C."""
    with paused_gc():  # Python 3.11 can deadlock in a collection there
        frame = sys._current_frames().get(threading.main_thread().ident or 0)
    if frame is None or frame.f_code.co_filename == __file__:
        return ""
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"


def _rank(file: Any) -> tuple[bool, bool]:
    """Sort files on disk before all else, and texts before the buffers that they write to."""
    try:
        is_on_disk = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except Exception:  # noqa: BLE001 - closed, or not a file of the system
        is_on_disk = False
    return (not is_on_disk, not isinstance(file, io.TextIOWrapper))
