"""Explains the errors of a YAML parser to the person who wrote the file.

libyaml and the pure-Python parser use similar but different messages. Both are reduced to facts here (what was being
read, what went wrong, and two character offsets), and the message is ours.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from taskloom.diagnostics import Problem, Related, missing_blank
from taskloom.jobfile.syntax.positions import Source

__all__ = ["TAB_IN_A_WORD", "ParserError", "explain_parser_error", "tab_in_a_word"]

_QUOTE_IT = "quote it"
_QUOTE_A_TEXT = "quote it, if it is a text"


class ParserError(NamedTuple):
    """The facts of a syntax error: `context` begins at `context_offset`, and `problem` is at `offset`."""

    context: str
    context_offset: int | None
    problem: str
    offset: int


def explain_parser_error(source: Source, error: ParserError) -> Problem:
    """Return the problem that names the likely mistake, or that quotes the parser if no mistake is recognised."""
    for recognise in _RECOGNISERS:
        problem = recognise(source, error)
        if problem is not None:
            return problem
    words = error.problem or error.context or "the text ends too early"
    return source.problem(error.offset, f"cannot read this as YAML: {words}")


_INDENT_WITH_TAB = re.compile(r"[ ]*\t")


def _tab(source: Source, error: ParserError) -> Problem | None:
    found = _INDENT_WITH_TAB.match(source.text, source.line_start(error.offset))
    if not found or (error.context.startswith("while scanning a quoted") and "end of stream" in error.problem):
        return None
    problem = source.problem(found.end() - 1, "", hint="indent with spaces")
    return problem._replace(message=f"cannot use a tab to indent line {problem.place.line}")


_TEMPLATE = re.compile(r"\{\{[^\r\n]*?\}\}|\{\{[^\r\n]*|\{%[^\r\n]*?%\}")
# The distance from the error within which a template is searched: in a line of megabytes the search is quadratic.
_NEAR = 200


def _template(source: Source, error: ParserError) -> Problem | None:
    for spot in (error.offset, error.context_offset):
        if spot is None:
            continue
        found = _TEMPLATE.search(source.text, max(source.line_start(spot), spot - _NEAR), spot + _NEAR)
        if found and source.line_start(found.start()) == source.line_start(spot):
            return _starts_with(source, found.start(), found[0], "'{' starts a mapping")
    return None


_REFERENCE = re.compile(r"\$\{[^}\r\n]*\}?")


def _reference_in_brackets(source: Source, error: ParserError) -> Problem | None:
    found = _REFERENCE.match(source.text, max(0, error.offset - 1))
    if found is None or not error.context.startswith("while parsing a flow"):
        return None
    return source.problem(found.start(), f"cannot read {found[0][:40]!r} inside {{ }} or [ ]: '{{' starts a mapping",
                          end=found.end(), hint="quote it, or give it a line of its own")  # fmt: skip


def _starts_with(source: Source, start: int, word: str, why: str) -> Problem:
    shown = word if len(word) <= 40 else word[:37] + "..."
    return source.problem(start, f"cannot read {shown!r}: {why}", end=start + len(word), hint=_QUOTE_IT)


def _tag(source: Source, error: ParserError) -> Problem | None:
    if not error.context.startswith("while scanning a tag") and "tag handle" not in error.problem:
        return None
    return source.problem(error.context_offset if error.context_offset is not None else error.offset,
                          "cannot use a tag: '!' starts one, and tags are not allowed here",
                          hint=_QUOTE_A_TEXT)  # fmt: skip


_WORD = re.compile(r"[^\s,\]}]+")
_SPECIAL = {"|": "a '|' text cannot be inside [ ] or { }", ">": "a '>' text cannot be inside [ ] or { }",
            "@": "'@' starts no YAML text", "`": "'`' starts no YAML text", "%": "'%' starts no YAML text",
            "*": "'*' starts an alias", "&": "'&' starts an anchor"}  # fmt: skip


def _special_character(source: Source, error: ParserError) -> Problem | None:
    if "cannot start any token" in error.problem:
        start = error.offset
    elif error.context.startswith(("while scanning an alias", "while scanning an anchor")):
        start = error.context_offset if error.context_offset is not None else error.offset
    else:
        return None
    if source.text.startswith("\t", start):
        return source.problem(start, "cannot use a tab here", hint="use spaces")
    found = _WORD.match(source.text, start)
    if found is None or found[0][0] not in _SPECIAL:
        return None
    return _starts_with(source, start, found[0], _SPECIAL[found[0][0]])


_ESCAPE = re.compile(r"\\?(?:x[^\"\s]{0,2}|u[^\"\s]{0,4}|U[^\"\s]{0,8}|.)")


def _escape(source: Source, error: ParserError) -> Problem | None:
    context = error.context
    if not context.startswith(("while parsing a quoted scalar", "while scanning a double-quoted scalar")):
        return None
    if "end of stream" in error.problem or "document" in error.problem:
        return None
    backslash = source.text.rfind("\\", 0, error.offset + 1)
    if backslash < 0:
        return None
    found = _ESCAPE.match(source.text, backslash)
    word = found[0] if found else "\\"
    message = f"cannot read {word!r} in double quotes: a backslash starts an escape there"
    return source.problem(backslash, message.replace("\\\\", "\\"), end=backslash + len(word),
                          hint="write \\\\, or use single quotes")  # fmt: skip


def _open_quote(source: Source, error: ParserError) -> Problem | None:
    ends = "end of stream" in error.problem or "document" in error.problem
    if not ends or "quoted scalar" not in error.context or error.context_offset is None:
        return None
    return source.problem(error.context_offset, f"cannot find the closing {source.text[error.context_offset]}",
                          hint="opened here")  # fmt: skip


# An unquoted text may have several lines, so that the mistake can be above the place where the parser stopped.
_LINES_ABOVE = 50
_INDENT = re.compile(r"\s*(?:- +)*")


def _missing_blank(source: Source, error: ParserError) -> Problem | None:
    """Explain `task:countdown`: to the parser it is a text, after which no key may follow."""
    if "could not find expected ':'" in error.problem and error.context_offset is not None:
        return _blank_in_line(source, source.line_start(error.context_offset))
    if "mapping values are not allowed" not in error.problem:
        return _blank_after_quote(source, error.offset)
    start = source.line_start(error.offset)
    for _ in range(_LINES_ABOVE):
        problem = _blank_in_line(source, start)
        if problem is not None or start == 0:
            return problem
        start = source.line_start(start - 1)
        if _ENDS_A_TEXT.search(source.line(start)):
            return None
    return None


# A key with its value or with nothing, a comment or an empty line: no unquoted text reaches over it.
_ENDS_A_TEXT = re.compile(r":(?:\s|$)|^\s*(?:#|$)")


_QUOTED_KEY = re.compile(r"""(["'])(\w[\w.-]*)\1:(\S+)""")


def _blank_after_quote(source: Source, offset: int) -> Problem | None:
    """Explain `"task":countdown`, at whose ":" the parser stops."""
    start = source.line_start(offset)
    found = next(
        (each for each in _QUOTED_KEY.finditer(source.line(offset)) if start + each.end(2) + 1 == offset), None
    )
    blank = missing_blank(f"{found[2]}:{found[3]}") if found is not None else None
    if found is None or blank is None:
        return None
    return source.problem(start + found.start(), blank[0], end=start + found.end(), hint=blank[1])


def _blank_in_line(source: Source, start: int) -> Problem | None:
    text = source.line(start)
    indent = len(_INDENT.match(text)[0])  # type: ignore[index]  # it matches the empty text
    found = missing_blank(text[indent : indent + _NEAR])
    if found is None:
        return None
    end = indent + len(text[indent:].split()[0])
    return source.problem(start + indent, found[0], end=start + end, hint=found[1])


def _missing_colon(source: Source, error: ParserError) -> Problem | None:
    if "could not find expected ':'" not in error.problem or error.context_offset is None:
        return None
    start = error.context_offset
    line = source.line(start)[start - source.line_start(start) :].rstrip()
    return source.problem(start, f"cannot find ':' after {line[:40]!r}", end=start + len(line),
                          hint="write 'key: value', with a space after ':'")  # fmt: skip


# The parser's words, and our message and hint.
_MISPLACED = (
    ("mapping values are not allowed", "cannot start a value at this ':'",
     "quote the text that contains it, or fix the indentation"),
    ("unexpected ':'", "cannot read this ':'", "write a space after it, or quote the text"),
    ("mapping keys are not allowed", "cannot start a key at this '?'", "quote the text"),
    ("sequence entries are not allowed", "cannot start a list item at this '-'",
     "begin the list on a line of its own, or quote the text"),
    ("document start", "cannot read what follows the end of the document", "one document per file"),
)  # fmt: skip


def _misplaced(source: Source, error: ParserError) -> Problem | None:
    for words, message, hint in _MISPLACED:
        if words in error.problem:
            return source.problem(error.offset, message, hint=hint)
    return None


def _missing_value(source: Source, error: ParserError) -> Problem | None:
    if "node content" not in error.problem:
        return None
    if not source.text[error.offset :].strip():
        return source.problem(error.offset, "cannot find the rest: the file ends inside [ ] or { }", hint="close them")
    if source.text[error.offset] == ":":
        return source.problem(error.offset, f"cannot use ':' here: {_STRAY[':']}", hint=_QUOTE_A_TEXT)
    return source.problem(error.offset, "cannot find a value here", hint="write one, or quote the text")


TAB_IN_A_WORD = "found a tab in a plain scalar"


def tab_in_a_word(source: Source, tab: int) -> Problem:
    """Return the problem of a tab inside an unquoted text. Every editor shows it differently."""
    return source.problem(tab, "cannot use a tab inside an unquoted text", hint="quote the text, or use spaces")


def _tab_in_a_word(source: Source, error: ParserError) -> Problem | None:
    return tab_in_a_word(source, error.offset) if error.problem == TAB_IN_A_WORD else None


def _block_header(source: Source, error: ParserError) -> Problem | None:
    if not error.context.startswith("while scanning a block scalar"):
        return None
    return source.problem(error.offset, "cannot read this after '|' or '>'", hint="start the text on the next line")


_STRAY = {"]": "no '[' is open", "}": "no '{' is open", ",": "no list is open", ":": "a key is due before it"}


def _stray_mark(source: Source, error: ParserError) -> Problem | None:
    met = source.text[error.offset : error.offset + 1]
    if not error.context.startswith(("while parsing a block", "while parsing a node")) or met not in _STRAY:
        return None
    return source.problem(error.offset, f"cannot use {met!r} here: {_STRAY[met]}", hint=_QUOTE_A_TEXT)


def _after_quote(source: Source, error: ParserError) -> Problem | None:
    before = source.text[max(source.line_start(error.offset), error.offset - _NEAR) : error.offset].rstrip()
    is_parsing = error.context.startswith(("while parsing a block", "while parsing a flow"))
    if not is_parsing or not before.endswith(("'", '"')):
        return None
    return source.problem(
        error.offset, f"cannot read what follows the closing {before[-1]}", hint="quote the whole text"
    )


def _open_bracket(source: Source, error: ParserError) -> Problem | None:
    if not error.context.startswith("while parsing a flow") or error.context_offset is None:
        return None
    bracket = source.text[error.context_offset : error.context_offset + 1]
    closing = {"[": "]", "{": "}"}.get(bracket)
    if closing is None:
        return None
    where = Related(source.place(error.context_offset), f"{bracket!r} opened here")
    return source.problem(error.offset, f"cannot find ',' or {closing!r} here", related=(where,),
                          hint=f"close the {bracket!r} of line {where.place.line}, or quote the text")  # fmt: skip


def _odd_indent(source: Source, error: ParserError) -> Problem | None:
    if not error.context.startswith("while parsing a block") or error.context_offset is None:
        return None
    where = Related(source.place(error.context_offset), "the block begins here")
    wanted = "a '- '" if "collection" in error.context or "sequence" in error.context else "a key"
    return source.problem(error.offset, f"cannot read this line: {wanted} of the block is due here", related=(where,),
                          hint=f"indent it like line {where.place.line}")  # fmt: skip


# The first function that recognises the mistake explains it. Mistakes within one line come before those in blocks.
_RECOGNISERS = (
    _tab_in_a_word,
    _tab,
    _template,
    _reference_in_brackets,
    _tag,
    _special_character,
    _escape,
    _open_quote,
    _missing_blank,
    _missing_colon,
    _misplaced,
    _block_header,
    _stray_mark,
    _missing_value,
    _after_quote,
    _open_bracket,
    _odd_indent,
)
