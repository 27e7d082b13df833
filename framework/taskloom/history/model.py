"""The records that pass between the program and its history: plain, without a database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from taskloom.core.remembered import RememberedJob

__all__ = ["ActionRow", "HistoryState", "LostRun", "Opened", "RunGauges", "StartInfo"]


class StartInfo(NamedTuple):
    """One start of a program."""

    start: str
    """Its id, new for each start; the same that the control API shows."""
    since: float
    """Seconds since the epoch."""
    pid: int
    paths: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    """Secrets are masked in it."""


class LostRun(NamedTuple):
    """A run that was alive when its program was killed."""

    start: str
    run: str
    job: str
    last_polled: float | None
    """When it was last seen to poll, in seconds since the epoch; None if it never was."""
    alive_at: float
    """When the program was last seen alive, in seconds since the epoch."""


class ActionRow(NamedTuple):
    """One command of a user, and who gave it."""

    at: float
    """Seconds since the epoch."""
    action: str
    jobs: tuple[str, ...]
    caller: Mapping[str, str | int]
    """`pid`, `uid`, `user` and `command`, as far as they are known; `signal` for a signal."""
    reason: str = ""
    result: str = ""


class RunGauges(NamedTuple):
    """What a run has reported about itself so far."""

    last_polled: float | None = None
    """When it was last seen to poll, in seconds since the epoch; None if it never was."""
    counters: Mapping[str, int] | None = None
    progress: Mapping[str, Any] | None = None
    """`done`, `total` and `unit`."""


class HistoryState(NamedTuple):
    """How the history is at the moment."""

    kind: Literal["on", "degraded", "off"]
    reason: str = ""
    """Why it is degraded."""
    since: float = 0.0
    """Since when it is degraded, in seconds since the epoch."""
    queued: int = 0
    dropped: int = 0
    """Rows that were lost to a full queue since the start."""
    url: str = ""
    """Without a password."""


class Opened(NamedTuple):
    """What opening the history has found."""

    lost: tuple[LostRun, ...]
    remembered: Mapping[str, RememberedJob]
    """The memory of each job, by its name."""
