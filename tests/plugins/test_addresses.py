"""Addresses: parsing, formatting, and the errors for invalid ones."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from taskloom_plugins.addresses import Address, address_of, parse_address

FORMS = "write tcp://HOST:PORT, udp://HOST:PORT, unix:///PATH or unix-dgram:///PATH"
BRACKETS = "an IPv6 host is written in brackets, as in tcp://[::1]:5514"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("tcp://127.0.0.1:5514", Address("tcp", "127.0.0.1", 5514)),
        ("tcp://[::1]:0", Address("tcp", "::1", 0)),
        ("udp://logs.example:65535", Address("udp", "logs.example", 65535)),
        ("tcp://:514", Address("tcp", "", 514)),
        ("unix:///run/app.sock", Address("unix", path="/run/app.sock")),
        ("unix://app.sock", Address("unix", path="app.sock")),
        ("unix-dgram:///run/a b:c", Address("unix-dgram", path="/run/a b:c")),
    ],
)
def test_an_address_is_formatted_as_it_was_written(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f"cannot read '' as an address; {FORMS}"),
        ("127.0.0.1:5514", f"cannot read '127.0.0.1:5514' as an address; {FORMS}"),
        ("tcp:/127.0.0.1:1", f"cannot read 'tcp:/127.0.0.1:1' as an address; {FORMS}"),
        ("http://host:80", f"cannot read 'http://host:80' as an address; {FORMS}"),
        ("tcp://host", f"cannot read 'tcp://host' as an address: 'host' is not HOST:PORT; {FORMS}"),
        ("tcp://host:http", f"cannot read 'tcp://host:http' as an address: 'host:http' is not HOST:PORT; {FORMS}"),
        (
            "tcp://::1:5514",
            f"cannot read 'tcp://::1:5514' as an address: {BRACKETS}; {FORMS}",
        ),
        ("tcp://host:65536", "cannot read 'tcp://host:65536' as an address: port 65536 is over 65535"),
        ("unix://", f"cannot read 'unix://' as an address: it has no path; {FORMS}"),
        ("unix://a\0b", f"cannot read 'unix://a\\x00b' as an address: it has no path; {FORMS}"),
    ],
)
def test_an_invalid_address_is_refused_with_the_legal_forms(text: str, message: str) -> None:
    with pytest.raises(ValueError, match="cannot read") as caught:
        parse_address(text)

    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("scheme", "sockaddr", "text"),
    [
        ("tcp", ("127.0.0.1", 80), "tcp://127.0.0.1:80"),
        ("udp", ("::1", 80, 0, 0), "udp://[::1]:80"),
        ("tcp", ("::ffff:10.0.0.1", 80, 0, 0), "tcp://10.0.0.1:80"),
        ("unix", "", "unix://"),
        ("unix-dgram", b"\x0001ab2", "unix-dgram://@01ab2"),
        ("unix-dgram", None, "unix-dgram://"),
        ("unix-dgram", "/run/peer", "unix-dgram:///run/peer"),
    ],
)
def test_an_address_of_the_socket_module_is_formatted(scheme: str, sockaddr: Any, text: str) -> None:
    assert address_of(scheme, sockaddr) == text


def test_a_scheme_determines_the_socket_type() -> None:
    assert parse_address("tcp://h:1").kind == parse_address("unix:///p").kind == socket.SOCK_STREAM
    assert parse_address("udp://h:1").kind == parse_address("unix-dgram:///p").kind == socket.SOCK_DGRAM
