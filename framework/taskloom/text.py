"""How numbers, durations, tables and suggestions are written: the one place for each, in messages and in listings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from taskloom.diagnostics import near_match

__all__ = ["did_you_mean", "duration", "first_of", "measured", "plural", "suggest", "table"]

_UNITS = (("d", 86_400), ("h", 3600), ("m", 60))
# Of a rounded duration, "1d2h3m" says enough.
_ROUNDED_UNITS = 3


def duration(seconds: float, *, is_rounded: bool = False) -> str:
    """Return a duration as a job file has it: `200ms`, `5s`, `1h8m`, `forever`.

    Exact to the microsecond, so that it may be pasted into a job file. With `is_rounded` it has about three digits,
    for times that were measured or drawn: `4.24s` for 4.2378.
    """
    if seconds < 0:
        return f"-{duration(-seconds, is_rounded=is_rounded)}"
    if seconds == float("inf"):
        return "forever"
    if not is_rounded:
        return "".join(_parts(round(seconds, 6))) or "0s"
    digits = float(f"{seconds:.3g}") if round(seconds, 1) < 60 else round(seconds)
    return "".join(_parts(digits)[:_ROUNDED_UNITS]) or "0s"


def _parts(seconds: float) -> list[str]:
    """Return the days, hours, minutes and seconds, without those that are 0; milliseconds if that is all there is."""
    if 0 < seconds < 1:
        return [f"{seconds * 1000:.10g}ms"]
    rest, parts = seconds, []
    for unit, size in _UNITS:
        number, rest = divmod(rest, size)
        if number:
            parts.append(f"{number:.0f}{unit}")
    rest = round(rest, 6)
    return [*parts, f"{rest:.10g}s"] if rest else parts


def measured(seconds: float) -> str:
    """Return what a clock has measured, to a tenth of a second: `5.0 s`."""
    return f"{seconds:.1f} s"


def plural(count: int, noun: str) -> str:
    """Return a number with its noun: `1 job`, `1,200 jobs`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def first_of(names: Sequence[str], most: int) -> str:
    """Return the first `most` names, and how many more there are: `a, b and 3 more`."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"


def table(rows: Iterable[Sequence[str]]) -> str:
    """Return the rows as lines whose columns are aligned. All rows have the same number of cells."""
    lines = list(rows)
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in lines)


def did_you_mean(name: object, known: Iterable[str], *, before: str = "") -> str:
    """Return the question whether a known name was meant, after the text `before`; "" if none is near."""
    return suggest(near_match(name, known) if isinstance(name, str) else None, before=before)


def suggest(near: str | None, *, before: str = "") -> str:
    """Return the question whether `near` was meant, after the text `before`; "" for None."""
    return f"{before}did you mean {near!r}?" if near else ""
