"""Reads server-sent events from the bytes of a stream. Sans-I/O; strict about their JSON and their size."""

from __future__ import annotations

import re
from typing import Any

from taskloom.control.exchange import ServerSentEvent
from taskloom.control.json_object import read_object

__all__ = ["EventParser"]

# An event has one traceback at most, and a log line is cut long before.
_MOST_BYTES = 16 * 1024 * 1024
# It is sent back as a header.
_ID = re.compile(rb"[!-~]{1,200}")


class EventParser:
    """The state between two pieces of a stream."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._searched = 0
        self._clear()

    def _clear(self) -> None:
        self._event, self._id, self._data = "message", "", list[bytes]()
        self._size = 0

    def feed(self, piece: bytes) -> list[ServerSentEvent]:
        """Return the events that are complete with this piece. Raises ValueError with what is wrong."""
        found = []
        self._rest += piece
        start = 0
        while (end := self._rest.find(b"\n", max(start, self._searched))) >= 0:
            line = bytes(self._rest[start:end]).removesuffix(b"\r")
            start = end + 1
            self._searched = 0
            event = self._take(line)
            if event is not None:
                found.append(event)
        del self._rest[:start]
        self._searched = len(self._rest)
        if self._size + len(self._rest) > _MOST_BYTES:
            raise ValueError(f"an event has more than {_MOST_BYTES:,} bytes")
        return found

    def _take(self, line: bytes) -> ServerSentEvent | None:
        """Take one line; return the event that it completes."""
        if not line:
            return self._complete()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._size += len(value)
            if self._size > _MOST_BYTES:
                raise ValueError(f"an event has more than {_MOST_BYTES:,} bytes")
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name == b"id":
            self._id = value.decode() if _ID.fullmatch(value) else ""
        return None  # a comment keeps the connection alive; other fields are none of ours

    def _complete(self) -> ServerSentEvent | None:
        found: ServerSentEvent | None = None
        if self._data:
            data: dict[str, Any] = read_object(b"\n".join(self._data))
            found = ServerSentEvent(self._event, data, self._id)
        self._clear()
        return found
