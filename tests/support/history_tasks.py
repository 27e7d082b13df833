"""Tasks of the programs whose history the tests in tests/history_e2e read; installed as a distribution of their own."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from pydantic import SecretStr

from taskloom import Context

__all__ = ["NAMES"]

NAMES = ("stamped", "ticker", "brief", "failing", "chatty", "waiter", "deaf_one", "forking", "secretive", "closer")


def _stamp(path: str, ctx: Context) -> None:
    """Append a line about this run to a file, in one write."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, f"{os.getpid()} {ctx.job} {ctx.run_id} {time.time():.3f}\n".encode())
    finally:
        os.close(descriptor)


def stamped(ctx: Context, stamps: str) -> None:
    """Write in a file that it has run."""
    _stamp(stamps, ctx)


def ticker(ctx: Context) -> None:
    """Poll and count until asked to stop."""
    while not ctx.wait(0.02):
        ctx.count("ticks", 1)


def brief(ctx: Context) -> None:
    """Return at once."""
    ctx.log.debug("nothing to do")


def failing(ctx: Context, text: str = "no such device") -> None:
    """Log a line and fail."""
    ctx.log.warning("attempt %d is about to fail", ctx.attempt)
    raise OSError(text)


def chatty(ctx: Context, lines: int = 200, width: int = 1000) -> None:
    """Log many lines, then fail: the history keeps the last of them."""
    for number in range(lines):
        ctx.log.info("%05d %s", number, "x" * width)
    raise ValueError("said enough")


def waiter(ctx: Context) -> None:
    """Wait until asked to stop."""
    ctx.wait()


def deaf_one(ctx: Context, seconds: float = 1000.0) -> None:
    """Block and never poll."""
    time.sleep(seconds)  # the task under test


def forking(ctx: Context, how: str, done: str) -> None:
    """Fork a child that ends in one of several ways, and wait for it; then write its status to a file."""
    child = os.fork()
    if child == 0:
        if how == "exit":
            os._exit(5)
        if how == "sys.exit":
            sys.exit(6)
        return  # an ordinary end: the child's copy of this thread returns
    _, status = os.waitpid(child, 0)
    Path(done).write_text(str(status))
    ctx.wait()


def secretive(ctx: Context, word: SecretStr, url: str = "") -> None:
    """Say a secret in every way that it can, and fail with it."""
    secret = word.get_secret_value()
    ctx.log.info("the word is %s", secret)
    print("printed", secret)
    ctx.progress(1, 2, secret)
    ctx.count(secret, 1)
    raise RuntimeError(f"{secret} was refused at {url}")


def closer(ctx: Context) -> None:
    """Close all descriptors but the standard ones."""
    os.closerange(3, 4096)
    ctx.wait()
