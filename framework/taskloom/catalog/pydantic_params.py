"""Check the parameters of a task with pydantic, which is imported when the first model is built."""

from __future__ import annotations

import enum
import functools
import json
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, NotRequired, Union, get_args, get_origin

from taskloom.catalog.annotations import annotation_text
from taskloom.catalog.pydantic_errors import ParamErrors, field_errors, is_alias, types_in
from taskloom.catalog.signatures import REQUIRED, ParamShape, ShapeError, made_defaults
from taskloom.diagnostics import FieldError, missing_blank, quoted
from taskloom.text import did_you_mean, error_text, kind_of

__all__ = ["ParamModel"]


class ParamModel:
    """The pydantic model of a task's parameters.

    A TypedDict rather than a BaseModel: a parameter may have any name (`json`, `copy`, `schema`), and the result is
    the mapping that the constructor takes. Raises ShapeError when pydantic cannot check one of the types, or when a
    default does not fit its type.
    """

    def __init__(self, params: Sequence[ParamShape]) -> None:
        self._params = {param.name: param for param in params}
        self._adapter = _adapter(params)
        self.defaults: Mapping[str, Any] = self._checked_defaults()

    def check(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values, converted to their types, with the defaults. Raises ParamErrors with every error."""
        found = [*self._unknown(given), *self._missing(given)]
        values, errors = self._validated({name: given[name] for name in given if name in self._params})
        found += field_errors(errors, given, self._params)
        found += (error for name, value in values.items() for error in _ignored(value, given[name], (name,)))
        if found:
            raise ParamErrors(found)
        return {**self.defaults, **values}

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON Schema (2020-12) of the params mapping."""
        try:
            schema: dict[str, Any] = self._adapter.json_schema(schema_generator=_lenient_generator())
        except MemoryError:
            raise
        except BaseException as error:  # a type's own schema hook may raise anything
            raise ShapeError(f"cannot describe its parameters: {_reason(error)}") from error
        if _json(schema) is None:
            schema = json.loads(json.dumps(schema, default=quoted, skipkeys=True))
        schema.pop("title", None)
        required = [param.name for param in self._params.values() if param.is_required]
        for name, value in schema.get("properties", {}).items():
            value.pop("title", None)
            default = self._params[name].default
            if default is not REQUIRED and _json(default) is not None and "writeOnly" not in value:
                value["default"] = default
        return {**schema, "required": required} if required else schema

    def _checked_defaults(self) -> dict[str, Any]:
        given = {name: param.default for name, param in self._params.items() if param.default is not REQUIRED}
        made = made_defaults(self._params.values())
        try:
            values, errors = self._validated({**given, **made})
        except MemoryError:
            raise
        except BaseException as error:  # a validator is the plugin's own code
            name = self.culprit({**given, **made})
            raise ShapeError(f"default of parameter {name!r}: a validator raised {kind_of(error)}") from error
        if errors:
            first = field_errors(errors, {**given, **made}, self._params)[0]
            raise ShapeError(f"default of parameter {first.loc[0]!r}: {first.message}")
        return {name: values[name] for name in given}

    def culprit(self, given: Mapping[str, Any]) -> str:
        """Return the first parameter whose validator raises anything but a refusal; "" if it is not found again."""
        for name, value in given.items():
            try:
                self._validated({name: value} if name in self._params else {})
            except MemoryError:
                raise
            except BaseException:  # noqa: BLE001 - which one it is, is all that is asked
                return name
        return ""

    def _validated(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[Any]]:
        """Return the checked values and pydantic's errors.

        Data is passed as JSON, in which text may stand for a path or an enum; other objects, which only Python code
        can give, are passed unchanged.
        """
        from pydantic import ValidationError

        data = {name: text for name, value in given.items() if (text := _json(value)) is not None}
        objects = {name: value for name, value in given.items() if name not in data}
        text = ", ".join(f"{json.dumps(name)}: {value}" for name, value in data.items())
        values: dict[str, Any] = {}
        errors: list[Any] = []
        try:
            values |= self._adapter.validate_json(f"{{{text}}}", strict=True)
        except ValidationError as error:
            errors += error.errors(include_url=False)
        try:
            values |= self._adapter.validate_python(objects, strict=True) if objects else {}
        except ValidationError as error:
            errors += error.errors(include_url=False)
        return values, errors

    def _unknown(self, given: Mapping[str, Any]) -> Iterator[FieldError]:
        known = ", ".join(self._params) or "none"
        for name in given:
            if name not in self._params:
                message, hint = f"cannot find parameter {name!r}; known: {known}", did_you_mean(name, self._params)
                blank = missing_blank(name) if given[name] is None else None
                yield FieldError((name,), *(blank or (message, hint)), at_key=True)

    def _missing(self, given: Mapping[str, Any]) -> Iterator[FieldError]:
        for param in self._params.values():
            if not param.is_required or param.name in given:
                continue
            if not any(missing_blank(name, [param.name]) for name in given):
                yield FieldError((), f"cannot do without parameter {param.name!r}", param.info.description)


def _ignored(value: Any, given: Any, loc: tuple[str | int, ...]) -> Iterator[FieldError]:
    """Yield the keys that a nested model dropped: pydantic drops them silently unless the model forbids it."""
    if isinstance(value, list) and isinstance(given, list):
        for index, (item, each) in enumerate(zip(value, given, strict=False)):
            yield from _ignored(item, each, (*loc, index))
    elif isinstance(value, dict) and isinstance(given, dict):
        for key, each in given.items():
            yield from _ignored(value.get(key), each, (*loc, key))
    elif isinstance(given, dict) and hasattr(type(value), "model_fields"):
        names = {field.alias or name: name for name, field in type(value).model_fields.items()}
        for key, each in given.items():
            attribute = str(names.get(key, key))
            if attribute in names.values():
                yield from _ignored(getattr(value, attribute), each, (*loc, key))
            elif "extra" not in type(value).model_config:
                message, hint = f"cannot find {key!r} here; known: {', '.join(names)}", did_you_mean(key, names)
                blank = missing_blank(key) if each is None else None
                yield FieldError((*loc, key), *(blank or (message, hint)), at_key=True)


def _adapter(params: Sequence[ParamShape]) -> Any:
    """Return pydantic's adapter for the params. Raises ShapeError, naming the one that cannot be checked."""
    for param in params:
        try:
            _refuse_foreign_kinds(param)
        except (ShapeError, MemoryError):
            raise
        except BaseException as error:  # a metaclass may raise anything
            raise ShapeError(_unusable(param, error_text(error))) from error
    try:
        return _build(params)
    except MemoryError:
        raise
    except BaseException as error:  # a type's own schema hook may raise anything
        for param in params:
            _check_alone(param)
        raise ShapeError(f"cannot check its parameters: {_reason(error)}") from error


def _build(params: Sequence[ParamShape]) -> Any:
    from pydantic import ConfigDict, Field, TypeAdapter
    from typing_extensions import TypedDict

    fields = {
        param.name: NotRequired[
            Annotated[
                _with_enum_values(param.annotation),
                Field(
                    description=param.info.description or None,
                    examples=[each for each in param.info.examples if _json(each) is not None] or None,
                    **dict(param.info.constraints),
                ),
            ]
        ]
        for param in params
    }
    make_model: Any = TypedDict  # type checkers accept only a literal mapping of fields
    model = make_model("Params", fields)
    model.__pydantic_config__ = ConfigDict(strict=True, extra="forbid", arbitrary_types_allowed=True)
    return TypeAdapter(model)


def _with_enum_values(annotation: Any) -> Any:
    """Return the type with each Literal of enum members accepting their values, which are what a job file has."""
    if is_alias(annotation):
        inner = annotation.__value__  # evaluated now: raises NameError for an unknown name
        return _with_enum_values(inner) if get_origin(inner) is Literal else annotation
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        from pydantic import BeforeValidator

        members = {(type(each.value), each.value): each for each in arguments if isinstance(each, enum.Enum)}
        return Annotated[annotation, BeforeValidator(functools.partial(_member, members))] if members else annotation
    if origin is Annotated:
        return Annotated[(_with_enum_values(annotation.__origin__), *annotation.__metadata__)]
    if origin is list and arguments:
        return list[_with_enum_values(arguments[0])]  # type: ignore[misc]
    if origin is Union or origin is types.UnionType:
        return Union[tuple(map(_with_enum_values, arguments))]  # noqa: UP007 - made of a tuple
    return annotation


def _member(members: Mapping[Any, Any], value: Any) -> Any:
    return members.get((type(value), value), value) if isinstance(value, str | int | float) else value


def _check_alone(param: ParamShape) -> None:
    """Raise ShapeError, naming the parameter, if its type is one that cannot be checked."""
    try:
        _build([param])
    except MemoryError:
        raise
    except BaseException as error:  # as in `_adapter`
        raise ShapeError(_unusable(param, _reason(error))) from error


def _refuse_foreign_kinds(param: ParamShape) -> None:
    """Refuse the models of pydantic.v1, which pydantic takes for its own until the first value, and bare protocols."""
    for each in types_in(param.annotation):
        if not issubclass(type(each), type):
            continue
        if any(str(base.__module__).startswith("pydantic.v1.") for base in type.mro(each)):
            why = f"{annotation_text(each)} is a model of pydantic.v1; derive it from pydantic.BaseModel"
            raise ShapeError(_unusable(param, why))
        if vars(each).get("_is_protocol", False) and not getattr(each, "_is_runtime_protocol", False):
            why = f"{annotation_text(each)} is a Protocol without @typing.runtime_checkable"
            raise ShapeError(_unusable(param, why))


def _unusable(param: ParamShape, why: str) -> str:
    return f"cannot check parameter {param.name!r} of type {annotation_text(param.annotation)}: {why}"


def _reason(error: BaseException) -> str:
    """Return the line of an error of pydantic's that says what is wrong; its other lines say where, or link to help."""
    text = error_text(error)
    kind, _, message = text.partition(": ")
    lines = message.strip().splitlines()
    if kind == "SchemaError" and lines:
        return lines[-1].strip()
    return f"{kind}: {lines[0]}" if lines else kind


def _json(value: object) -> str | None:
    """Return the value as JSON, or None when it is not plain data."""
    try:
        text = json.dumps(value, ensure_ascii=False)
        text.encode()
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - no data, or a list or dict of a plugin's own class, which may raise anything
        return None
    return text


@functools.cache
def _lenient_generator() -> Any:
    from pydantic.json_schema import GenerateJsonSchema

    class Lenient(GenerateJsonSchema):
        """Give a type that cannot be written in a job file (a queue, a callback) an open schema instead of failing."""

        def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> Any:
            return {}

    return Lenient
