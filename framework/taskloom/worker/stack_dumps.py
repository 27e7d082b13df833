"""Writes the stacks of all threads to a file in memory when DUMP_SIGNAL comes, in C: even while a thread holds the GIL.

The program opens the file through /proc; so a dump never appears among the lines of the job, and costs no descriptor
there until one is wanted.
"""

from __future__ import annotations

import faulthandler
import os

from taskloom.runners.stack_signal import DUMP_SIGNAL

__all__ = ["forget_dumps", "prepare_dumps"]

# A task that closes all descriptors closes this one, too. A number that the kernel does not give to another file soon:
# it takes the lowest free one.
_HIGH_NUMBER = 900


def prepare_dumps() -> int:
    """Return the descriptor of the file to which the signal makes this process write; -1 if it has none.

    Called on the main thread.
    """
    try:
        made = os.memfd_create("taskloom-stacks", os.MFD_CLOEXEC)
    except (OSError, AttributeError):
        return -1
    number = _raised(made)
    faulthandler.register(DUMP_SIGNAL, file=number, all_threads=True)
    return number


def forget_dumps(number: int) -> None:
    """Called in a forked child: the file is the parent's."""
    faulthandler.unregister(DUMP_SIGNAL)
    try:
        os.close(number)
    except OSError:
        pass  # the task has closed it


def _raised(number: int) -> int:
    """Return a higher number for the descriptor, or this one if the limit of the process is too low."""
    try:
        os.fstat(_HIGH_NUMBER)
    except OSError:
        pass  # it is free: nothing else of this process has opened files yet
    else:
        return number
    try:
        os.dup2(number, _HIGH_NUMBER, inheritable=False)
    except OSError:
        return number
    os.close(number)
    return _HIGH_NUMBER
