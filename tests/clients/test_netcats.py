"""socat, nc of OpenBSD, ncat and bash: ten thousand lines over everything that each can speak, or serve."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.real_clients import LINES, TEXT, without_drops

if TYPE_CHECKING:
    from tests.clients.conftest import Begin, Spawn

pytestmark = pytest.mark.long

TCP, TCP6, UDP, UDP6 = "tcp://127.0.0.1:0", "tcp://[::1]:0", "udp://127.0.0.1:0", "udp://[::1]:0"
STREAM, DATAGRAM = "unix://S", "unix-dgram://S"


def command(value: object) -> str:
    return " ".join(value) if isinstance(value, list) else ""


@pytest.mark.parametrize(
    ("listen", "sender"),
    [
        (TCP, ["socat", "-u", "STDIN", "TCP:127.0.0.1:PORT"]),
        (TCP6, ["socat", "-u", "STDIN", "TCP6:[::1]:PORT"]),
        (STREAM, ["socat", "-u", "STDIN", "UNIX-CONNECT:PORT"]),
        (TCP, ["nc", "-N", "127.0.0.1", "PORT"]),
        (TCP6, ["nc", "-N", "::1", "PORT"]),
        (STREAM, ["nc", "-N", "-U", "PORT"]),
        (TCP, ["ncat", "--send-only", "127.0.0.1", "PORT"]),
        (TCP6, ["ncat", "--send-only", "-6", "::1", "PORT"]),
        (STREAM, ["ncat", "--send-only", "-U", "PORT"]),
        (TCP, ["bash", "-c", "cat > /dev/tcp/127.0.0.1/PORT"]),
        (TCP, ["bash", "-c", "while read -r line; do echo $line; done > /dev/tcp/127.0.0.1/PORT"]),
    ],
    ids=command,
)
def test_lines_over_a_stream(begin: Begin, spawn: Spawn, listen: str, sender: list[str]) -> None:
    receiver = begin(listen=listen)

    program = spawn(*sender, PORT=receiver.endpoint, stdin=TEXT)

    assert receiver.records() == LINES
    assert program.process.wait(20) == 0


@pytest.mark.parametrize("sender", [["nc", "-N", "-C"], ["ncat", "-C", "--send-only"]], ids=command)
def test_lines_that_a_client_ends_with_cr_lf(begin: Begin, spawn: Spawn, sender: list[str]) -> None:
    receiver = begin(listen=TCP)

    spawn(*sender, "127.0.0.1", receiver.endpoint, stdin=TEXT)

    assert receiver.records() == LINES


@pytest.mark.parametrize(
    ("listen", "sender"),
    [
        (UDP, ["socat", "-u", "STDIN", "UDP:127.0.0.1:PORT"]),
        (UDP6, ["socat", "-u", "STDIN", "UDP6:[::1]:PORT"]),
        (DATAGRAM, ["socat", "-u", "STDIN", "UNIX-SENDTO:PORT"]),
        (UDP, ["nc", "-u", "127.0.0.1", "PORT"]),
        (UDP6, ["nc", "-u", "::1", "PORT"]),
        (DATAGRAM, ["nc", "-u", "-U", "PORT"]),
        (UDP, ["ncat", "-u", "127.0.0.1", "PORT"]),
        (UDP6, ["ncat", "-u", "-6", "::1", "PORT"]),
        (DATAGRAM, ["ncat", "-u", "-U", "PORT"]),
    ],
    ids=command,
)
def test_many_lines_in_each_datagram(begin: Begin, spawn: Spawn, listen: str, sender: list[str]) -> None:
    """Each write to the standard input of these programs becomes one datagram."""

    def trial() -> list[str]:
        receiver = begin(listen=listen, framing="line")
        spawn(*sender, PORT=receiver.endpoint).feed(receiver)
        return receiver.records()

    assert without_drops(trial) == LINES


def test_a_loop_in_bash_sends_a_datagram_for_each_line(begin: Begin, spawn: Spawn) -> None:
    def trial() -> list[str]:
        receiver = begin(listen=UDP)
        loop = "while read -r line; do echo $line; done > /dev/udp/127.0.0.1/PORT"
        spawn("bash", "-c", loop, PORT=receiver.endpoint).feed(receiver)
        return receiver.records()

    assert without_drops(trial) == LINES


@pytest.mark.parametrize("sender", [["nc", "-N"], ["ncat", "--send-only"], ["socat", "-u", "STDIN"]], ids=command)
def test_records_that_end_with_nul(begin: Begin, spawn: Spawn, sender: list[str]) -> None:
    receiver = begin(listen=TCP, framing="nul")
    target = [f"TCP:127.0.0.1:{receiver.endpoint}"] if sender[0] == "socat" else ["127.0.0.1", receiver.endpoint]

    spawn(*sender, *target, stdin=TEXT.replace("\n", "\0"))

    assert receiver.records() == LINES


@pytest.mark.parametrize(
    ("address", "server"),
    [
        ("tcp://127.0.0.1:PORT", ["socat", "-u", "STDIN", "TCP-LISTEN:PORT,bind=127.0.0.1"]),
        ("tcp://[::1]:PORT", ["socat", "-u", "STDIN", "TCP6-LISTEN:PORT,bind=[::1]"]),
        ("unix://S", ["socat", "-u", "STDIN", "UNIX-LISTEN:S"]),
        ("tcp://127.0.0.1:PORT", ["nc", "-N", "-l", "127.0.0.1", "PORT"]),
        ("unix://S", ["nc", "-N", "-l", "-U", "S"]),
        ("tcp://127.0.0.1:PORT", ["ncat", "--send-only", "-l", "127.0.0.1", "PORT"]),
        ("unix://S", ["ncat", "--send-only", "-l", "-U", "S"]),
    ],
    ids=command,
)
def test_a_connecting_reader_gets_what_a_program_serves(
    begin: Begin, spawn: Spawn, free_port: str, address: str, server: list[str]
) -> None:
    receiver = begin(connect=address.replace("PORT", free_port), reconnect_delay=0.01, reconnect_max=0.05)

    program = spawn(*server, PORT=free_port, stdin=TEXT)

    receiver.until_frames(len(LINES))
    assert program.process.wait(20) == 0
    receiver.running.stop()
    assert receiver.output.read_text() == TEXT
