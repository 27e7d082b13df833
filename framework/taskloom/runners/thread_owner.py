"""Which run started a thread, directly or through other threads."""

from __future__ import annotations

import threading

from taskloom.runners.context import RunContext, current_run

__all__ = ["calling_run", "owner_of", "set_owner"]

# In the dictionary of the thread: it lives as long as the thread, and the thread need not be hashable.
_KEY = "_taskloom_owner"


def owner_of(thread: threading.Thread) -> RunContext | None:
    """Return the context of the run that started the thread, directly or through other threads; None if unknown."""
    owner: RunContext | None = vars(thread).get(_KEY)
    return owner


def set_owner(thread: threading.Thread, run: RunContext) -> None:
    """Record the run that starts a thread."""
    vars(thread)[_KEY] = run


def calling_run() -> RunContext | None:
    """Return the context of the run to which the calling thread belongs; None if it is unknown.

    Takes no lock: a finalizer may print, or log, while its thread is inside of the module `threading`.
    """
    context = current_run.get()
    if context is not None:
        return context
    # Not `current_thread`, which makes an entry for a thread that it does not know, under a lock.
    thread = threading._active.get(threading.get_ident())  # type: ignore[attr-defined]
    return None if thread is None else owner_of(thread)
