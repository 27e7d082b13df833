"""Coroutine functions as the runs of a runner's bench: they tell the test where they are."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from taskloom.core.model import Reason, ReasonKind
from taskloom.runners.binding import CoroutineRun

SOON = 20.0
WHY = Reason(ReasonKind.USER, "enough")

CoroutineFunction = Callable[[Any], Coroutine[Any, Any, object]]


class _Turn:
    def __await__(self) -> Generator[None, None, None]:
        yield


async def turn() -> None:
    """Let the event loop go on for one turn."""
    await _Turn()


async def pause(seconds: float) -> None:
    """Let the event loop wait for a timer, as a task under test does."""
    await asyncio.wait({asyncio.get_running_loop().create_future()}, timeout=seconds)


class AsyncRun:
    """One run of a coroutine function on a runner's bench. The function calls `arrived.set()` where it waits."""

    def __init__(self, bench: Any, function: CoroutineFunction) -> None:
        self.bench = bench
        self.handle = bench.start(CoroutineRun(function))
        self.token = bench.tokens[-1]

    def cancel(self) -> None:
        self.token.request(WHY)
        self.token.wake()

    def cancel_at(self, arrived: threading.Event) -> Any:
        """Cancel the run where it has arrived, once its loop waits for events; return its report."""
        assert arrived.wait(SOON)
        self.wait_until_idle()
        self.cancel()
        return self.report()

    def wait_until_idle(self) -> None:
        """Wait until the loop waits for events."""
        turns = threading.Event()
        limit = int(SOON / 0.001)
        while not self.token.is_waiting:
            turns.wait(0.001)
            limit -= 1
            assert limit > 0, "the loop never waits"

    def report(self) -> Any:
        [report] = self.bench.end()
        return report


def ends_as(bench: Any, function: Any) -> Any:
    """Run the function to its end, and return the report of the end."""
    AsyncRun(bench, function)
    [report] = bench.end()
    return report
