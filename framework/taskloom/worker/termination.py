"""The signals of a worker: SIGTERM ends a task that ignores its cancellation, SIGINT has no effect.

SIGTERM comes near the end of a stop, from the scheduler's ladder, or from a user at any time:
- Without a request to stop, it ends the process, as it ends any program.
- If the body was not entered yet (its module may hang at import), the process reports that, and exits.
- If the task has not polled since the request, `Cancelled` is raised in it, once.
- Else it has no effect: the task is finishing.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import CodeType, FrameType

from taskloom.errors import Cancelled
from taskloom.runners import thread
from taskloom.sync.cancel_token import CancelToken
from taskloom.sync.latch import Latch

__all__ = ["Termination", "restore_signals"]

# While one of these is the current function, the body has not begun or has ended, and the run's end must be reported.
_OWN: set[CodeType] = {
    thread._call.__code__, thread._how.__code__, CancelToken.enter.__code__, CancelToken.mark_ended.__code__,
    CancelToken.end.__code__,
}  # fmt: skip


# How long the listener gets to read a request that is there; a signal without one has to wait for it in vain.
_LISTENER_SECONDS = 0.1


class Termination:
    """Handles SIGTERM. `leave` is called if the body was not entered; it returns only if the end was reported."""

    def __init__(self, token: CancelToken, leave: Callable[[], object]) -> None:
        self._token = token
        self._leave = leave
        self._polls_at_request = -1
        self._requested = Latch()
        self._has_raised = False

    def install(self) -> None:
        """Set the handlers. Called on the main thread."""
        signal.signal(signal.SIGTERM, self._handle)
        # Not SIG_IGN, which the programs that a task starts would inherit.
        signal.signal(signal.SIGINT, _ignore)

    def stop_requested(self) -> None:
        """Called just before the run sees the request: polls from now on show that it does."""
        if self._polls_at_request < 0:
            self._polls_at_request = self._token.polls

    def request_made(self) -> None:
        """Called when the run sees the request."""
        self._requested.open()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        token = self._token
        # The program sends its request before the signal, but the listener cannot read while a thread holds the GIL.
        if not token.is_requested and not self._requested.wait(_LISTENER_SECONDS):
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif not token.is_entered:
            self._leave()
        elif self._is_ignored() and not (frame is not None and frame.f_code in _OWN):
            self._has_raised = True
            raise Cancelled

    def _is_ignored(self) -> bool:
        """Return whether the task goes on as if there were no request, and was not interrupted yet."""
        token = self._token
        return not token.has_ended and not self._has_raised and token.polls == self._polls_at_request


def _ignore(number: int, frame: FrameType | None) -> None:
    """Do nothing: Ctrl-C is for the program, which stops its runs."""


def restore_signals() -> None:
    """Called in a forked child: give the signals their usual meaning, unless the task has handlers of its own."""
    if isinstance(getattr(signal.getsignal(signal.SIGTERM), "__self__", None), Termination):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is _ignore:
        signal.signal(signal.SIGINT, signal.default_int_handler)
