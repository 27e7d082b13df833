"""Tasks for runs in the worker of a cluster. They are imported in the processes of the runs alone."""

from __future__ import annotations

import os
import re
import signal
import time
from typing import Any

from taskloom import TaskFailure


def brief(ctx: Any) -> None:
    """Return at once."""


def polite(ctx: Any) -> None:
    """Wait until asked to stop."""
    ctx.wait()


def deaf(ctx: Any) -> None:
    """Never poll, and ignore TERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ctx.log.info("deaf")
    time.sleep(1000)  # the task under test


def hog(ctx: Any) -> None:
    """Hold the GIL in C for ever."""
    os.write(1, b"hog\n")
    re.match(r"(a+)+$", "a" * 60 + "b")


def chatty(ctx: Any) -> None:
    """Report in all ways there are, and wait."""
    ctx.log.warning("a record", extra={"shelf": 3})
    print("a print")
    ctx.count("frames", 7)
    ctx.progress(1, 4, "files")
    ctx.wait()


def burst(ctx: Any) -> None:
    """Log a thousand lines as fast as it can."""
    for number in range(1000):
        ctx.log.info("number %d", number)


def bad(ctx: Any) -> None:
    """Fail."""
    raise ValueError("boom")


class Refuses:
    """Cannot be made."""

    def __init__(self) -> None:
        raise TaskFailure("the shelf is empty")

    def run(self, ctx: Any) -> None:
        """Is never called."""


def tells_interval(ctx: Any) -> None:
    """Wait for a poll interval of 3 s, and log it."""
    while ctx.poll_interval != 3.0:
        if ctx.wait(0.01):
            return
    ctx.log.info("interval %s", ctx.poll_interval)
    ctx.wait()
