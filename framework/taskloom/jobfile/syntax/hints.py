"""What a parser's complaint means to the person who wrote the file.

libyaml and the pure-Python parser word their complaints alike but not equally. Both are reduced here to facts
(what was being read, what went wrong, and the two character offsets), and the sentence is ours.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from taskloom.diagnostics import Problem, Related
from taskloom.jobfile.syntax.positions import Source

__all__ = ["TAB_IN_A_WORD", "Complaint", "explain", "tab_in_a_word"]

_QUOTE_IT = "quote it"
_QUOTE_A_TEXT = "quote it, if it is a text"


class Complaint(NamedTuple):
    """The facts of a syntax error: `context` began at offset `began`, and `problem` was met at offset `met`."""

    context: str
    began: int | None
    problem: str
    met: int


def explain(source: Source, complaint: Complaint) -> Problem:
    """Return the problem that names the slip behind `complaint`, or the parser's own words where none is known."""
    for recognise in _RECOGNISERS:
        problem = recognise(source, complaint)
        if problem is not None:
            return problem
    words = complaint.problem or complaint.context or "the text ends too early"
    return source.problem(complaint.met, f"cannot read this as YAML: {words}")


_INDENT_WITH_TAB = re.compile(r"[ ]*\t")


def _tab(source: Source, complaint: Complaint) -> Problem | None:
    found = _INDENT_WITH_TAB.match(source.text, source.line_start(complaint.met))
    if not found or (complaint.context.startswith("while scanning a quoted") and "end of stream" in complaint.problem):
        return None
    problem = source.problem(found.end() - 1, "", hint="indent with spaces")
    return problem._replace(message=f"cannot use a tab to indent line {problem.place.line}")


_TEMPLATE = re.compile(r"\{\{[^\r\n]*?\}\}|\{\{[^\r\n]*|\{%[^\r\n]*?%\}")
# How far around the complaint a template is looked for: in a line of megabytes the pattern would take its square.
_NEAR = 200


def _template(source: Source, complaint: Complaint) -> Problem | None:
    for spot in (complaint.met, complaint.began):
        if spot is None:
            continue
        found = _TEMPLATE.search(source.text, max(source.line_start(spot), spot - _NEAR), spot + _NEAR)
        if found and source.line_start(found.start()) == source.line_start(spot):
            return _starts_with(source, found.start(), found[0], "'{' starts a mapping")
    return None


_REFERENCE = re.compile(r"\$\{[^}\r\n]*\}?")


def _reference_in_brackets(source: Source, complaint: Complaint) -> Problem | None:
    found = _REFERENCE.match(source.text, max(0, complaint.met - 1))
    if found is None or not complaint.context.startswith("while parsing a flow"):
        return None
    return source.problem(found.start(), f"cannot read {found[0][:40]!r} inside {{ }} or [ ]: '{{' starts a mapping",
                          end=found.end(), hint="quote it, or give it a line of its own")  # fmt: skip


def _starts_with(source: Source, start: int, word: str, why: str) -> Problem:
    shown = word if len(word) <= 40 else word[:37] + "..."
    return source.problem(start, f"cannot read {shown!r}: {why}", end=start + len(word), hint=_QUOTE_IT)


def _tag(source: Source, complaint: Complaint) -> Problem | None:
    about_tag = complaint.context.startswith("while scanning a tag") or "tag handle" in complaint.problem
    if not about_tag:
        return None
    return source.problem(complaint.began if complaint.began is not None else complaint.met,
                          "cannot use a tag: '!' starts one, and tags are not allowed here",
                          hint=_QUOTE_A_TEXT)  # fmt: skip


_WORD = re.compile(r"[^\s,\]}]+")
_SPECIAL = {"|": "a '|' text cannot stand inside [ ] or { }", ">": "a '>' text cannot stand inside [ ] or { }",
            "@": "'@' starts no YAML text", "`": "'`' starts no YAML text", "%": "'%' starts no YAML text",
            "*": "'*' starts an alias", "&": "'&' starts an anchor"}  # fmt: skip


def _word_that_is_no_text(source: Source, complaint: Complaint) -> Problem | None:
    if "cannot start any token" in complaint.problem:
        start = complaint.met
    elif complaint.context.startswith(("while scanning an alias", "while scanning an anchor")):
        start = complaint.began if complaint.began is not None else complaint.met
    else:
        return None
    if source.text.startswith("\t", start):
        return source.problem(start, "cannot use a tab here", hint="use spaces")
    found = _WORD.match(source.text, start)
    if found is None or found[0][0] not in _SPECIAL:
        return None
    return _starts_with(source, start, found[0], _SPECIAL[found[0][0]])


_ESCAPE = re.compile(r"\\?(?:x[^\"\s]{0,2}|u[^\"\s]{0,4}|U[^\"\s]{0,8}|.)")


def _escape(source: Source, complaint: Complaint) -> Problem | None:
    context = complaint.context
    if not context.startswith(("while parsing a quoted scalar", "while scanning a double-quoted scalar")):
        return None
    if "end of stream" in complaint.problem or "document" in complaint.problem:
        return None
    backslash = source.text.rfind("\\", 0, complaint.met + 1)
    if backslash < 0:
        return None
    found = _ESCAPE.match(source.text, backslash)
    word = found[0] if found else "\\"
    message = f"cannot read {word!r} in double quotes: a backslash starts an escape there"
    return source.problem(backslash, message.replace("\\\\", "\\"), end=backslash + len(word),
                          hint="write \\\\, or use single quotes")  # fmt: skip


def _open_quote(source: Source, complaint: Complaint) -> Problem | None:
    ends = "end of stream" in complaint.problem or "document" in complaint.problem
    if not ends or "quoted scalar" not in complaint.context or complaint.began is None:
        return None
    return source.problem(complaint.began, f"cannot find the closing {source.text[complaint.began]}",
                          hint="opened here")  # fmt: skip


def _missing_colon(source: Source, complaint: Complaint) -> Problem | None:
    if "could not find expected ':'" not in complaint.problem or complaint.began is None:
        return None
    line = source.line(complaint.began)[complaint.began - source.line_start(complaint.began) :].rstrip()
    return source.problem(complaint.began, f"cannot find ':' after {line[:40]!r}", end=complaint.began + len(line),
                          hint="write 'key: value', with a space after ':'")  # fmt: skip


def _second_colon(source: Source, complaint: Complaint) -> Problem | None:
    if "mapping values are not allowed" not in complaint.problem:
        return None
    return source.problem(complaint.met, "cannot start a value at this ':'",
                          hint="quote the text that holds it, or mend the indentation")  # fmt: skip


def _missing_value(source: Source, complaint: Complaint) -> Problem | None:
    if "node content" not in complaint.problem:
        return None
    if not source.text[complaint.met :].strip():
        return source.problem(complaint.met, "cannot find the rest: the file ends inside [ ] or { }", hint="close them")
    if source.text[complaint.met] == ":":
        return source.problem(complaint.met, f"cannot use ':' here: {_STRAY[':']}", hint=_QUOTE_A_TEXT)
    return source.problem(complaint.met, "cannot find a value here", hint="write one, or quote the text")


TAB_IN_A_WORD = "found a tab in a plain scalar"


def tab_in_a_word(source: Source, tab: int) -> Problem:
    """Return the problem of a tab in the middle of an unquoted text, which every editor shows differently."""
    return source.problem(tab, "cannot use a tab inside an unquoted text", hint="quote the text, or use spaces")


def _tab_in_a_word(source: Source, complaint: Complaint) -> Problem | None:
    return tab_in_a_word(source, complaint.met) if complaint.problem == TAB_IN_A_WORD else None


def _tight_colon(source: Source, complaint: Complaint) -> Problem | None:
    if "unexpected ':'" not in complaint.problem:
        return None
    return source.problem(complaint.met, "cannot read this ':'", hint="write a space after it, or quote the text")


def _question(source: Source, complaint: Complaint) -> Problem | None:
    if "mapping keys are not allowed" not in complaint.problem:
        return None
    return source.problem(complaint.met, "cannot start a key at this '?'", hint="quote the text")


def _list_item(source: Source, complaint: Complaint) -> Problem | None:
    if "sequence entries are not allowed" not in complaint.problem:
        return None
    return source.problem(complaint.met, "cannot start a list item at this '-'",
                          hint="begin the list on a line of its own, or quote the text")  # fmt: skip


def _block_header(source: Source, complaint: Complaint) -> Problem | None:
    if not complaint.context.startswith("while scanning a block scalar"):
        return None
    return source.problem(complaint.met, "cannot read this after '|' or '>'", hint="start the text on the next line")


_STRAY = {"]": "no '[' is open", "}": "no '{' is open", ",": "no list is open", ":": "a key is due before it"}


def _stray_mark(source: Source, complaint: Complaint) -> Problem | None:
    met = source.text[complaint.met : complaint.met + 1]
    if not complaint.context.startswith(("while parsing a block", "while parsing a node")) or met not in _STRAY:
        return None
    return source.problem(complaint.met, f"cannot use {met!r} here: {_STRAY[met]}", hint=_QUOTE_A_TEXT)


def _after_quote(source: Source, complaint: Complaint) -> Problem | None:
    before = source.text[max(source.line_start(complaint.met), complaint.met - _NEAR) : complaint.met].rstrip()
    if not complaint.context.startswith(("while parsing a block", "while parsing a flow")) or before[-1:] not in (
        "'",
        '"',
    ):
        return None
    return source.problem(
        complaint.met, f"cannot read what follows the closing {before[-1]}", hint="quote the whole text"
    )


def _open_bracket(source: Source, complaint: Complaint) -> Problem | None:
    if not complaint.context.startswith("while parsing a flow") or complaint.began is None:
        return None
    bracket = source.text[complaint.began : complaint.began + 1]
    closing = {"[": "]", "{": "}"}.get(bracket)
    if closing is None:
        return None
    where = Related(source.place(complaint.began), f"{bracket!r} opened here")
    return source.problem(complaint.met, f"cannot find ',' or {closing!r} here", related=(where,),
                          hint=f"close the {bracket!r} of line {where.place.line}, or quote the text")  # fmt: skip


def _odd_indent(source: Source, complaint: Complaint) -> Problem | None:
    if not complaint.context.startswith("while parsing a block") or complaint.began is None:
        return None
    where = Related(source.place(complaint.began), "the block begins here")
    wanted = "a '- '" if "collection" in complaint.context or "sequence" in complaint.context else "a key"
    return source.problem(complaint.met, f"cannot read this line: {wanted} of the block is due here", related=(where,),
                          hint=f"indent it like line {where.place.line}")  # fmt: skip


def _second_document(source: Source, complaint: Complaint) -> Problem | None:
    if "document start" not in complaint.problem:
        return None
    return source.problem(complaint.met, "cannot read what follows the end of the document",
                          hint="one document per file")  # fmt: skip


# The first that recognises the slip explains it: what one line shows by itself comes before what spans blocks.
_RECOGNISERS = (
    _tab_in_a_word,
    _tab,
    _template,
    _reference_in_brackets,
    _tag,
    _word_that_is_no_text,
    _escape,
    _open_quote,
    _missing_colon,
    _second_colon,
    _tight_colon,
    _question,
    _list_item,
    _block_header,
    _stray_mark,
    _missing_value,
    _after_quote,
    _open_bracket,
    _odd_indent,
    _second_document,
)
