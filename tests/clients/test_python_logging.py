"""The handlers of Python's logging that speak to a socket: ten thousand records each."""

from __future__ import annotations

import base64
import json
import logging
import pickle
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from logging.handlers import DatagramHandler, SocketHandler, SysLogHandler
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.real_clients import LINES, Receiver, pace, without_drops

if TYPE_CHECKING:
    from tests.clients.conftest import Begin

# Sender and reader are threads of one process, which take turns.
pytestmark = [pytest.mark.long, pytest.mark.usefixtures("fast_switching")]

TCP, TCP6, UDP, UDP6 = "tcp://127.0.0.1:0", "tcp://[::1]:0", "udp://127.0.0.1:0", "udp://[::1]:0"
STREAM, DATAGRAM = "unix://S", "unix-dgram://S"


@contextmanager
def logger_with(handler: logging.Handler) -> Iterator[logging.Logger]:
    """A logger that has this handler only."""
    logger = logging.getLogger("tests.client")
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield logger
    finally:
        logger.removeHandler(handler)
        handler.close()


def log(receiver: Receiver, handler: logging.Handler) -> None:
    """Log all lines through the handler, the next ones only when the receiver has the former ones."""
    with logger_with(handler) as logger:

        def send(part: Sequence[str]) -> None:
            for line in part:
                logger.warning("%s", line)

        pace(receiver, LINES, send)


def where(receiver: Receiver) -> tuple[str, int]:
    address = receiver.running.address
    return address.host, address.port


# A SysLogHandler ends each message with NUL, on streams as well as in datagrams, unless `append_nul` is False.
@pytest.mark.parametrize(
    ("listen", "framing"),
    [(TCP, "nul"), (TCP, "syslog"), (STREAM, "syslog"), (UDP, "datagram"), (UDP, "nul"), (DATAGRAM, "datagram")],
    ids=str,
)
def test_syslog_handler(begin: Begin, listen: str, framing: str) -> None:
    def trial() -> list[str]:
        receiver = begin(listen=listen, framing=framing)
        address: Any = receiver.running.address.path if listen.startswith("unix") else where(receiver)
        kind = socket.SOCK_STREAM if listen in (TCP, STREAM) else socket.SOCK_DGRAM
        log(receiver, SysLogHandler(address, socktype=kind))
        return receiver.records()

    assert without_drops(trial) == [f"<12>{line}" for line in LINES]


@pytest.mark.parametrize(
    ("listen", "framing", "ident"),
    [
        (UDP, "datagram", ""),
        (UDP6, "datagram", "app: "),
        (DATAGRAM, "datagram", ""),
        (TCP, "line", ""),
        (TCP6, "syslog", ""),
    ],
    ids=str,
)
def test_syslog_handler_without_nul(begin: Begin, listen: str, framing: str, ident: str) -> None:
    """On a stream the messages need an ending of their own; without one, no receiver can tell them apart."""

    def trial() -> list[str]:
        receiver = begin(listen=listen, framing=framing)
        address: Any = receiver.running.address.path if listen == DATAGRAM else where(receiver)
        handler = SysLogHandler(address, socktype=socket.SOCK_STREAM if listen in (TCP, TCP6) else socket.SOCK_DGRAM)
        handler.append_nul, handler.ident = False, ident
        if listen in (TCP, TCP6):
            handler.setFormatter(logging.Formatter("%(message)s\n"))
        log(receiver, handler)
        return receiver.records()

    assert without_drops(trial) == [f"<12>{ident}{line}" for line in LINES]


def messages(records: Sequence[str], header: int) -> list[str]:
    """Return the messages of records that hold pickled attributes of log records in base64."""
    frames = [base64.b64decode(json.loads(record)["base64"])[header:] for record in records]
    return [logging.makeLogRecord(pickle.loads(frame)).getMessage() for frame in frames]


@pytest.mark.parametrize("listen", [TCP, TCP6, STREAM], ids=str)
def test_socket_handler(begin: Begin, listen: str) -> None:
    """A SocketHandler sends pickled records, each after its length in four bytes."""
    receiver = begin(listen=listen, framing="length-prefixed", decoder="bytes", format="json")
    host, port = (receiver.running.address.path, None) if listen == STREAM else where(receiver)

    log(receiver, SocketHandler(host, port))

    assert messages(receiver.records(), 0) == LINES


@pytest.mark.parametrize(
    ("listen", "framing", "header"),
    [(UDP, "datagram", 4), (UDP, "length-prefixed", 0), (DATAGRAM, "datagram", 4), (DATAGRAM, "length-prefixed", 0)],
    ids=str,
)
def test_datagram_handler(begin: Begin, listen: str, framing: str, header: int) -> None:
    """A DatagramHandler sends the same, one record in each datagram."""

    def trial() -> list[str]:
        receiver = begin(listen=listen, framing=framing, decoder="bytes", format="json")
        host, port = (receiver.running.address.path, None) if listen == DATAGRAM else where(receiver)
        log(receiver, DatagramHandler(host, port))
        return receiver.records()

    assert messages(without_drops(trial), header) == LINES
