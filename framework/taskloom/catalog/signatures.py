"""Read the parameters of a task from its class or function, and refuse objects that cannot be a task.

Only the standard library is used: neither importing a task package nor declaring a job in Python imports pydantic.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, get_args

from taskloom.catalog.annotations import NO_DEFAULT, AnnotationError, ClassVariable, annotation_text, value_type
from taskloom.task import AnyContext, ParamInfo, Task
from taskloom.text import error_text

__all__ = [
    "REQUIRED",
    "ParamShape",
    "ShapeError",
    "check_class",
    "check_function",
    "context_in_doubt",
    "has_own_init",
    "is_program",
    "made_defaults",
    "params_of_class",
    "params_of_function",
]

REQUIRED: Any = inspect.Parameter.empty
"""Stands for the default of a parameter that has none."""


NO_INFO = ParamInfo()


class ShapeError(TypeError):
    """An object is not a task. The message is the reason; it follows "cannot use task 'x': "."""


@dataclasses.dataclass(frozen=True, slots=True)
class ParamShape:
    """One parameter of a task."""

    name: str
    annotation: Any
    default: Any = REQUIRED
    factory: Callable[[], Any] | None = None
    """Called to make the default for each instance, so that a list is never shared."""
    info: ParamInfo = NO_INFO

    @property
    def is_required(self) -> bool:
        """True when it has no default of either kind."""
        return self.default is REQUIRED and self.factory is None


def check_class(cls: type) -> None:
    """Raise ShapeError, with the reason, unless the class is a task that can be run."""
    if not issubclass(cls, Task):
        raise ShapeError(f"class {cls.__name__} is not a task; derive it from taskloom.Task")
    if is_program(cls):
        _check_program(cls)
        return
    if cls.run is Task.run:
        raise ShapeError(f"class {cls.__name__} has no run(self, ctx)")
    _refuse_generators(cls.run, f"{cls.__name__}.run")
    _refuse_abstract(cls)
    _check_method(cls, "run", 1, "run(self, ctx)")
    terminate = getattr(cls, "terminate", None)
    if terminate is not None:
        _refuse_generators(terminate, f"{cls.__name__}.terminate")
        _refuse_coroutine(terminate, f"{cls.__name__}.terminate")
        _check_method(cls, "terminate", 0, "terminate(self)")


def is_program(cls: type) -> bool:
    """Return whether the class describes a program: it has a method `program` in place of `run`.

    A parameter of that name is not a method, and a class with a `run` is Python code, whatever else it has.
    """
    if not issubclass(cls, Task) or cls.run is not Task.run or "program" in vars(cls).get("__dataclass_fields__", ()):
        return False
    return callable(getattr(cls, "program", None))


def _check_program(cls: type[Task]) -> None:
    """Raise ShapeError, with the reason, unless the program of the class can be made and is stopped by itself alone."""
    program = getattr(cls, "program")  # noqa: B009 - not an attribute of each Task
    _refuse_generators(program, f"{cls.__name__}.program")
    if inspect.iscoroutinefunction(program):
        raise ShapeError(f"{cls.__name__}.program is a coroutine function; it returns the program to start")
    _refuse_abstract(cls)
    _check_method(cls, "program", 0, "program(self)")
    if getattr(cls, "terminate", None) is not None:
        why = "a program is stopped by its stop_signal or its stop_command"
        raise ShapeError(f"class {cls.__name__} has program(self) and terminate(self); {why}")


def _refuse_abstract(cls: type) -> None:
    if inspect.isabstract(cls):
        missing = ", ".join(sorted(getattr(cls, "__abstractmethods__", ())))
        raise ShapeError(f"class {cls.__name__} is abstract; it lacks {missing}")


def _refuse_generators(function: object, name: str) -> None:
    """Refuse a function that only returns a generator when called, and so never does its work."""
    kinds: dict[str, Callable[[Any], bool]] = {
        "an asynchronous generator": inspect.isasyncgenfunction,
        "a generator": inspect.isgeneratorfunction,
    }
    for kind, is_kind in kinds.items():
        if is_kind(function):
            raise ShapeError(f"{name} is {kind}; a run has no yield")


def _refuse_coroutine(function: object, name: str) -> None:
    """Refuse a coroutine function where only a plain function is called."""
    if inspect.iscoroutinefunction(function):
        raise ShapeError(f"{name} is a coroutine function; only run may be one")


def _check_method(cls: type, name: str, arguments: int, wanted: str) -> None:
    """Refuse a method that cannot be called with exactly `arguments` arguments."""
    found = getattr(cls, name)
    if not callable(found):
        raise ShapeError(f"{cls.__name__}.{name} is {type(found).__name__}, not a method; expected {wanted}")
    is_unbound = inspect.isfunction(inspect.getattr_static(cls, name))
    expected = arguments + is_unbound
    signature = inspect.signature(found)
    named = [each for each in signature.parameters.values() if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
    try:
        signature.bind(*[None] * expected)
    except TypeError:
        fits = False
    else:
        fits = len(named) <= expected
    if not fits:
        raise ShapeError(f"{cls.__name__}.{name}{signature} has the wrong parameters; expected {wanted}")


def check_function(function: Callable[..., object], name: str) -> None:
    """Raise ShapeError, with the reason, unless the function can be a task: f(ctx, ...)."""
    _refuse_generators(function, name)
    _refuse_generators(getattr(type(function), "__call__", None), name)  # noqa: B004 - of an object with one
    parameters = list(_signature(function, name).parameters.values())
    if not parameters:
        raise ShapeError(f"{name}() takes no parameters; its first is the context: {name}(ctx)")
    first, *others = parameters
    if first.kind not in (first.POSITIONAL_ONLY, first.POSITIONAL_OR_KEYWORD):
        raise ShapeError(f"{name}: the first parameter, {first}, cannot take the context; write {name}(ctx, ...)")
    for other in others:
        if other.name == "ctx" or _names_context(other.annotation):
            raise ShapeError(f"{name}: the context {other.name!r} must be the first parameter")


def context_in_doubt(target: type[Task] | Callable[..., object], name: str) -> str:
    """Return the name of the parameter that gets the context, if it may be meant for something else; "" otherwise.

    It is in no doubt if it is called `ctx`, is annotated with a context, or begins with an underscore. A program has
    none.
    """
    if isinstance(target, type) and is_program(target):
        return ""
    run = getattr(target, "run") if isinstance(target, type) else target  # noqa: B009 - of any class
    is_method = isinstance(target, type) and inspect.isfunction(inspect.getattr_static(target, "run"))
    parameters = list(_signature(run, name).parameters.values())[is_method:]
    first = parameters[0] if parameters else None
    if first is None or first.kind is first.VAR_POSITIONAL or first.name == "ctx" or first.name.startswith("_"):
        return ""
    return "" if first.annotation is not REQUIRED and _is_context(first.annotation, _globals_of(run)) else first.name


def _is_context(annotation: object, names: Mapping[str, Any]) -> bool:
    if _names_context(annotation):
        return True
    try:
        found = value_type(annotation, names, {}, NO_DEFAULT)
    except (AnnotationError, ClassVariable):
        return True  # what it means is not known
    return any(
        AnyContext in each.__mro__ or str(each.__module__).startswith("taskloom.")
        for each in (found, *get_args(found))
        if isinstance(each, type)
    )


def _names_context(annotation: object) -> bool:
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    return isinstance(text, str) and text.rpartition(".")[2] in ("Context", "AsyncContext", "AnyContext")


def _signature(function: Callable[..., object], name: str) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        raise ShapeError(f"{name} has no signature that can be read") from None


def params_of_function(function: Callable[..., object], name: str) -> tuple[ParamShape, ...]:
    """Return the parameters after the first, which is the context."""
    parameters = list(_signature(function, name).parameters.values())[1:]
    return tuple(_from_signature(parameters, _globals_of(function), name))


def params_of_class(cls: type[Task]) -> tuple[ParamShape, ...]:
    """Return the keyword parameters of the constructor, generated or its own."""
    if has_own_init(cls):
        init = cls.__init__
        parameters = list(inspect.signature(init).parameters.values())[1:]
        names = {**_globals_of(init), **_type_parameters(*reversed(cls.__mro__))}
        return tuple(_from_signature(parameters, names, f"{cls.__name__}.__init__"))
    return tuple(_from_fields(cls))


def made_defaults(params: Iterable[ParamShape]) -> dict[str, Any]:
    """Return the defaults that are made again for each instance. Raises ShapeError if one cannot be made."""
    made = {}
    for param in params:
        if param.factory is not None:
            try:
                made[param.name] = param.factory()
            except MemoryError:
                raise
            except BaseException as error:  # the plugin's own code, or the copy of an object of its own
                raise ShapeError(f"default of parameter {param.name!r} cannot be made: {error_text(error)}") from error
    return made


def has_own_init(cls: type[Task]) -> bool:
    """Return whether the class has a hand-written constructor instead of the one that dataclasses generate."""
    code = getattr(cls.__init__, "__code__", None)
    # Every supported Python generates a dataclass's `__init__` inside a function of this name.
    return code is None or not code.co_qualname.startswith("__create_fn__")


def _globals_of(function: Callable[..., object]) -> dict[str, Any]:
    """Return the global names that a function's annotations refer to."""
    inner = inspect.unwrap(getattr(function, "func", function))
    names: dict[str, Any] = getattr(inner, "__globals__", {})
    return {**names, **_type_parameters(inner)}


def _type_parameters(*owners: object) -> dict[str, Any]:
    """Return the type parameters of classes or functions, `X` of `class T[X]`, by name; of equal names the last."""
    return {each.__name__: each for owner in owners for each in getattr(owner, "__type_params__", ())}


def _from_signature(parameters: list[inspect.Parameter], names: Mapping[str, Any], owner: str) -> Iterator[ParamShape]:
    for each in parameters:
        if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD, each.POSITIONAL_ONLY):
            raise ShapeError(f"{owner}: parameter {each} cannot be given by name; name every parameter")
        is_field = isinstance(each.default, dataclasses.Field)
        default = _sample_of(each.default) if is_field else each.default
        annotation: Any = Any
        if each.annotation is not REQUIRED:
            try:
                annotation = _resolve(owner, each.name, each.annotation, (names, {}), default)
            except ClassVariable:
                why = "ClassVar belongs to a class, not to an argument"
                raise _unresolved(owner, each.name, each.annotation, why) from None
        if is_field:
            yield _from_field(each.name, annotation, each.default)
        else:
            yield ParamShape(each.name, annotation, each.default)


def _from_fields(cls: type[Task]) -> Iterator[ParamShape]:
    # dataclasses.fields() leaves out InitVars, which the constructor takes.
    fields = vars(cls)["__dataclass_fields__"]
    for name in inspect.signature(cls.__init__).parameters:
        if name in fields:
            field = fields[name]
            base = next(base for base in cls.__mro__ if name in inspect.get_annotations(base))
            names = vars(sys.modules[base.__module__]) if base.__module__ in sys.modules else {}
            names = {**names, **_type_parameters(base)}
            own = {base.__name__: base, **vars(base)}
            try:
                annotation = _resolve(cls.__name__, name, field.type, (names, own), _sample_of(field))
            except ClassVariable:
                continue  # its spelling was not recognised when the class was made: the default stays as it is
            yield _from_field(name, annotation, field)


def _default_of(field: dataclasses.Field[Any]) -> Any:
    return REQUIRED if field.default is dataclasses.MISSING else field.default


def _sample_of(field: dataclasses.Field[Any]) -> Any:
    """Return a default to infer a type from: None, which says nothing, if it is made again for each instance."""
    return _default_of(field) if field.default_factory is dataclasses.MISSING else None


def _from_field(name: str, annotation: object, field: dataclasses.Field[Any]) -> ParamShape:
    factory = None if field.default_factory is dataclasses.MISSING else field.default_factory
    return ParamShape(name, annotation, _default_of(field), factory, field.metadata.get("taskloom", ParamInfo()))


def _resolve(
    owner: str, name: str, annotation: object, names: tuple[Mapping[str, Any], Mapping[str, Any]], default: object
) -> Any:
    """Return the type that one annotation means; a broken annotation beside it does no harm.

    `names`: those of the module, and those of the class.
    """
    try:
        return value_type(annotation, *names, NO_DEFAULT if default is REQUIRED else default)
    except AnnotationError as error:
        raise _unresolved(owner, name, annotation, str(error)) from None


def _unresolved(owner: str, name: str, annotation: object, why: str) -> ShapeError:
    text = annotation_text(annotation)
    shown = repr(text) if isinstance(annotation, str) else text
    return ShapeError(f"{owner}: cannot resolve the type of parameter {name!r}, {shown}: {why}")
