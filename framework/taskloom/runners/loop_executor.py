"""The threads of an event loop: they execute `ctx.to_thread`, `asyncio.to_thread` and `run_in_executor(None, ...)`.

A `concurrent.futures.ThreadPoolExecutor` is joined at the end of the interpreter, even if it never ends. The threads
here belong to the run instead: they have the daemon flag of its thread, and the run ends when the last of them ends.
"""

from __future__ import annotations

import os
import sys
import threading
from _thread import allocate_lock
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context, copy_context
from functools import partial
from queue import SimpleQueue
from types import FrameType
from typing import Any

from taskloom.runners.loop_stacks import Line, thread_lines

__all__ = ["LoopExecutor"]

# As many as concurrent.futures allows by default: enough for blocking I/O, without a crowd of threads.
MAX_THREADS = min(32, (os.cpu_count() or 1) + 4)


class _Call:
    """A call that waits for a thread or is executed by one."""

    __slots__ = ("context", "function", "future", "origin")

    def __init__(self, function: Callable[[], Any], context: Context, origin: list[Line]) -> None:
        self.function: Callable[[], Any] | None = function
        self.context: Context | None = context
        self.origin = origin
        """The stack of the caller, outermost first."""
        self.future: Future[Any] = Future()

    def drop(self) -> None:
        """Make `execute` do nothing."""
        self.function = self.context = None

    def execute(self) -> None:
        """Call the function, unless it was dropped or its future cancelled. Drops all references to it."""
        function, context, self.function, self.context = self.function, self.context, None, None
        if function is None or context is None or not self.future.set_running_or_notify_cancel():
            return
        try:
            result = context.run(function)
        except BaseException as error:  # noqa: BLE001 - it is raised again where the result is awaited
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


# A subclass in name: `loop.set_default_executor` refuses any other class. None of its threads are ever created.
class LoopExecutor(ThreadPoolExecutor):
    """Executes calls on threads that end with the run. Any thread may call any method."""

    def __init__(self, name: str) -> None:
        super().__init__(1)
        self._name = name
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._guard = allocate_lock()
        self._free = 0
        """Threads that wait for a call, minus queued calls."""
        self._workers: dict[threading.Thread, _Call | None] = {}
        """The threads, and the call that each executes. They end only after `close`."""
        self._alive = 0
        self._is_closed = False
        self._on_ended: Callable[[], object] | None = None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Queue a call. Raises RuntimeError after `close`, or if there is no thread and none can be started.

        The call has a copy of the caller's contextvars, so its log lines and prints are those of the run.
        """
        call = _Call(partial(fn, *args, **kwargs), copy_context(), thread_lines(sys._getframe()))
        with self._guard:
            if self._is_closed:
                raise RuntimeError("cannot call a function on another thread: the event loop has ended")
            self._free -= 1
            self._calls.put(call)
            if self._free >= 0 or self._alive >= MAX_THREADS:
                return call.future
            thread = threading.Thread(target=self._execute_all, name=f"{self._name}-thread-{self._alive + 1}")
            self._workers[thread] = None
            self._alive += 1
            self._free += 1
        try:
            thread.start()
        except RuntimeError:
            if not self._drop(thread):
                call.drop()  # it stays queued and does nothing
                raise
        return call.future

    def _drop(self, thread: threading.Thread) -> bool:
        """Remove a thread that could not be started; return whether another one will execute the queued calls."""
        with self._guard:
            del self._workers[thread]
            self._alive -= 1
            self._free -= 1
            return self._alive > 0

    def stacks(self, frames: dict[int, FrameType]) -> list[list[Line]]:
        """Return the stack of each call that is executed, outermost first, beginning with the stack of its caller.

        `frames`: the current frame of each thread. Any thread may call it.
        """
        with self._guard:
            busy = [(thread.ident or 0, call) for thread, call in self._workers.items() if call is not None]
        return [call.origin + _lines_of_call(frames.get(ident)) for ident, call in busy]

    def close(self, on_ended: Callable[[], object]) -> None:
        """Refuse further calls. Once the queued calls are executed and all threads free, call `on_ended`.

        It is called once, on the last thread that ends, or at once if there is none.
        """
        with self._guard:
            self._is_closed = True
            self._on_ended = on_ended
            alive = self._alive
        for _ in range(alive):
            self._calls.put(None)
        if not alive:
            self._report_end()

    def join(self) -> None:
        """After `on_ended` was called, wait for the threads to leave; they have nothing left to do."""
        for thread in self._workers:
            thread.join()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Refuse further calls. Never waits: the loop has waited for the threads before it was closed."""
        with self._guard:
            self._is_closed = True

    def _report_end(self) -> None:
        with self._guard:
            on_ended, self._on_ended = self._on_ended, None
        if on_ended is not None:
            on_ended()

    def _execute_all(self) -> None:
        me = threading.current_thread()
        while (call := self._calls.get()) is not None:
            self._workers[me] = call
            call.execute()
            self._workers[me] = None
            del call
            with self._guard:
                self._free += 1
        with self._guard:
            self._alive -= 1
            is_last = not self._alive
        if is_last:
            self._report_end()


def _lines_of_call(innermost: FrameType | None) -> list[Line]:
    """Return the lines of a thread's stack without those of this module and of what called it."""
    lines = thread_lines(innermost)
    own = [number for number, (code, _) in enumerate(lines) if code is _Call.execute.__code__]
    return lines[own[-1] + 1 :] if own else []
