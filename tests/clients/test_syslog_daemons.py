"""rsyslog and syslog-ng forward ten thousand messages to socket-reader, in every way that they can."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.real_clients import LINES, Program, Receiver, pace, without_drops

if TYPE_CHECKING:
    from tests.clients.conftest import Begin, Spawn

pytestmark = pytest.mark.long

# Where the reader listens, its framing, what the daemon is told, what stands before the message.
Row = tuple[str, str, str, str]

TCP, UDP, STREAM, DATAGRAM = "tcp://127.0.0.1:0", "udp://127.0.0.1:0", "unix://S", "unix-dgram://S"

# The daemon gets messages in this form, through a unix socket, and writes them in the form of its template.
MESSAGE = "<165>1 2026-11-29T01:02:03.004Z host app 42 ID47 - "
# As messages arrive; each daemon writes the time and the tag in its own way.
NEW = r"<165>1 2026-11-29T01:02:03\S* host app 42 ID47 (-|\[meta sequenceId=\"\d+\"\]) "
ISO = r"<165>2026-11-29T01:02:03\S* host app\[42\]:? "
OLD = r"<165>Nov 29 01:02:03 host app\[42\]:? "

RSYSLOG = """
module(load="imptcp")
module(load="omuxsock")
global(workDirectory="{folder}")
$OMUxSockSocket {folder}/S
input(type="imptcp" path="{folder}/input")
{action}
"""
SYSLOG_NG = """@version: 3.35
options {{ keep-hostname(yes); keep-timestamp(yes); stats-freq(0); flush-lines(1); }};
source input {{ unix-stream("{folder}/input" flags(syslog-protocol)); }};
destination output {{ {action}; }};
log {{ source(input); destination(output); flags(flow-control); }};
"""

FORWARD, P = 'action(type="omfwd" target="127.0.0.1" port="{port}"', "RSYSLOG_"
RSYSLOG_ROWS = [
    (TCP, "syslog", f'{FORWARD} protocol="tcp" TCP_Framing="traditional" template="{P}SyslogProtocol23Format")', NEW),
    (TCP, "line", f'{FORWARD} protocol="tcp" TCP_Framing="traditional" template="{P}TraditionalForwardFormat")', OLD),
    (TCP, "syslog", f'{FORWARD} protocol="tcp" TCP_Framing="octet-counted" template="{P}SyslogProtocol23Format")', NEW),
    (TCP, "octet-counted", f'{FORWARD} protocol="tcp" TCP_Framing="octet-counted" template="{P}ForwardFormat")', ISO),
    (TCP, "nul", f'{FORWARD} protocol="tcp" TCP_FrameDelimiter="0" template="{P}SyslogProtocol23Format")', NEW),
    (UDP, "datagram", f'{FORWARD} protocol="udp" template="{P}SyslogProtocol23Format")', NEW),
    (UDP, "datagram", f'{FORWARD} protocol="udp" template="{P}TraditionalForwardFormat")', OLD),
    (DATAGRAM, "datagram", f"*.* :omuxsock:;{P}SyslogProtocol23Format", NEW),
]
SYSLOG_NG_ROWS = [
    (TCP, "octet-counted", 'syslog("127.0.0.1" transport(tcp) port({port}))', NEW),
    (TCP, "syslog", 'syslog("127.0.0.1" transport(tcp) port({port}))', NEW),
    (TCP, "line", 'network("127.0.0.1" transport(tcp) port({port}))', OLD),
    (TCP, "syslog", 'network("127.0.0.1" transport(tcp) port({port}) flags(syslog-protocol))', NEW),
    (TCP, "syslog", 'tcp("127.0.0.1" port({port}))', OLD),
    (UDP, "datagram", 'syslog("127.0.0.1" transport(udp) port({port}))', NEW),
    (UDP, "line", 'network("127.0.0.1" transport(udp) port({port}))', OLD),
    (UDP, "line", 'udp("127.0.0.1" port({port}))', OLD),
    (STREAM, "line", 'unix-stream("{folder}/S")', OLD),
    (STREAM, "syslog", 'unix-stream("{folder}/S" flags(syslog-protocol))', NEW),
    (DATAGRAM, "line", 'unix-dgram("{folder}/S")', OLD),
]


def shown(row: Row) -> str:
    return f"{row[1]} {re.sub(r'[^a-z]+', ' ', row[2].replace('SYSLOG_', '').lower())}"


def folder() -> str:
    """The test's folder, by a path without blanks, and short enough for a socket."""
    return f"/proc/{os.getpid()}/cwd"


def forward(receiver: Receiver, daemon: Program) -> None:
    """Send the messages to the daemon; the next ones only when the receiver has the former ones. End it."""
    with socket.socket(socket.AF_UNIX) as sock:
        while True:
            try:
                sock.connect("input")
                break
            except (FileNotFoundError, ConnectionRefusedError):
                daemon.assert_running()

        def send(part: Sequence[str]) -> None:
            sock.sendall("".join(f"{MESSAGE}{line}\n" for line in part).encode())

        pace(receiver, LINES, send)
    daemon.close()


def check(records: list[str], header: str) -> None:
    assert [record.rpartition(" ")[2] for record in records] == LINES
    assert [record for record in records if not re.fullmatch(header + r"line-\d{5}", record)] == []


@pytest.mark.parametrize("row", RSYSLOG_ROWS, ids=shown)
def test_rsyslog(begin: Begin, spawn: Spawn, row: Row) -> None:
    listen, framing, action, header = row

    def trial() -> list[str]:
        receiver = begin(listen=listen, framing=framing)
        target = action.format(port=receiver.endpoint)
        Path("conf").write_text(RSYSLOG.format(folder=folder(), action=target))
        Path("input").unlink(missing_ok=True)
        forward(receiver, spawn("rsyslogd", "-n", "-f", f"{folder()}/conf", "-i", f"{folder()}/pid"))
        return receiver.records()

    check(without_drops(trial), header)


@pytest.mark.parametrize("row", SYSLOG_NG_ROWS, ids=shown)
def test_syslog_ng(begin: Begin, spawn: Spawn, row: Row) -> None:
    listen, framing, action, header = row
    options = [part for name in "fRpc" for part in (f"-{name}", f"{folder()}/{name}")]

    def trial() -> list[str]:
        receiver = begin(listen=listen, framing=framing)
        target = action.format(port=receiver.endpoint, folder=folder())
        Path("f").write_text(SYSLOG_NG.format(folder=folder(), action=target))
        Path("input").unlink(missing_ok=True)
        forward(receiver, spawn("syslog-ng", "-F", "--no-caps", *options))
        return receiver.records()

    check(without_drops(trial), header)
