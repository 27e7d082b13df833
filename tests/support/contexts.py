"""Contexts of runs that no scheduler has started."""

from __future__ import annotations

from taskloom.runners import RunOrder
from taskloom.runners.binding import Binding, Body
from taskloom.runners.context import RunContext
from taskloom.runners.gauges import Gauges
from taskloom.sync.cancel_token import CancelToken

__all__ = ["run_context"]


def run_context(job: str, token: CancelToken | None = None) -> RunContext:
    """Return the context of the first run of a job."""
    binding = Binding(lambda: Body(lambda ctx: None, None))
    order = RunOrder(f"{job}#1", job, "task", 1, 1, False, 1.0, binding)
    return RunContext(order, token or CancelToken(), lambda message: None, Gauges())
