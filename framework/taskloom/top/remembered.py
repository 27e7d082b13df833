"""The choices of the user that are kept from one time to the next, in a file of the state folder."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import NamedTuple

from taskloom.history.errors import HistoryUnusable
from taskloom.history.location import state_folder
from taskloom.text import to_json
from taskloom.top.lane import SPANS
from taskloom.top.table import SORTS

__all__ = ["Remembered", "load", "save", "settings_file"]

_NAME = "top.json"
_LONGEST = 200
_MOST_BYTES = 10_000


class Remembered(NamedTuple):
    """The choices of the user."""

    sort: str = "file"
    is_reversed: bool = False
    filter: str = ""
    """The filter of the table."""
    log_filter: str = ""
    wraps: bool = False
    span: float = SPANS[1]
    """How much the timeline shows, in seconds before and after now."""


def settings_file() -> Path | None:
    """Return the file; None if this user has no place for it."""
    try:
        return Path(state_folder()) / _NAME
    except HistoryUnusable:
        return None


def load(file: Path | None) -> Remembered:
    """Return what was saved; of a value that cannot be used, the default. Raises nothing."""
    default = Remembered()
    if file is None:
        return default
    try:
        with file.open("rb") as opened:
            found = json.loads(opened.read(_MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return default
    values = found if isinstance(found, dict) else {}
    texts = {name: value for name in ("filter", "log_filter") if isinstance(value := values.get(name), str)}
    flags = {name: value for name in ("is_reversed", "wraps") if isinstance(value := values.get(name), bool)}
    sort, span = values.get("sort"), values.get("span")
    return Remembered(
        sort=sort if isinstance(sort, str) and sort in SORTS else default.sort,
        span=span if isinstance(span, float) and span in SPANS else default.span,
        filter=texts.get("filter", "")[:_LONGEST],
        log_filter=texts.get("log_filter", "")[:_LONGEST],
        is_reversed=flags.get("is_reversed", False),
        wraps=flags.get("wraps", False),
    )


def save(file: Path | None, remembered: Remembered) -> str:
    """Write the file, all of it or nothing; return why that was not possible, or ""."""
    if file is None:
        return "there is no folder for settings; set XDG_STATE_HOME"
    part = file.with_name(f"{_NAME}.{os.getpid()}")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            part.write_text(to_json(remembered._asdict()), "utf-8")
            part.replace(file)
        finally:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
    except OSError as error:
        return f"cannot save the settings in {str(file)!r}: {(error.strerror or str(error)).lower()}"
    return ""
