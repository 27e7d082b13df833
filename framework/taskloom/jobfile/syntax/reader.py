"""Reads the bytes of a job file as plain values with their positions. The only module that imports yaml.

It uses the parser's *events* and never its composer: libyaml's composer crashes with SIGSEGV on deep nesting (at 760
levels in a thread with a small stack), PyYAML's merge keys take seconds for 407 bytes, and its constructors raise
other exceptions for thirteen kinds of input. `read_bytes` and `read_file` raise only `JobFileError`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from itertools import islice
from typing import Any, Literal, TypeAlias

import yaml

from taskloom.diagnostics import Place, Problem
from taskloom.errors import JobFileError
from taskloom.jobfile.syntax.builder import MAX_PROBLEMS, Builder, Kinds
from taskloom.jobfile.syntax.document import Document, Limits, Value
from taskloom.jobfile.syntax.encoding import FileRejected, check_text, decode
from taskloom.jobfile.syntax.files import bytes_of, unreadable
from taskloom.jobfile.syntax.hints import TAB_IN_A_WORD, ParserError, explain_parser_error
from taskloom.jobfile.syntax.positions import Position, Positions, Source
from taskloom.sync.gc_pause import paused_gc

__all__ = ["Document", "Limits", "Parser", "Value", "read_bytes", "read_file"]

Parser: TypeAlias = Literal["libyaml", "python"]

_LIMITS = Limits()
_KINDS = Kinds(yaml.ScalarEvent, yaml.AliasEvent, yaml.MappingStartEvent, yaml.MappingEndEvent,
               yaml.SequenceEndEvent, yaml.StreamEndEvent)  # fmt: skip


def read_file(path: str | os.PathLike[str], *, limits: Limits = _LIMITS) -> Document:
    """Read the job file at `path`, which must be a regular file.

    Reads at most one byte over the limit, and never blocks on a pipe or a device. Raises only JobFileError.
    """
    name = os.fspath(path)
    return read_bytes(bytes_of(name, limits.bytes), name, limits=limits)


def read_bytes(data: bytes, path: str, *, limits: Limits = _LIMITS, parser: Parser | None = None) -> Document:
    """Read the job file whose content is `data`. `path` is used only in messages.

    `parser` None means libyaml if PyYAML was built with it, else the pure-Python parser; both accept the same files.
    Automatic garbage collection is paused meanwhile. Raises only JobFileError, with all problems that were found.
    """
    try:
        with paused_gc():
            return _read(data, path, limits, parser or ("libyaml" if yaml.__with_libyaml__ else "python"))
    except JobFileError:
        raise
    except Exception as error:
        raise unreadable(path, f"internal error: {type(error).__name__}: {error}", "please report this") from error


def _read(data: bytes, path: str, limits: Limits, parser: Parser) -> Document:
    if len(data) > limits.bytes:
        raise unreadable(path, f"it is larger than {limits.bytes:,} bytes")
    try:
        source = decode(data, path)
    except FileRejected as refused:
        raise JobFileError(refused.problems) from None
    unseen = list(islice(check_text(source), MAX_PROBLEMS))
    if unseen:
        raise JobFileError(_in_order(unseen))
    return _read_text(source, limits, parser)


def _in_order(problems: list[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda problem: problem.place)


def _read_text(source: Source, limits: Limits, parser: Parser) -> Document:
    events = _Events(source, parser)
    builder = Builder(events.next, _KINDS, source, limits)
    root: Value = None
    position: Position = 0
    try:
        root, position = builder.document()
    except FileRejected as refused:
        builder.problems.extend(refused.problems)
    except yaml.YAMLError as error:
        builder.problems.append(explain_parser_error(source, _parser_error(error)))
    finally:
        events.close()
    if builder.problems:
        raise JobFileError(_in_order(builder.problems))
    document = Document(source, root, Positions(source, position))
    if root is None:
        place = Place(source.path, 1, 1)
        document.warnings.append(Problem(place, "file is empty", severity="warning"))
    return document


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

    def __init__(self, source: Source, parser: Parser) -> None:
        # Any: PyYAML's type hints do not say that each loader is an event parser too.
        if parser == "libyaml":
            self._loader: Any = yaml.CSafeLoader(source.text.encode())
            self.next: Callable[[], Any] = self._loader.get_event
        else:
            self._loader = _PythonLoader(source.text)
            self.next = self._loader.next_event

    def close(self) -> None:
        self._loader.dispose()
