"""Tasks that the tests of the runner of processes run: in workers, which import this module."""

from __future__ import annotations

import os
import re
import signal
from typing import Any

__all__ = ["forks_and_ignores", "holds_the_gil", "ignores", "waits"]


def waits(ctx: Any) -> None:
    """Wait for the request to stop."""
    ctx.wait()


def ignores(ctx: Any) -> None:
    """Ignore the request to stop, and TERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        signal.pause()


def forks_and_ignores(ctx: Any) -> None:
    """Do the same in two processes."""
    os.fork()
    ignores(ctx)


def holds_the_gil(ctx: Any) -> None:
    """Execute one call into C code that takes minutes."""
    re.match("(a+)+b", "a" * 60)
