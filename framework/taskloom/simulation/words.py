"""Numbers and times, said to people."""

from __future__ import annotations

__all__ = ["counted", "span_text"]

_UNITS = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: `1 time`, `12 times`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def span_text(seconds: float) -> str:
    """Return a time as a job file has it, to about three digits: `200ms`, `4.2s`, `1h8m`, `for ever`."""
    if seconds == float("inf"):
        return "for ever"
    if seconds < 1:
        return f"{seconds * 1000:.3g}ms" if seconds else "0s"
    if seconds < 60:
        return f"{seconds:.3g}s" if round(seconds, 1) < 60 else "1m"
    rest = round(seconds)
    parts = []
    for sign, size in _UNITS:
        number, rest = divmod(rest, size)
        if number:
            parts.append(f"{number}{sign}")
    return "".join(parts[:3])
