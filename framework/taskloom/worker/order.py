"""Makes the order of the run from the spec that the program has sent."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from taskloom.errors import TaskFailure
from taskloom.runners import RunOrder
from taskloom.runners.binding import Binding, Body, CoroutineRun, is_coroutine_function

if TYPE_CHECKING:
    from taskloom.runners.wire import Spec

__all__ = ["order_of"]


def order_of(spec: Spec) -> RunOrder:
    """Return the order. Its binding imports the task when the body is made, so that errors are those of a start."""
    binding = Binding(lambda: _make(spec, binding), label=spec.label)
    return RunOrder(spec.run, spec.job, spec.task, spec.attempt, spec.replica, spec.daemon, spec.poll_interval, binding)


def _make(spec: Spec, binding: Binding) -> Body:
    target = _imported(spec.module, spec.qualname)
    if spec.values is None or not (isinstance(target, type) or hasattr(target, "__qualname__")):
        found = _checked(target, spec.params)
        binding.has_terminate, binding.announces_ready = found.has_terminate, found.announces_ready
        return found.make()
    body = _plain_body(target, spec.values)
    binding.has_terminate = body.terminate is not None
    binding.announces_ready = bool(getattr(target, "announces_ready", False))
    return body


def _plain_body(target: Any, values: Mapping[str, Any]) -> Body:
    """Return the body of a class or function with checked values, without the catalog: as `TaskShape` makes it."""
    is_class = isinstance(target, type)
    instance: Any = target(**values) if is_class else None
    run = instance.run if is_class else partial(target, **values) if values else target
    is_async = is_coroutine_function(target.run if is_class else target)
    return Body(CoroutineRun(run) if is_async else run, getattr(instance, "terminate", None))


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


def _checked(target: object, params: Mapping[str, Any]) -> Binding:
    """Bind the params, and check them as the program has. No instance is made on trial."""
    from taskloom.catalog.params import inspect_task

    shape = inspect_task(target)
    return shape.binding({} if shape.has_unknown_values else shape.takes.check(shape.given(params)), params)
