"""How the executing side of the engine reports to the core."""

from __future__ import annotations

from typing import Any, Protocol

from taskloom.core.inputs import Input

__all__ = ["Messages"]


class Messages(Protocol):
    """How the executing side reports to the core."""

    def post(self, message: Any) -> None:
        """Queue a report; never blocks, any thread may call it."""

    def process(self, message: Input) -> None:
        """Hand a report to the core now, before the queued messages. Only for use by a handler."""

    def record_bug(self, error: BaseException) -> None:
        """Keep the error if it is the first breach of Taskloom's own rules."""
