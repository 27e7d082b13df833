"""Passwords in URLs, such as `postgres://anna:PASSWORD@db/main`, found in any text."""

from __future__ import annotations

import re
from collections.abc import Iterator

from taskloom.diagnostics import MASK

__all__ = ["password_columns", "url_passwords", "without_passwords"]

# `scheme://user:password@host`. The password may hold an unescaped "@" or ":", but ends before the path. It may hold a
# quotation mark, but not the one before the URL.
_SCHEME = re.compile(r"(?P<quote>[\"']?)(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,30})://")
_INFO = {quote: re.compile(rf"(?P<info>[^\s/?#<>{quote}]*)@") for quote in ("", "'", '"')}
# A user without a password is a token in `https://TOKEN@host` if it is as long as this; `git` and names are not.
_SHORTEST_TOKEN = 16
_WEB = ("http", "https")
_VARIABLE = re.compile(r"\$\{[^{}]*\}")


def password_columns(text: str) -> Iterator[tuple[int, int]]:
    """Yield the place of each password, from 0 and without its end. One that is only a variable is none."""
    if "://" not in text or "@" not in text:
        return
    for url in _SCHEME.finditer(text):
        found = _INFO[url["quote"]].match(text, url.end())
        if found is None:
            continue
        start, end = found.span("info")
        user, colon, _ = found["info"].partition(":")
        if colon:
            start += len(user) + 1
        elif url["scheme"].lower() not in _WEB or len(user) < _SHORTEST_TOKEN:
            continue
        if start < end and not _VARIABLE.fullmatch(text, start, end):
            yield start, end


def url_passwords(text: str) -> Iterator[str]:
    """Yield each password, as it is written and without its escapes; of a URL with several hosts, that of each."""
    for start, end in password_columns(text):
        from urllib.parse import unquote  # few jobs have such a URL

        password = text[start:end]
        for each in (password, *_of_each_host(password)):
            yield from {each, unquote(each)} - {""}


def without_passwords(text: str) -> str:
    """Return the text with each password masked."""
    pieces, done = [], 0
    for start, end in password_columns(text):
        pieces += [text[done:start], MASK]
        done = end
    return "".join([*pieces, text[done:]])


def _of_each_host(password: str) -> Iterator[str]:
    """Yield the passwords in what is between the first colon and the last "@" of `a:x@one,b:y@two`."""
    first, *others = password.split(",")
    if others and "@" in first:
        yield first.rpartition("@")[0]
        for other in others[:-1]:
            yield other.rpartition("@")[0].partition(":")[2]
        yield others[-1].partition(":")[2]
