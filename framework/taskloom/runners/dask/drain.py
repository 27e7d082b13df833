"""Lets a worker of Dask that closes wait for its runs: only while it is in the cluster can it say how they ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from distributed import WorkerPlugin

__all__ = ["add_drain"]

_NAME = "taskloom"


class _Drain(WorkerPlugin):
    """Dask awaits `teardown` of its plugins before it ends the connections of a worker."""

    def __init__(self, drain: Callable[[Any], Awaitable[None]]) -> None:
        self._drain = drain

    async def teardown(self, worker: Any) -> None:
        """Called when the worker closes, on its event loop."""
        await self._drain(worker)


async def add_drain(worker: Any, drain: Callable[[Any], Awaitable[None]]) -> None:
    """Have the worker await `drain(worker)` when it closes; idempotent."""
    if _NAME not in worker.plugins:
        await worker.plugin_add(_Drain(drain), name=_NAME)
