"""Turn pydantic's errors into our own messages.

A `FieldError` holds the message and the path to the value; its position in the file is added later. pydantic's
errors read like our own, and a secret is never quoted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NewType, TypeVar, get_args, get_origin

from taskloom.catalog.signatures import ParamShape
from taskloom.diagnostics import MASK, SECRET_NAME, FieldError, UnusableField, missing_blank, quoted
from taskloom.text import did_you_mean, message_of

__all__ = [
    "MASK",
    "ParamErrors",
    "existing",
    "field_errors",
    "is_alias",
    "is_secret_type",
    "is_secret_variable",
    "mask_secrets",
    "type_at",
    "types_in",
    "value_hint",
    "without",
]

# A shorter line of a secret (a brace, a dash) may occur anywhere in a message.
_SHORTEST_LINE = 4

_EXPECTED = {
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "path_type": "a path",
    "bytes_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "dataclass_type": "a mapping",
    "none_required": "null",
    "literal_error": "{expected}",
    "enum": "{expected}",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "string_pattern_mismatch": "text that matches {pattern}",
    "too_short": "at least {min_length} items",
    "too_long": "at most {max_length} items",
    "string_unicode": "text of valid Unicode",
    "callable_type": "a callable, which only code can give",
    "needs_python_object": "an object that only code can give",
    "union_tag_invalid": "{discriminator} to be {expected_tags}",
    "union_tag_not_found": "a mapping with {discriminator}",
}
# How pydantic shows the member of an enum in a Literal; a job file has its value.
_ENUM_MEMBER = re.compile(r"<[\w.]+: (.+?)>")
_CHOICE = re.compile(r"'([^']*)'")
_LISTED = {"literal_error", "enum"}
_ABSENT = {"missing", "missing_argument", "missing_keyword_only_argument", "missing_positional_only_argument"}
_UNKNOWN = {"extra_forbidden", "unexpected_keyword_argument", "unexpected_positional_argument"}
_OTHER_TYPES = {"string_type", "int_type", "float_type", "bool_type", "none_required", "list_type", "dict_type"}
_MAPPINGS = {"dict_type", "model_type", "dataclass_type", "model_attributes_type"}
_YES_AND_NO = {"yes", "no", "on", "off", "y", "n", "true", "false"}


class ParamErrors(ValueError):
    """Values do not fit a task's parameters. `errors` holds every error; each `loc` is relative to the params."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(error.message for error in errors))


def field_errors(errors: Iterable[Any], given: Mapping[str, Any], params: Mapping[str, ParamShape]) -> list[FieldError]:
    """Return one error for each place; the failed types of a union are one error."""
    by_loc: dict[tuple[str | int, ...], list[Any]] = {}
    for error in errors:
        by_loc.setdefault(_loc_in(given, error["loc"]), []).append(error)
    # A list or mapping fits one type of a union, except for a part of it: the other types are not what was meant.
    for loc in [loc for loc in by_loc if any(each[: len(loc)] == loc and each != loc for each in by_loc)]:
        by_loc[loc] = [error for error in by_loc[loc] if error["type"] not in _OTHER_TYPES]
    by_loc = {loc: found for loc, found in by_loc.items() if found}
    return [
        _field_error(
            loc,
            found,
            is_secret=bool(loc)
            and (is_secret_type(type_at(params[str(loc[0])].annotation, loc[1:])) or is_secret_variable(loc)),
            siblings=_names_in(params[str(loc[0])].annotation, loc[1:-1]) if loc[1:] else (),
        )
        for loc, found in by_loc.items()
    ]


def _field_error(
    loc: tuple[str | int, ...], errors: Sequence[Any], *, is_secret: bool, siblings: Sequence[str] = ()
) -> FieldError:
    """Return the error at one place; each type of a union has contributed its own. `siblings`: the legal keys there."""
    first = errors[0]
    kinds = {error["type"] for error in errors}
    value = first["input"]
    shown = MASK if is_secret else quoted(value)
    if kinds & _ABSENT:
        return FieldError(loc, f"cannot do without {first['loc'][-1]!r} in {_name(loc)}")
    if kinds & _UNKNOWN:
        blank = missing_blank(loc[-1]) if value is None else None
        if blank is not None:
            return FieldError(loc, *blank, at_key=True)
        known = f"; known: {', '.join(siblings)}" if siblings else ""
        hint = did_you_mean(loc[-1], siblings)
        return FieldError(loc, f"cannot find {loc[-1]!r} in {_name(loc[:-1])}{known}", hint, at_key=True)
    for error in errors:
        if error["type"] in ("value_error", "assertion_error"):
            raised = error["ctx"]["error"]
            if isinstance(raised, UnusableField):
                loc = (*loc, *existing(raised.field, value))
            text = message_of(raised)
            text = without(text, _texts_in(value)) if is_secret else text
            return FieldError(
                loc, text if text.startswith("cannot ") else f"cannot use {shown} as {_name(loc)}: {text}"
            )
    is_key = value is None and bool(loc)
    blank = None
    if not is_secret and (is_key or kinds <= _MAPPINGS):
        blank = missing_blank(loc[-1] if is_key else value)
    if blank is not None:
        return FieldError(loc, *blank, at_key=is_key)
    secrets = list(_texts_in(value)) if is_secret else []
    expected = " or ".join(dict.fromkeys(_expected(error, secrets) for error in errors))
    hint = "" if is_secret else value_hint(kinds, value) or did_you_mean(value, _choices(errors))
    return FieldError(loc, f"cannot use {shown} as {_name(loc)}; expected {expected}", hint)


def _choices(errors: Iterable[Any]) -> list[str]:
    """Return the texts among the legal values, as pydantic lists them: `'line', 'nul' or 'raw'`."""
    listed = (str(error.get("ctx", {}).get("expected", "")) for error in errors if error["type"] in _LISTED)
    return [choice for text in listed for choice in _CHOICE.findall(text)]


def _expected(error: Any, secrets: Iterable[str]) -> str:
    text: str = error["msg"]
    if error["type"] in _EXPECTED:
        facts = {name: _limit(value) for name, value in error.get("ctx", {}).items()}
        try:
            return _ENUM_MEMBER.sub(r"\1", _EXPECTED[error["type"]].format(**facts))
        except KeyError:  # a validator's own error, by the name of one of pydantic's
            pass
    # A PydanticCustomError of a validator may quote the value.
    return without(text.removeprefix("Input should be ").removeprefix("Value should be "), secrets)


def _limit(value: object) -> object:
    """Return a limit without the ".0" that pydantic adds to limits of numbers."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def value_hint(kinds: Iterable[str], value: object) -> str:
    """Return a hint for the usual confusions between YAML's types; `kinds` are pydantic's error types."""
    if "bool_type" in kinds and (value in (0, 1) or (isinstance(value, str) and value.lower() in _YES_AND_NO)):
        return "write true or false"
    if "string_type" in kinds and isinstance(value, bool | int | float):
        return "quote it to make it text"
    if isinstance(value, str) and {"int_type", "float_type"} & set(kinds) and value.strip("+-").isdigit():
        return f"write {value} without quotes"
    return ""


def existing(path: Iterable[str | int], value: Any) -> tuple[str | int, ...]:
    """Return the path to a part of plain data, or as much of it as is there."""
    found: list[str | int] = []
    for part in path:
        is_index = isinstance(value, list) and isinstance(part, int) and 0 <= part < len(value)
        if not is_index and not (isinstance(value, Mapping) and part in value):
            break
        found.append(part)
        value = value[part]
    return tuple(found)


def _name(loc: Sequence[str | int]) -> str:
    """Return the path to a value for messages: `peers[0].port`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return text.removeprefix(".") or "params"


def _loc_in(given: Mapping[str, Any], loc: Sequence[str | int]) -> tuple[str | int, ...]:
    """Return the part of pydantic's location that exists in the data.

    pydantic also names the types of unions, function validators and dictionary keys, which are not in the file.
    """
    found: list[str | int] = []
    value: Any = given
    for part in loc:
        is_index = isinstance(value, list) and isinstance(part, int) and 0 <= part < len(value)
        if is_index or (isinstance(value, dict) and part in value):
            found.append(part)
            value = value[part]
    return tuple(found)


def mask_secrets(text: str, values: object) -> str:
    """Return the text with every secret of the checked values masked; a plugin may have quoted one."""
    try:
        secrets = list(_secrets_in(values))
    except Exception:  # noqa: BLE001 - an object of the plugin raises, or a list holds itself
        return "(its message is not shown: the values cannot be searched for secrets)"
    return without(text, secrets)


def without(text: str, secrets: Iterable[str]) -> str:
    """Return the text with the secrets masked: as they are, as Python quotes them, and each of their lines."""
    for secret in sorted(secrets, key=len, reverse=True):
        lines = [line.strip() for line in secret.splitlines()]
        for form in (secret, repr(secret)[1:-1], *(line for line in lines if len(line) >= _SHORTEST_LINE)):
            text = text.replace(form, MASK) if form else text
    return text


def _texts_in(value: Any) -> Iterator[str]:
    """Yield the text of each scalar in plain data."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from _texts_in(item)
    elif value is not None and not isinstance(value, bool):
        yield from filter(None, [str(value)])


def _secrets_in(value: Any) -> Iterator[str]:
    if hasattr(value, "get_secret_value"):
        try:
            yield from filter(None, [str(value.get_secret_value())])
        except BaseException:  # noqa: BLE001 - a class of the plugin that is no secret of pydantic's
            return
    elif isinstance(value, Mapping):
        yield from _secrets_in(list(value.values()))
    elif isinstance(value, list | tuple | set):
        for item in value:
            yield from _secrets_in(item)
    elif hasattr(type(value), "model_fields"):
        yield from _secrets_in(vars(value))


def type_at(annotation: Any, loc: Iterable[str | int]) -> Any:
    """Return the type of the value at `loc`, or of its innermost known container in pydantic's models."""
    for part in loc:
        for each in types_in(annotation):
            field = _model_fields(each).get(part)
            if field is not None:
                annotation = field.annotation
                break
    return annotation


def is_secret_variable(loc: Sequence[str | int]) -> bool:
    """Return whether the param at `loc` is an environment variable with a name such as `PASSWORD`: in one `env`."""
    return len(loc) > 1 and loc[0] == "env" and SECRET_NAME.search(str(loc[1])) is not None


def is_secret_type(annotation: Any, seen: tuple[Any, ...] = ()) -> bool:
    """Return whether a type is one of pydantic's secrets, or contains one at any depth."""
    if annotation in seen:
        return False
    inner = [*types_in(annotation)]
    fields = [field.annotation for each in inner for field in _model_fields(each).values()]
    return any(isinstance(each, type) and hasattr(each, "get_secret_value") for each in inner) or any(
        is_secret_type(each, (*seen, annotation)) for each in fields
    )


def _names_in(annotation: Any, loc: Iterable[str | int]) -> list[str]:
    """Return the keys of the mapping at `loc`, if it is a dataclass or a model; of a union, all of them."""
    kinds = [each for each in types_in(type_at(annotation, loc)) if isinstance(each, type)]
    return [str(name) for kind in kinds for name in _model_fields(kind) or vars(kind).get("__dataclass_fields__", ())]


def _model_fields(kind: Any) -> Mapping[Any, Any]:
    """Return the fields of a model of pydantic; no fields for any other type, whatever attributes it has."""
    fields = getattr(kind, "model_fields", None) if hasattr(kind, "__pydantic_core_schema__") else None
    return fields if isinstance(fields, Mapping) else {}


def types_in(annotation: Any, seen: tuple[Any, ...] = ()) -> Iterator[Any]:
    """Yield a type and the types inside it: `list[int | str]` contains `list`, `int` and `str`.

    Those that another name stands for are inside it, too: of an alias, a NewType or a type variable.
    """
    yield annotation
    origin = get_origin(annotation)
    if origin is not None:
        yield origin
    for each in (*get_args(annotation), *_named_types(annotation), *_named_types(origin)):
        if not any(each is known for known in seen):  # an alias may name itself
            yield from types_in(each, (*seen, annotation))


def _named_types(annotation: Any) -> tuple[Any, ...]:
    kind = type(annotation)
    try:
        if kind is TypeVar:
            return tuple(filter(None, (annotation.__bound__, *annotation.__constraints__)))
        if kind is NewType:
            return (annotation.__supertype__,)
        return (annotation.__value__,) if is_alias(annotation) else ()
    except Exception:  # noqa: BLE001 - what `type A = ...` means is evaluated now, and may be any expression
        return ()


def is_alias(annotation: Any) -> bool:
    """Return whether it is the object of `type A = ...`, which Python 3.11 has from typing_extensions."""
    kind = type(annotation)
    return type.__dict__["__name__"].__get__(kind) == "TypeAliasType" and kind.__module__ in (
        "typing",
        "typing_extensions",
    )
