"""The limit of open files: four for each run in a process are more than the usual limit for a thousand of them."""

from __future__ import annotations

import resource

__all__ = ["limit_of_children", "raise_limit"]

# The soft limit before it was raised; empty if it was not. The processes of runs get it back: a program that closes or
# polls all descriptors up to the limit would take seconds, and `select` knows 1024.
_before: list[int] = []


def raise_limit() -> int:
    """Raise the soft limit of this process to its hard limit, and return it. Only for programs that are our own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return hard
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        return soft
    if not _before:
        _before.append(soft)
    return hard


def limit_of_children() -> int | None:
    """Return the soft limit that the processes of runs get; None for the present one."""
    return _before[0] if _before else None
