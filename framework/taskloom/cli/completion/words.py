"""Split a command line that is being typed, and write a completed word as bash expects it.

bash replaces only the part of a word that follows the last character of COMP_WORDBREAKS, which has `:` and `=`. zsh
and fish replace the whole word, and quote it themselves.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["Line", "bash_word", "split"]

_BLANKS = " \t\n"
# Characters with a meaning for bash outside of quotes.
_SPECIAL = re.compile(r"([^\w@%+=:,./-])", re.ASCII)
_SPECIAL_IN_DOUBLE_QUOTES = re.compile(r"""(["$`\\])""")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=", re.ASCII)


class Line(NamedTuple):
    """The command line up to the cursor."""

    words: tuple[str, ...]
    """The words before the one that is being typed, without quotes; the first is the name of the program."""
    word: str
    """The one that is being typed, without quotes; "" if it has not been begun."""
    kept: str
    """The beginning of that word that bash does not replace."""
    quote: str
    """The quote that is open at the cursor; or ""."""


def split(text: str, breaks: str = "") -> Line:
    """Split the text into words as a shell does. It may end inside of quotes. `breaks`: COMP_WORDBREAKS of bash."""
    words: list[str] = []
    word, kept, quote, is_begun, is_escaped = "", 0, "", False, False
    for character in text:
        if is_escaped:
            word, is_escaped = word + character, False
        elif character == "\\" and quote != "'":
            is_escaped = is_begun = True
        elif quote:
            if character == quote:
                quote, kept = "", len(word)
            else:
                word += character
        elif character in "'\"":
            quote, is_begun, kept = character, True, len(word)
        elif character in _BLANKS:
            words += [word] if is_begun else []
            word, kept, is_begun = "", 0, False
        else:
            word, is_begun = word + character, True
            kept = len(word) if character in breaks else kept
    while words and _ASSIGNMENT.match(words[0]):
        del words[0]
    return Line(tuple(words), word, word[:kept], quote)


def bash_word(value: str, line: Line) -> str:
    """Return what bash has to insert so that the word becomes `value`, which begins with what was typed."""
    rest = value.removeprefix(line.kept)
    if line.quote == "'":
        return rest.replace("'", r"'\''")
    if line.quote:
        return _SPECIAL_IN_DOUBLE_QUOTES.sub(r"\\\1", rest)
    return _SPECIAL.sub(r"\\\1", rest)
