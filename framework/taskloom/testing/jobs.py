"""Jobs without a task, for tests of the lifecycle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from taskloom.core.model import JobSpec
from taskloom.core.policies import Dependency, JoinPolicy, Otherwise, StartMode, StartPolicy

__all__ = ["make_job"]


def make_job(
    name: str,
    *,
    daemon: bool = False,
    within: float = 10.0,
    otherwise: Otherwise | None = None,
    delay: float = 0.0,
    manual: bool = False,
    enabled: bool = True,
    after: Sequence[str | Dependency] = (),
    **policies: Any,
) -> JobSpec:
    """Declare a job without a task, with the defaults of a job file: `otherwise` is `abandon` for daemons, else `exit`.

    `after`: a bare name means that this job must be ready. `policies` are fields of JobSpec, such as `restart`.
    """
    return JobSpec(
        name=name,
        task="fake",
        daemon=daemon,
        enabled=enabled,
        join=JoinPolicy(within, otherwise or (Otherwise.ABANDON if daemon else Otherwise.EXIT)),
        start=StartPolicy(StartMode.MANUAL if manual else StartMode.AUTO, delay),
        after=tuple(Dependency(each) if isinstance(each, str) else each for each in after),
        **policies,
    )
