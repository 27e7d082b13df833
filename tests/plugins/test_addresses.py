"""Addresses: parsing, formatting, and the errors for invalid ones."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from tests.support.every_case import every_case

from taskloom_plugins.addresses import Address, address_of, parse_address

FORMS = "write tcp://HOST:PORT, udp://HOST:PORT, unix:///PATH or unix-dgram:///PATH"
LOOPBACK = socket.if_nametoindex("lo")
BRACKETS = "an IPv6 host is written in brackets, as in tcp://[::1]:5514"


@every_case(
    ("text", "address"),
    [
        ("tcp://127.0.0.1:5514", Address("tcp", "127.0.0.1", 5514)),
        ("tcp://[::1]:0", Address("tcp", "::1", 0)),
        ("udp://logs.example:65535", Address("udp", "logs.example", 65535)),
        ("tcp://:514", Address("tcp", "", 514)),
        ("unix:///run/app.sock", Address("unix", path="/run/app.sock")),
        ("unix://app.sock", Address("unix", path="app.sock")),
        ("unix-dgram:///run/a b:c", Address("unix-dgram", path="/run/a b:c")),
        ("unix:///run/a%20b", Address("unix", path="/run/a%20b")),
        ("unix:///run/grün.sock", Address("unix", path="/run/grün.sock")),
        ("unix://./@file", Address("unix", path="./@file")),
        ("unix://@name", Address("unix", path="@name")),
        ("unix-dgram://@/run/name/", Address("unix-dgram", path="@/run/name/")),
        ("tcp://*:514", Address("tcp", "*", 514)),
        ("tcp://0.0.0.0:514", Address("tcp", "0.0.0.0", 514)),
        ("udp://[::]:514", Address("udp", "::", 514)),
        ("tcp://localhost:514", Address("tcp", "localhost", 514)),
        ("tcp://logs.example.:514", Address("tcp", "logs.example.", 514)),
        ("tcp://bücher.example:514", Address("tcp", "bücher.example", 514)),
        ("tcp://my_host-1:514", Address("tcp", "my_host-1", 514)),
        ("tcp://[2001:DB8::1]:514", Address("tcp", "2001:DB8::1", 514)),
        ("tcp://[::ffff:192.0.2.1]:514", Address("tcp", "::ffff:192.0.2.1", 514)),
        ("tcp://[fe80::1%eth0]:514", Address("tcp", "fe80::1", 514, zone="eth0")),
        ("tcp://[fe80::1%2]:514", Address("tcp", "fe80::1", 514, zone="2")),
        ("tcp://[fe80::1%25]:514", Address("tcp", "fe80::1", 514, zone="25")),
        ("tcp://[::1%lo]:514", Address("tcp", "::1", 514, zone="lo")),
        ("udp://239.1.2.3:514", Address("udp", "239.1.2.3", 514)),
        ("udp://[ff02::1%wlan0.7]:514", Address("udp", "ff02::1", 514, zone="wlan0.7")),
        ("udp://[ff15::1]:514", Address("udp", "ff15::1", 514)),
    ],
)
def test_an_address_is_formatted_as_it_was_written(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("TCP://127.0.0.1:1", "tcp://127.0.0.1:1"),
        ("Unix-DGram:///run/S", "unix-dgram:///run/S"),
        ("tcp://h:00514", "tcp://h:514"),
        ("tcp://h:000000", "tcp://h:0"),
        ("udp://h:" + "0" * 5000 + "7", "udp://h:7"),
        ("tcp://[fe80::1%25eth0]:514", "tcp://[fe80::1%eth0]:514"),
        ("udp://[ff02::1%25eth0]:514", "udp://[ff02::1%eth0]:514"),
    ],
)
def test_another_notation_of_an_address_means_the_same(text: str, plain: str) -> None:
    assert parse_address(text) == parse_address(plain)
    assert str(parse_address(text)) == plain


@every_case(
    ("text", "every", "multicast"),
    [
        ("tcp://:1", True, False),
        ("tcp://*:1", True, False),
        ("tcp://[::]:1", True, False),
        ("tcp://[0:0:0:0:0:0:0:0]:1", True, False),
        ("tcp://0.0.0.0:1", False, False),
        ("udp://224.0.0.1:1", False, True),
        ("udp://239.255.255.255:1", False, True),
        ("udp://240.0.0.1:1", False, False),
        ("udp://[ff15::1]:1", False, True),
        ("udp://[::ffff:239.1.2.3]:1", False, True),
        ("udp://255.255.255.255:1", False, False),
        ("udp://host.example:1", False, False),
        ("unix://@239.1.2.3", False, False),
    ],
)
def test_special_addresses_are_recognized(text: str, *, every: bool, multicast: bool) -> None:
    address = parse_address(text)

    assert (address.is_every_interface and not address.is_unix, address.is_multicast) == (every, multicast)


def test_an_abstract_name_begins_with_nul_for_the_kernel() -> None:
    assert parse_address("unix://@name").unix_address == "\0name"
    assert parse_address("unix://./@name").unix_address == "./@name"


LONG = "a" * 64
PARTS = "each part between dots has 1 to 63 letters or digits"


@every_case(
    ("text", "problem"),
    [
        ("tcp://h:99999999999999999999", "port 99999999999999999999 is over 65535"),
        ("tcp://.:1", f"'.' is not a host name: {PARTS}"),
        ("tcp://a..b:1", f"'a..b' is not a host name: {PARTS}"),
        (f"tcp://{LONG}:1", f"'{LONG}' is not a host name: {PARTS}"),
        (f"tcp://{'a.' * 127}b:1", "a host name has at most 253 characters"),
        ("tcp://a\nb:1", f"'a\\nb' is not a host name: {PARTS}"),
        ("tcp://a\0b:1", f"'a\\x00b' is not a host name: {PARTS}"),
        ("tcp://\udcff:1", f"'\\udcff' is not a host name: {PARTS}"),
        ("tcp://[127.0.0.1]:1", "'127.0.0.1' is not an IPv6 address; brackets are only for these"),
        ("tcp://[localhost]:1", "'localhost' is not an IPv6 address; brackets are only for these"),
        ("tcp://[::g]:1", "'::g' is not an IPv6 address; brackets are only for these"),
        ("tcp://[fe80::1]:1", "fe80::1 is a link-local address; add its interface, as in [fe80::1%eth0]"),
        ("tcp://[fe80::1%]:1", "the zone after % is the name of an interface, as in [fe80::1%eth0]"),
        ("unix://@", "the name of the abstract socket is missing after @"),
        ("unix:///run/\ud800", "the system has no such path"),
        ("unix:///run/", "it ends with a slash, so it names a folder"),
        ("tcp://224.0.0.1:1", "224.0.0.1 is a multicast group, which has datagrams only; write udp://224.0.0.1:1"),
    ],
)
def test_a_host_or_path_that_can_never_work_is_refused_in_words(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match="cannot read") as caught:
        parse_address(text)

    assert str(caught.value) == f"cannot read {text!r} as an address: {problem}"


@every_case(
    ("text", "problem"),
    [
        ("tcp://", "'' is not HOST:PORT"),
        ("tcp://h:", "'h:' is not HOST:PORT"),
        ("tcp://h:-1", "'h:-1' is not HOST:PORT"),
        ("tcp://h:+1", "'h:+1' is not HOST:PORT"),
        ("tcp://h:1_0", "'h:1_0' is not HOST:PORT"),
        ("tcp://h:\uff15", "'h:\uff15' is not HOST:PORT"),
        ("tcp://h: 1", "'h: 1' is not HOST:PORT"),
        ("tcp://h:1/", "'h:1/' is not HOST:PORT"),
        ("tcp://h:1/path", "'h:1/path' is not HOST:PORT"),
        ("tcp://h:1?query", "'h:1?query' is not HOST:PORT"),
        ("tcp://h:1#fragment", "'h:1#fragment' is not HOST:PORT"),
        ("tcp://h?:1", "'h?:1' is not HOST:PORT"),
        ("tcp:///h:1", "'/h:1' is not HOST:PORT"),
        ("tcp://user@h:1", "a user name has no meaning here"),
        ("tcp://[]:1", "'[]:1' is not HOST:PORT"),
        ("tcp://[::1]", "'[::1]' is not HOST:PORT"),
        ("tcp://[::1:1", "'[::1:1' is not HOST:PORT"),
        ("tcp://[[::1]]:1", "'[[::1]]:1' is not HOST:PORT"),
        ("tcp://fe80::1%eth0:1", BRACKETS),
    ],
)
def test_what_is_not_host_and_port_is_refused_with_the_legal_forms(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match="cannot read") as caught:
        parse_address(text)

    assert str(caught.value) == f"cannot read {text!r} as an address: {problem}; {FORMS}"


@every_case(
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


@every_case(
    ("scheme", "sockaddr", "text"),
    [
        ("tcp", ("127.0.0.1", 80), "tcp://127.0.0.1:80"),
        ("udp", ("::1", 80, 0, 0), "udp://[::1]:80"),
        ("tcp", ("::ffff:10.0.0.1", 80, 0, 0), "tcp://10.0.0.1:80"),
        ("tcp", ("::ffff:0:a00:1", 80, 0, 0), "tcp://[::ffff:0:a00:1]:80"),
        ("udp", ("fe80::1", 80, 0, LOOPBACK), "udp://[fe80::1%lo]:80"),
        ("udp", ("fe80::1%lo", 80, 0, LOOPBACK), "udp://[fe80::1%lo]:80"),
        ("udp", ("fe80::1", 80, 0, 4096), "udp://[fe80::1%4096]:80"),
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
