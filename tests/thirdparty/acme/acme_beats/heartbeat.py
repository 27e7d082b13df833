"""A task as a class."""

from taskloom import Context, Duration, Task, param


class Heartbeat(Task):
    """Log a beat at a fixed interval."""

    every: Duration = param("5s", description="time between two beats")
    limit: int = param(0, ge=0, description="stop after this number of beats; 0 means never")

    def run(self, ctx: Context) -> None:
        beats = 0
        while not ctx.wait(self.every):
            beats += 1
            ctx.log.info("beat %d", beats)
            if beats == self.limit:
                return
