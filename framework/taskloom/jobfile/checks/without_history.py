"""Jobs that need a history, and the errors if none is kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from taskloom.core.model import JobSpec
from taskloom.diagnostics import Place, Problem

__all__ = ["errors_without_history"]


def errors_without_history(
    specs: Iterable[JobSpec], hint: str = "set history: true", why: str = "which is off"
) -> Iterator[Problem]:
    """Yield an error for each declared job that cannot be used without a history. `hint`: how to get one."""
    declared: set[str] = set()
    for spec in specs:
        if spec.schedule is not None and spec.schedule.catches_up and spec.family not in declared:
            declared.add(spec.family)
            message = f"cannot use 'catch-up' as schedule.missed of job {spec.family!r}: it needs the history, {why}"
            yield Problem(spec.place or Place(".", 1, 1), message, hint=hint)
