"""The order of a run for the process runner of a worker, made from what the program has sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taskloom import __version__
from taskloom.errors import TaskFailure
from taskloom.runners import RunOrder
from taskloom.runners.binding import Binding, Body, TaskReference
from taskloom.runners.wire import _SPEC, _fields, _mapping

__all__ = ["order_of"]

# All that the worker's own processes are told, but for `sys.path`, which is that of this host.
_FIELDS = {name: read for name, read in _SPEC.items() if name != "sys_path"}

_IDENTITY = ("run", "job", "task", "attempt", "replica", "daemon", "poll_interval")


def order_of(spec: Mapping[str, Any]) -> RunOrder:
    """Return the order, whose task is imported in the process of the run alone.

    Raises ProtocolError for what is not a spec, and TaskFailure if the program has another version of Taskloom.
    """
    found = _fields("spec", dict(spec), _FIELDS)
    if found["version"] != __version__:
        raise TaskFailure(f"cannot execute the run: the program has Taskloom {found['version']}, not {__version__}")
    reference = TaskReference(
        found["module"], found["qualname"], found["params"], found["label"], found["values"], found["log_levels"]
    )
    binding = Binding(_no_body, label=reference.label, refer=lambda: reference)
    identity = {name: found[name] for name in _IDENTITY}
    return RunOrder(**identity, binding=binding, options=_mapping("options", spec.get("options", {})))


def _no_body() -> Body:
    raise AssertionError("a worker does not make the body of a run")
