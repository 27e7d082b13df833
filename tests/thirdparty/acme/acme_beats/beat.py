"""A task as a plain function: its signature says which parameters it takes."""

from taskloom import Context, Duration


def beat(ctx: Context, word: str, times: int = 1, every: Duration = 1.0) -> None:
    """Log a word several times."""
    for number in range(1, times + 1):
        ctx.log.info("%s %d", word, number)
        if ctx.wait(every):
            return
