"""The thread of one cluster, and its event loop: everything about the cluster happens on it, one call after the other.

An exception of our own code never ends the loop. It is passed to `struck`, on the same thread. An error that Dask has
left in the loop, such as that of a task for which it no longer waits, goes to `strange`.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from taskloom.sync.latch import Latch
from taskloom.sync.waker import Waker

__all__ = ["ClusterThread", "PostingWaker"]

# After `stop` the tasks of the loop are cancelled, and have this long to end.
_LEAVE_SECONDS = 0.5
# By name: they are tornado's, and nothing of it is imported here.
_OF_CLOSED_CONNECTIONS = frozenset({"TimeoutError", "CancelledError", "StreamClosedError"})


class ClusterThread:
    """The thread. `post`, `stop`, `join` and `leave_behind` are for any thread, all else for this one."""

    def __init__(self, struck: Callable[[BaseException], object], strange: Callable[[str], object]) -> None:
        self._struck = struck
        self._strange = strange
        self._selector = selectors.DefaultSelector()
        self._loop = asyncio.SelectorEventLoop(self._selector)
        self._loop.set_exception_handler(self._take_strange)
        self._inbox: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        # The loop itself refers to its tasks only weakly.
        self._tasks: set[asyncio.Task[None]] = set()
        self._has_ended = Latch()
        self._thread = threading.Thread(target=self._main, name="taskloom-dask", daemon=True)

    def start(self) -> None:
        """Start the thread. Raises RuntimeError if that is not possible; then nothing is left of it."""
        try:
            self._thread.start()
        except BaseException:
            self._loop.close()
            self._has_ended.open()
            raise

    # -- for any thread

    @property
    def has_ended(self) -> bool:
        """Whether nothing that is posted will be called any more."""
        return self._has_ended.is_open

    def post(self, function: Callable[..., object], *arguments: Any) -> None:
        """Have the function called on the thread; never blocks. Has no effect after the end."""
        self._inbox.append((function, arguments))
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._drain)

    def stop(self) -> None:
        """Let the thread end after what is posted before; idempotent."""
        self.post(self._loop.stop)

    def join(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds until the thread has ended."""
        if not self._has_ended.wait(timeout):
            return False
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def leave_behind(self) -> None:
        """Called in a forked child: let none of our connections live on there.

        Each number stays in use, for nothing: an object of the parent may still close it, and must not hit a new file.
        """
        self._has_ended.open()
        numbers = {key.fd for key in list((self._selector.get_map() or {}).values())}
        numbers.add(getattr(self._selector, "fileno", lambda: -1)())
        wakeup = getattr(self._loop, "_csock", None)  # the other end of the loop's own pair of sockets
        if wakeup is not None:
            numbers.add(wakeup.fileno())
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for number in numbers - {-1}:
            with suppress(OSError):
                os.dup2(nothing, number, inheritable=False)
        os.close(nothing)

    # -- on the thread

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Execute a coroutine beside everything else."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_ended)
        return task

    def call_at(self, when: float, function: Callable[..., object], *arguments: Any) -> asyncio.TimerHandle:
        """Call the function at a monotonic second."""
        return self._loop.call_at(when, self._guard, function, arguments)

    async def call_elsewhere(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call the function on a thread of its own, and return its result: it may take long, such as an import.

        If this is cancelled, the thread ends when the function does; the end of the program does not wait for it.
        """
        done: asyncio.Future[Any] = self._loop.create_future()

        def pass_on(error: BaseException | None, result: Any) -> None:
            if done.cancelled():
                return
            if error is None:
                done.set_result(result)
            else:
                done.set_exception(error)

        def call() -> None:
            try:
                result = function(*arguments)
            except BaseException as error:  # noqa: BLE001 - for the one that waits
                self.post(pass_on, error, None)
            else:
                self.post(pass_on, None, result)

        threading.Thread(target=call, name="taskloom-dask-import", daemon=True).start()
        return await done

    def _task_ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._guard(self._struck, (error,))

    def _drain(self) -> None:
        while self._inbox:
            self._guard(*self._inbox.popleft())

    def _guard(self, function: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        try:
            function(*arguments)
        except BaseException as error:  # noqa: BLE001 - a bug, or a MemoryError: its runs have to end all the same
            self._struck(error)

    def _take_strange(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, OSError) or type(error).__name__ in _OF_CLOSED_CONNECTIONS:
            return  # Dask has closed a connection, and the listener knows
        text = str(context.get("message", ""))
        self._strange(f"{text}: {type(error).__name__}: {error}" if error is not None else text)

    def _main(self) -> None:
        try:
            asyncio.set_event_loop(self._loop)
            self._loop.run_forever()
        except BaseException as error:  # noqa: BLE001 - struck between two calls
            self._guard(self._struck, (error,))
        finally:
            self._leave()

    def _leave(self) -> None:
        """End what is left in the loop, and close it."""
        with suppress(Exception):
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            if tasks:
                self._loop.run_until_complete(asyncio.wait(tasks, timeout=_LEAVE_SECONDS))
        with suppress(Exception):
            self._loop.close()
        self._has_ended.open()


class PostingWaker(Waker):
    """Calls a function in place of waking a thread."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[[], object]) -> None:
        super().__init__()
        self._function = function

    def release(self) -> None:
        """Call the function. It may be called more than once."""
        self._function()
