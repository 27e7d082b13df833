"""Decoders: each turns a frame into a value or into a line of text. Pure."""

from __future__ import annotations

import base64
import json
import math
from abc import ABC, abstractmethod
from typing import Any, Literal

__all__ = ["BytesDecoder", "Decoder", "DecoderName", "Errors", "JsonDecoder", "TextDecoder"]

DecoderName = Literal["text", "json", "bytes"]
Errors = Literal["replace", "strict", "backslashreplace", "ignore"]


class Decoder(ABC):
    """Decodes one frame at a time. A frame that cannot be decoded raises ValueError with the reason."""

    json_key = "data"
    """The key of the value in a JSON record."""
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

    def __init__(self, encoding: str = "utf-8", errors: Errors = "replace") -> None:
        """Raise ValueError for an encoding that Python does not know."""
        try:
            b"x".decode(encoding, "replace")
        except (LookupError, UnicodeError):
            raise ValueError(f"cannot find text encoding {encoding!r}; write utf-8, latin-1, ...") from None
        self._encoding, self._errors = encoding, errors
        self._is_utf8 = encoding.lower().replace("_", "-") in ("utf-8", "utf8", "ascii", "us-ascii")

    def leaves_unchanged(self, joined: bytes) -> bool:
        """See `Decoder.leaves_unchanged`: True if the piece is valid UTF-8, or ASCII, from end to end."""
        if not self._is_utf8:
            return False
        if joined.isascii():  # the common case, and quicker than decoding
            return True
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
        try:
            return frame.decode(self._encoding)
        except UnicodeDecodeError as error:
            if self._errors == "strict":
                raise
            self.damaged_frames += 1
            self.last_damage = str(error)
            return frame.decode(self._encoding, self._errors)


class JsonDecoder(Decoder):
    """Decodes one JSON value per frame, in UTF-8.

    A text record has the value on one line, unchanged unless it contains newlines.
    """

    def line(self, frame: bytes) -> bytes:
        """See `Decoder.line`."""
        text = frame.strip(b" \t\r\n")
        value = self.value(text)
        if b"\n" in text or b"\r" in text:
            return json.dumps(value, separators=(",", ":")).encode("ascii")
        return text

    def value(self, frame: bytes) -> Any:
        """See `Decoder.value`."""
        try:
            return json.loads(frame.decode("utf-8"), parse_constant=_refuse_constant, parse_float=_finite)
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
