"""Makes the framer and the records of a socket-reader from its parameters, and checks how these fit together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from taskloom_plugins.addresses import Address, parse_address
from taskloom_plugins.counted_framing import LengthPrefixedFramer, OctetCountedFramer, SyslogFramer
from taskloom_plugins.decoding import BytesDecoder, Decoder, JsonDecoder, TextDecoder
from taskloom_plugins.framing import FixedFramer, Framer, SeparatorFramer, WholeFramer
from taskloom_plugins.multicast import check_interface
from taskloom_plugins.passed import read_passed
from taskloom_plugins.records import JsonRecords, Records, TextRecords
from taskloom_plugins.text_encodings import byte_order_mark, check_fixed, check_separator, find_encoding

if TYPE_CHECKING:
    from taskloom_plugins.socket_reader import SocketReader

__all__ = ["Framing", "Wiring", "address_for"]

Framing = Literal["line", "nul", "delimiter", "octet-counted", "syslog", "fixed", "length-prefixed", "datagram", "raw"]

# The end of a frame in the framings that search one. A syslog message may also end with NUL, which is the same byte in
# every encoding that has LF.
_SEPARATORS: dict[Framing, str] = {"line": "\n", "syslog": "\n", "nul": "\0"}
# The framings of which each frame is a message of its own, with whatever its sender puts around it.
_MESSAGES = ("datagram", "length-prefixed", "octet-counted", "syslog")


def address_for(reader: SocketReader) -> Address:
    """Return the address from `listen` or `connect`. Raises ValueError unless exactly one of them is set."""
    if reader.listen is not None and reader.connect is None:
        address = read_passed(reader.listen) or parse_address(reader.listen)
        check_interface(address, reader.interface)
        return address
    if reader.connect is None or reader.listen is not None:
        given = "both" if reader.connect is not None else "neither"
        raise ValueError(f"cannot read with {given} of 'listen' and 'connect'; give one of them")
    address = parse_address(reader.connect)
    if not address.is_unix and (address.host in ("", "*") or not address.port):
        raise ValueError(f"cannot connect to {reader.connect!r}; it needs a host and a port other than 0")
    if address.many:
        raise ValueError(f"cannot connect to {reader.connect!r}: it is {address.many}; use 'listen' to read from it")
    check_interface(address, reader.interface)
    return address


class Wiring:
    """The framing and format that a reader's parameters define. Made when a job file is loaded, and for each run."""

    def __init__(self, reader: SocketReader, address: Address) -> None:
        """Raise ValueError for parameters that do not fit together."""
        self._reader = reader
        self.framing: Framing = reader.framing or ("line" if address.is_stream else "datagram")
        """The framing; by default the one for the type of the address."""
        _check_framing(reader, self.framing, address)
        _check_mode(reader, address)
        self._decoder = self._new_decoder()
        # A newline marks the end of a frame; a raw stream has no frames.
        self.is_lines = self.framing != "raw" or reader.format == "json"
        """Whether the output consists of lines."""
        self.truncates = reader.oversize == "truncate"
        """Whether a frame over the limit is written in part."""
        self.new_framer = self._framer_factory()
        """Makes a framer for a new stream."""

    @property
    def passes_lines(self) -> bool:
        """Whether frames end with LF and cannot contain one, so that many can be handled as one piece."""
        return self.framing == "line"

    def new_records(self) -> Records:
        """Return the output format."""
        if self._reader.format == "json":
            return JsonRecords(self._decoder)
        return TextRecords(self._decoder, b"\n" if self.is_lines else b"")

    def _new_decoder(self) -> Decoder:
        name = self._reader.decoder or ("bytes" if self.framing == "raw" else "text")
        if self.framing == "raw" and name != "bytes":
            raise ValueError(
                f"cannot decode {name} with framing raw: its pieces are arbitrary bytes; use decoder bytes"
            )
        if name == "text":
            return TextDecoder(self._reader.encoding, self._reader.errors, are_messages=self.framing in _MESSAGES)
        return BytesDecoder() if name == "bytes" else JsonDecoder(self._reader.encoding)

    def _checked_separator(self) -> bytes:
        """Return the bytes that end a frame, for a framing that searches them. Raises ValueError."""
        separator = self._reader.delimiter or _SEPARATORS.get(self.framing)
        encoding = "utf-8" if isinstance(self._decoder, BytesDecoder) else self._reader.encoding
        if self.framing == "fixed":
            check_fixed(encoding, self._reader.frame_size or 1)
        return check_separator(encoding, self.framing, separator) if separator else b""

    def _framer_factory(self) -> Callable[[], Framer]:
        reader = self._reader
        limit = (reader.max_frame, reader.oversize)
        separator = self._checked_separator()
        # Bytes that are not decoded are passed on as they are.
        is_text = not isinstance(self._decoder, BytesDecoder)
        mark = byte_order_mark(find_encoding(reader.encoding)) if is_text else b""
        makers: dict[Framing, Callable[[], Framer]] = {
            "line": lambda: SeparatorFramer(separator, *limit, strip_cr=True, mark=mark),
            "nul": lambda: SeparatorFramer(separator, *limit, mark=mark),
            "delimiter": lambda: SeparatorFramer(separator, *limit, mark=mark),
            "octet-counted": lambda: OctetCountedFramer(*limit),
            "syslog": lambda: SyslogFramer(*limit),
            "fixed": lambda: FixedFramer(reader.frame_size or 1),
            "length-prefixed": lambda: LengthPrefixedFramer(
                *limit,
                offset=reader.length_offset,
                size=reader.length_size,
                order=reader.length_order,
                counts_header=reader.length_counts_header,
                keep_header=reader.length_keep_header,
            ),
            "datagram": lambda: WholeFramer(*limit),
            "raw": WholeFramer,
        }
        return makers[self.framing]


def _check_framing(reader: SocketReader, framing: Framing, address: Address) -> None:
    """Refuse framing parameters that would have no effect or could never work."""
    for name, value, owner in (
        ("delimiter", reader.delimiter, "delimiter"),
        ("frame_size", reader.frame_size, "fixed"),
    ):
        if framing == owner and value is None:
            raise ValueError(f"cannot use framing {framing} without {name!r}")
        if framing != owner and value is not None:
            raise ValueError(f"cannot use {name!r} with framing {framing}; it belongs to framing {owner}")
    if reader.frame_size is not None and reader.frame_size > reader.max_frame:
        raise ValueError(f"cannot use frame_size {reader.frame_size}: it is over max_frame {reader.max_frame}")
    # The kind of a socket that is passed is known when the run begins: then this is checked again.
    if address.is_stream and framing == "datagram" and address.scheme:
        raise ValueError(f"cannot use framing datagram with {address}: a stream has no datagrams; use raw")
    if not address.is_stream and reader.oversize == "close":
        raise ValueError(
            f"cannot use oversize close with {address}: datagrams have no connection; use drop or truncate"
        )


def _check_mode(reader: SocketReader, address: Address) -> None:
    """Refuse connection parameters that have no meaning for this kind of socket."""
    if reader.mode is not None and not (address.is_unix and reader.listen is not None):
        raise ValueError("cannot use 'mode' here; it is for a unix socket to listen on")
    if reader.mode is not None and address.is_abstract:
        raise ValueError(f"cannot use 'mode' with {address}: an abstract socket has no file")
    if reader.send_on_connect and reader.connect is None:
        raise ValueError("cannot use 'send_on_connect' with 'listen'; it is for 'connect'")
    try:
        reader.send_on_connect.encode()
    except UnicodeError:
        raise ValueError("cannot use 'send_on_connect': half of a surrogate pair cannot be sent") from None
    if not address.is_stream and reader.frame_timeout:
        raise ValueError(f"cannot use 'frame_timeout' with {address}: a datagram always arrives as a whole")
    if not address.is_stream and reader.listen is not None and reader.idle_timeout:
        raise ValueError(f"cannot use 'idle_timeout' with {address}: there is no connection to close")
