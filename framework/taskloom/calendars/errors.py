"""The error for a schedule that cannot be used."""

from __future__ import annotations

__all__ = ["CalendarError", "shown"]


class CalendarError(ValueError):
    """A cron expression, an instant or a time zone cannot be used. `text` is the value as written, `why` the reason.

    It is a ValueError, so that the checks of the job file turn it into a problem with its place.
    """

    def __init__(self, text: str, kind: str, why: str) -> None:
        self.text, self.kind, self.why = text, kind, why
        super().__init__(f"cannot use {shown(text)} as {kind}; {why}")

    def __reduce__(self) -> tuple[type[CalendarError], tuple[str, str, str]]:
        return type(self), (self.text, self.kind, self.why)


def shown(text: str) -> str:
    """Quote a text, cut to the length of a message."""
    return repr(text) if len(text) <= 80 else f"{text[:77]!r}..."
