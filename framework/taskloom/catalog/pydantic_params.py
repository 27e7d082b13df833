"""Check the parameters of a task with pydantic, which is imported when the first model is built."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, NotRequired

from taskloom.catalog.pydantic_errors import ParamErrors, field_errors
from taskloom.catalog.signatures import REQUIRED, ParamShape, ShapeError
from taskloom.diagnostics import FieldError, missing_blank
from taskloom.text import did_you_mean

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
        schema: dict[str, Any] = self._adapter.json_schema(schema_generator=_lenient_generator())
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
        made = {name: param.factory() for name, param in self._params.items() if param.factory is not None}
        values, errors = self._validated({**given, **made})
        if errors:
            first = field_errors(errors, {**given, **made}, self._params)[0]
            raise ShapeError(f"default of parameter {first.loc[0]!r}: {first.message}")
        return {name: values[name] for name in given}

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
    from pydantic import ConfigDict, Field, TypeAdapter
    from typing_extensions import TypedDict

    fields = {
        param.name: NotRequired[
            Annotated[
                param.annotation,
                Field(
                    description=param.info.description or None,
                    examples=list(param.info.examples) or None,
                    **dict(param.info.constraints),
                ),
            ]
        ]
        for param in params
    }
    make_model: Any = TypedDict  # type checkers accept only a literal mapping of fields
    model = make_model("Params", fields)
    model.__pydantic_config__ = ConfigDict(strict=True, extra="forbid", arbitrary_types_allowed=True)
    try:
        return TypeAdapter(model)
    except Exception as error:  # a type's own schema hook may raise anything
        text = str(error).partition("\n")[0]
        raise ShapeError(f"cannot check its parameters: {type(error).__name__}: {text}") from error


def _json(value: object) -> str | None:
    """Return the value as JSON, or None when it is not plain data."""
    try:
        text = json.dumps(value, ensure_ascii=False)
        text.encode()
    except (TypeError, ValueError, RecursionError):
        return None
    return text


@cache
def _lenient_generator() -> Any:
    from pydantic.json_schema import GenerateJsonSchema

    class Lenient(GenerateJsonSchema):
        """Give a type that cannot be written in a job file (a queue, a callback) an open schema instead of failing."""

        def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> Any:
            return {}

    return Lenient
