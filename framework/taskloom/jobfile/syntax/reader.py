"""Reads the bytes of a job file as plain values with their positions. The only module that imports yaml.

It uses the parser's *events* and never its composer: libyaml's composer crashes with SIGSEGV on deep nesting (at 760
levels in a thread with a small stack), PyYAML's merge keys take seconds for 407 bytes, and its constructors raise
other exceptions for thirteen kinds of input. `read_bytes` and `read_file` raise only `JobFileError`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, Literal, NamedTuple, TypeAlias

import yaml

from taskloom.diagnostics import Place, Problem
from taskloom.errors import JobFileError
from taskloom.jobfile.syntax.builder import MAX_PROBLEMS, Builder, Kinds
from taskloom.jobfile.syntax.document import LIMITS, Document, Limits, Value
from taskloom.jobfile.syntax.encoding import FileRejected, check_text, decode, unreadable
from taskloom.jobfile.syntax.hints import TAB_IN_A_WORD, ParserError, explain_parser_error
from taskloom.jobfile.syntax.inputs import bytes_of
from taskloom.jobfile.syntax.positions import Position, Positions, Source
from taskloom.sync.gc_pause import paused_gc

__all__ = ["Document", "Limits", "Parser", "Reading", "Value", "examine", "read_bytes", "read_file"]

Parser: TypeAlias = Literal["libyaml", "python"]

_KINDS = Kinds(yaml.ScalarEvent, yaml.AliasEvent, yaml.MappingStartEvent, yaml.MappingEndEvent,
               yaml.SequenceEndEvent, yaml.StreamEndEvent)  # fmt: skip


class Reading(NamedTuple):
    """The result of reading one file: its values, its errors, or both where an error leaves the rest readable."""

    document: Document | None
    """None if the file cannot be read to its end."""
    errors: Sequence[Problem] = ()
    """In the order of the file."""
    fatal: Problem | None = None
    """The error because of which nothing can be used: reading ended there, or the whole is not a mapping."""
    text: str = ""


def read_file(path: str | os.PathLike[str], *, limits: Limits = LIMITS) -> Document:
    """Read the job file at `path`, which must be a regular file.

    Reads at most one byte over the limit, and never blocks on a pipe or a device. Raises only JobFileError.
    """
    name = os.fspath(path)
    return read_bytes(bytes_of(name, limits.bytes), name, limits=limits)


def read_bytes(data: bytes, path: str, *, limits: Limits = LIMITS, parser: Parser | None = None) -> Document:
    """Read the job file whose content is `data`. `path` is used only in messages.

    `parser` None means libyaml if PyYAML was built with it, else the pure-Python parser; both accept the same files.
    Automatic garbage collection is paused meanwhile. Raises only JobFileError, with all problems that were found.
    """
    reading = examine(data, path, limits=limits, parser=parser)
    if reading.document is None or reading.errors:
        raise JobFileError(reading.errors)
    return reading.document


def examine(data: bytes, path: str, *, limits: Limits = LIMITS, parser: Parser | None = None) -> Reading:
    """Read the file as `read_bytes` does, and return its errors together with the values that can be read all the same.

    Raises JobFileError if the file is too large.
    """
    try:
        with paused_gc():
            return _read(data, path, limits, parser or ("libyaml" if yaml.__with_libyaml__ else "python"))
    except JobFileError:
        raise
    except Exception as error:
        raise unreadable(path, f"internal error: {type(error).__name__}: {error}", "please report this") from error


def _read(data: bytes, path: str, limits: Limits, parser: Parser) -> Reading:
    if len(data) > limits.bytes:
        raise unreadable(path, f"it is larger than {limits.bytes:,} bytes")
    try:
        source = decode(data, path)
    except FileRejected as refused:
        return Reading(None, refused.problems)
    unseen = list(islice(check_text(source), MAX_PROBLEMS))
    if unseen:
        unseen = _in_order(unseen)
        return Reading(None, unseen, unseen[0], source.text)
    return _read_text(source, limits, parser)


def _in_order(problems: list[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda problem: problem.place)


def _read_text(source: Source, limits: Limits, parser: Parser) -> Reading:
    reading = _walk(source, source.text, limits, parser)
    if reading.error is not None:
        parser_error = _parser_error(reading.error)
        earlier = _problems_before(source, parser_error, limits, parser)
        reading.problems[:] = earlier or [*reading.problems, explain_parser_error(source, parser_error)]
    if reading.refused or reading.error is not None:
        return Reading(None, _in_order(reading.problems), reading.problems[-1], source.text)
    document = Document(source, reading.root, Positions(source, reading.position))
    fatal = _unusable_root(document)
    if fatal is not None:
        reading.problems.append(fatal)
    elif reading.root is None and not reading.problems:
        place = Place(source.path, 1, 1)
        document.warnings.append(Problem(place, "file is empty", severity="warning"))
    return Reading(document, _in_order(reading.problems), fatal, source.text)


def _unusable_root(document: Document) -> Problem | None:
    """Return the problem of a file that is neither a mapping nor empty."""
    root = document.root
    if root is None or isinstance(root, dict):
        return None
    found = "a list" if isinstance(root, list) else "a single value"
    slip = isinstance(root, str) and ":" in root
    return document.positions.problem(
        (),
        f"cannot use {found} as a job file: a mapping is expected, such as 'jobs:'",
        hint="did you forget the space after ':'?" if slip else "",
    )


class _Walk(NamedTuple):
    """The result of one pass over the events. It ended at the end of the text, with a refusal, or with an error."""

    root: Value
    position: Position
    problems: list[Problem]
    refused: bool = False
    error: yaml.YAMLError | None = None


def _walk(source: Source, text: str, limits: Limits, parser: Parser) -> _Walk:
    """Read `text`, which is all of `source` or its beginning."""
    events = _Events(text, parser)
    builder = Builder(events.next, _KINDS, source, limits)
    try:
        return _Walk(*builder.document(), builder.problems)
    except FileRejected as refused:
        return _Walk(None, 0, [*builder.problems, *refused.problems], refused=True)
    except yaml.YAMLError as error:
        return _Walk(None, 0, builder.problems, error=error)
    finally:
        events.close()


# To decide whether a "[" starts a key, the scanner searches up to 1,024 characters of its line for the ":".
_LOOKAHEAD = 1024
_FOUND_BY_PARSER = ("while parsing a block", "while parsing a flow", "while parsing a node")
_LIBYAML_LIMIT = "exceeded maximum nesting depth"


def _problems_before(source: Source, parser_error: ParserError, limits: Limits, parser: Parser) -> list[Problem]:
    """Return the problems before a syntax error if our own limits end the reading there, else nothing.

    The scanner runs ahead of the events, so it can find an error after the place where the builder refuses to continue.
    For a list of 1,500 levels on one line this is libyaml's own limit of 1,000 levels, since libyaml 0.2.6. So the
    text is read again, up to the error.
    """
    context, began, problem, met = parser_error
    if context.startswith(_FOUND_BY_PARSER):
        return []  # the parser found it, after all events before it
    end = met if began is None else began
    ahead = source.text[max(0, end - _LOOKAHEAD) : end]
    if "[" not in ahead and "{" not in ahead:
        return []
    reading = _walk(source, source.text[:end], limits, parser)
    if reading.error is not None and problem == _LIBYAML_LIMIT:
        return [*reading.problems, explain_parser_error(source, _parser_error(reading.error))]
    return reading.problems if reading.refused else []


def _parser_error(error: yaml.YAMLError) -> ParserError:
    if not isinstance(error, yaml.MarkedYAMLError):
        return ParserError("", None, str(error).splitlines()[0], getattr(error, "position", 0) or 0)
    began = error.context_mark.index if error.context_mark else None
    met = error.problem_mark.index if error.problem_mark else began or 0
    return ParserError(error.context or "", began, error.problem or "", met)


# Inside [ ] and { } the pure-Python parser ends an unquoted word at its first "?", and therefore refuses most URLs.
_QUESTION_IN_A_WORD = re.compile(r"(?<=[^\s,\[\]{}])\?")


class _PythonLoader(yaml.SafeLoader):
    """The pure-Python parser, changed to accept and refuse the same files as libyaml."""

    def __init__(self, text: str) -> None:
        self._question = next(char for char in map(chr, range(0xE000, 0xF900)) if char not in text)
        super().__init__(_QUESTION_IN_A_WORD.sub(self._question, text))

    def next_event(self) -> Any:
        try:
            event: Any = self.get_event()  # type: ignore[no-untyped-call]
        except (ValueError, OverflowError) as error:  # chr() of an escape beyond Unicode; libyaml refuses it in words
            raise yaml.MarkedYAMLError("while scanning a double-quoted scalar", None, "", self.get_mark()) from error
        if type(event) is yaml.ScalarEvent:
            event.value = event.value.replace(self._question, "?")
        return event

    def scan_to_next_token(self) -> None:
        """Skip what is between two tokens. Unlike the original, also skip tabs, except in an indent."""
        while True:
            blanks = " \t" if self.flow_level or not self.allow_simple_key else " "
            while self.peek() in blanks:
                self.forward()
            if self.peek() == "#":
                while self.peek() not in "\0\r\n":
                    self.forward()
            if not self.scan_line_break():  # type: ignore[no-untyped-call]
                return
            if not self.flow_level:
                self.allow_simple_key = True

    def scan_plain(self) -> Any:
        """Read an unquoted word. Unlike the original, refuse `{k:[v]}`, in which a space is missing after ":"."""
        token: Any = super().scan_plain()
        ends_oddly = self.peek() == ":" and self.peek(1) in ",[]{}"
        if self.flow_level and (ends_oddly or ":" + self._question in token.value):
            self._refuse_word("found unexpected ':'")
        if self.peek() == "\t" and self._goes_on_after_tab():
            self._refuse_word(TAB_IN_A_WORD)
        return token

    def _goes_on_after_tab(self) -> bool:
        ahead = 1
        while self.peek(ahead) in " \t":
            ahead += 1
        if self.peek(ahead) == ":":
            return self.peek(ahead + 1) not in "\0 \t\r\n"
        return self.peek(ahead) not in ("\0\r\n#,[]{}" if self.flow_level else "\0\r\n#")

    def _refuse_word(self, why: str) -> None:
        raise yaml.MarkedYAMLError("while scanning a plain scalar", None, why, self.get_mark())


class _Events:
    """One parser for one text. Both kinds of parser raise the same exceptions."""

    def __init__(self, text: str, parser: Parser) -> None:
        # Any: PyYAML's type hints do not say that each loader is an event parser too.
        if parser == "libyaml":
            self._loader: Any = yaml.CSafeLoader(text.encode())
            self.next: Callable[[], Any] = self._loader.get_event
        else:
            self._loader = _PythonLoader(text)
            self.next = self._loader.next_event

    def close(self) -> None:
        self._loader.dispose()
