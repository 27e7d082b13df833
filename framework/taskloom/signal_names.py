"""Signals by their names and numbers, as users write them and as messages show them."""

from __future__ import annotations

import signal

from taskloom.diagnostics import near_match
from taskloom.errors import UnknownSignal

__all__ = ["SIGNAL_NAMES", "near_signal", "read_signal", "require_signal", "signal_name"]

_MOST_DIGITS = 3
# `signal.valid_signals` leaves out the two that the C library keeps for itself.
_LEGAL = frozenset(int(each) for each in signal.valid_signals())
_NAMES = {name.removeprefix("SIG"): int(number) for name, number in signal.Signals.__members__.items()}
# Real-time signals are not everywhere; without them both are 0, and no number is between them.
_FIRST, _LAST = int(getattr(signal, "SIGRTMIN", 0)), int(getattr(signal, "SIGRTMAX", 0))
_NAMES |= {f"RTMIN+{number - _FIRST}": number for number in range(_FIRST + 1, _LAST)}
_NAMES |= {f"RTMAX-{_LAST - number}": number for number in range(_FIRST + 1, _LAST)}

SIGNAL_NAMES = tuple(each.name.removeprefix("SIG") for each in sorted(signal.Signals))
"""The names without `SIG`, in the order of their numbers; of the real-time signals the first and the last."""


def read_signal(written: object) -> int | None:
    """Return the number of a signal: of `HUP`, `SIGHUP`, `sighup`, `1` or 1; None if there is no such signal."""
    if isinstance(written, int) and not isinstance(written, bool):
        return int(written) if written in _LEGAL else None
    if not isinstance(written, str):
        return None
    text = written.strip()
    if text.isascii() and text.isdigit():
        return read_signal(int(text)) if len(text) <= _MOST_DIGITS else None
    return _NAMES.get(text.upper().removeprefix("SIG"))


def near_signal(written: object) -> str | None:
    """Return the name that is most likely meant by a text which is not a signal, written as that text is; or None."""
    if not isinstance(written, str):
        return None
    has_prefix = written.strip().upper().startswith("SIG")
    return near_match(written.strip(), [f"SIG{name}" for name in SIGNAL_NAMES] if has_prefix else SIGNAL_NAMES)


def require_signal(written: object) -> int:
    """Return the number of a signal, as `read_signal`. Raises UnknownSignal."""
    number = read_signal(written)
    if number is None:
        raise UnknownSignal(written, near_signal(written))
    return number


def signal_name(number: int) -> str:
    """Return the name of a signal: `SIGHUP`, `SIGRTMIN+3`; `signal 99` for a number without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIGRTMIN+{number - _FIRST}" if _FIRST < number < _LAST else f"signal {number}"
