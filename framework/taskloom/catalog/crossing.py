"""Sends a job to another process: a task that can be imported there by its name, and params of JSON data.

Everything else is refused before the job runs, by what it is. Nothing is pickled: the other process imports the task as
this one did, and checks the params as this one did.
"""

from __future__ import annotations

import functools
import json
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from taskloom.catalog.crossing_values import errors_in_value
from taskloom.catalog.signatures import REQUIRED, ParamShape, has_own_init
from taskloom.diagnostics import FieldError, quoted
from taskloom.runners.binding import CannotCross, TaskReference

if TYPE_CHECKING:
    from taskloom.catalog.params import TaskShape
    from taskloom.task import Task

__all__ = ["Address", "Unimportable", "errors_crossing", "find_address", "task_reference"]

# A worker is given its whole order in one line of at most 1 MiB, in which the params are the only large part.
_LONGEST_PARAMS = 1_000_000
# Beside the params in the same line; the values of larger ones are made again in the other process.
_LONGEST_VALUES = 10_000
_MADE_HERE = "write a function or a Task class at the top level of a module"


class Address(NamedTuple):
    """The place at which another process finds a task: a module, and the attributes that lead to the task."""

    module: str
    qualname: str


class Unimportable(Exception):
    """Another process cannot import a task: why, and what to write instead."""

    def __init__(self, why: str, hint: str) -> None:
        super().__init__(why)
        self.why, self.hint = why, hint


def task_reference(shape: TaskShape, given: Mapping[str, Any], values: Mapping[str, Any]) -> TaskReference:
    """Return the task with these params, as a copy. Raises CannotCross with everything that is wrong.

    `values`: what the params are made into.
    """
    errors = errors_crossing(shape, given)
    if errors:
        raise CannotCross("; ".join(error.message for error in errors))
    params = json.loads(json.dumps(_sent(shape, given)))
    return TaskReference(*shape.address, params, shape.label, _sent_values(shape, values))


def _sent_values(shape: TaskShape, values: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a copy of the values if JSON gives back exactly the same; None if not, or if they are not known."""
    if shape.instance is not None or any(any(errors_in_value(name, value, Any)) for name, value in values.items()):
        return None
    text = json.dumps(dict(values))
    copied: dict[str, Any] = json.loads(text)
    return copied if len(text) <= _LONGEST_VALUES else None


def errors_crossing(shape: TaskShape, given: Mapping[str, Any]) -> list[FieldError]:
    """Return everything that prevents that the task runs with these params in another process.

    A location begins with `task` or `params`.
    """
    try:
        sent = _sent(shape, given)
    except Unimportable as error:
        return [FieldError(("task",), error.why, error.hint)]
    errors = [each for name, value in sent.items() for each in errors_in_value(name, value, _annotation(shape, name))]
    if not errors:
        size = len(json.dumps(sent)) if sent else 0
        if size > _LONGEST_PARAMS:
            message = f"cannot pass params of {size:,} bytes to a process; at most {_LONGEST_PARAMS:,} bytes of JSON"
            errors.append(FieldError(("params",), message, "write the data to a file, and pass its path"))
    return errors


def _annotation(shape: TaskShape, name: str) -> Any:
    return next((param.annotation for param in shape.params if param.name == name), Any)


def _sent(shape: TaskShape, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the params to send. Of an instance, whose values are all given, the task's defaults are left out.

    Raises Unimportable if the task cannot be sent.
    """
    address = shape.address
    if shape.instance is None:
        return dict(given)
    if _object_at(address) is shape.instance:
        return {}  # an entry point names the instance itself
    defaults = {param.name: param for param in shape.params}
    return {name: value for name, value in given.items() if not _is_default(defaults[name], value)}


def _is_default(param: ParamShape, value: object) -> bool:
    if param.is_required:
        return False
    try:
        default = param.default if param.default is not REQUIRED else param.factory and param.factory()
        return value is default or (type(value) is type(default) and bool(value == default))
    except Exception:  # noqa: BLE001 - the factory and the comparison are code of the task's package
        return False


# -- the task


def find_address(target: Any, instance: Task | None, offered_at: str, name: str) -> Address:
    """Return where another process finds a task. `offered_at`: `module:object` of its entry point, or "".

    Raises Unimportable.
    """
    wanted: Any = target if instance is None else instance
    if offered_at:
        module, _, path = offered_at.partition("[")[0].strip().partition(":")
        address = Address(module.strip(), path.strip())
        if _is_same(_object_at(address), wanted):
            return address
    _check_kind(target, instance, name)
    return _checked_address(target)


def _checked_address(target: Any) -> Address:
    """Return the module and the name of a class or a function, with which an import finds the same object."""
    kind = "class" if isinstance(target, type) else "function"
    module, qualname = _text(target, "__module__"), _text(target, "__qualname__")
    shown = f"cannot run {kind} {qualname!r} in a process"
    if "<lambda>" in qualname.rpartition(".")[2]:
        raise Unimportable("cannot run a lambda in a process: it cannot be imported by a name", _MADE_HERE)
    if "<locals>" in qualname:
        outer, _, inner = qualname.rpartition(".<locals>.")
        why = f"cannot run {kind} {inner!r} in a process: it is defined inside of {outer.rpartition('.')[2]}()"
        raise Unimportable(why, "define it at the top level of a module")
    if module in ("__main__", "__mp_main__"):
        why = f"{shown}: it is defined in the script that was started, which is not a module that can be imported"
        raise Unimportable(why, "move it into a module, and import it from there")
    if not module or not qualname:
        raise Unimportable(f"cannot run {quoted(target)} in a process: it has no module and name", _MADE_HERE)
    found = _object_at(Address(module, qualname))
    if found is None:
        raise Unimportable(f"{shown}: module {module!r} has no {qualname!r}", _MADE_HERE)
    if not _is_same(found, target):
        raise Unimportable(f"{shown}: {qualname!r} of module {module!r} is another object", "give it a name of its own")
    elsewhere = _why_not_importable(module)
    if elsewhere:
        raise Unimportable(f"{shown}: {elsewhere}", "put it into a module on sys.path")
    return Address(module, qualname)


def _check_kind(target: Any, instance: Task | None, name: str) -> None:
    """Raise Unimportable, with what it is, for a task that has no name of its own."""
    if instance is not None and has_own_init(type(instance)):
        why = f"cannot run this instance of {name} in a process: the arguments of its constructor are not known"
        raise Unimportable(why, "pass the class as the task, and the arguments as params")
    if isinstance(target, functools.partial):
        why = "cannot run a functools.partial in a process: it cannot be imported by a name"
        raise Unimportable(why, "pass the function as the task, and its arguments as params")
    owner = getattr(target, "__self__", None)
    if isinstance(target, types.MethodType) and not isinstance(owner, type):
        named = _text(target, "__qualname__")
        why = f"cannot run method {named!r} of an instance in a process: the instance is not there"
        raise Unimportable(why, _MADE_HERE)
    if not isinstance(target, type) and not hasattr(target, "__qualname__"):
        why = f"cannot run an object of type {type(target).__name__} in a process: it cannot be imported by a name"
        raise Unimportable(why, _MADE_HERE)


def _text(target: Any, name: str) -> str:
    value = getattr(target, name, "")
    return value if isinstance(value, str) else ""


def _object_at(address: Address) -> Any:
    """Return the object at an address in the modules of this process, or None."""
    found: Any = sys.modules.get(address.module)
    try:
        for part in address.qualname.split("."):
            found = getattr(found, part)
    except Exception:  # noqa: BLE001 - a module or a metaclass may have a `__getattr__` of its own
        return None
    return found


def _is_same(found: Any, target: Any) -> bool:
    """Return whether it is the same task. A class method is a new object at each access."""
    if isinstance(found, types.MethodType) and isinstance(target, types.MethodType):
        return found.__func__ is target.__func__ and found.__self__ is target.__self__
    return found is target


def _why_not_importable(name: str) -> str:
    """Return why the import of a loaded module in another process would not find it; "" if it would."""
    loaded = getattr(sys.modules[name], "__spec__", None)
    parent = name.rpartition(".")[0]
    path = getattr(sys.modules.get(parent), "__path__", None) if parent else None
    for finder in list(sys.meta_path):
        try:
            found = finder.find_spec(name, path, None)
        except Exception:  # noqa: BLE001 - a finder is code of any package
            return ""  # it cannot be determined; the other process may have luck
        if found is not None:
            origin, own = getattr(found, "origin", None), getattr(loaded, "origin", None)
            if origin and own and Path(origin).is_file() and Path(own).is_file() and not Path(origin).samefile(own):
                return f"module {name!r} was loaded from {own!r}, and its import finds {origin!r}"
            return ""
    return f"module {name!r} cannot be found on sys.path"
