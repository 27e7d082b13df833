"""Measure how plain the prose is: `python tests/house/prose.py [PATH...]` prints each finding and the rates.

Prose is what people read as sentences: docstrings and comments of Python files, comments of YAML files, and the text
of Markdown pages outside of code blocks. The rules are those of the project's style guide, "Plain technical English".
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PLACES = ("framework", "plugins", "docs", "README.md")

# Rule -> what breaks it, and how many findings 1,000 words may have.
INDEFINITE = "somebody, nobody, whoever, anybody"
OPENING = "a sentence that begins with Who, What or Where and is no question"
TELL_WHETHER = "tell whether"
PHRASE = "a phrase that has a plain word"
ALLOWED = {INDEFINITE: 0.2, OPENING: 0.3, TELL_WHETHER: 0.0, PHRASE: 0.0}

_PEOPLE = re.compile(r"\b(?:somebody|nobody|whoever|anybody|whoso)\b", re.IGNORECASE)
_TELL = re.compile(r"\b(?:tell|say)s? whether\b", re.IGNORECASE)
_PHRASES = re.compile(
    r"\b(?:twice is once|so many seconds|comes? to rest|came to rest|in the books|mend(?:s|ed|ing)?|takes? the turn"
    r"|(?:has|had) the turn|in the turn|is no (?:daemon|task|job|context|class|mapping|list|number|text|runner|key))\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[^.!?]+[.!?]*")
_OPENING = re.compile(r"^[\s\"'(*_-]*(?:Who|What|Where)\b")
_WORD = re.compile(r"[A-Za-z][A-Za-z'-]*")
_CODE = re.compile(r"`[^`]*`")


class Passage(NamedTuple):
    """A piece of prose and where it begins."""

    path: Path
    line: int
    text: str


class Finding(NamedTuple):
    """A broken rule, with the words that break it."""

    rule: str
    path: Path
    line: int
    words: str


def passages(path: Path) -> Iterator[Passage]:
    """Yield the prose of one file."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        yield from _docstrings(path, text)
        yield from _comments(path, text)
    elif path.suffix in (".yaml", ".yml"):
        for number, line in enumerate(text.splitlines(), 1):
            if line.lstrip().startswith("#"):
                yield Passage(path, number, line.lstrip("# "))
    elif path.suffix == ".md":
        yield from _paragraphs(path, text)


def _docstrings(path: Path, text: str) -> Iterator[Passage]:
    """Yield every string that stands alone: docstrings, and those below an attribute."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield Passage(path, node.lineno, node.value.value)


def _comments(path: Path, text: str) -> Iterator[Passage]:
    """Yield the comments; lines in a row are one."""
    begun: list[str] = []
    first = last = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT or token.string.startswith(("#!", "# noqa", "# type:", "# fmt:")):
            continue
        words = token.string.lstrip("# ")
        if begun and token.start[0] == last + 1:
            begun.append(words)
        else:
            if begun:
                yield Passage(path, first, "\n".join(begun))
            begun, first = [words], token.start[0]
        last = token.start[0]
    if begun:
        yield Passage(path, first, "\n".join(begun))


def _paragraphs(path: Path, text: str) -> Iterator[Passage]:
    """Yield the paragraphs, list items and table rows of a page, without its code blocks."""
    lines: list[str] = []
    fence, first = "", 1
    for number, line in enumerate([*text.splitlines(), ""], 1):
        mark = re.match(r"\s*(`{3,}|~{3,})", line)
        if mark and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
        if fence or mark or not line.strip() or re.match(r"\s*(?:[-*|#>]|\d+\.)", line):
            if lines:
                yield Passage(path, first, "\n".join(lines))
            lines = []
        if not fence and not mark and line.strip():
            if not lines:
                first = number
            lines.append(line.strip("|#>*- "))
    if lines:
        yield Passage(path, first, "\n".join(lines))


def findings(passage: Passage) -> Iterator[Finding]:
    """Yield the broken rules of one passage."""
    text = _CODE.sub(lambda code: "x" * len(code[0]), passage.text)
    for rule, pattern in ((INDEFINITE, _PEOPLE), (TELL_WHETHER, _TELL), (PHRASE, _PHRASES)):
        for found in pattern.finditer(text):
            yield Finding(rule, passage.path, passage.line + text.count("\n", 0, found.start()), found[0])
    for sentence in _SENTENCE.finditer(text):
        if _OPENING.match(sentence[0]) and not sentence[0].rstrip().endswith("?"):
            start = sentence.start() + len(sentence[0]) - len(sentence[0].lstrip())
            words = " ".join(sentence[0].split())
            yield Finding(OPENING, passage.path, passage.line + text.count("\n", 0, start), words[:60])


def count_words(passage: Passage) -> int:
    return len(_WORD.findall(_CODE.sub("", passage.text)))


def files(places: Iterable[Path]) -> Iterator[Path]:
    """Yield the files that hold prose, below each place or that place itself; generated pages too."""
    for place in places:
        found = [place] if place.is_file() else sorted(place.rglob("*"))
        yield from (file for file in found if file.suffix in (".py", ".md", ".yaml") and "_build" not in file.parts)


def measure(places: Iterable[Path]) -> tuple[int, list[Finding]]:
    """Return the number of words and every finding."""
    words = 0
    found: list[Finding] = []
    for file in files(places):
        for passage in passages(file):
            words += count_words(passage)
            found.extend(findings(passage))
    return words, found


def rates(words: int, found: Iterable[Finding]) -> dict[str, float]:
    """Return for each rule its findings in 1,000 words."""
    counts = Counter(finding.rule for finding in found)
    return {rule: 1000 * counts[rule] / max(words, 1) for rule in ALLOWED}


def main(arguments: list[str]) -> int:
    words, found = measure([Path(each) for each in arguments] or [ROOT / place for place in PLACES])
    for finding in found:
        print(f"{finding.path}:{finding.line}: {finding.rule}: {finding.words}")
    print(f"{words:,} words of prose")
    for rule, rate in rates(words, found).items():
        print(f"{rate:6.2f} in 1,000 words (at most {ALLOWED[rule]}): {rule}")
    return 1 if any(rate > ALLOWED[rule] for rule, rate in rates(words, found).items()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
