"""The threads of an event loop: they execute `ctx.to_thread`, `asyncio.to_thread` and `run_in_executor(None, ...)`.

A `concurrent.futures.ThreadPoolExecutor` is joined at the end of the interpreter, even if it never ends. The threads
here belong to the run instead: they have the daemon flag of its thread, and the run ends when the last of them ends.
"""

from __future__ import annotations

import os
import sys
from _thread import allocate_lock
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context, copy_context
from functools import partial
from queue import SimpleQueue
from types import FrameType
from typing import Any

from taskloom.runners.loop_stacks import Line, thread_lines
from taskloom.sync.kept_thread import KeptThread

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

    def fail(self, error: BaseException) -> None:
        """Have the error raised where the result is awaited, unless there is a result."""
        self.drop()
        if not self.future.done():
            self.future.set_exception(error)


class _End:
    """Ends one thread of the executor."""


class _Worker:
    """One thread of the executor. An exception in our own code fails the call that it was about to execute."""

    __slots__ = ("_executor", "current", "thread")

    def __init__(self, executor: LoopExecutor, name: str) -> None:
        self._executor = executor
        self.current: _Call | _End | None = None
        """What the thread has taken and not finished yet."""
        self.thread = KeptThread(name, self._execute_next, self._lose_current, daemon=None)

    def _execute_next(self) -> bool:
        if self.current is None:
            self.current = self._executor.calls.get()
        if isinstance(self.current, _End):
            self._executor.remove(self)
            return True
        if self.current is not None:
            self.current.execute()
            self._executor.finish_call(self)
        return False

    def _lose_current(self, error: BaseException) -> None:
        if isinstance(self.current, _Call):  # an end is done once more
            self.current.fail(error)
            self._executor.finish_call(self)


# A subclass in name: `loop.set_default_executor` refuses any other class. None of its threads are ever created.
class LoopExecutor(ThreadPoolExecutor):
    """Executes calls on threads that end with the run. Any thread may call any method."""

    def __init__(self, name: str) -> None:
        super().__init__(1)
        self._name = name
        self.calls: SimpleQueue[_Call | _End] = SimpleQueue()
        """What no thread has taken yet."""
        self._guard = allocate_lock()
        self._free = 0
        """Threads that wait for a call, minus queued calls."""
        self._workers: list[_Worker] = []
        """The threads. They end only after `close`."""
        self._alive: set[_Worker] = set()
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
            self.calls.put(call)
            if self._free >= 0 or len(self._alive) >= MAX_THREADS:
                self._ensure_threads()
                return call.future
            worker = _Worker(self, f"{self._name}-thread-{len(self._alive) + 1}")
            self._workers.append(worker)
            self._alive.add(worker)
            self._free += 1
        try:
            worker.thread.start()
        except RuntimeError:
            if not self._drop(worker):
                call.drop()  # it stays queued and does nothing
                raise
        return call.future

    def _drop(self, worker: _Worker) -> bool:
        """Remove a thread that could not be started; return whether another one will execute the queued calls."""
        with self._guard:
            self._workers.remove(worker)
            self._alive.discard(worker)
            self._free -= 1
            return bool(self._alive)

    def _ensure_threads(self) -> None:
        for worker in self._workers:
            worker.thread.ensure()

    def stacks(self, frames: dict[int, FrameType]) -> list[list[Line]]:
        """Return the stack of each call that is executed, outermost first, beginning with the stack of its caller.

        `frames`: the current frame of each thread. Any thread may call it.
        """
        with self._guard:
            busy = [(worker.thread.ident or 0, worker.current) for worker in self._workers]
        return [call.origin + _lines_of_call(frames.get(ident)) for ident, call in busy if isinstance(call, _Call)]

    def close(self, on_ended: Callable[[], object]) -> None:
        """Refuse further calls. Once the queued calls are executed and all threads free, call `on_ended`.

        It is called on the last thread that ends, or at once if there is none; after an error of ours once more.
        """
        with self._guard:
            self._is_closed = True
            self._on_ended = on_ended
            alive = len(self._alive)
        for _ in range(alive):
            self.calls.put(_End())
        self._ensure_threads()
        if not alive:
            on_ended()

    def join(self) -> None:
        """After `on_ended` was called, wait for the threads to leave; they have nothing left to do."""
        for worker in self._workers:
            worker.thread.join()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Refuse further calls. Never waits: the loop has waited for the threads before it was closed."""
        with self._guard:
            self._is_closed = True

    # -- on the threads of the executor

    def finish_call(self, worker: _Worker) -> None:
        """Count the thread as free."""
        with self._guard:
            # On one line: an error of ours strikes both or none.
            self._free, worker.current = self._free + 1, None

    def remove(self, worker: _Worker) -> None:
        """Count the thread as ended; the last one reports that all have ended. May be called again after an error."""
        with self._guard:
            self._alive.discard(worker)
            on_ended = None if self._alive else self._on_ended
        if on_ended is not None:
            on_ended()


def _lines_of_call(innermost: FrameType | None) -> list[Line]:
    """Return the lines of a thread's stack without those of this module and of what called it."""
    lines = thread_lines(innermost)
    own = [number for number, (code, _) in enumerate(lines) if code is _Call.execute.__code__]
    return lines[own[-1] + 1 :] if own else []
