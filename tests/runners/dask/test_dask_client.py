"""A connection by the client of Dask, without a Dask scheduler. Each test is a process, which Dask changes for good."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any

import pytest

from taskloom.runners.dask.address import SchedulerAddress
from taskloom.runners.dask.hello import CannotAttach
from taskloom.runners.dask.options import Cluster

HERE = Cluster(SchedulerAddress("tcp", "127.0.0.1", 8786))


class ShortLivedClient:
    """Dask's client, whose stream is closed before the one that waits for the connection goes on."""

    made: list[ShortLivedClient]
    on_lost: Callable[[str], None]

    def __init__(self, *_: object, **__: object) -> None:
        self.status = "newly-created"
        self.made.append(self)

    def __await__(self) -> Generator[Any, None, ShortLivedClient]:
        self.status = "connecting"  # as Dask leaves it, when it would connect again by itself
        self.on_lost("closed")
        return self
        yield

    async def _close(self, *, fast: bool) -> None:
        self.status = "closed" if fast else self.status


@pytest.mark.alone
def test_a_connection_that_is_lost_while_it_is_made_is_not_taken_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """1. The Dask scheduler answers. 2. The stream is closed, and Dask says so. 3. We go on: it is not said again."""
    from taskloom.runners.dask import dask_client

    monkeypatch.setattr(dask_client, "_NEW_CLIENT", ShortLivedClient)
    monkeypatch.setattr(ShortLivedClient, "made", [], raising=False)
    listener: Any = None  # is not called: the attach itself fails

    async def connect() -> None:
        connection = dask_client.DaskClient(HERE, listener)
        with pytest.raises(CannotAttach, match="the connection to the Dask scheduler was closed"):
            await connection.open(5.0)

    asyncio.run(connect())

    assert [client.status for client in ShortLivedClient.made] == ["closed"]
