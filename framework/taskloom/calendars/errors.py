"""What is said of a schedule that cannot be used."""

from __future__ import annotations

__all__ = ["CalendarError", "shown"]


class CalendarError(ValueError):
    """A cron expression, an instant or a time zone cannot be used; `text` as it was written, `why` in words.

    A ValueError, so that the job file's checks turn it into a problem with its place.
    """

    def __init__(self, text: str, kind: str, why: str) -> None:
        self.text, self.kind, self.why = text, kind, why
        super().__init__(f"cannot use {shown(text)} as {kind}; {why}")

    def __reduce__(self) -> tuple[type[CalendarError], tuple[str, str, str]]:
        return type(self), (self.text, self.kind, self.why)


def shown(text: str) -> str:
    """Quote a text, cut where it is too long for a message."""
    return repr(text) if len(text) <= 80 else f"{text[:77]!r}..."
