"""Forked children of the program inherit nothing of Taskloom.

A child that `os.fork` makes (multiprocessing's fork, `ProcessPoolExecutor`, `Pool`, a `preexec_fn` of subprocess) is a
copy of the program with one thread. Without help it has our signal handlers, which write into a queue that no thread
reads, and our wake-up descriptor, through which a signal to the child looks like a signal to the program. Its prints
and log lines go to an output thread that does not exist. So hooks of `os.register_at_fork` reset the child before it
executes anything else.

The signals are blocked from before the fork until the child is reset: a signal in between, such as the one of
`Process.terminate()` right after `Process.start()`, would still be handled as the program's.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
import weakref
from collections.abc import Callable, Iterable
from typing import Any, TextIO

from taskloom.cli.program.thread_owners import calling_run

__all__ = ["FORK_SIGNALS", "ForkedChildren"]

FORK_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)

# The hooks cannot be taken back, so they are registered once, and work for the latest program that is alive.
_latest: weakref.ref[ForkedChildren] | None = None
_is_registered = False


def _nothing() -> None:
    """Do nothing."""


class ForkedChildren:
    """Resets the forked children of one program. Create it before the program sets its signal handlers.

    It is in effect from `install` until `close`, or until it is collected with its program.
    """

    def __init__(self) -> None:
        self._handlers = {number: signal.getsignal(number) for number in FORK_SIGNALS}
        self._in_child: list[Callable[[], object]] = []
        self._in_parent: Callable[[], object] = _nothing
        self._ours: tuple[object, ...] = ()
        # The signal mask of each thread that is about to fork.
        self._masks = threading.local()
        self._gate: threading.Lock | None = None

    def install(self) -> None:
        """Reset children that are forked from now on."""
        global _latest, _is_registered  # noqa: PLW0603 - the interpreter has one list of hooks, too
        _latest = weakref.ref(self)
        if not _is_registered:
            _is_registered = True
            os.register_at_fork(
                before=lambda: _call(ForkedChildren.before),
                after_in_parent=lambda: _call(ForkedChildren.after_in_parent),
                after_in_child=lambda: _call(ForkedChildren.after_in_child),
            )

    def close(self) -> None:
        """Leave later children as they are. Idempotent."""
        global _latest  # noqa: PLW0603 - as above
        if _latest is not None and _latest() is self:
            _latest = None

    def in_child(self, *actions: Callable[[], object]) -> None:
        """Call the actions in each child, on its one thread. They must not wait: locks may be held for ever there."""
        self._in_child.extend(actions)

    def in_parent(self, action: Callable[[], object]) -> None:
        """Call the action after each fork, on the thread that forked."""
        self._in_parent = action

    def replace_streams(self, streams: Iterable[object]) -> None:
        """Replace these objects, where they are `sys.stdout` or `sys.stderr`, in each child."""
        self._ours = tuple(streams)

    def refuse(self) -> None:
        """Let no thread fork any more: it waits until the program has exited, which is a moment later."""
        gate = threading.Lock()
        gate.acquire()
        self._gate = gate

    def allow(self) -> None:
        """Let threads fork again, those that wait included."""
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.release()

    def wait_if_refused(self) -> None:
        """Return at once, or after `refuse` only once it is allowed again."""
        gate = self._gate
        if gate is not None:
            with gate:
                pass

    # -- the hooks; on the thread that forks

    def before(self) -> None:
        """Called before the fork: block the signals."""
        self.wait_if_refused()
        self._masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, FORK_SIGNALS)

    def after_in_parent(self) -> None:
        """Called in the parent after the fork, and after one that failed."""
        self._unblock()
        self._in_parent()

    def after_in_child(self) -> None:
        """Called in the child: reset it, then let the signals in."""
        try:
            for step in (self._reset_signals, self._reset_streams, _detach_context, *self._in_child):
                try:
                    step()
                except Exception:  # noqa: BLE001 - one part that stays as it was must not keep the others so
                    traceback.print_exc()
        finally:
            self.close()  # children of the child have nothing of ours
            self._unblock()

    def _reset_signals(self) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._handlers.items():
            # None was not set from Python: nothing but the default is certain to work in the child.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # as Python itself does

    def _reset_streams(self) -> None:
        # In a drill, standard output is written to descriptor 2 as well.
        if any(sys.stdout is stream for stream in self._ours):
            sys.stdout = _plain_stream(sys.stdout.fileno())
        if any(sys.stderr is stream for stream in self._ours):
            sys.stderr = _plain_stream(sys.stderr.fileno())

    def _unblock(self) -> None:
        mask = self._masks.__dict__.pop("before", None)
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _detach_context() -> None:
    context = calling_run()
    if context is not None:
        context.detach()


def _call(hook: Callable[[ForkedChildren], None]) -> None:
    children = None if _latest is None else _latest()
    if children is not None:
        hook(children)


def _plain_stream(descriptor: int) -> TextIO | Any:
    """Return a new text stream that writes each line to the descriptor as soon as it is complete."""
    try:
        return open(descriptor, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
    except OSError:
        return None  # the descriptor is closed; Python itself has None there in that case
