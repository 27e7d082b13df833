"""Instants on the command line and in answers: what `--since` means, when something was, how long until something."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import click

from taskloom.cli.options import read_seconds
from taskloom.clock import wall
from taskloom.diagnostics import quoted
from taskloom.text import duration

__all__ = ["Since", "format_instant", "is_instant", "read_instant", "until"]

# The years 2 to 9998: a zone may shift an instant by a day.
_FIRST, _LAST = -62_104_060_800.0, 253_370_764_799.0
_ID = re.compile(r"[0-9A-Za-z]{1,32}\.[0-9]{1,15}", re.ASCII)
# `10` is ten seconds, and `1.5` as well a duration: an id has more digits before the dot.
_NUMBER = re.compile(r"[0-9]{1,7}(\.[0-9]+)?", re.ASCII)


class Since(click.ParamType[str]):
    """`10m`, an instant, or the id of an event or line; converted to what the API takes."""

    name = "since"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return an id, or an instant in UTC. An instant without a zone is local time."""
        try:
            return read_since(value, wall())
        except ValueError as error:
            self.fail(f"{error}", param, ctx)


def read_since(text: str, now: float) -> str:
    """Return what the API takes as `since`. `now`: seconds since the epoch. Raises ValueError with the legal forms."""
    if _ID.fullmatch(text) and not _NUMBER.fullmatch(text):
        return text
    try:
        return format_instant(now - read_seconds(text))
    except (ValueError, OverflowError, OSError):
        pass  # no duration
    try:
        return format_instant(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError, OSError):
        raise ValueError(
            f"cannot use {quoted(text)} as the beginning; expected a duration such as 10m, an instant such as "
            "2026-01-31T12:00 (local time) or 2026-01-31T12:00:00Z, or the id of an event such as 1f0c2a9b.42"
        ) from None


def read_instant(text: str) -> float | None:
    """Return the seconds since the epoch of an instant of RFC 3339; None for a text that is none.

    Also None at the ends of the calendar, where it could not be shown in every zone.
    """
    try:
        seconds = datetime.fromisoformat(text).timestamp() if text else None
    except (ValueError, OverflowError, OSError):
        return None
    return seconds if is_instant(seconds) else None


def is_instant(seconds: float | None) -> bool:
    """Return whether these seconds since the epoch can be shown as an instant, in every zone."""
    return seconds is not None and _FIRST <= seconds <= _LAST


def format_instant(seconds: float) -> str:
    """Return an instant as RFC 3339, in UTC. Raises ValueError or OverflowError far outside of the calendar."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def until(seconds: float) -> str:
    """Return the time until something, in whole seconds from ten on: `4m12s`; `0s` if it is over."""
    return duration(max(0.0, round(seconds, 1 if seconds < 10 else 0)), is_rounded=True)
