"""The parameters of a task: read from its signature, checked, and bound to the bodies of its runs.

`inspect_task` returns a `TaskShape`, or raises when the object is not a task. The shape checks values (`validate`)
and binds them for a runner (`binding`). pydantic is imported only when a value needs it.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, cast

from taskloom.catalog.plain_params import accept_plain
from taskloom.catalog.pydantic_errors import ParamErrors, existing, mask_secrets
from taskloom.catalog.signatures import (
    REQUIRED,
    ParamShape,
    ShapeError,
    check_class,
    check_function,
    context_in_doubt,
    has_own_init,
    is_program,
    made_defaults,
    params_of_class,
    params_of_function,
)
from taskloom.diagnostics import FieldError, UnusableField, quoted
from taskloom.runners.binding import Binding, Body, CoroutineRun, TaskReference, is_coroutine_function
from taskloom.task import Task
from taskloom.text import error_text, kind_of, message_of

if TYPE_CHECKING:
    from taskloom.catalog.crossing import Address
    from taskloom.catalog.pydantic_params import ParamModel
    from taskloom.program import Program

__all__ = ["FieldError", "ParamErrors", "ParamSet", "ParamShape", "ShapeError", "TaskShape", "inspect_task"]


class ParamSet:
    """The parameters of one task and the check of their values; shared by the shapes of all its instances."""

    def __init__(self, shapes: tuple[ParamShape, ...]) -> None:
        self.shapes = shapes
        self._by_name = {shape.name: shape for shape in shapes}
        self._required = {shape.name for shape in shapes if shape.is_required}

    @property
    def model(self) -> ParamModel:
        """The pydantic model. Raises ShapeError when it cannot be built, or when a default does not fit."""
        if isinstance(self._model, ShapeError):
            # Each raise would add to the stored traceback, which would grow and keep frames alive.
            raise self._model.with_traceback(None)
        return self._model

    @functools.cached_property
    def _model(self) -> ParamModel | ShapeError:
        """A failure is remembered: ten thousand jobs of a task try once."""
        from taskloom.catalog.pydantic_params import ParamModel

        try:
            return ParamModel(self.shapes)
        except ShapeError as error:
            return error

    @functools.cached_property
    def defaults(self) -> Mapping[str, Any]:
        """The defaults, converted to their types, without those made again for each instance. Raises as `model`."""
        written = {shape.name: shape.default for shape in self.shapes if shape.default is not REQUIRED}
        made = made_defaults(self.shapes)
        values = accept_plain(self._by_name, {**written, **made})
        if values is None:
            return self.model.defaults
        return {name: values[name] for name in written}

    def check(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values and the defaults, converted to their types. Raises ParamErrors, ShapeError as `model`."""
        values = accept_plain(self._by_name, given) if self._required <= given.keys() else None
        if values is None:
            return self.model.check(given)
        return {**self.defaults, **values}


@dataclasses.dataclass(frozen=True, eq=False)
class TaskShape:
    """A task as seen from outside: its name, its parameters and its abilities."""

    target: type[Task] | Callable[..., object]
    name: str
    doc: str
    takes: ParamSet
    has_terminate: bool = False
    announces_ready: bool = False
    context_in_doubt: str = ""
    """The parameter that gets the context, if it may be meant for something else."""
    instance: Task | None = None
    """The instance that was passed instead of a class; its values are the params."""
    is_program: bool = False
    """Whether it describes a program to start, by `program(self)`, instead of Python code."""
    offered_at: str = ""
    """The place at which an entry point finds the task, as `module:object`; "" for one that was passed in Python."""

    @functools.cached_property
    def label(self) -> str:
        """Module and name of the class or function."""
        inner = getattr(self.target, "func", self.target)
        return f"{getattr(inner, '__module__', '?')}:{getattr(inner, '__qualname__', self.name)}"

    @functools.cached_property
    def address(self) -> Address:
        """The place at which another process finds the task. Raises Unimportable, which is not remembered.

        A decorator may ask before its module has bound the name of the task.
        """
        from taskloom.catalog.crossing import find_address

        return find_address(self.target, self.instance, self.offered_at, self.name)

    @property
    def params(self) -> tuple[ParamShape, ...]:
        """The parameters, in the order of the signature."""
        return self.takes.shapes

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema (2020-12) of the params mapping. Raises ShapeError as `model`."""
        return self.takes.model.json_schema()

    def validate(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of the parameters, converted to their types, defaults included.

        Plain data is checked as strictly as JSON: text is not a number, a number is not a bool. An instance is
        built and thrown away, so that a value that the constructor refuses is reported before any job starts.
        Raises ParamErrors, or ShapeError as `model`.
        """
        return self.bind(params)[0]

    def bind(self, params: Mapping[str, Any]) -> tuple[dict[str, Any], Binding]:
        """Return the checked values, as `validate` does, and their binding."""
        if not params and not self.params and self.instance is None:
            return {}, self._empty_binding
        return self._bind(params)

    @functools.cached_property
    def _empty_binding(self) -> Binding:
        """The binding without values: all jobs of a task without parameters share it."""
        return self._bind({})[1]

    def _bind(self, params: Mapping[str, Any]) -> tuple[dict[str, Any], Binding]:
        given = self.given(params)
        values = {} if self.has_unknown_values else self._checked(given)
        binding = self.binding(values, given)
        try:
            if binding.program is None:
                binding.make()
            else:
                _describe(binding, binding.program())
        except BaseException as error:  # the plugin's own code may raise anything to refuse its params
            text = mask_secrets(_constructor_error(error), values)
            loc = _param_of(error, given) if isinstance(error, UnusableField) else ()
            message = text if loc else f"cannot make {self.name} of these params: {text}"
            raise ParamErrors([FieldError(loc, message)]) from error
        return values, binding

    def _checked(self, given: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return self.takes.check(given)
        except (ParamErrors, ShapeError, MemoryError):
            raise
        except BaseException as error:  # a validator is the plugin's own code, too: it may call sys.exit
            # Not its message: it may quote a secret, and which values are secrets is not known before they are checked.
            text = f"cannot check the params of {self.name}: a validator raised {kind_of(error)}"
            name = self.takes.model.culprit(given)
            found = FieldError((name,) if name else (), text, "a validator raises ValueError to refuse a value")
            raise ParamErrors([found]) from error

    @property
    def has_unknown_values(self) -> bool:
        """True for an instance whose class has its own constructor: its arguments cannot be read from it."""
        return self.instance is not None and has_own_init(type(self.instance))

    def given(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the params to check: those of the instance, if one was passed."""
        if self.instance is None:
            return params
        if params:
            message = f"cannot take params beside an instance of {self.name}, which holds its own"
            raise ParamErrors([FieldError((), message)])
        if self.has_unknown_values:
            return {}
        names = [param.name for param in self.params if hasattr(self.instance, param.name)]
        return {name: getattr(self.instance, name) for name in names}

    def binding(self, values: Mapping[str, Any], given: Mapping[str, Any] | None = None) -> Binding:
        """Bind checked values, as `validate` returns them. `given`: what they were made of, if that is known."""
        return Binding(
            self._maker(values),
            has_terminate=self.has_terminate,
            announces_ready=self.announces_ready,
            label=self.label,
            context_in_doubt=self.context_in_doubt,
            refer=functools.partial(self.refer, values if given is None else given, values),
            program=self._program_maker(values) if self.is_program else None,
        )

    def refer(self, given: Mapping[str, Any], values: Mapping[str, Any]) -> TaskReference:
        """Return the task with these params for another process. `values`: what they are made into, for all params.

        Raises CannotCross.
        """
        from taskloom.catalog.crossing import task_reference

        return task_reference(self, given, values)

    def errors_crossing(self, params: Mapping[str, Any]) -> list[FieldError]:
        """Return everything that prevents that the task runs with these params in another process.

        `params` are those that `bind` accepted. A location begins with `task` or `params`.
        """
        from taskloom.catalog.crossing import errors_crossing

        return errors_crossing(self, self.given(params))

    def _program_maker(self, values: Mapping[str, Any]) -> Callable[[], Program]:
        build = self._builder(cast("type[Task]", self.target), values)
        return lambda: cast("Any", build()).program()

    @functools.cached_property
    def is_async(self) -> bool:
        """True if its run is a coroutine function."""
        return is_coroutine_function(
            getattr(self.target, "run", None) if isinstance(self.target, type) else self.target
        )

    def _maker(self, values: Mapping[str, Any]) -> Callable[[], Body]:
        make = self._plain_maker(values)
        if not self.is_async:
            return make

        def make_async() -> Body:
            run, terminate = make()
            return Body(CoroutineRun(cast("Callable[..., Any]", run)), terminate)

        return make_async

    def _plain_maker(self, values: Mapping[str, Any]) -> Callable[[], Body]:
        if not isinstance(self.target, type):
            function = self.target
            if _are_shareable(values.values()):
                body = Body(functools.partial(function, **values), None) if values else Body(function, None)
                return lambda: body
            return lambda: Body(functools.partial(function, **_fresh(values)), None)
        build = self._builder(self.target, values)
        if self.has_terminate:
            return lambda: _body_with_terminate(build())
        return lambda: Body(build().run, None)

    def _builder(self, cls: type[Task], values: Mapping[str, Any]) -> Callable[[], Task]:
        """Return a function that makes a new instance; mutable values are copied, so that runs never share a list."""
        if self.has_unknown_values:
            pristine = self.instance  # it never runs itself, so each copy is like new
            return lambda: cast("Task", copy.deepcopy(pristine))
        if _are_shareable(values.values()):
            return functools.partial(cls, **values)
        return lambda: cls(**_fresh(values))


def _describe(binding: Binding, program: object) -> None:
    """Take over from a program what a job has to know of it before it runs. Raises TypeError if it is none."""
    from taskloom.program import Program

    if not isinstance(program, Program):
        raise TypeError(f"its program() returned {quoted(program)}, which is not a taskloom.Program")
    binding.announces_ready = program.announces_ready
    if program.check is not None:
        binding.check_seconds = program.check.every * program.check.failures


def _constructor_error(error: BaseException) -> str:
    """Return the message of a constructor's error, with its type unless it is a TypeError or ValueError."""
    if issubclass(type(error), TypeError | ValueError):
        return message_of(error) or error_text(error)
    return error_text(error)


def _body_with_terminate(instance: Any) -> Body:
    return Body(instance.run, instance.terminate)


_PLAIN = frozenset({bool, int, float, str, type(None)})


def _are_shareable(values: Collection[object]) -> bool:
    return _PLAIN.issuperset(map(type, values)) or all(map(_is_shareable, values))


def _is_shareable(value: object) -> bool:
    """Return whether runs may share the value.

    A run may change its data, so data is copied. Other objects (a queue, a callback, in a job declared in Python)
    are shared on purpose.
    """
    if type(value) in _PLAIN:
        return True
    if isinstance(value, tuple):
        return _are_shareable(value)
    is_record = hasattr(type(value), "model_fields") or dataclasses.is_dataclass(value)
    return not (isinstance(value, list | dict | set | bytearray) or (is_record and not isinstance(value, type)))


def _fresh(value: Any) -> Any:
    """Return the value, with the data in it copied."""
    if type(value) is dict:
        return {key: _fresh(item) for key, item in value.items()}
    if type(value) in (list, set, tuple):
        return type(value)(_fresh(item) for item in value)
    return value if _is_shareable(value) else copy.deepcopy(value)


def inspect_task(target: object) -> TaskShape:
    """Return the shape of a Task class, of an instance of one (its values are the params) or of a function.

    Raises ShapeError, with the reason, for any other object, and for a task that could not be run.
    """
    if isinstance(target, type):
        return _inspect_class(target)
    if isinstance(target, Task):
        return dataclasses.replace(_inspect_class(type(target)), instance=target)
    if callable(target):
        return _inspect_function(target)
    raise ShapeError(f"{type(target).__name__} {target!r:.60} is neither a Task class nor a function")


def _text_of(target: object) -> str:
    """Return the docstring; a class may have a property or anything else of that name."""
    doc = getattr(target, "__doc__", None)
    return doc if isinstance(doc, str) else ""


def _inspect_class(cls: type) -> TaskShape:
    check_class(cls)
    doc = _text_of(cls)
    return TaskShape(
        target=cls,
        name=cls.__name__,
        # A dataclass without a docstring gets its signature as docstring, which adds nothing.
        doc="" if doc.startswith(f"{cls.__name__}(") else inspect.cleandoc(doc),
        takes=ParamSet(params_of_class(cls)),
        has_terminate=getattr(cls, "terminate", None) is not None,
        is_program=is_program(cls),
        announces_ready=bool(getattr(cls, "announces_ready", False)),
        context_in_doubt=context_in_doubt(cls, f"{cls.__name__}.run"),
    )


def _inspect_function(function: Callable[..., object]) -> TaskShape:
    name = getattr(function, "__name__", None) or getattr(getattr(function, "func", None), "__name__", None)
    name = name or type(function).__name__
    check_function(function, name)
    return TaskShape(
        target=function,
        name=name,
        doc=inspect.cleandoc(_text_of(function)) if hasattr(function, "__name__") else "",
        takes=ParamSet(params_of_function(function, name)),
        announces_ready=bool(getattr(function, "announces_ready", False)),
        context_in_doubt=context_in_doubt(function, name),
    )


# How the parameters of a task are called that describes a program, where that is not the name of the program's field.
_OTHER_NAMES: Mapping[str, tuple[str, ...]] = {
    "env_files": ("env_file",),
    "ready_line": ("ready", "line"),
    "ready_address": ("ready", "address"),
}


def _param_of(error: UnusableField, given: Mapping[str, Any]) -> tuple[str | int, ...]:
    """Return the path to the param that is wrong; () if its name does not tell."""
    first, *rest = error.field or ("",)
    return existing((*_OTHER_NAMES.get(str(first), (first,)), *rest), given)
