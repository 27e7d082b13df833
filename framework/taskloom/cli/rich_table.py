"""Tables on a terminal: they fit its width, and are styled only where escapes may be written."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from taskloom.observe.terminal import has_styles, width

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["render_table"]

# Only the lines of a table are printed, so no height matters; rich would read LINES without one.
_HEIGHT = 25


def render_table(table: Table) -> str:
    """Return the table as text for standard output."""
    from rich.console import Console

    is_styled = has_styles(sys.stdout)
    # Every setting is given, since rich would read each from the environment otherwise: it fails at COLUMNS=².
    console = Console(
        width=width(),
        height=_HEIGHT,
        force_terminal=is_styled,
        force_jupyter=False,
        color_system="standard" if is_styled else None,
        no_color=not is_styled,
    )
    with console.capture() as captured:
        console.print(table)
    return captured.get()
