"""The two hooks that Taskloom registers with a process, and the schedulers that they are for.

- After a fork: only the thread that called fork lives in the child, so the schedulers of the parent are dead there.
  They are marked, and then answer in words instead of waiting for a thread that does not exist.
- At exit, before Python waits for threads: see `at_exit`. Functions of the module `atexit` are called after that wait.

Schedulers are held weakly. A scheduler that lives only because one of its runs does is among them.
"""

from __future__ import annotations

import os
import threading
import weakref
from functools import partial
from typing import TYPE_CHECKING

from taskloom.scheduler.at_exit import finish_all

if TYPE_CHECKING:
    from taskloom.scheduler.engine import Engine

__all__ = ["add_engine", "register_exit_hook"]

# A dict of weak references instead of a WeakSet: each change is one call in C, so neither a fork on another thread nor
# a finalizer finds it half changed.
_engines: dict[int, weakref.ref[Engine]] = {}
_registered: set[str] = set()


def add_engine(engine: Engine) -> None:
    """Have the engine marked in each child that is forked from this process."""
    key = id(engine)
    # The callback is C code, too: called with the reference, which is what `pop` then returns for a missing key.
    _engines[key] = weakref.ref(engine, partial(_engines.pop, key))
    if "fork" not in _registered:
        _registered.add("fork")
        os.register_at_fork(after_in_child=_mark_in_child)


def register_exit_hook() -> None:
    """Register the hook for the end of the program, once. Has no effect if the program is ending already."""
    if "exit" in _registered:
        return
    _registered.add("exit")
    try:
        threading._register_atexit(_finish)  # type: ignore[attr-defined]
    except RuntimeError:
        pass  # the interpreter is waiting for threads already; it waits for those of our runs, too


def _live_engines() -> list[Engine]:
    engines = [reference() for reference in list(_engines.values())]
    return [engine for engine in engines if engine is not None]


def _mark_in_child() -> None:
    for engine in _live_engines():
        engine.leave_behind()


def _finish() -> None:
    # A child process inherits this hook. `multiprocessing` calls it there, for the schedulers made in the child.
    finish_all(part for engine in _live_engines() if (part := engine.at_exit) is not None and not engine.is_left_behind)
