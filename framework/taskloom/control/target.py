"""The target of a request: its path and its query, decoded. Everything that is not written right is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping

from taskloom.diagnostics import quoted

__all__ = ["parse_target"]

_ESCAPE = re.compile(rb"%(..?|$)", re.DOTALL)
_HEX = re.compile(rb"[0-9A-Fa-f]{2}")
_WITH_HOST = re.compile(rb"https?://[^/?#]*", re.IGNORECASE)


def parse_target(target: bytes) -> tuple[str, Mapping[str, tuple[str, ...]]]:
    """Return the decoded path, and each name of the query with its values. Raises ValueError with a sentence.

    Also takes the absolute form, `http://any-host/v1`, that proxies use.
    """
    if b"#" in target:
        raise ValueError(f"cannot use target {_shown(target)}: it has a fragment")
    path, has_query, query = target[_end_of_host(target) :].partition(b"?")
    if not path.startswith(b"/") and target[: len(target) - len(path)] != b"":
        path = b"/" + path  # an absolute form without a path
    if not path.startswith(b"/"):
        raise ValueError(f"cannot use target {_shown(target)}; expected a path such as /v1/program")
    if b"%2f" in path.lower():  # decoded, it would separate two parts, and so might lead to another route
        raise ValueError(f"cannot use path {_shown(path)}: no name in a path has a slash")
    return _decoded(path), _fields(query) if has_query else {}


def _end_of_host(target: bytes) -> int:
    found = _WITH_HOST.match(target)
    return found.end() if found else 0


def _fields(query: bytes) -> dict[str, tuple[str, ...]]:
    fields: dict[str, list[str]] = {}
    for part in query.split(b"&"):
        if part:
            name, _, value = part.partition(b"=")
            fields.setdefault(_decoded(name, plus=b" "), []).append(_decoded(value, plus=b" "))
    return {name: tuple(values) for name, values in fields.items()}


def _decoded(part: bytes, *, plus: bytes = b"+") -> str:
    """Return the text of one part; `plus`: what a plus sign means."""
    try:
        text = _ESCAPE.sub(_character, part.replace(b"+", plus)).decode()
    except UnicodeDecodeError:
        raise ValueError(f"cannot decode {_shown(part)}: it is not UTF-8") from None
    if "\0" in text:
        raise ValueError(f"cannot use {_shown(part)}: it has a NUL character")
    return text


def _character(found: re.Match[bytes]) -> bytes:
    if not _HEX.fullmatch(found[1]):
        raise ValueError(f"cannot decode {_shown(found.string)}: {_shown(found[0])} is not a percent escape")
    return bytes.fromhex(found[1].decode())


def _shown(part: bytes) -> str:
    return quoted(part.decode("latin-1"))
