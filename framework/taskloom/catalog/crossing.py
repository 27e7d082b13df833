"""Sends a job to another process: a task that can be imported there by its name, and params of JSON data.

Everything else is refused before the job runs, by what it is. Nothing is pickled: the other process imports the task as
this one did, and checks the params as this one did.
"""

from __future__ import annotations

import functools
import json
import sys
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from taskloom.catalog.crossing_values import errors_in_value
from taskloom.catalog.signatures import REQUIRED, ParamShape
from taskloom.diagnostics import FieldError, quoted
from taskloom.runners.binding import CannotCross, TaskReference

if TYPE_CHECKING:
    from taskloom.catalog.params import TaskShape

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


class Unimportable(NamedTuple):
    """Why another process cannot import a task, and what to do about it."""

    why: str
    hint: str = ""


def task_reference(shape: TaskShape, given: Mapping[str, Any], values: Mapping[str, Any]) -> TaskReference:
    """Return the task with these params, as a copy. Raises CannotCross with everything that is wrong.

    `values`: what the params are made into.
    """
    address, errors = shape.address, errors_crossing(shape, given)
    if errors or isinstance(address, Unimportable):
        raise CannotCross("; ".join(error.message for error in errors))
    params = json.loads(json.dumps(_sent(shape, address, given)))
    return TaskReference(*address, params, shape.label, _sent_values(shape, values))


def _sent_values(shape: TaskShape, values: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a copy of the values if JSON gives back exactly the same; None if not, or if they are not known."""
    if shape.instance is not None or not all(map(_is_plain, values.values())):
        return None
    text = json.dumps(dict(values))
    copied: dict[str, Any] = json.loads(text)
    return copied if len(text) <= _LONGEST_VALUES else None


def _is_plain(value: object) -> bool:
    """Return whether JSON gives back a value of the same type."""
    if type(value) is list:
        return all(map(_is_plain, value))
    if type(value) is dict:
        return all(type(key) is str and _is_plain(item) for key, item in value.items())
    return value is None or type(value) in (bool, int, float, str)


def errors_crossing(shape: TaskShape, given: Mapping[str, Any]) -> list[FieldError]:
    """Return everything that prevents that the task runs with these params in another process.

    A location begins with `task` or `params`.
    """
    address = shape.address
    if isinstance(address, Unimportable):
        return [FieldError(("task",), address.why, address.hint)]
    sent = _sent(shape, address, given)
    errors = [each for name, value in sent.items() for each in errors_in_value(name, value, _annotation(shape, name))]
    if not errors:
        size = len(json.dumps(sent)) if sent else 0
        if size > _LONGEST_PARAMS:
            message = f"cannot pass params of {size:,} bytes to a process; at most {_LONGEST_PARAMS:,} bytes of JSON"
            errors.append(FieldError(("params",), message, "write the data to a file, and pass its path"))
    return errors


def _annotation(shape: TaskShape, name: str) -> Any:
    return next((param.annotation for param in shape.params if param.name == name), Any)


def _sent(shape: TaskShape, address: Address, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the params to send. Of an instance, whose values are all given, the task's defaults are left out."""
    if shape.instance is None:
        return given
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


def find_address(target: Any, instance: object, offered_at: str, name: str) -> Address | Unimportable:
    """Return where another process finds a task. `offered_at`: `module:object` of its entry point, or ""."""
    wanted = target if instance is None else instance
    if offered_at:
        module, _, path = offered_at.partition("[")[0].strip().partition(":")
        address = Address(module.strip(), path.strip())
        if _is_same(_object_at(address), wanted):
            return address
    problem = next(_problems(target, instance, name), None)
    return problem or Address(target.__module__, target.__qualname__)


def _problems(target: Any, instance: object, name: str) -> Iterator[Unimportable]:
    from taskloom.catalog.signatures import has_own_init

    kind = "class" if isinstance(target, type) else "function"
    if instance is not None and has_own_init(type(instance)):
        why = f"cannot run this instance of {name} in a process: the arguments of its constructor are not known"
        yield Unimportable(why, "pass the class as the task, and the arguments as params")
    yield from _kinds_without_name(target)
    module, qualname = _text(target, "__module__"), _text(target, "__qualname__")
    shown = f"cannot run {kind} {qualname!r} in a process"
    if "<lambda>" in qualname.rpartition(".")[2]:
        yield Unimportable("cannot run a lambda in a process: it cannot be imported by a name", _MADE_HERE)
    if "<locals>" in qualname:
        outer, _, inner = qualname.rpartition(".<locals>.")
        why = f"cannot run {kind} {inner!r} in a process: it is defined inside of {outer.rpartition('.')[2]}()"
        yield Unimportable(why, "define it at the top level of a module")
    if module in ("__main__", "__mp_main__"):
        why = f"{shown}: it is defined in the script that was started, which is not a module that can be imported"
        yield Unimportable(why, "move it into a module, and import it from there")
    if not module or not qualname:
        yield Unimportable(f"cannot run {quoted(target)} in a process: it has no module and name", _MADE_HERE)
    found = _object_at(Address(module, qualname))
    if found is None:
        yield Unimportable(f"{shown}: module {module!r} has no {qualname!r}", _MADE_HERE)
    if not _is_same(found, target):
        yield Unimportable(f"{shown}: {qualname!r} of module {module!r} is another object", "give it a name of its own")
    elsewhere = _why_not_importable(module)
    if elsewhere:
        yield Unimportable(f"{shown}: {elsewhere}", "put it into a module on sys.path")


def _kinds_without_name(target: Any) -> Iterator[Unimportable]:
    """Yield what a callable is that is neither a class nor a function."""
    if isinstance(target, functools.partial):
        why = "cannot run a functools.partial in a process: it cannot be imported by a name"
        yield Unimportable(why, "pass the function as the task, and its arguments as params")
    owner = getattr(target, "__self__", None)
    if isinstance(target, types.MethodType) and not isinstance(owner, type):
        named = _text(target, "__qualname__")
        why = f"cannot run method {named!r} of an instance in a process: the instance is not there"
        yield Unimportable(why, _MADE_HERE)
    if not isinstance(target, type) and not hasattr(target, "__qualname__"):
        why = f"cannot run an object of type {type(target).__name__} in a process: it cannot be imported by a name"
        yield Unimportable(why, _MADE_HERE)


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
