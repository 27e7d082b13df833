"""The text of a line with two places to fill in: `{n}` and `{job}`.

Not `str.format`: its format specifications let a job file ask for a line of ten gigabytes (`{n:>9999999999}`), and its
attribute access lets it read the objects of the program.
"""

from __future__ import annotations

import difflib
import re

__all__ = ["LineTemplate"]

_NAMES = ("n", "job")
_LEGAL = "write {n} for the number of the line, {job} for the name of the job, {{ and }} for braces"
# Doubled braces first, as `str.format` reads them; then a name in braces; a brace that is left over has no partner.
_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
# What `str.format` allows behind a name.
_EXTRA = re.compile(r"[:!.\[]")
_EXTRA_KINDS = {":": "a format specification", "!": "a conversion", ".": "an attribute", "[": "an index"}
# Of a longer line, an error shows the beginning.
_SHOWN = 100


class LineTemplate:
    """A checked text, which is filled in for each line."""

    def __init__(self, text: str) -> None:
        """Raise ValueError for anything in braces that is neither `n` nor `job`, and for a brace without a partner."""
        self._text = text
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError(f"cannot use line {self._shown!r}: half of a surrogate pair cannot be sent") from None
        # Texts and names in turn, so that a line is one join.
        self._parts: list[str] = []
        text_before, end = "", 0
        for token in _TOKEN.finditer(text):
            text_before += text[end : token.start()]
            end = token.end()
            if token[0] in ("{{", "}}"):
                text_before += token[0][0]
                continue
            self._check(token[0], token[1])
            self._parts += [text_before, token[1]]
            text_before = ""
        self._parts.append(text_before + text[end:])

    def fill(self, n: int, job: str) -> str:
        """Return the line with this number and name."""
        parts, values = self._parts.copy(), {"n": str(n), "job": job}
        parts[1::2] = [values[name] for name in parts[1::2]]
        return "".join(parts)

    @property
    def _shown(self) -> str:
        return self._text if len(self._text) <= _SHOWN else f"{self._text[:_SHOWN]}…"

    def _check(self, token: str, name: str | None) -> None:
        why = _why_not(token, name)
        if why:
            raise ValueError(f"cannot use {token!r} in line {self._shown!r}: {why}; {_LEGAL}")


def _why_not(token: str, name: str | None) -> str:
    """Return why the token cannot be used; an empty string if it can."""
    if name is None:
        return f"a single {token} has no partner"
    if name in _NAMES:
        return ""
    if not name or name.isdecimal():
        return "it is not a name"
    extra = _EXTRA.search(name)
    if extra:
        return f"{_EXTRA_KINDS[extra[0]]} is not allowed"
    near = difflib.get_close_matches(name.strip().casefold(), _NAMES, n=1)
    return f"the name is not known{f'; did you mean {{{near[0]}}}?' if near else ''}"
