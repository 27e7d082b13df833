"""Makes the order of the run from the spec that the program has sent."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from taskloom.errors import TaskFailure
from taskloom.runners import RunOrder
from taskloom.runners.binding import Binding, Body

if TYPE_CHECKING:
    from taskloom.runners.wire import Spec

__all__ = ["order_of"]


def order_of(spec: Spec) -> RunOrder:
    """Return the order. Its binding imports the task when the body is made, so that errors are those of a start."""
    binding = Binding(lambda: _make(spec, binding), label=spec.label)
    return RunOrder(spec.run, spec.job, spec.task, spec.attempt, spec.replica, spec.daemon, spec.poll_interval, binding)


def _make(spec: Spec, binding: Binding) -> Body:
    found = _bind(_imported(spec.module, spec.qualname), spec.params)
    binding.has_terminate = found.has_terminate
    binding.announces_ready = found.announces_ready
    return found.make()


def _imported(module: str, qualname: str) -> object:
    """Return the class or function. Raises whatever its module raises."""
    found: Any = import_module(module)
    for name in qualname.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            text = f"cannot find {qualname!r} in module {module!r} in the process of the run"
            raise TaskFailure(f"{text}: was the package replaced since the program started?") from None
    return found


def _bind(target: object, params: Mapping[str, Any]) -> Binding:
    """Bind the params, which the program has checked: no instance is made on trial."""
    from taskloom.catalog.params import inspect_task

    shape = inspect_task(target)
    values = shape.takes.check(params) if params or shape.params else {}
    return shape.binding(values)
