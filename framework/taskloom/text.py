"""How numbers, durations, tables, text from elsewhere and JSON are written: the one place for each."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any

from taskloom.diagnostics import near_match

__all__ = [
    "did_you_mean",
    "duration",
    "error_text",
    "finite",
    "first_of",
    "kind_of",
    "local_date_time",
    "local_time",
    "measured",
    "message_of",
    "normalised",
    "padded",
    "plain",
    "plural",
    "printable",
    "printable_lines",
    "rough",
    "shortened",
    "size",
    "suggest",
    "table",
    "to_json",
    "traceback_of",
]

# A sentence about an error of foreign code has at most this much of its message: an import error of 3 MB was seen.
LONGEST_MESSAGE = 600
# Enough for every traceback that a person reads.
LONGEST_TRACEBACK = 64 * 1024

# Python writes at most 4300 digits, which are 14,284 bits. A task may report more.
_LONGEST_BITS = 14_280
_KIBI = 1024
_SIZES = ("B", "KiB", "MiB", "GiB", "TiB")
_UNITS = (("d", 86_400), ("h", 3600), ("m", 60))
# "1d2h3m" is exact enough for a rounded duration.
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


def local_date_time(wall: float) -> str:
    """Return the local time of an instant with its date, for a text that is kept. `wall`: seconds since the epoch."""
    return f"{datetime.fromtimestamp(wall // 1).astimezone():%Y-%m-%d %H:%M:%S}"


def size(count: int) -> str:
    """Return a number of bytes with about three digits, in the unit that fits: `0 B`, `512 KiB`, `38.2 MiB`."""
    value, units = float(max(0, count)), iter(_SIZES)
    unit = next(units)
    while value >= _KIBI - 0.5 and (larger := next(units, "")):
        value, unit = value / _KIBI, larger
    return f"{value:.0f} {unit}" if value >= 100 or unit == "B" else f"{value:.3g} {unit}"


def rough(seconds: float) -> str:
    """Return a duration for a sentence, as exact as people need it: `0.3s`, `42s`, `3m20s`, `2h5m`, `forever`."""
    if round(seconds, 1) < 10:
        return f"{max(0.0, round(seconds, 1)):g}s"
    if seconds == float("inf"):
        return "forever"
    return "".join(_parts(round(seconds))[:2])


def plural(count: int, noun: str) -> str:
    """Return a number with its noun: `1 job`, `1,200 jobs`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def first_of(names: Sequence[str], most: int) -> str:
    """Return the first `most` names, and how many more there are: `a, b and 3 more`."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"


def table(rows: Iterable[Sequence[str]]) -> str:
    """Return the rows as lines whose columns are aligned. All rows have the same number of cells.

    A cell is printable text on one line: tasks and peers may have written it.
    """
    lines = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in lines)


def padded(text: str, width: int) -> str:
    """Return the text with blanks up to this width: a cell of a column whose other cells are not known yet."""
    return text.ljust(width)


def normalised(distribution: str) -> str:
    """Return the name of a distribution as PEP 503 compares it: `acme-beats` for `Acme_Beats`."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def did_you_mean(name: object, known: Iterable[str], *, before: str = "") -> str:
    """Return the question whether a known name was meant, after the text `before`; "" if none is near."""
    return suggest(near_match(name, known) if isinstance(name, str) else None, before=before)


def suggest(near: str | None, *, before: str = "") -> str:
    """Return the question whether `near` was meant, after the text `before`; "" for None."""
    return f"{before}did you mean {near!r}?" if near else ""


# Characters that drive a terminal, or break or reorder a line: the control characters C0, DEL and C1, the marks,
# embeddings and isolates that change the direction of text, the line and paragraph separators; and surrogates, which
# no encoding has. Spaces of any width, joiners and emoji are text.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_SHORT_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(text: str) -> str:
    """Return the text on one line, with escapes for all that could drive the terminal: `\\x1b`, `\\n`, `\\u202e`.

    For text from tasks, peers, docstrings and exceptions, in our own lines and tables.
    """
    return text if text.isprintable() else _UNSAFE.sub(_escape, text)


def printable_lines(text: str) -> str:
    """Return the text with its line breaks, and with escapes inside each line as `printable` has them."""
    if text.isprintable():
        return text
    return "\n".join(map(printable, text.replace("\r\n", "\n").split("\n")))


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    code = ord(character)
    return _SHORT_ESCAPES.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def finite(number: float | None) -> float | None:
    """Return a number for JSON, floats to the microsecond; None if it is unknown, infinite or not a number."""
    if number is None or not math.isfinite(number):
        return None
    return round(number, 6)


def plain(value: Any) -> Any:
    """Return the value with None for each number that cannot be written as JSON.

    These are infinities, what is not a number, and whole numbers so long that Python refuses to write them.
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        return value if value.bit_length() <= _LONGEST_BITS else None
    if isinstance(value, Mapping):
        return {str(key) if isinstance(key, float) else key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value


def to_json(
    data: Any, *, indent: int | None = None, is_ascii: bool = False, default: Callable[[Any], Any] | None = None
) -> str:
    """Return the data as JSON; `null` for each number that JSON does not have. `default` converts other objects.

    The text may be shown on a terminal: what `printable` escapes is escaped as JSON does.
    """
    try:
        text = json.dumps(data, indent=indent, ensure_ascii=is_ascii, default=default, allow_nan=False)
    except ValueError:
        text = json.dumps(plain(data), indent=indent, ensure_ascii=is_ascii, default=default, allow_nan=False)
    # The line breaks between the values are JSON's own; all others are inside of strings, and escaped already.
    return text if text.isprintable() else _UNSAFE.sub(_escape_for_json, text)


def _escape_for_json(found: re.Match[str]) -> str:
    return found[0] if found[0] == "\n" else f"\\u{ord(found[0]):04x}"


def shortened(text: str, longest: int, *, joint: str = " ") -> str:
    """Return the text, without its middle if it is longer than `longest` characters, and how much was left out.

    Both ends are kept: one shows the cause, the other the place. `joint`: what is before and after the number.
    """
    if len(text) <= longest:
        return text
    half = longest // 2 - 32
    return f"{text[:half]}{joint}... {len(text) - 2 * half} characters left out ...{joint}{text[-half:]}"


def kind_of(error: BaseException) -> str:
    """Return the name of the exception's class. Never raises, and calls no code of the class."""
    name: str = type.__dict__["__qualname__"].__get__(type(error))
    return name


def message_of(error: BaseException, longest: int = LONGEST_MESSAGE) -> str:
    """Return the message of an exception of foreign code, cut. Never raises."""
    try:
        # A copy as a plain str: an instance of a subclass would stay alive, with everything it references.
        return shortened(str.__str__(str(error)), longest, joint=" ")
    except BaseException as second:  # noqa: BLE001 - `__str__` is code of the exception's class
        return f"(its message cannot be read: {kind_of(second)})"


def error_text(error: BaseException) -> str:
    """Return the class and the message of an exception of foreign code, cut. Never raises."""
    name: str = type.__dict__["__name__"].__get__(type(error))
    message = message_of(error)
    return f"{name}: {message}" if message else name


def traceback_of(error: BaseException, first: TracebackType | None) -> str:
    """Return the traceback of an exception of foreign code, from the frame `first` on, cut. Never raises.

    If the exception refuses to be formatted, by its `__cause__` for instance, the frames and its message are left. If
    no module can be imported any more, as without descriptors, the frames have no source lines.
    """
    try:
        import traceback
    except BaseException:  # noqa: BLE001 - the error of the task is reported, not this one
        text = f"Traceback (most recent call last):\n{_places(first)}{kind_of(error)}: {message_of(error)}\n"
        return shortened(text, LONGEST_TRACEBACK, joint="\n")
    try:
        text = "".join(traceback.format_exception(type(error), error, first))
    except BaseException:  # noqa: BLE001 - formatting calls code of the exception's class
        try:
            frames = "".join(["Traceback (most recent call last):\n", *traceback.format_tb(first)])
        except BaseException as second:  # noqa: BLE001 - too little stack or memory
            frames = f"(its traceback cannot be written: {kind_of(second)})\n"
        text = f"{frames}{kind_of(error)}: {message_of(error)}\n"
    return shortened(text, LONGEST_TRACEBACK, joint="\n")


def _places(first: TracebackType | None) -> str:
    """Return the places of the frames, as in a traceback, without their source lines."""
    places = []
    while first is not None:
        code = first.tb_frame.f_code
        places.append(f'  File "{code.co_filename}", line {first.tb_lineno}, in {code.co_name}\n')
        first = first.tb_next
    return "".join(places)
