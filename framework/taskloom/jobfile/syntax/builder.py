"""Builds plain values and their positions from a parser's events.

Rules of this file:

- The budget is charged before a container grows. An alias is charged for everything inside its anchor, whose cost is
  remembered. So an alias bomb is stopped at its first step over the budget, and nothing is visited twice.
- An error that leaves the rest readable is recorded, and reading continues. A syntax error or an exhausted budget
  stops reading.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from taskloom.diagnostics import Problem, Related, near_match
from taskloom.jobfile.syntax.document import Anchor, Limits, Value, merge
from taskloom.jobfile.syntax.encoding import FileRejected
from taskloom.jobfile.syntax.hints import ParserError, explain_parser_error, tab_in_a_word
from taskloom.jobfile.syntax.positions import Aliased, Branch, Position, Source, Span, offsets, pack
from taskloom.jobfile.syntax.scalars import BadScalar, Scalar, hidden_character, is_text, resolve, shortened
from taskloom.text import suggest

__all__ = ["Builder", "Kinds"]

# A file with more errors than this was not written as a job file, and its errors would not all be read.
MAX_PROBLEMS = 1000

_ANCHOR_IN_FRONT = re.compile(r"&[^\s,\[\]{}]*(?:\s+(?:#[^\r\n]*\s*)*)?")
_TAG = re.compile(r"!<[^>\s]*>|![^\s,\[\]{}]*")
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


class Kinds(NamedTuple):
    """The parser's event classes. They are passed in, because only the reader imports yaml."""

    scalar: Any
    alias: Any
    mapping_start: Any
    mapping_end: Any
    sequence_end: Any
    stream_end: Any


_Node: TypeAlias = "tuple[Value, Position, int]"  # the last is the height: the depth of nested containers


class Builder:
    """Builds plain values and their positions from events, and charges the budget meanwhile."""

    def __init__(self, next_event: Callable[[], Any], kinds: Kinds, source: Source, limits: Limits) -> None:
        self._next, self._kinds, self._source, self._limits = next_event, kinds, source, limits
        self._nodes = 0
        self._anchors: dict[str, Anchor] = {}
        self._good_keys: dict[str, str] = {}  # plain keys already checked: equal keys share one string and one check
        self._has_tabs = "\t" in source.text
        self.problems: list[Problem] = []

    def document(self) -> tuple[Value, Position]:
        """Return the values of the one document, and their positions."""
        self._next()  # the start of the stream
        if type(self._next()) is self._kinds.stream_end:
            return None, 0
        event = self._next()
        root, position, _ = self._node(event, 0)
        self._next()  # the end of the document
        event = self._next()
        if type(event) is not self._kinds.stream_end:
            self._report(event, "cannot read a second document", "one document per file: split the file")
        return root, position

    def _node(self, event: Any, depth: int) -> _Node:
        kind = type(event)
        if kind is self._kinds.scalar:
            self._charge(event, 1)
            return (*self._scalar(event), 0)
        if kind is self._kinds.alias:
            return self._alias(event, depth)
        if event.tag is not None:
            self._report_tag(event)
        return self._container(event, depth, is_mapping=kind is self._kinds.mapping_start)

    def _container(self, event: Any, depth: int, *, is_mapping: bool) -> _Node:
        self._check_depth(event, depth + 1)
        value: Value = {} if is_mapping else []
        branch = Branch(self._span(event), {}, {} if is_mapping else [])
        before = self._nodes
        self._charge(event, 1)
        if event.anchor is not None:
            self._anchor(event, Anchor(value, branch, 0, 0, branch.span))
        height = 1 + (self._fill_mapping if is_mapping else self._fill_sequence)(value, branch, depth + 1)
        if event.anchor is not None:
            self._anchors[event.anchor] = Anchor(value, branch, self._nodes - before, height, branch.span)
        return value, branch, height

    # The two loops below process every line of every file. Therefore the budget is charged inline, `value` and `branch`
    # are Any, and no object is created per line except those that the document keeps.

    def _fill_sequence(self, items: Any, branch: Any, depth: int) -> int:
        """Read the items of a list, and return the largest height among them."""
        next_event, places, budget, height = self._next, branch.values, self._limits.nodes, 0
        scalar, end = self._kinds.scalar, self._kinds.sequence_end
        value: Value
        position: Position
        while type(event := next_event()) is not end:
            if type(event) is scalar:
                self._nodes += 1
                if self._nodes > budget:
                    self._charge(event, 0)
                value, position = self._scalar(event)
            else:
                value, position, below = self._node(event, depth)
                height = max(height, below)
            items.append(value)
            places.append(position)
        return height

    def _fill_mapping(self, entries: Any, branch: Any, depth: int) -> int:
        """Read the entries of a mapping, merge those of `<<`, and return the largest height among the values."""
        next_event, budget, height = self._next, self._limits.nodes, 0
        scalar, end = self._kinds.scalar, self._kinds.mapping_end
        keys, places = branch.keys, branch.values
        value: Value
        position: Position
        merge_later: Callable[[], None] | None = None
        while type(key_event := next_event()) is not end:
            key = self._key(key_event, keys, depth)
            event: Any = next_event()
            if type(event) is scalar:
                self._nodes += 2
                if self._nodes > budget:
                    self._charge(event, 0)
                value, position = self._scalar(event)
            else:
                self._nodes += 1
                value, position, below = self._node(event, depth)
                height = max(height, below)
            if key is None:
                continue
            if key == "<<" and not key_event.style:
                merge_later = partial(self._merge, entries, branch, event, value, position)
            else:
                entries[key] = value
                places[key] = position
        if merge_later is not None:
            del keys["<<"]
            merge_later()
        return height

    def _key(self, event: Any, keys: dict[str, Span], depth: int) -> str | None:
        """Record the position of the key and return it; None if it cannot be used, which is reported."""
        if type(event) is not self._kinds.scalar:
            self._report_key(event, depth)
            return None
        key: str | None = self._good_keys.get(event.value)
        if key is None or event.style or event.tag is not None or event.anchor is not None:
            key = self._new_key(event)
            if key is None:
                return None
        if key in keys:
            self._report_duplicate(event, key, keys[key])
            return None
        keys[key] = event.start_mark.index << 33 | event.end_mark.index << 1 | (not event.style)
        return key

    def _new_key(self, event: Any) -> str | None:
        text: str = event.value
        hidden = hidden_character(text)
        if event.tag is not None:
            self._report_tag(event)
        elif event.anchor is not None:
            self._report(event, "cannot put an anchor on a key", "put it on the value")
        elif self._has_tabs and not event.style and "\t" in text:
            self._report_tab(event)
        elif hidden:
            self._report(event, f"cannot use {hidden} in a key: it is invisible or turns the direction of text")
        elif event.style:
            return text
        elif is_text(text):
            return self._good_keys.setdefault(text, text)
        else:
            hint = f"quote it: {shortened(text)!r}" if text else "write a key before the ':'"
            self._report(event, f"cannot use {shortened(text) or 'nothing'} as a key: a key is a text", hint)
        return None

    def _report_key(self, event: Any, depth: int) -> None:
        kind = {self._kinds.mapping_start: "a mapping", self._kinds.alias: "an alias"}.get(type(event), "a list")
        start: int = event.start_mark.index
        if self._source.text[start - 1 : start + 1] == "{{":
            self._report(event, "cannot read '{{': '{' starts a mapping", 'quote the text: "{{ ... }}"')
        else:
            self._report(event, f"cannot use {kind} as a key: a key is a text")
        if kind != "an alias":
            self._node(event, depth)

    def _report_duplicate(self, event: Any, key: str, first: Span) -> None:
        place = self._source.place(*offsets(first))
        self._report(event, f"cannot use key {shortened(key)!r} twice: it is first written in line {place.line}",
                       related=Related(place, "first written here"))  # fmt: skip

    def _scalar(self, event: Any) -> tuple[Scalar, Span]:
        value: Scalar = event.value
        span = event.start_mark.index << 33 | event.end_mark.index << 1
        if not event.style:
            span |= 1
            if self._has_tabs and "\t" in event.value:
                self._report_tab(event)
            try:
                value = resolve(event.value)
            except BadScalar as bad:
                self._report(event, bad.message, bad.hint)
        elif not event.value.isascii():
            self._check_characters(event)
        if event.tag is not None:
            self._report_tag(event)
        if event.anchor is not None:
            span = self._span(event) | span & 1
            self._anchor(event, Anchor(value, span, 1, 0, span))
        return value, span

    def _check_characters(self, event: Any) -> None:
        # Only the pure-Python parser accepts an escape for half a surrogate pair. libyaml stops there.
        found = _HALF_CHARACTER.search(event.value)
        if found:
            start, end = event.start_mark.index, event.end_mark.index
            spot = self._source.text.find(f"\\u{ord(found[0]):04x}", start, end)
            error = ParserError("while scanning a double-quoted scalar", start, "bad escape", max(spot, start))
            raise FileRejected(explain_parser_error(self._source, error))

    def _anchor(self, event: Any, anchor: Anchor) -> None:
        first = self._anchors.get(event.anchor)
        if first is not None:
            place = self._source.place(*offsets(first.span))
            self._report(event, f"cannot use anchor {event.anchor!r} twice: it is first written in line {place.line}",
                           related=Related(place, "first written here"))  # fmt: skip
        self._anchors[event.anchor] = anchor

    def _alias(self, event: Any, depth: int) -> _Node:
        span, anchor = self._span(event), self._anchors.get(event.anchor)
        if anchor is None:
            near = near_match(event.anchor, self._anchors)
            self._report(event, f"cannot find anchor {event.anchor!r}: '*' starts an alias",
                           suggest(f"*{near}") if near else "quote it, if it is a text")  # fmt: skip
            return None, span, 0
        if not anchor.nodes:
            self._report(event, f"cannot use alias {event.anchor!r} inside its own anchor")
            return None, span, 0
        self._check_depth(event, depth + anchor.height)
        self._charge(event, anchor.nodes)
        note = f"used here through alias {event.anchor!r}"
        return anchor.value, Aliased(anchor.position, span, note), anchor.height

    def _merge(self, entries: dict[str, Value], branch: Any, event: Any, value: Value, position: Position) -> None:
        is_unknown_alias = type(event) is self._kinds.alias and not isinstance(position, Aliased)
        if not is_unknown_alias and not merge(entries, branch, value, position):
            self._report(event, "cannot merge this: '<<' takes an alias of a mapping, or a list of such")

    def _check_depth(self, event: Any, depth: int) -> None:
        if depth > self._limits.depth:
            raise FileRejected(self._problem(event, f"cannot nest deeper than {self._limits.depth} levels"))

    def _charge(self, event: Any, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > self._limits.nodes:
            message = f"cannot read more than {self._limits.nodes:,} keys and values from one file, aliases written out"
            raise FileRejected(self._problem(event, message))

    def _span(self, event: Any) -> Span:
        """Return the span of a node, without its anchor and not marked as plain."""
        start, end = event.start_mark.index, event.end_mark.index
        if event.anchor is not None and type(event) is not self._kinds.alias and event.tag is None:
            found = _ANCHOR_IN_FRONT.match(self._source.text, start)
            if found and (found.end() < end or type(event) is not self._kinds.scalar):
                start = found.end()
        return pack(start, max(start, end))

    def _report_tab(self, event: Any) -> None:
        tab = self._source.text.find("\t", event.start_mark.index)
        self._add_problem(tab_in_a_word(self._source, tab))

    def _report_tag(self, event: Any) -> None:
        written = _TAG.search(self._source.text, event.start_mark.index)
        tag = written[0] if written else event.tag
        self._report(event, f"cannot use tag {shortened(tag)!r}: tags are not allowed here",
                       "remove it, or quote the text")  # fmt: skip

    def _problem(self, event: Any, message: str, hint: str = "", related: Related | None = None) -> Problem:
        return self._source.problem(event.start_mark.index, message, end=event.end_mark.index, hint=hint,
                                    related=(related,) if related else ())  # fmt: skip

    def _report(self, event: Any, message: str, hint: str = "", related: Related | None = None) -> None:
        self._add_problem(self._problem(event, message, hint, related))

    def _add_problem(self, problem: Problem) -> None:
        self.problems.append(problem)
        if len(self.problems) == MAX_PROBLEMS:
            message = f"cannot continue after {MAX_PROBLEMS:,} problems"
            raise FileRejected(problem._replace(message=message, hint="", related=()))
