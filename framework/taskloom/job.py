"""Jobs declared in code, with the field names of a job file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Job"]


class _Unwritten(str):
    """A default that differs from the same text where a program writes it: another one may apply to the job's task."""

    __slots__ = ()


_UNWRITTEN_THREAD = _Unwritten("thread")


@dataclass(kw_only=True)
class Job:
    """Declare a job. `Scheduler.add` validates and adds it.

    Every field accepts the same values as in a job file, including durations as text; None means `none`. `task` may
    also be a Task class, an instance of one (its values are the params, and each run gets a new instance with the
    same values) or a function `f(ctx, ...)`. Params that are not data (a queue, a callback) are shared by all runs;
    they cannot be passed to a process. Lists and mappings are copied for each run.
    """

    name: str
    task: Any
    params: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""
    labels: Sequence[str] = ()
    enabled: bool = True
    daemon: bool = False
    poll_interval: float | str = "1s"
    join: float | str | Mapping[str, Any] = "10s"
    start: str | Mapping[str, Any] = "auto"
    schedule: Mapping[str, Any] | None = None
    after: str | Sequence[str | Mapping[str, str]] | Mapping[str, str] = ()
    restart: str | Mapping[str, Any] = "never"
    timeout: float | str | None = None
    ready_within: float | str | None = None
    watchdog: float | str | Mapping[str, Any] | None = None
    essential: bool = False
    log: str | Mapping[str, Any] = field(default_factory=dict)
    replicas: int = 1
    runner: str | Mapping[str, Any] = _UNWRITTEN_THREAD
