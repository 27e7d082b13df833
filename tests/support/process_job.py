"""Tasks that tests run in processes."""

from __future__ import annotations

from typing import Any


def waits(ctx: Any) -> None:
    """Print a line, and wait for the request to stop."""
    print("waiting", flush=True)
    ctx.log.info("a record")
    ctx.wait()


def spins(ctx: Any) -> None:
    """Never look at the request to stop."""
    while True:
        pass
