"""A cable between programs on this machine, which a test cuts, delays and repairs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

__all__ = ["TcpProxy"]

T = TypeVar("T")
CHUNK = 65536
# Reached only when a test fails.
PATIENCE_SECONDS = 20.0


class TcpProxy:
    """Forwards connections to ports of this machine, on a thread of its own.

    While it is cut, nothing passes in either direction and no new connection gets through; no end is told, as when a
    cable is pulled out. What was sent meanwhile arrives after the repair, as TCP sends it again.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._is_whole = asyncio.Event()
        self._is_whole.set()
        self._delay = 0.0
        self._servers: list[asyncio.Server] = []
        self._connections: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._serve, name="tcp-proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_SECONDS)
        self._loop.close()

    def forward(self, port: int) -> int:
        """Return a port of 127.0.0.1 from which everything is forwarded to `port` of 127.0.0.1."""
        return self._call(self._listen(port))

    def cut(self) -> None:
        """Let nothing pass from now on."""
        self._call(self._set(is_whole=False))

    def heal(self) -> None:
        """Let everything pass again."""
        self._call(self._set(is_whole=True))

    def delay(self, seconds: float) -> None:
        """Let each piece arrive so much later. It also limits how much passes: one piece for each delay."""
        self._delay = seconds

    def reset(self) -> None:
        """End all connections, as a firewall does that has forgotten them."""
        self._call(self._drop())

    # -- on the thread

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_SECONDS)

    async def _listen(self, port: int) -> int:
        server = await asyncio.start_server(lambda reader, writer: self._accept(reader, writer, port), "127.0.0.1", 0)
        self._servers.append(server)
        number: int = server.sockets[0].getsockname()[1]
        return number

    async def _set(self, *, is_whole: bool) -> None:
        if is_whole:
            self._is_whole.set()
        else:
            self._is_whole.clear()

    async def _drop(self) -> None:
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        await self._drop()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        task = asyncio.ensure_future(self._join(reader, writer, port))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        """Forward both directions of one connection until either side has ended."""
        writers = [writer]
        try:
            await self._is_whole.wait()
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
            writers.append(far_writer)
            ways = [asyncio.ensure_future(self._forward(*way)) for way in ((reader, far_writer), (far_reader, writer))]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        except OSError:
            pass  # the other side is not there: the connection ends, which says so
        finally:
            for each in writers:
                each.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            if self._delay:
                arrival = asyncio.Event()
                self._loop.call_later(self._delay, arrival.set)
                await arrival.wait()
            await self._is_whole.wait()
            writer.write(data)
            await writer.drain()
        # The end of a connection is not told through a cut cable, either.
        await self._is_whole.wait()
