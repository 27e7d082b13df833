"""Instants for people, in local time."""

from __future__ import annotations

from datetime import datetime

__all__ = ["local_time"]


def local_time(wall: float, now: float, *, is_exact: bool = False) -> str:
    """Return the local time of an instant, with its date unless that is today. Both are seconds since the epoch.

    With `is_exact` it has milliseconds, also at a full second: some schedules fire ten times a second.
    """
    milliseconds = round(wall * 1000) if is_exact else int(wall // 1) * 1000
    instant = datetime.fromtimestamp(milliseconds / 1000).astimezone()
    today = datetime.fromtimestamp(now).astimezone().date()
    fraction = f".{milliseconds % 1000:03d}" if is_exact else ""
    date = "" if instant.date() == today else f"{instant:%Y-%m-%d} "
    return f"{date}{instant:%H:%M:%S}{fraction}"
