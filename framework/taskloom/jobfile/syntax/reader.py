"""From the bytes of a job file to plain values, each with its place. The only module that imports yaml.

The parser's *events* are walked here, never its composer: libyaml's composer dies with SIGSEGV on deep nesting
(in a thread with a small stack at 760 levels), PyYAML's merge keys take seconds for 407 bytes, and its constructors
let thirteen kinds of input escape as foreign exceptions. Whatever goes wrong, only `JobFileError` leaves
`read_bytes` and `read_file`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from itertools import islice
from typing import Any, Literal, NamedTuple, TypeAlias

import yaml

from taskloom.diagnostics import Place, Problem
from taskloom.errors import JobFileError
from taskloom.jobfile.syntax.builder import MAX_PROBLEMS, Builder, Kinds
from taskloom.jobfile.syntax.document import Document, Limits, Value
from taskloom.jobfile.syntax.encoding import Refused, check_text, decode
from taskloom.jobfile.syntax.files import bytes_of, unreadable
from taskloom.jobfile.syntax.hints import TAB_IN_A_WORD, Complaint, explain
from taskloom.jobfile.syntax.positions import Positions, Source, Standing
from taskloom.sync.gc_pause import paused_gc

__all__ = ["Document", "Limits", "Parser", "Value", "read_bytes", "read_file"]

Parser: TypeAlias = Literal["libyaml", "python"]

_LIMITS = Limits()
_KINDS = Kinds(yaml.ScalarEvent, yaml.AliasEvent, yaml.MappingStartEvent, yaml.MappingEndEvent,
               yaml.SequenceEndEvent, yaml.StreamEndEvent)  # fmt: skip


def read_file(path: str | os.PathLike[str], *, limits: Limits = _LIMITS) -> Document:
    """Read the job file at `path`, which must be a regular file.

    At most one byte over the limit is read, and a pipe or a device is never waited for. Raises JobFileError alone.
    """
    name = os.fspath(path)
    return read_bytes(bytes_of(name, limits.bytes), name, limits=limits)


def read_bytes(data: bytes, path: str, *, limits: Limits = _LIMITS, parser: Parser | None = None) -> Document:
    """Read the job file whose content is `data`; `path` is only for the messages.

    `parser` None means libyaml where PyYAML was built with it, else the pure-Python parser: the verdicts are the same.
    Automatic garbage collection is paused meanwhile. Raises JobFileError alone, with every problem that could be found.
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
    except Refused as refused:
        raise JobFileError(refused.problems) from None
    unseen = list(islice(check_text(source), MAX_PROBLEMS))
    if unseen:
        raise JobFileError(_in_order(unseen))
    return _read_text(source, limits, parser)


def _in_order(problems: list[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda problem: problem.place)


def _read_text(source: Source, limits: Limits, parser: Parser) -> Document:
    reading = _walk(source, source.text, limits, parser)
    if reading.error is not None:
        complaint = _complaint(reading.error)
        sooner = _problems_before(source, complaint, limits, parser)
        reading.problems[:] = sooner or [*reading.problems, explain(source, complaint)]
    if reading.problems:
        raise JobFileError(_in_order(reading.problems))
    document = Document(source, reading.root, Positions(source, reading.standing))
    if reading.root is None:
        place = Place(source.path, 1, 1)
        document.warnings.append(Problem(place, "cannot find anything in the file: it is empty", severity="warning"))
    return document


class _Reading(NamedTuple):
    """What one walk over the events gave, and how it ended: at the end of the text, refused, or with an error."""

    root: Value
    standing: Standing
    problems: list[Problem]
    refused: bool = False
    error: yaml.YAMLError | None = None


def _walk(source: Source, text: str, limits: Limits, parser: Parser) -> _Reading:
    """Read `text`, which is all of `source` or its beginning."""
    events = _Events(text, parser)
    builder = Builder(events.next, _KINDS, source, limits)
    try:
        return _Reading(*builder.document(), builder.problems)
    except Refused as refused:
        return _Reading(None, 0, [*builder.problems, *refused.problems], refused=True)
    except yaml.YAMLError as error:
        return _Reading(None, 0, builder.problems, error=error)
    finally:
        events.close()


# To see whether a "[" starts a key, a scanner looks for the ":" in up to 1,024 characters of its line.
_LOOKAHEAD = 1024
_FOUND_BY_PARSER = ("while parsing a block", "while parsing a flow", "while parsing a node")
_LIBYAML_LIMIT = "exceeded maximum nesting depth"


def _problems_before(source: Source, complaint: Complaint, limits: Limits, parser: Parser) -> list[Problem]:
    """Return the problems of the text in front of a syntax error, if reading ends there; else nothing.

    The scanner runs ahead of the events, so it can find an error behind the place where the builder refuses to go on.
    In a list of 1,500 levels in one line that is libyaml's own limit: 1,000 levels, since libyaml 0.2.6. So the text
    is read again, up to the error.
    """
    context, began, problem, met = complaint
    if context.startswith(_FOUND_BY_PARSER):
        return []  # the events come first
    end = met if began is None else began
    ahead = source.text[max(0, end - _LOOKAHEAD) : end]
    if "[" not in ahead and "{" not in ahead:
        return []
    reading = _walk(source, source.text[:end], limits, parser)
    if reading.error is not None and problem == _LIBYAML_LIMIT:
        return [*reading.problems, explain(source, _complaint(reading.error))]
    return reading.problems if reading.refused else []


def _complaint(error: yaml.YAMLError) -> Complaint:
    if not isinstance(error, yaml.MarkedYAMLError):
        return Complaint("", None, str(error).splitlines()[0], getattr(error, "position", 0) or 0)
    began = error.context_mark.index if error.context_mark else None
    met = error.problem_mark.index if error.problem_mark else began or 0
    return Complaint(error.context or "", began, error.problem or "", met)


# Inside [ ] and { } the pure-Python parser ends an unquoted word at its first "?", and so refuses most URLs there.
_QUESTION_IN_A_WORD = re.compile(r"(?<=[^\s,\[\]{}])\?")


class _PythonLoader(yaml.SafeLoader):
    """The pure-Python parser, brought to libyaml's verdicts where the two differ."""

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
        """Skip what stands between tokens. Unlike the original it skips a tab too, everywhere but in an indent."""
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
        """Read an unquoted word. Unlike the original it refuses `{k:[v]}`, where a space is missing after ":"."""
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
    """One parser over one text, and the same exceptions from both kinds of parser."""

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
