"""The task `countdown`: the smallest task that starts, works for a while and ends."""

from __future__ import annotations

from contextlib import suppress
from threading import Event

from taskloom import Cancelled, Context, Duration, Task, TaskFailure, param

__all__ = ["Countdown"]


class Countdown(Task):
    """Count down to 1, one number per interval, and log a message at the end."""

    start: int = param(default=10, ge=0, description="the number to begin with; 0 logs the message at once")
    interval: Duration = param(default="1s", description="time between two numbers")
    message: str = param(default="liftoff", description="what to log at the end; empty for nothing")
    failures: int = param(
        default=0, ge=0, description="how many attempts fail instead of logging it, to try out a restart policy"
    )

    deaf: bool = param(default=False, description="never look whether it has to stop, to try out a join policy")

    def run(self, ctx: Context) -> None:
        """Log the numbers; return early if cancelled. Raises TaskFailure in the first `failures` attempts."""
        wait = self._wait_deaf if self.deaf else ctx.wait
        for number in range(self.start, 0, -1):
            ctx.log.info("%d", number)
            ctx.progress(self.start - number, self.start, "numbers")
            if wait(self.interval):
                return
        ctx.progress(self.start, self.start, "numbers")
        if ctx.attempt <= self.failures:
            raise TaskFailure(f"attempt {ctx.attempt} fails because of failures: {self.failures}")
        if self.message:
            ctx.log.info("%s", self.message)

    @staticmethod
    def _wait_deaf(seconds: float) -> bool:
        """Wait as code does that knows of no cancellation, and that catches whatever it is interrupted by."""
        with suppress(Cancelled):
            Event().wait(seconds)
        return False
