"""What goes wrong inside a scheduler or a worker of Dask: functions for `client.run` and `client.run_on_scheduler`."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

__all__ = ["freeze_streams", "known_tasks"]

HOUR = 3600.0
GLITCH_SECONDS = 0.05


async def freeze_streams(dask_worker: Any) -> float:
    """Let the wall clock jump by an hour for an instant: the streams of this worker send nothing for an hour then.

    See dask/distributed#4528. Returns for how many seconds the stream to the scheduler is frozen.
    """
    batched: Any = importlib.import_module("distributed.batched")
    real = batched.time
    batched.time = lambda: real() + HOUR
    try:
        dask_worker.log_event("fault", "the clock jumps")
        # Long enough for the stream to send that, and to set its next deadline by the wrong clock.
        is_over = asyncio.Event()
        asyncio.get_running_loop().call_later(GLITCH_SECONDS, is_over.set)
        await is_over.wait()
    finally:
        batched.time = real
    frozen: float = dask_worker.batched_stream.next_deadline - real()
    return frozen


def known_tasks(dask_scheduler: Any) -> list[str]:
    """Return the keys of all tasks that the scheduler knows."""
    return list(dask_scheduler.tasks)
