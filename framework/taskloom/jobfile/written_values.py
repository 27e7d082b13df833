"""Values as they are written in a job file, for messages and for the plan.

`1.10` is read as the number 1.1, `0x1F` as 31 and `~` as null. A reader searches the file for the value of a message,
so messages about a file quote its text. A value from the environment is shown as `${VAR}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from taskloom.catalog.pydantic_errors import MASK
from taskloom.diagnostics import SECRET_NAME, FieldError, cut, quoted
from taskloom.jobfile.secret_frames import is_reference

if TYPE_CHECKING:
    from taskloom.jobfile.syntax.document import Document

__all__ = ["as_written", "in_words_of_file", "named_as_written", "quoted_as_written"]

Path = tuple[str | int, ...]

# A shorter value is not worth hiding, and it may occur inside any word of a message.
_SHORTEST_SECRET = 4
# A text begins with one of them if it is quoted, or a block.
_TEXT_MARKS = ('"', "'", "|", ">")
# The beginnings of messages that quote a value. Other messages name a job or a field.
_ABOUT_VALUE = ("cannot use ", "cannot read ", "cannot wait ")
# A message quotes 60 characters of a value. Longer texts are not even collected: a value may have half a million parts.
_ENOUGH = 100


def as_written(document: Document, path: Path, value: Any, final: Any = None) -> str:
    """Return the value at a path on one line, as written: with `${VAR}`, and with the keys that `<<` merges.

    `final`: the validated value. If it is a secret, the written one is masked unless it only names a variable.
    """
    return "".join(_pieces(document, path, value, final))


def quoted_as_written(document: Document, path: Path, value: Any) -> str:
    """Return the value at a path as a message quotes it: as it is written, on one line, cut to 60 characters.

    An unquoted text gets quotation marks, which show where it begins and ends.
    """
    text = ""
    for piece in _pieces(document, path, value, None):
        text += piece
        if len(text) > _ENOUGH:
            break
    if not isinstance(value, dict | list) and "${" in text:
        return quoted(text.strip("\"'"))
    if isinstance(value, str) and text[:1] not in _TEXT_MARKS:
        return quoted(value)
    return cut(text) if text else quoted(value)


def named_as_written(document: Document, path: tuple[str, ...], value: Any) -> str:
    """Return how a message names a value where a mapping is expected: quoted as written, or `this`.

    A mapping or a list begins below its key, where the caret points; one that may be a secret is not repeated.
    """
    is_secret = value is not None and SECRET_NAME.search(path[-1]) is not None
    return "this" if is_secret or isinstance(value, dict | list) else quoted_as_written(document, path, value)


def _pieces(document: Document, path: Path, value: Any, final: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield "{"
        for number, (key, item) in enumerate(value.items()):
            yield f"{', ' if number else ''}{key}: "
            yield from _pieces(document, (*path, key), item, _part(final, key))
        yield "}"
    elif isinstance(value, list):
        yield "["
        for index, item in enumerate(value):
            yield ", " if index else ""
            yield from _pieces(document, (*path, index), item, _part(final, index))
        yield "]"
    else:
        written = " ".join(document.positions.written(path).split())
        yield MASK if hasattr(final, "get_secret_value") and not is_reference(written) else written


def _part(final: Any, key: str | int) -> Any:
    """Return the part of a validated value that was written under a key; None if it cannot be found."""
    if isinstance(final, Mapping):
        return final.get(key)
    if isinstance(final, list | tuple) and isinstance(key, int):
        return final[key] if key < len(final) else None
    fields = getattr(type(final), "model_fields", {})
    names = [name for name, field in fields.items() if key in (name, field.alias)]
    return getattr(final, names[0], None) if names else None


def in_words_of_file(
    document: Document, base: tuple[str, ...], written: Mapping[str, Any], error: FieldError
) -> tuple[str, str]:
    """Return the message and the hint of an error in what is written at `base`, with its value as it is written."""
    path = (*base, *error.loc)
    value, exists = _value_at(written, error.loc)
    message, hint = error.message, error.hint
    if exists and error.loc and not error.at_key and message.startswith(_ABOUT_VALUE):
        message = _with_quote(message, value, quoted_as_written(document, path, value))
    for content, text in _substituted(document, path, value):
        message, hint = _replaced(message, content, text), _replaced(hint, content, text)
    return message, hint


def _replaced(message: str, content: str, text: str) -> str:
    """Return the message with the content replaced; not within the text, which may hold it: `${LEVEL:-loud}`."""
    if not content or content not in message:
        return message
    return re.sub(f"{re.escape(text)}|{re.escape(content)}", lambda _: text, message)


def _with_quote(message: str, value: Any, quote: str) -> str:
    """Return the message with the value, which it quotes as Python shows it, replaced by `quote`.

    Only the first one: the name of the field and the legal values follow. A message that does not quote the value stays
    as it is, for example because the value is a secret.
    """
    for form in dict.fromkeys((quoted(value), repr(value))):
        if form != quote:
            found = re.search(rf"(?<![\w.'\"\-+])(?:{re.escape(form)})(?![\w'\"]|\.\w)", message)
            if found is not None:
                return f"{message[: found.start()]}{quote}{message[found.end() :]}"
    return message


def _value_at(value: Any, loc: Iterable[str | int]) -> tuple[Any, bool]:
    """Return the value at a location, or the nearest one above it that exists, and whether it is the one at it."""
    for part in loc:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return value, False
    return value, True


def _substituted(document: Document, path: Path, value: Any) -> Iterator[tuple[str, str]]:
    """Yield the values at or below a path that come from the environment, each with the text in the file."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _substituted(document, (*path, key), item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _substituted(document, (*path, index), item)
    else:
        written = document.positions.written(path)
        if "${" in written:
            yield quoted(value), quoted(written.strip("\"'"))
            if len(str(value)) >= _SHORTEST_SECRET:
                yield str(value), written.strip("\"'")
