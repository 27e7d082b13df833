"""Which run started a thread: for the exceptions of threads, and for the threads that are left at the end.

`Thread.start` is wrapped, under `taskloom run` and `taskloom drill` alone, and writes the run of the calling thread
into the new thread. Threads that such a thread starts belong to the same run, those of a pool included. Threads that
`_thread.start_new_thread` or C code starts are not seen; their job is unknown.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable

from taskloom.cli.program.wrappers import Wrappers
from taskloom.core.model import ErrorInfo
from taskloom.errors import Cancelled
from taskloom.runners.context import RunContext, current_run
from taskloom.runners.error_info import describe
from taskloom.runners.run_thread import RunThread
from taskloom.runners.thread_owner import calling_run, owner_of, set_owner

__all__ = ["JOB_UNKNOWN", "ThreadOwners", "calling_run", "job_of", "owner_of"]

JOB_UNKNOWN = "job unknown"
_QUIET = (SystemExit, Cancelled)


def job_of(owner: RunContext | None) -> str:
    """Return `job NAME`, or that it is unknown."""
    return JOB_UNKNOWN if owner is None else f"job {owner.job}"


class ThreadOwners:
    """The wrappers of `Thread.start` and `threading.excepthook`.

    `report` is called, on the thread that raised, with the thread's name, its owner and the exception.
    """

    def __init__(self, report: Callable[[str, RunContext | None, ErrorInfo], object]) -> None:
        self._report = report
        self._reporting = threading.local()
        self._wrappers = Wrappers()

    def install(self) -> None:
        """Wrap what is not wrapped. Call it again after plugins were imported: they may have set hooks of their own."""
        self._wrappers.wrap(threading.Thread, "start", _owned)
        self._wrappers.wrap(threading, "excepthook", self._hook_around)

    def close(self) -> None:
        """Put back what was there before. Idempotent."""
        self._wrappers.close()

    def _hook_around(self, before: Callable[[threading.ExceptHookArgs], object]) -> Callable[..., None]:
        def excepthook(args: threading.ExceptHookArgs, /) -> None:
            # A hook that a plugin set may call ours, which it found; then the exception was reported already.
            is_first = not getattr(self._reporting, "is_busy", False)
            self._reporting.is_busy = True
            try:
                if is_first and not issubclass(args.exc_type, _QUIET):
                    self._report_exception(args)
                if before is not threading.__excepthook__:  # it would print the same traceback again
                    before(args)
            finally:
                if is_first:
                    self._reporting.is_busy = False

        return excepthook

    def _report_exception(self, args: threading.ExceptHookArgs) -> None:
        error = args.exc_value if args.exc_value is not None else args.exc_type()
        name = args.thread.name if args.thread is not None else "unknown"
        owner = owner_of(args.thread) if args.thread is not None else current_run.get()
        self._report(name, owner, describe(error))


def _owned(start: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    @functools.wraps(start)
    def start_owned(self: threading.Thread) -> None:
        if not isinstance(self, RunThread):
            run = calling_run()
            if run is not None:
                set_owner(self, run)
        start(self)

    return start_owned
