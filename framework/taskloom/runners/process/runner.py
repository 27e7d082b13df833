"""The runner `process`."""

from __future__ import annotations

from _thread import allocate_lock
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from taskloom.runners import Emit, RunHandle, RunOrder, Stack

if TYPE_CHECKING:
    from taskloom.runners.process.handle import ProcessHandle
    from taskloom.runners.process.hub import Hub
    from taskloom.runners.process.run_listener import RunListener
    from taskloom.sync.cancel_token import CancelToken

__all__ = ["ProcessRunner"]

_CLOSED = "cannot start a run in a process: the runner was closed"


class ProcessRunner:
    """Starts each run in processes of its own. Its threads are made for the first run.

    Everything that they need is imported when a runner is made, not with this module: `start` is called on the
    scheduler thread, and a job file is checked without it.
    """

    kills = needs_reference = starts_programs = True

    def __init__(self, listener: RunListener | None = None) -> None:
        """Make the runner. `listener`: takes the logs of the runs, in place of `logging`, and their other messages."""
        self.record_bug: Callable[[BaseException], object] = _raise_nothing
        """Called with an exception that has struck one of its threads. The scheduler sets it."""
        from taskloom.runners.process.hub import Hub

        self._make: Callable[[], Hub] = lambda: Hub(self.record_bug, listener)
        self._hub: Hub | None = None
        # Held while the threads are made, so that two first runs do not make them twice.
        self._making = allocate_lock()
        self._is_closed = False

    def start(self, order: RunOrder, token: CancelToken, emit: Emit) -> ProcessHandle:
        """Start the run; never blocks.

        Raises RuntimeError if its threads cannot be started, and OSError if there is no descriptor for them.
        """
        if self._is_closed:
            raise RuntimeError(_CLOSED)
        return (self._hub or self._make_hub()).start(order, token, emit)

    def start_leased(self, order: RunOrder, token: CancelToken, emit: Emit, lease: float) -> ProcessHandle:
        """Start a run as `start` does, and kill its processes when the lease ends, whatever becomes of this process.

        `lease`: a second of `taskloom.clock.boottime`; `ProcessHandle.renew` moves it.
        """
        if self._is_closed:
            raise RuntimeError(_CLOSED)
        return (self._hub or self._make_hub()).start(order, token, emit, lease)

    def _make_hub(self) -> Hub:
        with self._making:
            if self._hub is None:
                self._hub = self._make()
            return self._hub

    def stacks(self, handles: Sequence[RunHandle], texts: int) -> list[Stack]:
        """Return where the runs currently are. Takes a fifth of a second if one does not answer."""
        from taskloom.runners.process.handle import ProcessHandle
        from taskloom.runners.process.stack_requests import ask_stacks

        return ask_stacks([handle for handle in handles if isinstance(handle, ProcessHandle)], texts)

    def close(self) -> None:
        """Let the threads end with the last run. Never blocks."""
        self._is_closed = True
        if self._hub is not None:
            self._hub.close()

    def join(self, timeout: float) -> bool:
        """After `close`, wait until the threads have ended; return False after `timeout` seconds."""
        return self._hub is None or self._hub.join(timeout)

    def leave_behind(self) -> None:
        """Called in a forked child: close every descriptor that belongs to a run of the parent."""
        hub, self._hub, self._is_closed = self._hub, None, True
        if hub is not None:
            hub.leave_behind()


def _raise_nothing(_: BaseException) -> None:
    """Record nothing: outside of a scheduler the end of the run says what has happened."""
