"""What a frame means: decoders turn one into a value or into a line of text. Pure."""

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
    """One frame at a time; a frame that makes no sense raises ValueError that says why."""

    member = "data"
    """Under which key the value stands in a JSON record."""
    damaged = 0
    """How many frames so far were returned with something lost or replaced in them."""
    damage = ""
    """What was wrong with the last of these."""

    def passes(self, joined: bytes) -> bool:
        """Tell whether every frame in this piece would be written as it is: then nobody looks at each."""
        del joined
        return False

    @abstractmethod
    def line(self, frame: bytes) -> bytes:
        """Return the frame as UTF-8 text for a text record, without a newline at its end."""

    @abstractmethod
    def value(self, frame: bytes) -> Any:
        """Return the frame as a value that JSON can hold."""


class BytesDecoder(Decoder):
    """Takes frames as they are; JSON records hold them in base64."""

    member = "base64"

    def passes(self, joined: bytes) -> bool:
        """See `Decoder.passes`."""
        del joined
        return True

    def line(self, frame: bytes) -> bytes:
        """See `Decoder.line`; here it need not be text."""
        return frame

    def value(self, frame: bytes) -> str:
        """See `Decoder.value`."""
        return base64.b64encode(frame).decode("ascii")


class TextDecoder(Decoder):
    """Text in some encoding; `errors` is what happens to bytes that are none, as in Python."""

    def __init__(self, encoding: str = "utf-8", errors: Errors = "replace") -> None:
        """Raise ValueError for an encoding that Python does not know."""
        try:
            b"x".decode(encoding, "replace")
        except (LookupError, UnicodeError):
            raise ValueError(f"cannot find text encoding {encoding!r}; write utf-8, latin-1, ...") from None
        self._encoding, self._errors = encoding, errors
        self._is_utf8 = encoding.lower().replace("_", "-") in ("utf-8", "utf8", "ascii", "us-ascii")

    def passes(self, joined: bytes) -> bool:
        """See `Decoder.passes`: true of what is valid UTF-8, or ASCII, from end to end."""
        if not self._is_utf8:
            return False
        if joined.isascii():  # quicker than to decode it, and mostly the case
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
            self.damaged += 1
            self.damage = str(error)
            return frame.decode(self._encoding, self._errors)


class JsonDecoder(Decoder):
    """One JSON value to a frame, in UTF-8. In text records it stands on one line, as it came where it can."""

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
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    """Return the number; 1e999 reads as infinity, which no JSON can hold."""
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is too large a number")
    return number
