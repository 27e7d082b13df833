"""What a task takes: its parameters, checked and bound to the bodies of its runs.

`inspect_task` answers "is this a task, and which parameters has it?" with a `TaskShape`, which then checks
values (`validate`) and binds them for a runner (`binding`). pydantic is imported only when a value needs it.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from taskloom.complaints import Mistake, ParamErrors, mask_secrets
from taskloom.plainparams import accept_plain
from taskloom.runners.body import Binding, Body
from taskloom.signatures import (
    ParamShape,
    ShapeError,
    check_class,
    check_function,
    has_own_init,
    params_of_class,
    params_of_function,
)
from taskloom.task import Task

if TYPE_CHECKING:
    from taskloom.paramcheck import ParamModel

__all__ = ["Mistake", "ParamErrors", "ParamShape", "ShapeError", "TaskShape", "inspect_task"]


@dataclasses.dataclass(frozen=True, eq=False)
class TaskShape:
    """A task as seen from outside: what it is called, what it takes, what it can do."""

    target: type[Task] | Callable[..., object]
    name: str
    doc: str
    params: tuple[ParamShape, ...]
    has_terminate: bool = False
    announces_ready: bool = False
    instance: Task | None = None
    """The instance that was given instead of a class: its values are the params."""

    @functools.cached_property
    def label(self) -> str:
        """Module and name of the class or function."""
        inner = getattr(self.target, "func", self.target)
        return f"{getattr(inner, '__module__', '?')}:{getattr(inner, '__qualname__', self.name)}"

    @functools.cached_property
    def _model(self) -> ParamModel:
        from taskloom.paramcheck import ParamModel

        return ParamModel(self.params)

    def of_instance(self, instance: Task) -> TaskShape:
        """Return the shape of an instance of this class: its values are the params."""
        return dataclasses.replace(self, instance=instance)

    def model(self) -> ParamModel:
        """Return the pydantic model of the parameters, built at the first call.

        Raises ShapeError when pydantic cannot check one of the types, or when a default does not fit.
        """
        return self._model

    def check_defaults(self) -> None:
        """Raise ShapeError when a default does not fit its own type or constraints."""
        if accept_plain([param for param in self.params if not param.is_required], {}) is None:
            self.model()

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema (2020-12) of the params mapping. Raises ShapeError like `model`."""
        return self.model().json_schema()

    def validate(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of the parameters, in their types, defaults included.

        Plain data is held to the types as strictly as JSON: no text for a number, no number for a bool.
        Also builds a throw-away instance, so that what the constructor refuses is known before anything
        starts. Raises ParamErrors, and ShapeError like `model`.
        """
        return self.bind(params)[0]

    def bind(self, params: Mapping[str, Any]) -> tuple[dict[str, Any], Binding]:
        """Return what `validate` returns, and the binding of it."""
        given = self._given(params)
        values = {} if self._is_ready_made else self._check(given)
        binding = self.binding(values)
        try:
            binding.make()
        except BaseException as error:  # the plugin's own code: whatever it raises is its verdict on the params
            text = mask_secrets(_verdict(error), values)
            raise ParamErrors([Mistake((), f"cannot make {self.name} of these params: {text}")]) from error
        return values, binding

    def _check(self, given: Mapping[str, Any]) -> dict[str, Any]:
        values = accept_plain(self.params, given)
        return self.model().check(given) if values is None else values

    @property
    def _is_ready_made(self) -> bool:
        """True for an instance whose class has a constructor of its own: nobody can tell what it was given."""
        return self.instance is not None and has_own_init(type(self.instance))

    def _given(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the params to check: those of the instance, where one was given."""
        if self.instance is None:
            return params
        if params:
            message = f"cannot take params beside an instance of {self.name}, which holds its own"
            raise ParamErrors([Mistake((), message)])
        if self._is_ready_made:
            return {}
        names = [param.name for param in self.params if hasattr(self.instance, param.name)]
        return {name: getattr(self.instance, name) for name in names}

    def binding(self, values: Mapping[str, Any]) -> Binding:
        """Bind values that `validate` returned."""
        return Binding(
            self._maker(values),
            has_terminate=self.has_terminate,
            announces_ready=self.announces_ready,
            label=self.label,
        )

    def _maker(self, values: Mapping[str, Any]) -> Callable[[], Body]:
        if not isinstance(self.target, type):
            function = self.target
            if all(_is_shareable(value) for value in values.values()):
                body = Body(functools.partial(function, **values), None) if values else Body(function, None)
                return lambda: body
            return lambda: Body(functools.partial(function, **_fresh(values)), None)
        build = self._builder(self.target, values)
        if self.has_terminate:
            return lambda: _body_with_terminate(build())
        return lambda: Body(build().run, None)

    def _builder(self, cls: type[Task], values: Mapping[str, Any]) -> Callable[[], Task]:
        """Return what makes a new instance; mutable values are copied, so that no run sees another's list."""
        if self._is_ready_made:
            pristine = self.instance  # it never runs itself, so each copy is as new
            return lambda: cast("Task", copy.deepcopy(pristine))
        if all(_is_shareable(value) for value in values.values()):
            return functools.partial(cls, **values)
        return lambda: cls(**_fresh(values))


def _verdict(error: BaseException) -> str:
    """Return what a constructor says is wrong: its own sentence, the type where there is none."""
    if isinstance(error, TypeError | ValueError) and str(error):
        return str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _body_with_terminate(instance: Any) -> Body:
    return Body(instance.run, instance.terminate)


_PLAIN = frozenset({bool, int, float, str, type(None)})


def _is_shareable(value: object) -> bool:
    """Tell whether runs may share the value.

    Data is theirs to change, so it is copied. What is not data (a queue, a callback: code declared the job)
    is shared on purpose.
    """
    if type(value) in _PLAIN:
        return True
    if isinstance(value, tuple):
        return all(_is_shareable(item) for item in value)
    is_record = hasattr(type(value), "model_fields") or dataclasses.is_dataclass(value)
    return not (isinstance(value, list | dict | set | bytearray) or (is_record and not isinstance(value, type)))


def _fresh(value: Any) -> Any:
    """Return the value with all the data in it copied."""
    if type(value) is dict:
        return {key: _fresh(item) for key, item in value.items()}
    if type(value) in (list, set, tuple):
        return type(value)(_fresh(item) for item in value)
    return value if _is_shareable(value) else copy.deepcopy(value)


def inspect_task(target: object) -> TaskShape:
    """Return the shape of a Task class, of an instance of one (its values are the params) or of a function.

    Raises ShapeError, with the reason, when it is none of them, or one that could not be run.
    """
    if isinstance(target, type):
        return _inspect_class(target)
    if isinstance(target, Task):
        return dataclasses.replace(_inspect_class(type(target)), instance=target)
    if callable(target):
        return _inspect_function(target)
    raise ShapeError(f"{type(target).__name__} {target!r:.60} is neither a Task class nor a function")


def _inspect_class(cls: type) -> TaskShape:
    check_class(cls)
    doc = cls.__doc__ or ""
    return TaskShape(
        target=cls,
        name=cls.__name__,
        # A dataclass without a docstring gets its signature as one, which says nothing new.
        doc="" if doc.startswith(f"{cls.__name__}(") else inspect.cleandoc(doc),
        params=params_of_class(cls),
        has_terminate=getattr(cls, "terminate", None) is not None,
        announces_ready=bool(getattr(cls, "announces_ready", False)),
    )


def _inspect_function(function: Callable[..., object]) -> TaskShape:
    name = getattr(function, "__name__", None) or getattr(getattr(function, "func", None), "__name__", None)
    name = name or type(function).__name__
    check_function(function, name)
    return TaskShape(
        target=function,
        name=name,
        doc=inspect.cleandoc(function.__doc__ or "") if hasattr(function, "__name__") else "",
        params=params_of_function(function, name),
        announces_ready=bool(getattr(function, "announces_ready", False)),
    )
