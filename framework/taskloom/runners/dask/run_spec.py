"""The data of one run that crosses the network: JSON, so that no class of ours or of a user is ever pickled."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from taskloom import __version__
from taskloom.runners.dask.protocol.messages import Lease
from taskloom.runners.process.worker_command import log_levels
from taskloom.text import to_json

if TYPE_CHECKING:
    from taskloom.runners import RunOrder

__all__ = ["execution_text", "needed_task", "spec_of"]


def spec_of(order: RunOrder, process_options: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that an execution needs. Raises ValueError in words if the task or its params cannot cross."""
    reference = order.binding.reference
    if reference is None:
        raise ValueError(order.binding.cannot_cross)
    return {
        "version": __version__,
        "job": order.job,
        "run": order.run,
        "task": order.task,
        "attempt": order.attempt,
        "replica": order.replica,
        "daemon": order.daemon,
        "poll_interval": order.poll_interval,
        "module": reference.module,
        "qualname": reference.qualname,
        "params": dict(reference.params),
        "values": None if reference.values is None else dict(reference.values),
        "label": reference.label,
        "log_levels": log_levels(),
        "options": dict(process_options),
    }


def needed_task(order: RunOrder) -> str:
    """Return the name of the task that a worker must have installed; "" if only its module has to be there.

    A program may declare a job with a class or a function that no distribution offers.
    """
    reference = order.binding.reference
    offered = _installed().get(order.task.rpartition("/")[2], ())
    return order.task if reference is not None and f"{reference.module}:{reference.qualname}" in offered else ""


@lru_cache(maxsize=1)
def _installed() -> Mapping[str, tuple[str, ...]]:
    """Return what the installed distributions offer as tasks: module and name, by the name of the task."""
    found: dict[str, tuple[str, ...]] = {}
    for entry in entry_points(group="taskloom.tasks"):
        found[entry.name] = (*found.get(entry.name, ()), entry.value.split("[")[0].strip())
    return found


def execution_text(session: str, run: str, lease: Lease, spec: Mapping[str, Any]) -> str:
    """Return the argument of `taskloom.runners.dask.on_worker.execute`. Raises ValueError if it is not JSON data."""
    try:
        return to_json({"session": session, "run": run, "lease": lease._asdict(), "spec": spec}, is_ascii=True)
    except (TypeError, RecursionError) as error:
        raise ValueError(f"cannot send the params of job {spec['job']!r}: {error}") from None
