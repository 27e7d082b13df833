"""The forms in which the text of a secret may come out: as it is, and as other code has quoted or encoded it."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

__all__ = ["LEAST_CHARACTERS", "forms_of"]

# A shorter text is found by chance in too many places: masking it would make the log unreadable, and hide little.
LEAST_CHARACTERS = 4
# A line of a secret of several lines, such as a key: shorter ones may be any word.
_LEAST_OF_LINE = 8
# Longer texts are not passwords or keys. All forms of the lines of a megabyte take ten seconds and half a gigabyte.
_MOST_OF_ALL_FORMS = 64 * 1024
_HEX = re.compile(r"%[0-9A-F]{2}")


def forms_of(value: str) -> set[str]:
    """Return all texts that reveal the secret; none if it has fewer than LEAST_CHARACTERS characters.

    Blanks and line breaks around it do not count: a file often ends with one. Of a text of more than 64 KiB they are
    those in quotes, and not those that are encoded.
    """
    whole = {value, value.strip()}
    lines = {line.strip() for line in value.splitlines()} - whole
    parts = whole if len(value.strip()) >= LEAST_CHARACTERS else set()
    if parts:
        parts |= {line for line in lines if len(line) >= _LEAST_OF_LINE}
    forms = {form for part in parts for form in _quoted_forms(part)}
    if len(value) <= _MOST_OF_ALL_FORMS:
        forms.update(form for part in parts for form in _encoded_forms(part))
    return {form for form in forms if len(form) >= LEAST_CHARACTERS}


def _quoted_forms(text: str) -> Iterator[str]:
    yield text
    if text.isascii() and text.isalnum():
        return  # the same in all quotes
    # In double quotes or single ones, as `repr` chooses them; and as bytes.
    yield repr(text)[1:-1]
    yield repr(f"{text}'")[1:-2]
    yield repr(f"{text}'\"")[1:-4]
    yield ascii(text)[1:-1]
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]


def _encoded_forms(text: str) -> Iterator[str]:
    yield html.escape(text)
    content = text.encode("utf-8", "surrogateescape")
    yield repr(content)[2:-1]
    for encoded in (quote(content, safe=""), quote(content), quote_plus(content)):
        yield encoded
        yield _HEX.sub(lambda found: found[0].lower(), encoded)
    yield from _base64_forms(content)
    try:
        # What a stream in Latin-1 has, read as UTF-8 with each foreign byte escaped.
        yield text.encode("latin-1").decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        pass


def _base64_forms(content: bytes) -> Iterator[str]:
    """Yield the secret alone in base64, and what is the same in the base64 of any longer text around it."""
    alone = base64.b64encode(content).decode()
    texts = [alone, alone.rstrip("=")]
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + content).decode().rstrip("=")
        # The first characters also hold bits of the text before, the last one may hold bits of the text after.
        first = (0, 2, 3)[before]
        texts.append(encoded[first : (before + len(content)) * 8 // 6])
    for each in texts:
        yield each
        yield each.replace("+", "-").replace("/", "_")
