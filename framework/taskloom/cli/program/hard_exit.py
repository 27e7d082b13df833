"""The exit at the third signal: one line says who is left, and the process is gone within half a second.

Whatever may block on the way (an output that is not read, a lock that a task holds) is given a quarter of a second:
then a thread of its own exits the process.
"""

from __future__ import annotations

import os
import threading
from _thread import allocate_lock
from collections.abc import Callable, Sequence
from typing import NoReturn

from taskloom.text import first_of

__all__ = ["exit_at_once", "left_line"]

# The watcher kills the program half a second after the third signal, with another exit code.
EXIT_SECONDS = 0.25
# For the output thread to write the line, and what is queued before it.
WRITE_SECONDS = 0.1
# More names than these make a log line too long to read.
MOST_NAMED = 5


def left_line(places: Sequence[tuple[str, str]], threads: Sequence[str]) -> str:
    """Return who is left: the jobs, each with its place if that is known, or else the threads."""
    if places:
        return f"left: {first_of([f'{job} at {place}' if place else job for job, place in places], MOST_NAMED)}"
    if threads:
        return f"left: no job, threads {first_of(threads, MOST_NAMED)}"
    return "no job is left"


def exit_at_once(code: int, say: Callable[[], object], write: Callable[[float], object]) -> NoReturn:
    """Call `say` and then `write`, with the seconds that it may take, and exit the process; exit even if they block."""
    try:
        threading.Thread(target=_exit_after, args=(EXIT_SECONDS, code), name="taskloom-exit", daemon=True).start()
        say()
        write(WRITE_SECONDS)
    finally:  # also where no thread can be started: better no line than no exit
        os._exit(code)


def _exit_after(seconds: float, code: int) -> None:
    # A lock that is never released: nothing else is needed to wait.
    never = allocate_lock()
    never.acquire()
    never.acquire(timeout=seconds)
    os._exit(code)
