"""The task of row 16. It is in a module of its own, which a worker process can import."""

from __future__ import annotations

import time
from pathlib import Path

from taskloom import Context, Task

__all__ = ["Waiter"]


class Waiter(Task):
    """Wait until cancelled, and write down when that was seen."""

    announces_ready = True

    path: str

    def run(self, ctx: Context) -> None:
        """Write the monotonic seconds, which all processes of the machine share."""
        ctx.ready()
        ctx.wait()
        seen = time.monotonic()
        Path(self.path).write_text(repr(seen))
