"""Turn the annotation of a parameter into the type of its values.

Type checkers accept many spellings: text, `Final`, `InitVar`, `Annotated` around each of them. The qualifiers of the
attribute are removed here, and the type of its values is left. Only the standard library is used.
"""

from __future__ import annotations

import builtins
import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, ForwardRef, get_args, get_origin

from taskloom.text import error_text, shortened

__all__ = ["NO_DEFAULT", "AnnotationError", "ClassVariable", "annotation_text", "value_type"]

NO_DEFAULT: Any = object()
"""Given to `value_type` for a parameter without a default."""

_LONGEST_ANNOTATION = 200
# `Required`, `NotRequired` and `ReadOnly` belong in a TypedDict, of whose keys they say nothing about the values.
# Python 3.11 lacks some of them, and typing_extensions may be absent: so they are known by name.
_KEY_QUALIFIERS = ("Required", "NotRequired", "ReadOnly")
# These may stand there by mistake: `x: 5`, `x: [int]`, `x: (int, str)`.
_DATA = (bool, int, float, complex, bytes, list, tuple, set, dict, types.EllipsisType, dataclasses.Field)
# A circle of text that names text ends somewhere.
_MOST_LAYERS = 50


class AnnotationError(Exception):
    """An annotation names no type of values. The message is the reason."""


class ClassVariable(Exception):
    """The annotation is `ClassVar`: the attribute belongs to the class and is not a parameter."""


def value_type(annotation: object, names: Mapping[str, Any], own: Mapping[str, Any], default: object) -> Any:
    """Return the type of the values of a parameter with this annotation.

    `names` and `own` are the global names and those of the class, for annotations that are text. A `Final` or `InitVar`
    that names no type has the type of the default. Raises AnnotationError, or ClassVariable.
    """
    try:
        return _value_type(annotation, dict(names), dict(own), default)
    except (AnnotationError, ClassVariable, MemoryError):
        raise
    except BaseException as error:  # noqa: BLE001 - an annotation is any expression and may raise anything
        raise AnnotationError(str(error) if type(error) in (NameError, TypeError) else error_text(error)) from None


def _value_type(annotation: Any, names: dict[str, Any], own: dict[str, Any], default: object) -> Any:
    metadata: list[Any] = []
    for _ in range(_MOST_LAYERS):
        text = annotation.__forward_arg__ if type(annotation) is ForwardRef else annotation
        if isinstance(text, str):
            annotation = _evaluated(text, names, own)
            continue
        inner = _without_qualifier(annotation, default)
        if inner is not annotation:
            annotation = inner
        elif get_origin(annotation) is Annotated and _is_qualified(annotation.__origin__):
            metadata = [*annotation.__metadata__, *metadata]
            annotation = annotation.__origin__
        else:
            return _with(_resolved(annotation, names, own), metadata)
    raise AnnotationError("it refers to itself")


def _evaluated(text: str, names: dict[str, Any], own: dict[str, Any]) -> Any:
    # As typing does: the names of a class come before those of its module. But in `date: date = ...` the module's is
    # meant, and the class has the default under that name.
    code = compile(text.strip(), "<annotation>", "eval")
    meant = {
        name: value
        for name, value in own.items()
        if name not in code.co_names or isinstance(value, type) or not (name in names or hasattr(builtins, name))
    }
    return eval(code, names, meant)


def _without_qualifier(annotation: Any, default: object) -> Any:
    """Return what a qualifier of the attribute is about; the annotation itself if it is none."""
    origin = get_origin(annotation)
    if annotation is ClassVar or origin is ClassVar:
        raise ClassVariable
    if annotation is Final or annotation is dataclasses.InitVar:
        return _type_of(default)
    if type(annotation) is dataclasses.InitVar:
        return annotation.type
    if origin is Final or getattr(origin, "_name", None) in _KEY_QUALIFIERS:
        return get_args(annotation)[0]
    return annotation


def _is_qualified(annotation: Any) -> bool:
    """Return whether the type below `Annotated` has to be taken apart, too."""
    if isinstance(annotation, str | ForwardRef):
        return True
    origin = get_origin(annotation)
    return (
        annotation in (ClassVar, Final, dataclasses.InitVar)
        or origin in (ClassVar, Final)
        or type(annotation) is dataclasses.InitVar
        or getattr(origin, "_name", None) in _KEY_QUALIFIERS
    )


def _type_of(default: object) -> Any:
    """Return the type that a checker infers from a default."""
    if default is NO_DEFAULT:
        raise AnnotationError("it names no type, and there is no default to infer it from")
    return Any if default is None else type(default)


def _resolved(annotation: Any, names: dict[str, Any], own: dict[str, Any]) -> Any:
    """Return the type with the names in it resolved: those of `list["Peer"]`."""
    holder = types.SimpleNamespace(__annotations__={"value": annotation})
    found = typing.get_type_hints(holder, names, own, include_extras=True)["value"]
    if isinstance(found, _DATA):
        raise AnnotationError("it is not a type")
    if getattr(found, "_name", None) in ("Never", "NoReturn"):
        raise AnnotationError("no value has this type")
    # A checker knows where the text comes from; a job file is written by people.
    return str if getattr(found, "_name", None) == "LiteralString" else found


def _with(found: Any, metadata: list[Any]) -> Any:
    return Annotated[(found, *metadata)] if metadata else found


def annotation_text(annotation: object) -> str:
    """Return an annotation as messages show it, as its author wrote it if it was text. Never raises."""
    try:
        if isinstance(annotation, str):
            text = annotation
        elif isinstance(annotation, type) and get_origin(annotation) is None:
            text = annotation.__qualname__
        else:
            text = repr(annotation).replace("typing.", "")
    except BaseException:  # noqa: BLE001 - code of a metaclass
        text = "an object that cannot be shown"
    return shortened(text, _LONGEST_ANNOTATION)
