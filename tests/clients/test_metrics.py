"""What clients of statsd and Graylog send, as the packages statsd and graypy write it: ten thousand records each."""

from __future__ import annotations

import base64
import json
import socket
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest
from tests.support.real_clients import LINES, Receiver, pace, without_drops

if TYPE_CHECKING:
    from tests.clients.conftest import Begin

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("fast_switching")]

UDP, TCP = "udp://127.0.0.1:0", "tcp://127.0.0.1:0"

METRICS = [f"app.{line}:{number}|c|@0.1" for number, line in enumerate(LINES)]
GELF = [
    json.dumps({"version": "1.1", "host": "app", "short_message": f"ß {line}", "level": 6, "_line": number})
    for number, line in enumerate(LINES)
]


def send_each(receiver: Receiver, datagrams: Sequence[bytes]) -> None:
    """Send the datagrams one by one, the next ones only when the receiver has the former ones."""
    address = receiver.running.address
    by_name = {str(number): datagram for number, datagram in enumerate(datagrams)}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((address.host, address.port))
        pace(receiver, list(by_name), lambda part: [sock.send(by_name[name]) for name in part])


@pytest.mark.parametrize(("framing", "ending"), [("datagram", ""), ("datagram", "\n"), ("line", "\n")], ids=repr)
def test_statsd_over_udp(begin: Begin, framing: str, ending: str) -> None:
    def trial() -> list[str]:
        receiver = begin(listen=UDP, framing=framing)
        send_each(receiver, [f"{metric}{ending}".encode() for metric in METRICS])
        return receiver.records()

    assert without_drops(trial) == METRICS


def test_a_pipeline_of_statsd_has_many_metrics_in_a_datagram(begin: Begin) -> None:
    def trial() -> list[str]:
        receiver = begin(listen=UDP, framing="line")
        address = receiver.running.address
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect((address.host, address.port))
            pace(receiver, METRICS, lambda part: sock.send("\n".join(part).encode()), step=10)
        return receiver.records()

    assert without_drops(trial) == METRICS


def test_statsd_over_tcp(begin: Begin) -> None:
    receiver = begin(listen=TCP)

    with socket.create_connection(("127.0.0.1", receiver.running.address.port)) as sock:
        for metric in METRICS:
            sock.sendall(f"{metric}\n".encode())

    assert receiver.records() == METRICS


def test_gelf_over_tcp(begin: Begin) -> None:
    """GELF over TCP: a JSON object and NUL."""
    receiver = begin(listen=TCP, framing="nul", decoder="json")

    with socket.create_connection(("127.0.0.1", receiver.running.address.port)) as sock:
        for message in GELF:
            sock.sendall(f"{message}\0".encode())

    assert receiver.records() == GELF


def test_gelf_over_udp(begin: Begin) -> None:
    def trial() -> list[str]:
        receiver = begin(listen=UDP, decoder="json")
        send_each(receiver, [message.encode() for message in GELF])
        return receiver.records()

    assert without_drops(trial) == GELF


def test_compressed_gelf_arrives_as_its_bytes(begin: Begin) -> None:
    """graypy compresses each datagram; what reads the records has to decompress them."""
    packed = [zlib.compress(message.encode()) for message in GELF]

    def trial() -> list[str]:
        receiver = begin(listen=UDP, decoder="bytes", format="json")
        send_each(receiver, packed)
        return receiver.records()

    records = [json.loads(record)["base64"] for record in without_drops(trial)]
    assert [zlib.decompress(base64.b64decode(record)).decode() for record in records] == GELF
