"""Masks secrets by value in everything that the program writes or sends.

A secret may come out in a log line, a traceback, a line of code or a reply, and as `repr`, JSON, a URL or base64 has
encoded it. All these forms are looked for at once, in time that is linear in the text: one regular expression, or a set
if there are thousands of forms, finds the places where the first characters of any form are, and a set decides there.
Values of fewer than 4 characters are not masked.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from taskloom.diagnostics import MASK
from taskloom.observe.masked_data import masked_data
from taskloom.observe.secret_forms import LEAST_CHARACTERS, forms_of

__all__ = ["Masker"]

# A regular expression of more words than these takes seconds to compile, and is slower than a look at each character.
_MOST_OF_PATTERN = 1000
# Looked at for a secret that goes on in the next piece of a stream.
MOST_TAIL = 4096


class Masker:
    """Knows secrets, and masks them. Any thread may call any method; without secrets it costs nothing."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values: frozenset[str] = frozenset()
        self.has_secrets = False
        """Whether there is any secret. A plain attribute: it is read for each print."""
        # Replaced as a whole: other threads mask meanwhile.
        self._forms: _Forms | None = None
        self.learn(values)

    def learn(self, values: Iterable[str]) -> None:
        """Mask these values from now on, too. Those of before stay masked: runs that began with them go on."""
        known = self._values.union(values)
        new = known - self._values
        if new:
            forms = {form for value in new for form in forms_of(value)}.union(
                () if self._forms is None else self._forms.all
            )
            self._values, self._forms = known, _Forms(forms) if forms else None
            self.has_secrets = self._forms is not None

    def mask(self, text: str) -> str:
        """Return the text with a fixed mark in the place of each secret."""
        forms = self._forms
        return text if forms is None else forms.masked(text)

    def mask_data(self, data: Any) -> Any:
        """Return JSON data with all texts masked; identifiers such as the name of a job stay."""
        forms = self._forms
        return data if forms is None else masked_data(forms.masked, data)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return the beginning and the end of each secret in the text, in order, without overlaps."""
        forms = self._forms
        return [] if forms is None else list(forms.spans(text))

    def unfinished(self, text: str) -> int:
        """Return where a secret begins that may go on after the end of the text; the length of the text if none."""
        forms = self._forms
        return len(text) if forms is None else forms.unfinished(text)


class _Forms:
    """All forms of all secrets, prepared for the search. Immutable."""

    def __init__(self, forms: Collection[str]) -> None:
        self.all = frozenset(forms)
        self._sorted = sorted(forms)
        lengths: dict[str, set[int]] = {}
        for form in forms:
            lengths.setdefault(form[:LEAST_CHARACTERS], set()).add(len(form))
        # The longest first: of two secrets that begin alike, the longer one is masked as a whole.
        self._lengths = {first: sorted(found, reverse=True) for first, found in lengths.items()}
        self._longest = max(map(len, forms))
        # Only the first characters: a tree of whole secrets could be nested too deeply for `re`.
        is_small = len(lengths) <= _MOST_OF_PATTERN
        self._first = re.compile(_any_of(sorted(lengths)), re.DOTALL) if is_small else None

    def masked(self, text: str) -> str:
        if self._next(text, 0) < 0:
            return text
        pieces, end = [], 0
        for start, stop in self.spans(text):
            pieces += [text[end:start], MASK]
            end = stop
        return "".join([*pieces, text[end:]])

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield each part of the text that secrets cover; those that overlap are one part."""
        start = end = -1
        at = self._next(text, 0)
        while at >= 0:
            stop = self._end_at(text, at)
            if stop > end:
                if at >= end > start >= 0:
                    yield start, end
                start = start if at < end else at
                end = stop
            at = self._next(text, at + 1)
        if end > start >= 0:
            yield start, end

    def unfinished(self, text: str) -> int:
        begin = max(0, len(text) - min(self._longest - 1, MOST_TAIL))
        at = self._next(text, begin)
        while at >= 0:
            if self._is_beginning(text[at:]):
                return at
            at = self._next(text, at + 1)
        last = len(text) - LEAST_CHARACTERS + 1
        return next((at for at in range(max(begin, last), len(text)) if self._is_beginning(text[at:])), len(text))

    def _next(self, text: str, at: int) -> int:
        """Return the first place from `at` on where the first characters of a secret are; -1 if there is none."""
        if self._first is not None:
            found = self._first.search(text, at)
            return -1 if found is None else found.start()
        for place in range(at, len(text) - LEAST_CHARACTERS + 1):
            if text[place : place + LEAST_CHARACTERS] in self._lengths:
                return place
        return -1

    def _end_at(self, text: str, at: int) -> int:
        """Return the end of the longest secret that begins here; -1 if there is none."""
        for length in self._lengths[text[at : at + LEAST_CHARACTERS]]:
            found = text[at : at + length]  # near the end of the text it is shorter
            if found in self.all:
                return at + len(found)
        return -1

    def _is_beginning(self, text: str) -> bool:
        """Return whether a longer secret begins with the text."""
        index = bisect_left(self._sorted, text)
        while index < len(self._sorted) and self._sorted[index] == text:
            index += 1
        return index < len(self._sorted) and self._sorted[index].startswith(text)


def _any_of(words: Sequence[str], at: int = 0) -> str:
    """Return the pattern of these words, which are sorted and equally long: `a(?:bc|de)` for `abc` and `ade`."""
    if at == len(words[0]) - 1:
        return _one_of({word[at] for word in words})
    groups: dict[str, list[str]] = {}
    for word in words:
        groups.setdefault(word[at], []).append(word)
    # Characters with the same rest share it, which keeps the pattern small.
    firsts: dict[str, set[str]] = {}
    for character, group in groups.items():
        firsts.setdefault(_any_of(group, at + 1), set()).add(character)
    return f"(?:{'|'.join(_one_of(characters) + rest for rest, characters in firsts.items())})"


def _one_of(characters: set[str]) -> str:
    return f"[{''.join(map(re.escape, sorted(characters)))}]" if len(characters) > 1 else re.escape(min(characters))
