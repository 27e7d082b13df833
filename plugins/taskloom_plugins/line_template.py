"""The text of a line with two places to fill in: `{n}` and `{job}`.

Not `str.format`: its format specifications let a job file ask for a line of ten gigabytes (`{n:>9999999999}`), and its
attribute access lets it read the objects of the program.
"""

from __future__ import annotations

import difflib
import re

__all__ = ["LineTemplate"]

_NAMES = ("n", "job")
_LEGAL = "write {n}, {job}, and {{ for a brace"
# Doubled braces first, as `str.format` reads them; then a name in braces; a brace that is left over has no partner.
_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
# The text that `str.format` allows behind a name.
_EXTRA = re.compile(r"[:!.\[]")
_EXTRA_KINDS = {":": "a format specification", "!": "a conversion", ".": "an attribute", "[": "an index"}
# An error shows only the beginning of a longer line.
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
        fault = _fault(name)
        if fault:
            raise ValueError(f"cannot use line {self._shown!r}: {token!r} {fault}; {_LEGAL}")


def _fault(name: str | None) -> str:
    """Return what is wrong with the name, which is None for a brace without one; an empty string if nothing is."""
    if name is None:
        return "has no partner"
    if name in _NAMES:
        return ""
    if not name or name.isdecimal():
        return "has no name"
    extra = _EXTRA.search(name)
    if extra:
        return f"has {_EXTRA_KINDS[extra[0]]}"
    near = difflib.get_close_matches(name.strip().casefold(), _NAMES, n=1)
    return f"is not known{f'; did you mean {{{near[0]}}}?' if near else ''}"
