"""The history of runs: what happened, also after the program has ended or was killed.

One thread writes it (`recorder`) to a database, SQLite or PostgreSQL; jobs and stops never wait for it. Other programs
read the database themselves (`reader`). Needs the extra `history`: nothing here is imported without it. A program that
brings its own scheduler uses `record`.
"""

from __future__ import annotations

import importlib.util

from taskloom.history.library import record

__all__ = ["is_installed", "record"]


def is_installed() -> bool:
    """Return whether the extra `history` is installed. Imports nothing of it."""
    return all(importlib.util.find_spec(package) is not None for package in ("sqlalchemy", "alembic"))
