"""Checks text encodings: which are usable, and with which framings. Pure."""

from __future__ import annotations

import codecs

__all__ = ["byte_order_mark", "check_fixed", "check_separator", "find_encoding", "has_ascii_newlines", "is_signed"]

# Codecs that Python lists as encodings of text, but which are notations for something else.
_NOTATIONS = {"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"}
# Encodings in which the meaning of a byte depends on an earlier one, in a line before perhaps.
_STATEFUL = ("utf-7", "hz", "iso2022")
# Encodings with a fixed unit of several bytes, of which each may have any value.
_UNITS = {"utf-16": 2, "utf-16-le": 2, "utf-16-be": 2, "utf-32": 4, "utf-32-le": 4, "utf-32-be": 4}
_MARK = "\ufeff"


def find_encoding(name: str) -> str:
    """Return Python's own name of a text encoding. Raises ValueError for one that cannot be used.

    UTF-8 "with signature" is UTF-8 here: a byte order mark at the beginning is passed over in any case.
    """
    try:
        found = codecs.lookup(name).name
        b"x".decode(name, "replace")
    except (LookupError, ValueError):  # unknown, or a codec that has bytes on both sides, such as hex
        found = "undefined"
    if found in _NOTATIONS:
        raise ValueError(f"cannot find text encoding {name!r}; write utf-8, latin-1, ...") from None
    return "utf-8" if found == "utf-8-sig" else found


def byte_order_mark(encoding: str) -> bytes:
    """Return the bytes of a byte order mark in this encoding; empty if it has none, or Python's codec handles it."""
    if encoding == "ascii":
        return codecs.BOM_UTF8  # from a sender that writes UTF-8 and nothing but ASCII characters
    if encoding in ("utf-16", "utf-32"):
        return b""
    try:
        return _MARK.encode(encoding)
    except UnicodeError:
        return b""


def is_signed(name: str) -> bool:
    """Return whether each text in this encoding may begin with a byte order mark: UTF-8 "with signature"."""
    return codecs.lookup(name).name == "utf-8-sig"


def check_separator(name: str, framing: str, separator: str) -> bytes:
    """Return the bytes of a separator that is searched in undecoded text.

    Raises ValueError for an encoding in which these bytes could be part of other characters, or are not the ones that
    the framing expects.
    """
    encoding = find_encoding(name)
    refused = f"cannot use encoding {name!r} with framing {framing}"
    elsewhere = "use framing octet-counted, length-prefixed or, for datagrams, datagram"
    if encoding in _UNITS:
        raise ValueError(f"{refused}: its characters have {_UNITS[encoding]} bytes or more each; {elsewhere}")
    if encoding.startswith(_STATEFUL):
        raise ValueError(f"{refused}: the meaning of its bytes depends on earlier ones; {elsewhere}")
    try:
        found = separator.encode(encoding)
    except UnicodeError:
        raise ValueError(f"cannot use delimiter {separator!r} with encoding {name!r}, which does not have it") from None
    if framing != "delimiter" and found != separator.encode("ascii"):
        byte = ord(separator)
        raise ValueError(f"{refused}: in it the end of a frame is not the byte 0x{byte:02X}; use framing delimiter")
    if encoding != "utf-8" and _is_second_byte(encoding, found[0]):
        raise ValueError(f"{refused}: {separator!r} may be the second byte of a character; {elsewhere}")
    return found


def check_fixed(name: str, frame_size: int) -> None:
    """Raise ValueError if frames of this size would divide characters."""
    unit = _UNITS.get(find_encoding(name), 1)
    if frame_size % unit:
        raise ValueError(f"cannot use frame_size {frame_size} with encoding {name!r}; write a multiple of {unit}")


def has_ascii_newlines(encoding: str) -> bool:
    """Return whether the byte 0x0A is a newline in text of this encoding."""
    return b"\n".decode(encoding, "replace") == "\n"


def _is_second_byte(encoding: str, byte: int) -> bool:
    """Return whether the encoding has a character of several bytes in which this one follows the first."""
    return any(_begin_character(encoding, bytes([first, byte])) for first in range(0x80, 0x100))


def _begin_character(encoding: str, pair: bytes) -> bool:
    """Return whether a single character begins with these two bytes."""
    for rest in (b"", b"\xa1", b"\xa1\x30"):  # the longest characters have three bytes in EUC, four in GB 18030
        try:
            if len((pair + rest).decode(encoding)) == 1:
                return True
        except UnicodeError:
            continue
    return False
