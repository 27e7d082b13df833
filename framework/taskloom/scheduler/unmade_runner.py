"""Stands for an installed runner that could not be imported or made: each run says why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from taskloom.runners import Emit, RunHandle, RunOrder, Stack
from taskloom.sync.cancel_token import CancelToken

__all__ = ["UnmadeRunner"]


class UnmadeRunner:
    """Starts no run. `error`: what its module or its constructor has raised."""

    def __init__(self, error: Exception) -> None:
        # Without its traceback, which would keep the objects of the caller alive.
        self._error = error.with_traceback(None)

    def start(self, order: RunOrder, token: CancelToken, emit: Emit) -> NoReturn:
        """Raise the error."""
        raise self._error.with_traceback(None)

    def stacks(self, handles: Sequence[RunHandle], texts: int) -> list[Stack]:
        """Return nothing: there are no runs."""
        return []

    def close(self) -> None:
        """Do nothing."""

    def join(self, timeout: float) -> bool:
        """Return at once: nothing is kept."""
        return True
