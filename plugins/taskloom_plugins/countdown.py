"""The task `countdown`: the smallest thing that starts, works a while and ends."""

from __future__ import annotations

from taskloom import Context, Duration, Task, param

__all__ = ["Countdown"]


class Countdown(Task):
    """Count down to 1, one number an interval, and say a message at the end."""

    start: int = param(default=10, ge=0, description="the number to begin with; 0 says the message at once")
    interval: Duration = param(default="1s", description="time between two numbers")
    message: str = param(default="liftoff", description="what to say at the end; empty is nothing")

    def run(self, ctx: Context) -> None:
        """Log the numbers; return early when the run is cancelled."""
        for number in range(self.start, 0, -1):
            ctx.log.info("%d", number)
            ctx.progress(self.start - number, self.start, "numbers")
            if ctx.wait(self.interval):
                return
        ctx.progress(self.start, self.start, "numbers")
        if self.message:
            ctx.log.info("%s", self.message)
