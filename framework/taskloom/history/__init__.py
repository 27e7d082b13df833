"""The history of runs: what happened, also after the program has ended or was killed.

One thread writes it (`recorder`) to a database, SQLite or PostgreSQL; jobs and stops never wait for it. Other programs
read the database themselves (`reader`). Needs the extra `history`: nothing here is imported without it.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskloom.history.library import History, ScheduleMemory, record

__all__ = ["History", "ScheduleMemory", "is_installed", "record"]


def is_installed() -> bool:
    """Return whether the extra `history` is installed. Imports nothing of it."""
    return all(importlib.util.find_spec(package) is not None for package in ("sqlalchemy", "alembic"))


def __getattr__(name: str) -> Any:
    """Import the names for programs with their own scheduler when they are used: they need the extra."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from taskloom.history import library

    return getattr(library, name)
