"""Decoders: each turns a frame into a value or into a line of text. Pure."""

from __future__ import annotations

import base64
import json
import math
from abc import ABC, abstractmethod
from typing import Any, Literal

from taskloom_plugins.text_encodings import byte_order_mark, find_encoding, has_ascii_newlines, is_signed

__all__ = ["BytesDecoder", "Decoder", "DecoderName", "Errors", "JsonDecoder", "TextDecoder"]

DecoderName = Literal["text", "json", "bytes"]
Errors = Literal["replace", "strict", "backslashreplace", "ignore"]


class Decoder(ABC):
    """Decodes one frame at a time. A frame that cannot be decoded raises ValueError with the reason."""

    json_key = "data"
    """The key of the value in a JSON record."""
    has_ascii_newlines = True
    """Whether LF and CR LF at the end of an undecoded frame are newlines."""
    damaged_frames = 0
    """How many frames so far were decoded with bytes dropped or replaced."""
    last_damage = ""
    """The problem with the last of these frames."""

    def leaves_unchanged(self, joined: bytes) -> bool:
        """Return whether every frame in this piece would be written unchanged, so that no frame needs decoding."""
        return False

    @abstractmethod
    def line(self, frame: bytes) -> bytes:
        """Return the frame as UTF-8 text for a text record, without a newline at the end."""

    @abstractmethod
    def value(self, frame: bytes) -> Any:
        """Return the frame as a value that JSON can represent."""


class BytesDecoder(Decoder):
    """Leaves frames unchanged; in JSON records they are encoded in base64."""

    json_key = "base64"

    def leaves_unchanged(self, joined: bytes) -> bool:
        """See `Decoder.leaves_unchanged`."""
        return True

    def line(self, frame: bytes) -> bytes:
        """See `Decoder.line`; here the result need not be text."""
        return frame

    def value(self, frame: bytes) -> str:
        """See `Decoder.value`."""
        return base64.b64encode(frame).decode("ascii")


class TextDecoder(Decoder):
    """Decodes text in an encoding. `errors` is Python's way to handle bytes that are not valid in it."""

    def __init__(self, encoding: str = "utf-8", errors: Errors = "replace", *, are_messages: bool = False) -> None:
        """`are_messages`: a frame may begin with a byte order mark and end with NUL; both are removed.

        Raises ValueError for an encoding that cannot be used.
        """
        self._encoding, self._errors = find_encoding(encoding), errors
        self._is_utf8 = self._encoding in ("utf-8", "ascii")
        self.has_ascii_newlines = has_ascii_newlines(self._encoding)
        self._mark = byte_order_mark(self._encoding) if are_messages or is_signed(encoding) else b""
        # For example Python's SysLogHandler ends its datagrams with NUL.
        self._end = "\0" if are_messages else ""

    def leaves_unchanged(self, joined: bytes) -> bool:
        """See `Decoder.leaves_unchanged`: True if the piece is valid UTF-8, or ASCII, from end to end."""
        if not self._is_utf8:
            return False
        if self._end and b"\0" in joined:
            return False
        if joined.isascii():  # the common case, and quicker than decoding
            return True
        if self._mark and self._mark in joined:
            return False
        try:
            joined.decode(self._encoding)
        except UnicodeDecodeError:
            return False
        return True

    def line(self, frame: bytes) -> bytes:
        """See `Decoder.line`."""
        return self.value(frame).encode("utf-8", "replace")

    def value(self, frame: bytes) -> str:
        """See `Decoder.value`."""
        return self._decoded(frame.removeprefix(self._mark)).removesuffix(self._end)

    def _decoded(self, frame: bytes) -> str:
        try:
            return frame.decode(self._encoding)
        except UnicodeDecodeError as error:
            if self._errors == "strict":
                raise
            self.damaged_frames += 1
            self.last_damage = str(error)
            return frame.decode(self._encoding, self._errors)


class JsonDecoder(Decoder):
    """Decodes one JSON value per frame; a byte order mark before it and a NUL after it are passed over.

    A text record has the value on one line, unchanged unless it contains newlines.
    """

    def __init__(self, encoding: str = "utf-8") -> None:
        """Raise ValueError for an encoding that cannot be used."""
        found = find_encoding(encoding)
        self._encoding = "utf-8" if found == "ascii" else found
        self.has_ascii_newlines = has_ascii_newlines(found)

    def line(self, frame: bytes) -> bytes:
        """See `Decoder.line`."""
        text = self._text(frame).strip(" \t\r\n")
        value = _parsed(text)
        if "\n" in text or "\r" in text:
            return json.dumps(value, separators=(",", ":")).encode("ascii")
        return text.encode("utf-8")

    def value(self, frame: bytes) -> Any:
        """See `Decoder.value`."""
        return _parsed(self._text(frame))

    def _text(self, frame: bytes) -> str:
        return frame.decode(self._encoding).removeprefix("\ufeff").rstrip(" \t\r\n\0")


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    """Return the number. Raises ValueError for numbers such as 1e999: Python reads infinity, which is not JSON."""
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is too large a number")
    return number
