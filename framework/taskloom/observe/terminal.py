"""The limits of a terminal: whether colours may be used, and how wide a line may be.

One place for all verbs. The variables are read as `rich` and no-color.org read them, with one difference: under
NO_COLOR rich still writes escapes for bold text; here nothing at all is written but the text.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import Any

__all__ = ["has_styles", "is_plain", "is_terminal", "mark_for", "width"]

# These show no escapes, as git and rich see it.
_PLAIN_TERMINALS = ("", "dumb", "unknown")
# A window may be as narrow as one column, and COLUMNS may be any number: tables need some room, and memory is bounded.
_LEAST_WIDTH, _MOST_WIDTH = 40, 1000


def is_terminal(stream: Any) -> bool:
    """Return whether a stream is a terminal. A standard stream is None if the caller closed it."""
    try:
        return stream is not None and bool(stream.isatty())
    except ValueError:  # a plugin has closed it
        return False


def is_plain(environ: Mapping[str, str]) -> bool:
    """Return whether TERM names a terminal that shows no escapes, or none at all."""
    return environ.get("TERM", "").strip().lower() in _PLAIN_TERMINALS


def has_styles(stream: Any, environ: Mapping[str, str] | None = None, *, choice: str = "auto") -> bool:
    """Return whether escapes for colours may be written to a stream. `environ`: that of this process by default.

    Never with a NO_COLOR that is not empty, or where TERM is `dumb`, `unknown` or not set. Otherwise TTY_COMPATIBLE
    (0 or 1) decides, then FORCE_COLOR (empty means no), then whether the stream is a terminal. A `choice` of `always`
    or `never` comes before all of them.
    """
    if choice != "auto":
        return choice == "always"
    environ = os.environ if environ is None else environ
    if environ.get("NO_COLOR") or is_plain(environ):
        return False
    compatible = environ.get("TTY_COMPATIBLE")
    if compatible in ("0", "1"):
        return compatible == "1"
    forced = environ.get("FORCE_COLOR")
    return is_terminal(stream) if forced is None else forced != ""


def width() -> int:
    """Return the columns of the terminal: COLUMNS if it is a positive number, else what the terminal says, else 80."""
    return max(_LEAST_WIDTH, min(shutil.get_terminal_size().columns, _MOST_WIDTH))


def mark_for(encoding: str) -> str:
    """Return what stands for the middle of a long name in this encoding."""
    return "…" if encoding.lower().replace("_", "-").startswith("utf") else "~"
