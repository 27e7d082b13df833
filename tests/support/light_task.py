"""A task that imports nothing itself."""

from __future__ import annotations

import sys

from taskloom import Context


def prints_modules(ctx: Context) -> None:
    """Print the names of all modules that are imported."""
    print(*sys.modules)
