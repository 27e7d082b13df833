"""From the bytes of a job file to plain values, each with its place. The only module that imports yaml.

The parser's *events* are walked here, never its composer: libyaml's composer dies with SIGSEGV on deep nesting
(in a thread with a small stack at 760 levels), PyYAML's merge keys take minutes for 407 bytes, and its constructors
let thirteen kinds of input escape as foreign exceptions. Rules of this file:

- the budget is charged before anything is built, an alias pays for everything beneath its anchor, and the
  count of a shared container is kept, so that a bomb dies at its first step over the budget;
- a mistake that leaves the rest readable is noted and reading goes on; a syntax error or a spent budget ends it;
- whatever goes wrong, only `JobFileError` leaves `read_bytes` and `read_file`.
"""

from __future__ import annotations

import gc
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

import yaml

from taskloom.errors import JobFileError, Place, Problem, Related, near_match
from taskloom.jobfile.places import Borrowed, Branch, Places, Source, Span, Standing, pack
from taskloom.jobfile.scalars import BadScalar, Scalar, hidden_character, resolve
from taskloom.jobfile.syntax import Complaint, explain
from taskloom.jobfile.text import Refused, check_bytes, decode

__all__ = ["Document", "Limits", "Value", "read_bytes", "read_file"]

Value: TypeAlias = "dict[str, Value] | list[Value] | Scalar"
Parser: TypeAlias = Literal["libyaml", "python"]

# A file with more mistakes than this was not written as a job file; nobody reads the thousandth.
MAX_PROBLEMS = 1000


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one job file may hold. `nodes` counts keys, scalars and containers, and what an alias repeats."""

    bytes: int = 8 * 1024 * 1024
    depth: int = 32
    nodes: int = 500_000


_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Document:
    """One job file as plain values. `root` is a mapping, or None when the file holds nothing."""

    source: Source
    root: Value
    places: Places
    warnings: list[Problem] = field(default_factory=list)

    @property
    def path(self) -> str:
        """The path as the user gave it."""
        return self.source.path

    @property
    def lines(self) -> list[str]:
        """The lines of the file, without their line breaks."""
        return self.source.lines


def read_file(path: str | os.PathLike[str], *, limits: Limits = _LIMITS) -> Document:
    """Read the job file at `path`, which must be a regular file.

    At most one byte over the limit is read, and a pipe or a device is never waited for. Raises JobFileError alone.
    """
    name = os.fspath(path)
    try:
        data = _bytes_of(name, limits.bytes)
    except OSError as error:
        raise _unreadable(name, f"cannot read the file: {(error.strerror or str(error)).lower()}") from error
    except ValueError as error:  # a NUL or a lone surrogate in the path
        raise _unreadable(name, f"cannot read the file: {error}") from error
    return read_bytes(data, name, limits=limits)


def _unreadable(path: str, message: str) -> JobFileError:
    return JobFileError([Problem(Place(path, 1, 1), message)])


def _bytes_of(path: str, limit: int) -> bytes:
    # O_NONBLOCK: opening a FIFO would wait for its writer. What was opened is looked at, not what the name meant before.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOCTTY", 0)
    descriptor = os.open(path, flags)
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise _unreadable(path, f"cannot read the file: it is {_kind(mode)}, not a regular file")
        chunks: list[bytes] = []
        wanted = limit + 1
        while wanted and (chunk := os.read(descriptor, min(wanted, 1 << 20))):
            chunks.append(chunk)
            wanted -= len(chunk)
        return b"".join(chunks)
    finally:
        os.close(descriptor)


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a directory", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket",
             stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}  # fmt: skip
    return kinds.get(stat.S_IFMT(mode), "something else")


def read_bytes(data: bytes, path: str, *, limits: Limits = _LIMITS, parser: Parser | None = None) -> Document:
    """Read the job file whose content is `data`; `path` is only for the messages.

    `parser` None means libyaml where PyYAML was built with it, else the pure-Python parser. Both give the same verdicts.
    Automatic garbage collection is paused meanwhile. Raises JobFileError alone, with every problem that could be found.
    """
    try:
        with _paused_gc():
            return _read(data, path, limits, parser or ("libyaml" if yaml.__with_libyaml__ else "python"))
    except JobFileError:
        raise
    except Exception as error:
        message = f"internal error: cannot read the file: {type(error).__name__}: {error}"
        raise JobFileError([Problem(Place(path, 1, 1), message, "please report this")]) from error


@contextmanager
def _paused_gc() -> Iterator[None]:
    # A large file makes hundreds of thousands of containers and no garbage: collecting among them makes reading superlinear.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _read(data: bytes, path: str, limits: Limits, parser: Parser) -> Document:
    if len(data) > limits.bytes:
        raise _unreadable(path, f"cannot read the file: it is larger than {limits.bytes:,} bytes")
    try:
        source = decode(data, path)
    except Refused as refused:
        raise JobFileError(refused.problems) from None
    unseen = _at_most(MAX_PROBLEMS, check_bytes(source))
    if unseen:
        raise JobFileError(unseen)
    return _read_text(source, limits, parser)


def _at_most(count: int, problems: Iterator[Problem]) -> list[Problem]:
    found = [problem for problem, _ in zip(problems, range(count), strict=False)]
    return sorted(found, key=lambda problem: problem.place)


def _read_text(source: Source, limits: Limits, parser: Parser) -> Document:
    events = _Events(source, parser)
    builder = _Builder(events.next, source, limits)
    try:
        root, standing = builder.document()
    except Refused as refused:
        builder.problems.extend(refused.problems)
    except yaml.YAMLError as error:
        builder.problems.append(explain(source, _complaint(error)))
    finally:
        events.close()
    if builder.problems:
        raise JobFileError(sorted(builder.problems, key=lambda problem: problem.place))
    document = Document(source, root, Places(source, standing))
    if root is None:
        place = Place(source.path, 1, 1)
        document.warnings.append(Problem(place, "cannot find anything in the file: it is empty", severity="warning"))
    return document


def _complaint(error: yaml.YAMLError) -> Complaint:
    if not isinstance(error, yaml.MarkedYAMLError):
        return Complaint("", None, str(error).splitlines()[0], getattr(error, "position", 0) or 0)
    began = error.context_mark.index if error.context_mark else None
    met = error.problem_mark.index if error.problem_mark else began or 0
    return Complaint(error.context or "", began, error.problem or "", met)


class _Events:
    """One parser over one text, and the same errors from both kinds of parser."""

    def __init__(self, source: Source, parser: Parser) -> None:
        # PyYAML's types do not say that an event parser is a part of each loader.
        self._loader: Any = yaml.CSafeLoader(source.text.encode()) if parser == "libyaml" else yaml.SafeLoader(source.text)
        self.next: Callable[[], Any] = self._loader.get_event if parser == "libyaml" else self._next_in_python

    def _next_in_python(self) -> Any:
        try:
            return self._loader.get_event()
        except (ValueError, OverflowError) as error:  # chr() of an escape beyond Unicode, which libyaml refuses itself
            mark = self._loader.get_mark()
            raise yaml.MarkedYAMLError("while scanning a double-quoted scalar", None, "bad escape", mark) from error

    def close(self) -> None:
        self._loader.dispose()


class _Anchor(NamedTuple):
    """What an alias repeats, and what it costs. `nodes` is 0 while the anchored container is still being read."""

    value: Value
    standing: Standing
    nodes: int
    height: int
    span: Span


_Node: TypeAlias = "tuple[Value, Standing, int]"  # with the height: how many containers deep it goes

_PROPERTIES = re.compile(r"(?:[&!][^\s,\[\]{}]*(?:\s+(?:#[^\r\n]*\s*)*)?)+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_SHOWN = 40


class _Builder:
    """Builds plain values and their places from events, charging the budget on the way."""

    def __init__(self, next_event: Callable[[], Any], source: Source, limits: Limits) -> None:
        self._next, self._source, self._limits = next_event, source, limits
        self._nodes = 0
        self._anchors: dict[str, _Anchor] = {}
        self._good_keys: dict[str, str] = {}  # plain keys that were looked at; one string object for all that are equal
        self.problems: list[Problem] = []

    def document(self) -> tuple[Value, Standing]:
        """Return the values of the one document and where they stand."""
        self._next()  # the start of the stream
        event = self._next()
        if type(event) is yaml.StreamEndEvent:
            return None, 0
        event = self._next()
        root, standing, _ = self._node(event, 0)
        if root is not None and not isinstance(root, dict):
            self._refuse_root(root, event)
        self._next()  # the end of the document
        event = self._next()
        if type(event) is not yaml.StreamEndEvent:
            self._complain(event, "cannot read a second document", "one document per file: split the file")
        return root, standing

    def _refuse_root(self, root: Value, event: Any) -> None:
        found = "a list" if isinstance(root, list) else "a single value"
        slip = isinstance(root, str) and ":" in root
        self._complain(event, f"cannot use {found} as a job file: a mapping such as 'jobs:' is expected",
                       "did you forget the space after ':'?" if slip else "")  # fmt: skip

    def _node(self, event: Any, depth: int) -> _Node:
        kind = type(event)
        if kind is yaml.ScalarEvent:
            value, span = self._scalar(event)
            return value, span, 0
        if kind is yaml.AliasEvent:
            return self._alias(event, depth)
        if depth == self._limits.depth:
            raise Refused(self._problem(event, f"cannot nest deeper than {depth} levels"))
        if event.tag is not None:
            self._refuse_tag(event)
        branch = Branch(self._span(event), {}, {} if kind is yaml.MappingStartEvent else [])
        value = {} if kind is yaml.MappingStartEvent else []
        before = self._nodes
        self._charge(event, 1)
        if event.anchor is not None:
            self._anchor(event, _Anchor(value, branch, 0, 0, branch.span))
        fill = self._fill_mapping if kind is yaml.MappingStartEvent else self._fill_sequence
        height = 1 + fill(value, branch, depth + 1)
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchor(value, branch, self._nodes - before, height, branch.span)
        return value, branch, height

    def _fill_sequence(self, items: Any, branch: Any, depth: int) -> int:
        next_event, height = self._next, 0
        places = branch.values
        while type(event := next_event()) is not yaml.SequenceEndEvent:
            if type(event) is yaml.ScalarEvent:
                value, standing = self._scalar(event)
            else:
                value, standing, below = self._node(event, depth)
                height = max(height, below)
            items.append(value)
            places.append(standing)
        return height

    def _fill_mapping(self, entries: Any, branch: Any, depth: int) -> int:
        next_event, height = self._next, 0
        keys, places = branch.keys, branch.values
        merged: tuple[Any, Value, Standing] | None = None
        while type(key_event := next_event()) is not yaml.MappingEndEvent:
            key = self._key(key_event, keys, depth)
            event = next_event()
            if type(event) is yaml.ScalarEvent:
                value, standing = self._scalar(event)
            else:
                value, standing, below = self._node(event, depth)
                height = max(height, below)
            if key is None:
                continue
            if key == "<<" and keys[key] & 1:  # only a plain `<<` merges
                merged = event, value, standing
                continue
            entries[key] = value
            places[key] = standing
        if merged is not None:
            del keys["<<"]
            self._merge(entries, branch, *merged)
        return height

    def _key(self, event: Any, keys: dict[str, Span], depth: int) -> str | None:
        """Note where the key stands and return it; None when it cannot be used, which is noted too."""
        if type(event) is not yaml.ScalarEvent:
            return self._refuse_key(event, depth)
        self._charge(event, 1)
        key = self._good_keys.get(event.value) if not event.style else None
        if key is None or event.tag is not None or event.anchor is not None:
            key = self._new_key(event)
            if key is None:
                return None
        span = event.start_mark.index << 33 | event.end_mark.index << 1 | (not event.style)
        if key in keys:
            return self._refuse_duplicate(event, key, keys[key])
        keys[key] = span
        return key

    def _new_key(self, event: Any) -> str | None:
        text: str = event.value
        hidden = hidden_character(text)
        if event.tag is not None:
            return self._refuse_tag(event)
        if event.anchor is not None:
            return self._complain(event, "cannot put an anchor on a key", "put it on the value")
        if hidden:
            return self._complain(event, f"cannot use {hidden} in a key: it is invisible or turns the direction of text")
        if not event.style:
            if not isinstance(_resolved_or_text(text), str):
                return self._complain(event, f"cannot use {text or 'nothing'} as a key: a key is a text",
                                      f'quote it: "{text}"' if text else "write a key before the ':'")  # fmt: skip
            self._good_keys[text] = text
        return text

    def _refuse_key(self, event: Any, depth: int) -> None:
        kind = {yaml.MappingStartEvent: "a mapping", yaml.SequenceStartEvent: "a list"}.get(type(event), "an alias")
        start = event.start_mark.index
        if self._source.text[start - 1 : start + 1] == "{{":
            self._complain(event, "cannot read '{{': '{' starts a mapping", 'quote the text: "{{ ... }}"')
        else:
            self._complain(event, f"cannot use {kind} as a key: a key is a text")
        if kind != "an alias":
            self._node(event, depth)

    def _refuse_duplicate(self, event: Any, key: str, first: Span) -> None:
        place = self._source.place(first >> 33, (first >> 1) & 0xFFFFFFFF)
        shown = key if len(key) <= _SHOWN else key[: _SHOWN - 3] + "..."
        self._complain(event, f"cannot use key {shown!r} twice: it is first written in line {place.line}",
                       related=Related(place, "first written here"))  # fmt: skip

    def _scalar(self, event: Any) -> tuple[Scalar, Span]:
        text: str = event.value
        start, end = event.start_mark.index, event.end_mark.index
        self._charge(event, 1)
        value: Scalar = text
        plain = not event.style
        if plain:
            try:
                value = resolve(text)
            except BadScalar as bad:
                self._complain(event, bad.message, bad.hint)
        elif not text.isascii() and _SURROGATE.search(text):
            self._complain(event, "cannot read half a character: an escape from \\ud800 to \\udfff is no character")
        span = start << 33 | end << 1 | plain
        if event.tag is not None:
            self._refuse_tag(event)
        if event.anchor is not None:
            span = self._span(event) & ~1 | plain
            self._anchor(event, _Anchor(value, span, 1, 0, span))
        return value, span

    def _anchor(self, event: Any, anchor: _Anchor) -> None:
        first = self._anchors.get(event.anchor)
        if first is not None:
            place = self._source.place(first.span >> 33)
            self._complain(event, f"cannot use anchor {event.anchor!r} twice: it is first written in line {place.line}",
                           related=Related(place, "first written here"))  # fmt: skip
        self._anchors[event.anchor] = anchor

    def _alias(self, event: Any, depth: int) -> _Node:
        anchor = self._anchors.get(event.anchor)
        if anchor is None:
            near = near_match(event.anchor, self._anchors)
            self._complain(event, f"cannot find anchor {event.anchor!r}: '*' starts an alias",
                           f"did you mean '*{near}'?" if near else "quote it, if it is a text")  # fmt: skip
            return None, self._span(event), 0
        if not anchor.nodes:
            self._complain(event, f"cannot use alias {event.anchor!r} inside its own anchor")
            return None, self._span(event), 0
        if depth + anchor.height > self._limits.depth:
            raise Refused(self._problem(event, f"cannot nest deeper than {self._limits.depth} levels"))
        self._charge(event, anchor.nodes)
        how = f"used here through alias {event.anchor!r}"
        return anchor.value, Borrowed(anchor.standing, self._span(event), how), anchor.height

    def _merge(self, entries: dict[str, Value], branch: Any, event: Any, value: Value, standing: Standing) -> None:
        """Add what `<<` brings. Own keys win, and of a list the earlier mapping wins."""
        places = standing.standing if isinstance(standing, Borrowed) else standing
        several = isinstance(value, list) and isinstance(places, Branch)
        parts = zip(value, places.values, strict=True) if several else [(value, standing)]  # type: ignore[union-attr, arg-type]
        for part, where in parts:
            if not isinstance(part, dict):
                self._complain(event, "cannot merge this: '<<' takes an alias of a mapping, or a list of them")
                return
            _add_missing(entries, branch, part, where)

    def _charge(self, event: Any, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > self._limits.nodes:
            raise Refused(self._problem(event, f"cannot read more than {self._limits.nodes:,} values from one file"
                                               ", aliases written out"))  # fmt: skip

    def _span(self, event: Any) -> Span:
        """Return the span of a node, without the anchor in front of it."""
        start, end = event.start_mark.index, event.end_mark.index
        if getattr(event, "tag", None) is None and event.anchor is not None and type(event) is not yaml.AliasEvent:
            found = _PROPERTIES.match(self._source.text, start)
            if found and (found.end() <= end or type(event) is not yaml.ScalarEvent):
                start = found.end()
        return pack(start, max(start, end))

    def _refuse_tag(self, event: Any) -> None:
        tag = event.tag if len(event.tag) <= _SHOWN else event.tag[: _SHOWN - 3] + "..."
        self._complain(event, f"cannot use tag {tag!r}: tags are not allowed here", "remove it, or quote the text")

    def _problem(self, event: Any, message: str, hint: str = "", related: Related | None = None) -> Problem:
        return self._source.problem(event.start_mark.index, message, end=event.end_mark.index, hint=hint,
                                    related=(related,) if related else ())  # fmt: skip

    def _complain(self, event: Any, message: str, hint: str = "", related: Related | None = None) -> None:
        self.problems.append(self._problem(event, message, hint, related))
        if len(self.problems) == MAX_PROBLEMS:
            raise Refused(self._problem(event, f"cannot go on after {MAX_PROBLEMS:,} problems"))


def _resolved_or_text(text: str) -> Scalar:
    try:
        return resolve(text)
    except BadScalar:
        return 0  # it looks like a number, and so it is no more a text than one


def _add_missing(entries: dict[str, Value], branch: Any, part: dict[str, Value], where: Standing) -> None:
    origin = where.standing if isinstance(where, Borrowed) else where
    while isinstance(origin, Borrowed):
        origin = origin.standing
    if not isinstance(origin, Branch) or not isinstance(origin.values, dict):
        return
    for key, value in part.items():
        if key not in entries:
            entries[key] = value
            branch.keys[key] = origin.keys[key]
            inner = origin.values[key]
            branch.values[key] = Borrowed(inner, where.used, where.how) if isinstance(where, Borrowed) else inner
