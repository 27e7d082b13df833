"""Decodes a job file, and refuses text that a YAML parser must not see.

libyaml and the pure-Python parser differ on encodings, control characters and line breaks, and both need quadratic
time for many `%TAG` lines. All of that is decided here, so that both parsers agree.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

from taskloom.diagnostics import Place, Problem
from taskloom.errors import JobFileError
from taskloom.jobfile.syntax.positions import Source

__all__ = ["FileRejected", "check_text", "decode", "unreadable"]

_UTF8_BOM = codecs.BOM_UTF8
_FOREIGN_BOMS = (
    (codecs.BOM_UTF32_LE, "UTF-32"), (codecs.BOM_UTF32_BE, "UTF-32"),  # before UTF-16: its mark begins like this one
    (codecs.BOM_UTF16_LE, "UTF-16"), (codecs.BOM_UTF16_BE, "UTF-16"),
)  # fmt: skip
# The first character of a job file is ASCII in practice, so the NUL bytes around it show the encoding.
_FOREIGN_STARTS = (
    (re.compile(rb"[^\0]\0\0\0|\0\0\0[^\0]"), "UTF-32"),
    (re.compile(rb"[^\0]\0|\0[^\0]"), "UTF-16"),
)
_SAVE_AS_UTF8 = "save the file as UTF-8"

_CONTROL_BYTES = bytes(code for code in range(0x20) if code not in b"\t\n\r") + b"\x7f"
# U+0085, U+2028 and U+2029 are line breaks in YAML 1.1 but not in editors, so they could hide a key after a comment.
# A '%' line is one problem, with all that is in it: the advice is to remove it. `^` does not match after "\r".
_NOT_ALLOWED = re.compile(
    "(?P<directive>(?:^|(?<=\r))%[^\r\n]*)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]",
    re.MULTILINE,
)


class FileRejected(Exception):
    """Signals that the file cannot be read further, because of `problems`. The reader never lets it escape."""

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__(problems)


def unreadable(path: str, why: str, hint: str = "") -> JobFileError:
    """Return the error for a file of which no line can be shown."""
    return JobFileError([Problem(Place(path, 1, 1), f"cannot read the file: {why}", hint)])


def decode(data: bytes, path: str) -> Source:
    """Return the text of `data`, without a byte order mark. Raises FileRejected if it is not UTF-8."""
    for mark, encoding in _FOREIGN_BOMS:
        if data.startswith(mark):
            raise FileRejected(_encoding_problem(path, f"cannot read the file: byte 0 begins {encoding}"))
    for start, encoding in _FOREIGN_STARTS:
        if start.match(data):
            raise FileRejected(_encoding_problem(path, f"cannot read the file: byte 0 looks like {encoding}"))
    body = data.removeprefix(_UTF8_BOM)
    try:
        return Source(path, body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise FileRejected(_undecodable(body, error.start, len(data) - len(body), path)) from None


def _encoding_problem(path: str, message: str) -> Problem:
    return Problem(Place(path, 1, 1), message, _SAVE_AS_UTF8)


def _undecodable(body: bytes, start: int, skipped: int, path: str) -> Problem:
    before = Source(path, body[:start].decode("utf-8"))
    rest = re.split(rb"[\r\n]", body[start:], maxsplit=1)[0]
    shown = Source(path, before.text + rest.decode("utf-8", "replace"))
    message = f"cannot read byte 0x{body[start]:02x} at offset {start + skipped}: it is not UTF-8"
    return shown.problem(len(before.text), message, hint=_SAVE_AS_UTF8)


def check_text(source: Source) -> Iterator[Problem]:
    """Yield a problem for each character and each line that is not allowed."""
    text = source.text
    has_directive = text.startswith("%") or "\n%" in text or "\r%" in text
    # translate() is several times faster than the pattern, and nearly every job file is ASCII.
    if has_directive or not text.isascii() or len(text) != len(text.encode().translate(None, _CONTROL_BYTES)):
        for found in _NOT_ALLOWED.finditer(text):
            yield _directive(source, found) if found["directive"] else _forbidden(source, found)


def _directive(source: Source, found: re.Match[str]) -> Problem:
    message = f"cannot use a '%' line: YAML directives such as {found[0][:20]!r} are not allowed here"
    return source.problem(found.start(), message, end=found.end(), hint="remove the line")


def _forbidden(source: Source, found: re.Match[str]) -> Problem:
    code = ord(found[0])
    kind = {0x85: "a line break", 0x2028: "a line break", 0x2029: "a line break", 0xFEFF: "a byte order mark"}
    message = f"cannot read U+{code:04X} here: {kind.get(code, 'a control character')} that editors do not show"
    escape = f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    return source.problem(found.start(), message, hint=f'remove it, or write "{escape}" in double quotes')
