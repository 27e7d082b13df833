"""Makes YAML files as other programs read them: real-looking, of any number, and each from its seed.

`foreign_file(seed)` chooses a style (`STYLES` of `foreign_styles`) and writes the data of that style as people do: with
comments, anchors, tags, block texts, odd quotes and indents, several documents, a byte order mark, CRLF or tabs. None
of the files is a job file. Nothing is copied from a real file.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

__all__ = ["ForeignFile", "Raw", "Words", "Writer", "foreign_file"]

NAMES = (
    "web", "api", "db", "cache", "worker", "queue", "proxy", "auth", "mail", "search", "metrics", "grüße", "日本",
    "front-end", "back_end", "build", "test", "deploy", "lint", "release", "sensor", "kitchen", "robot", "camera",
)  # fmt: skip
WORDS = (
    "the", "first", "server", "keeps", "old", "values", "für", "naïve", "it's", "100%", "a:b", "#1", "ok", "не", "→",
    "'quoted'", "C:\\temp", "x=y", "[draft]", "{id}", "10:30", "no", "yes", "null", "1.10", "0x1F", "~", "-", "e.g.",
)  # fmt: skip


class ForeignFile(NamedTuple):
    """One file."""

    seed: int
    style: str
    data: bytes


class Raw(str):
    """A scalar or a flow value that is written as it is: `!Ref Name`, `*anchor`, `[a, b]`."""

    __slots__ = ()


class Words:
    """The random choices of one file."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def name(self) -> str:
        return self.rng.choice(NAMES)

    def names(self, most: int = 4) -> list[str]:
        return self.rng.sample(NAMES, self.rng.randint(1, most))

    def text(self, most: int = 6) -> str:
        return " ".join(self.rng.choices(WORDS, k=self.rng.randint(1, most)))

    def lines(self, most: int = 4) -> str:
        return "\n".join(self.text() for _ in range(self.rng.randint(2, most + 1)))

    def number(self, most: int = 9000) -> int:
        return self.rng.randint(0, most)

    def version(self) -> str:
        return f"{self.rng.randint(0, 20)}.{self.rng.randint(0, 30)}{self.rng.choice(['', '.1', '.0-rc1', '-alpine'])}"

    def image(self) -> str:
        return (
            f"{self.rng.choice(['', 'ghcr.io/acme/', 'registry:5000/'])}{self.rng.choice(NAMES[:12])}:{self.version()}"
        )

    def maybe(self, share: float = 0.5) -> bool:
        return self.rng.random() < share

    def some(self, make: Callable[[], Any], least: int = 1, most: int = 4) -> list[Any]:
        return [make() for _ in range(self.rng.randint(least, most))]

    def tree(self, depth: int) -> Any:
        """Return nested data of any shape."""
        if depth <= 0 or self.maybe(0.3):
            return self.rng.choice([self.text(), self.number(), self.maybe(), None, 1.5, self.version()])
        if self.maybe(0.3):
            return [self.tree(depth - 1) for _ in range(self.rng.randint(1, 3))]
        return {name: self.tree(depth - 1) for name in self.names(3)}


class Writer:
    """Writes data as YAML text in the manner of one author."""

    def __init__(self, words: Words) -> None:
        self._words, self._rng = words, words.rng
        self._step = self._rng.choice([2, 2, 2, 4, 3])
        self._comments = self._rng.choice([0.0, 0.05, 0.2])
        self._flow = self._rng.choice([0.0, 0.1, 0.3])
        self._list_indent = self._rng.choice([0, self._step])
        self._anchors = 0

    def document(self, data: Any) -> str:
        """Return the text of one document, which ends with a line break."""
        return "\n".join(self._block(data, 0)) + "\n"

    def _block(self, data: Any, indent: int) -> Iterator[str]:
        pad = " " * indent
        if isinstance(data, dict):
            for key, value in data.items():
                yield from self._remark(pad)
                yield from self._entry(f"{pad}{self._key(key)}:", value, indent)
        elif isinstance(data, list):
            for item in data:
                yield from self._item(item, indent)
        else:
            yield f"{pad}{self._scalar(data)}"

    def _entry(self, head: str, value: Any, indent: int) -> Iterator[str]:
        if isinstance(value, dict | list) and value and not self._is_flow(value):
            anchor = ""
            if isinstance(value, dict) and self._rng.random() < 0.03:
                self._anchors += 1
                anchor = f" &a{self._anchors}"
            yield head + anchor
            inner = indent + (self._list_indent if isinstance(value, list) else self._step)
            yield from self._block(value, inner)
        elif isinstance(value, str) and "\n" in value and not isinstance(value, Raw):
            yield f"{head} {self._rng.choice(['|', '>', '|-', '>-', '|+'])}"
            yield from (" " * (indent + self._step) + line if line else "" for line in value.split("\n"))
        else:
            yield f"{head} {self._scalar(value)}".rstrip() + self._end()

    def _item(self, item: Any, indent: int) -> Iterator[str]:
        pad = " " * indent
        if isinstance(item, dict) and item and not self._is_flow(item):
            lines = list(self._block(item, indent + 2))
            first = next((at for at, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")), 0)
            lines[first] = f"{pad}- {lines[first][indent + 2 :]}"
            yield from lines
        else:
            shown = self._flow_text(item) if isinstance(item, dict | list) else self._scalar(item)
            yield f"{pad}- {shown}"

    def _is_flow(self, value: Any) -> bool:
        return self._rng.random() < self._flow and len(self._flow_text(value)) < 90

    def _flow_text(self, value: Any) -> str:
        if isinstance(value, Raw):
            return str(value)
        if isinstance(value, dict):
            return "{" + ", ".join(f"{self._key(key)}: {self._flow_text(item)}" for key, item in value.items()) + "}"
        if isinstance(value, list):
            return "[" + ", ".join(map(self._flow_text, value)) + "]"
        return json.dumps(value, ensure_ascii=self._rng.random() < 0.5)

    def _key(self, key: Any) -> str:
        if isinstance(key, str) and not isinstance(key, Raw) and (self._rng.random() < 0.02 or key[:1] in "*&!@%"):
            return json.dumps(key)
        return str(key)

    def _scalar(self, value: Any) -> str:
        if isinstance(value, Raw):
            return str(value)
        if value is None:
            return self._rng.choice(["", "~", "null"])
        if isinstance(value, bool):
            return self._rng.choice(["true", "True", "yes", "on"] if value else ["false", "False", "no", "off"])
        if not isinstance(value, str):
            return json.dumps(value)
        is_plain = value[:1].isalnum() and not any(mark in value for mark in (": ", " #", "\n", "\t", ":"))
        if is_plain and self._rng.random() < 0.7:
            return value
        if "'" not in value and self._rng.random() < 0.5 and "\n" not in value:
            return f"'{value}'"
        return json.dumps(value, ensure_ascii=self._rng.random() < 0.3)

    def _remark(self, pad: str) -> Iterator[str]:
        if self._rng.random() < self._comments:
            yield from self._rng.choice([[""], [f"{pad}# {self._words.text()}"], ["", f"{pad}#-----", f"{pad}#\tx: y"]])

    def _end(self) -> str:
        return f"  # {self._words.text(3)}" if self._rng.random() < self._comments / 2 else ""


def foreign_file(seed: int) -> ForeignFile:
    """Return the file of a seed: always the same one."""
    from tests.support.foreign_styles import STYLES

    rng = random.Random(seed)
    names = sorted(STYLES)
    style = names[seed % len(names)]
    words = Words(rng)
    made = STYLES[style](words)
    parts = made if isinstance(made, tuple) else (made,)
    texts = [part if isinstance(part, str) else Writer(words).document(part) for part in parts]
    return ForeignFile(seed, style, _dressed(texts, words))


def _dressed(texts: Sequence[str], words: Words) -> bytes:
    """Return the documents as bytes, in the manner of one editor."""
    text = "---\n".join(texts)
    if words.maybe(0.3) and not text.startswith("#"):
        text = f"---\n{text}"
    if words.maybe(0.3) and not text.startswith("#cloud-config"):
        text = f"# {words.text()}\n{'# ' + words.text() + chr(10) if words.maybe() else ''}{text}"
    if words.maybe(0.03):
        text = f"%YAML 1.2\n---\n{text.removeprefix('---' + chr(10))}"
    if words.maybe(0.05):
        text = text.rstrip("\n")
    if words.maybe(0.05):
        text = "\n".join(line + "  " if line and words.maybe(0.1) else line for line in text.split("\n"))
    if words.maybe(0.02):
        lines = text.split("\n")
        at = words.rng.randrange(len(lines))
        lines[at] = lines[at].replace("  ", "\t", 1)
        text = "\n".join(lines)
    if words.maybe(0.04):
        text = text.replace(" ", words.rng.choice(["\u00a0", "\u200b", "\u2028", "\x85", "\x0b"]), 1)
    if words.maybe(0.15):
        text = text.replace("\n", "\r\n")
    encoding = "utf-8-sig" if words.maybe(0.05) else "utf-8"
    if words.maybe(0.01):
        encoding = words.rng.choice(["utf-16", "latin-1"])
    return text.encode(encoding, "replace")
