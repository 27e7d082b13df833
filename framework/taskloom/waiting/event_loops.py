"""Functions that block are refused on the thread of an async task's event loop."""

from __future__ import annotations

from _thread import get_ident
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskloom.task import Context

__all__ = ["refuse_event_loop"]


def refuse_event_loop(ctx: Context, name: str, instead: str = "") -> None:
    """Raise RuntimeError on the thread of an async task's event loop, which nothing may block."""
    if getattr(ctx, "loop_thread", None) == get_ident():
        instead = instead or f"ctx.to_thread(waiting.{name}, ctx.blocking, ...)"
        raise RuntimeError(f"cannot block the thread of the event loop: write `await {instead}`")
