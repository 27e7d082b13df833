"""logger(1) in every way that it can send: ten thousand messages each."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from tests.support.real_clients import LINES, TEXT, without_drops

if TYPE_CHECKING:
    from tests.clients.conftest import Begin, Spawn

pytestmark = pytest.mark.long

# Where the reader listens, its framing, the options of logger, what stands before the message.
Row = tuple[str, str, list[str], str]

TCP, TCP6, UDP, UDP6 = "tcp://127.0.0.1:0", "tcp://[::1]:0", "udp://127.0.0.1:0", "udp://[::1]:0"
STREAM, DATAGRAM = "unix://S", "unix-dgram://S"
BY_TCP, BY_UDP = ["-T", "-n", "127.0.0.1", "-P", "PORT"], ["-d", "-n", "127.0.0.1", "-P", "PORT"]

# What stands before the message.
NEW = r"<13>1 \S+ \S+ t - - \[timeQuality .*\] "
NEW_SHORT = r"<13>1 - - t - - - "
NEW_FULL = r'<165>1 \S+ \S+ t 7 ID7 \[.*\]\[a@1 b="c"\] '
OLD = r"<13>\w{3} [ \d]\d \d\d:\d\d:\d\d \S+ t: "
LOCAL = r"<13>\w{3} [ \d]\d \d\d:\d\d:\d\d t: "
COUNT = r"\d{2,3} "

STREAMS = [
    (TCP, "line", BY_TCP, NEW),
    (TCP, "syslog", BY_TCP, NEW),
    (TCP6, "syslog", ["-T", "-n", "::1", "-P", "PORT"], NEW),
    (TCP, "line", [*BY_TCP, "--rfc3164"], OLD),
    (TCP, "syslog", [*BY_TCP, "--rfc3164"], OLD),
    (TCP, "line", [*BY_TCP, "--rfc5424"], NEW),
    (TCP, "syslog", [*BY_TCP, "--rfc5424=notime,notq,nohost"], NEW_SHORT),
    (TCP, "syslog", [*BY_TCP, "--octet-count"], NEW),
    (TCP, "octet-counted", [*BY_TCP, "--octet-count"], NEW),
    (TCP, "syslog", [*BY_TCP, "--octet-count", "--rfc3164"], OLD),
    (TCP, "octet-counted", [*BY_TCP, "--octet-count", "--rfc5424=notime,notq,nohost"], NEW_SHORT),
    (TCP, "line", [*BY_TCP, "-p", "local4.notice", "--id=7", "--msgid", "ID7", "--sd-id", "a@1", "--sd-param", 'b="c"'],
     NEW_FULL),
    (STREAM, "line", ["-u", "PORT"], LOCAL),
    (STREAM, "syslog", ["-T", "-u", "PORT"], LOCAL),
    (STREAM, "syslog", ["-u", "PORT", "--octet-count"], LOCAL),
    (STREAM, "line", ["-u", "PORT", "--rfc5424", "--socket-errors=on"], NEW),
]  # fmt: skip
DATAGRAMS = [
    (UDP, "datagram", BY_UDP, NEW),
    (UDP6, "datagram", ["-d", "-n", "::1", "-P", "PORT"], NEW),
    (UDP, "datagram", [*BY_UDP, "--rfc3164"], OLD),
    (UDP, "datagram", [*BY_UDP, "--rfc5424=notq"], r"<13>1 \S+ \S+ t - - - "),
    (UDP, "datagram", [*BY_UDP, "--octet-count"], COUNT + NEW),
    (UDP, "octet-counted", [*BY_UDP, "--octet-count"], NEW),
    (UDP, "syslog", [*BY_UDP, "--octet-count", "--rfc3164"], OLD),
    (UDP, "line", BY_UDP, NEW),
    (DATAGRAM, "datagram", ["-u", "PORT"], LOCAL),
    (DATAGRAM, "datagram", ["-d", "-u", "PORT", "--socket-errors=on"], LOCAL),
    (DATAGRAM, "datagram", ["-u", "PORT", "--rfc5424", "--socket-errors=off"], NEW),
    (DATAGRAM, "syslog", ["-u", "PORT", "--octet-count", "--socket-errors=auto"], LOCAL),
]


def check(records: list[str], header: str) -> None:
    assert [record.rpartition(" ")[2] for record in records] == LINES
    odd = [record for record in records if not re.fullmatch(header + r"line-\d{5}", record)]
    assert odd == []


def shown(row: Row) -> str:
    return f"{row[0].partition(':')[0]} {row[1]} {' '.join(row[2])}"


@pytest.mark.parametrize("row", STREAMS, ids=shown)
def test_over_a_stream(begin: Begin, spawn: Spawn, row: Row) -> None:
    listen, framing, options, header = row

    receiver = begin(listen=listen, framing=framing)

    spawn("logger", "-t", "t", *options, PORT=receiver.endpoint, stdin=TEXT)

    check(receiver.records(), header)


@pytest.mark.parametrize("row", DATAGRAMS, ids=shown)
def test_over_datagrams(begin: Begin, spawn: Spawn, row: Row) -> None:
    listen, framing, options, header = row

    def trial() -> list[str]:
        receiver = begin(listen=listen, framing=framing)
        spawn("logger", "-t", "t", *options, PORT=receiver.endpoint).feed(receiver)
        return receiver.records()

    check(without_drops(trial), header)
