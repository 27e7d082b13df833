"""socket-reader as a client of gpsd(8), which gets its sentences from a receiver on a TCP port."""

from __future__ import annotations

import functools
import json
import operator
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from tests.support.real_clients import Receiver

if TYPE_CHECKING:
    from tests.clients.conftest import Begin, Spawn

pytestmark = pytest.mark.long


def sentence(number: int) -> str:
    """Return a position of a GPS receiver, one for each second of a morning, with its checksum."""
    time = f"{number // 3600:02}{number // 60 % 60:02}{number % 60:02}.00"
    body = f"GPRMC,{time},A,4807.{number:05},N,01131.000,E,022.4,084.4,290126,003.1,W"
    return f"${body}*{functools.reduce(operator.xor, body.encode()):02X}"


SENTENCES = [sentence(number) for number in range(10_000)]


@pytest.fixture
def device() -> Iterator[socket.socket]:
    """A GPS receiver that gpsd connects to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        yield server


def watch(begin: Begin, spawn: Spawn, device: socket.socket, port: str, what: str) -> tuple[Receiver, socket.socket]:
    """Start gpsd and a reader that asks it for reports; return the reader and the line to the device."""
    receiver = begin(
        connect=f"tcp://127.0.0.1:{port}",
        send_on_connect=f'?WATCH={{"enable":true,{what}}}\n',
        reconnect_delay=0.02,
        reconnect_max=0.05,
    )
    spawn("gpsd", "-N", "-n", "-D", "0", "-S", port, f"tcp://127.0.0.1:{device.getsockname()[1]}")
    line, _ = device.accept()
    receiver.until_frames(3)  # VERSION, DEVICES, WATCH
    return receiver, line


def test_all_sentences_arrive_as_the_device_sent_them(
    begin: Begin, spawn: Spawn, device: socket.socket, free_port: str
) -> None:
    receiver, line = watch(begin, spawn, device, free_port, '"nmea":true')

    with line:
        line.sendall("".join(f"{each}\r\n" for each in SENTENCES).encode())
        receiver.until_frames(3 + len(SENTENCES))
    receiver.running.stop()

    records = receiver.output.read_text().splitlines()
    assert [json.loads(record)["class"] for record in records[:3]] == ["VERSION", "DEVICES", "WATCH"]
    assert records[3:] == SENTENCES


def test_a_report_of_each_position_arrives(begin: Begin, spawn: Spawn, device: socket.socket, free_port: str) -> None:
    receiver, line = watch(begin, spawn, device, free_port, '"json":true')

    with line:
        line.sendall("".join(f"{each}\r\n" for each in SENTENCES).encode())
        receiver.until_frames(4 + len(SENTENCES))  # and DEVICE, once gpsd knows what it is
    receiver.running.stop()

    reports = map(json.loads, receiver.output.read_text().splitlines())
    times = [report["time"] for report in reports if report["class"] == "TPV"]
    assert times == [f"2026-01-29T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}.000Z"
                     for second in range(len(SENTENCES))]  # fmt: skip
