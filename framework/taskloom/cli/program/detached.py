"""The watcher and the init give up what they have of the program that they were forked from: name, descriptors, folder.

Only files of /proc are used, no ctypes: importing it would make these processes larger than all else that they do.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Collection

__all__ = ["detach", "move_standard_output", "reserve_descriptors"]

# Without /proc and close_range, descriptors above this number stay open. More would take seconds to close.
_HIGHEST = 65_536


def detach(name: str, kept: Collection[int]) -> None:
    """Take a name of at most 15 characters, keep only these descriptors, and hold no folder. Raises nothing.

    Called once, in a process that has one thread. Descriptors 0, 1 and 2 are /dev/null afterwards, so that a reader of
    the program's output gets end of file when the program ends.
    """
    gc.disable()  # a collection would touch, and so copy, the pages shared with the program
    gc.freeze()
    _close_all_but(kept)
    try:
        reserve_descriptors()
    except OSError:
        pass  # no /dev/null here: 0, 1 and 2 stay closed, and neither process writes there
    _rename(name.encode())
    try:
        os.chdir("/")
    except OSError:
        pass


def reserve_descriptors() -> None:
    """Open those of the descriptors 0, 1 and 2 that are closed. Raises OSError if /dev/null cannot be opened.

    Otherwise the next pipe or socket would get such a number, and the log lines would be sent to its peer.
    """
    while True:
        descriptor = os.open(os.devnull, os.O_RDWR)
        if descriptor > 2:
            os.close(descriptor)
            return


def move_standard_output() -> int:
    """Return another descriptor of standard output, and let 1 mean standard error from now on. Raises OSError.

    So what child processes and C code write does not get among our data. Child processes do not inherit the other one.
    """
    moved = os.dup(1)
    os.dup2(2, 1)
    return moved


def _close_all_but(kept: Collection[int]) -> None:
    try:
        numbers = [int(name) for name in os.listdir("/proc/self/fd")]  # noqa: PTH208 - pathlib is large
    except OSError:
        numbers = list(range(_HIGHEST))
    for number in numbers:
        if number not in kept:
            try:
                os.close(number)
            except OSError:
                pass  # the one that listed the folder, or not open


def _rename(name: bytes) -> None:
    _write("/proc/self/comm", name)
    try:
        with open("/proc/self/stat", "rb") as file:  # noqa: PTH123
            # After the name in parentheses, which may contain anything: field 3 of proc(5) and all that follow.
            fields = file.read().rpartition(b")")[2].split()
        start, end = int(fields[45]), int(fields[46])
    except (OSError, ValueError, IndexError):
        return
    if end - start > len(name):
        # The strings of argv stand in the memory of the process, and `ps` reads them there.
        _write("/proc/self/mem", name + bytes(end - start - len(name)), start)


def _write(path: str, data: bytes, offset: int = 0) -> None:
    try:
        file = os.open(path, os.O_WRONLY)
        try:
            if offset:
                os.lseek(file, offset, os.SEEK_SET)
            os.write(file, data)
        finally:
            os.close(file)
    except OSError:
        pass  # /proc is not mounted, or is read-only: the process keeps the program's name
