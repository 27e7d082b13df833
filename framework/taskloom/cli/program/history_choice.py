"""Whether a program has a history: as it is set, as its jobs need it, and as its packages are installed.

Imports nothing of the history: a program without one must not pay for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

import click

from taskloom.core.model import JobSpec
from taskloom.errors import JobFileError
from taskloom.jobfile.checks.without_history import errors_without_history
from taskloom.jobfile.fields.history import HistoryMode, HistorySetting

__all__ = ["INSTALL", "MISSING", "has_history", "is_installed", "refuse_catching_up", "require_history"]

_PACKAGES = ("sqlalchemy", "alembic")
INSTALL = "pip install 'taskloom[history]'"
MISSING = "no history of runs is recorded: the extra history is not installed"


def is_installed() -> bool:
    """Return whether the packages of the history are installed; none of them is imported."""
    try:
        return all(find_spec(package) is not None for package in _PACKAGES)
    except (ImportError, ValueError):  # half removed, or replaced by something else
        return False


def has_history(setting: HistorySetting) -> bool:
    """Return whether there is a history: it is set, or it is not and its packages are installed."""
    return setting.mode is HistoryMode.ON or (setting.mode is HistoryMode.DEFAULT and is_installed())


def require_history(setting: HistorySetting, specs: Iterable[JobSpec]) -> None:
    """Refuse what cannot begin: a history that is set without its packages, and jobs that need one without one.

    Raises click.UsageError for the former, and JobFileError for the latter.
    """
    if setting.mode is HistoryMode.ON and not is_installed():
        raise click.UsageError(f"cannot record the history: its packages are not installed; {INSTALL}")
    if not has_history(setting):
        refuse_catching_up(setting, specs)


def refuse_catching_up(setting: HistorySetting, specs: Iterable[JobSpec]) -> None:
    """Raise JobFileError if one of the jobs needs a history. Called if there is none, as `setting` says."""
    is_off = setting.mode is HistoryMode.OFF
    hint = "set history: true" if is_off and is_installed() else INSTALL
    why = "which is off" if is_off else "whose packages are not installed"
    errors = list(errors_without_history(specs, hint, why))
    if errors:
        raise JobFileError(errors)
