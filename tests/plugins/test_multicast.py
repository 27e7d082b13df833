"""Multicast groups: which are joined, and which addresses and interfaces are refused."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.every_case import every_case

from taskloom.testing import FakeContext
from taskloom_plugins.endpoints import EndpointError
from taskloom_plugins.socket_reader import SocketReader
from taskloom_plugins.socket_sender import SocketSender

if TYPE_CHECKING:
    from tests.plugins.conftest import Start

GROUP, GROUP6 = "udp://239.1.2.3:5514", "udp://[ff02::114]:5514"
WIDE6 = "udp://[ff15::114]:5514"


@every_case(
    ("params", "message"),
    [
        (
            {"listen": "udp://127.0.0.1:1", "interface": "lo"},
            "cannot use 'interface' with udp://127.0.0.1:1: it is for a multicast group, as in udp://239.1.2.3:5514",
        ),
        (
            {"listen": "udp://255.255.255.255:1", "interface": "lo"},
            (
                "cannot use 'interface' with udp://255.255.255.255:1: it is for a multicast group, "
                "as in udp://239.1.2.3:5514"
            ),
        ),
        (
            {"listen": "udp://host.example:1", "interface": "lo"},
            "cannot use 'interface' with udp://host.example:1: it is for a multicast group, as in udp://239.1.2.3:5514",
        ),
        (
            {"listen": "unix:///S", "interface": "lo"},
            "cannot use 'interface' with unix:///S: it is for a multicast group, as in udp://239.1.2.3:5514",
        ),
        (
            {"connect": "tcp://127.0.0.1:1", "interface": "lo"},
            "cannot use 'interface' with tcp://127.0.0.1:1: it is for a multicast group, as in udp://239.1.2.3:5514",
        ),
        (
            {"listen": "udp://[ff02::114%lo]:5514", "interface": "lo"},
            "cannot use 'interface' with udp://[ff02::114%lo]:5514: the address names its interface already",
        ),
        (
            {"listen": GROUP6},
            (
                f"cannot use {GROUP6} without 'interface': each interface has such a group of its own; "
                "write interface: eth0"
            ),
        ),
        (
            {"listen": "udp://[ff01::1]:5514"},
            (
                "cannot use udp://[ff01::1]:5514 without 'interface': each interface has such a group of its own; "
                "write interface: eth0"
            ),
        ),
        (
            {"listen": GROUP, "interface": "::1"},
            f"cannot use interface '::1' with {GROUP}: it is not an IPv4 address",
        ),
        (
            {"listen": GROUP6, "interface": "127.0.0.1"},
            f"cannot use interface '127.0.0.1' with {GROUP6}: it is not an IPv6 address",
        ),
        ({"connect": GROUP}, f"cannot connect to '{GROUP}': it is a multicast group; use 'listen' to read from it"),
        ({"connect": WIDE6}, f"cannot connect to '{WIDE6}': it is a multicast group; use 'listen' to read from it"),
        (
            {"connect": "udp://255.255.255.255:1"},
            "cannot connect to 'udp://255.255.255.255:1': it is the broadcast address; use 'listen' to read from it",
        ),
        (
            {"listen": "tcp://255.255.255.255:1"},
            (
                "cannot read 'tcp://255.255.255.255:1' as an address: 255.255.255.255 is the broadcast address, "
                "which has datagrams only; write udp://255.255.255.255:1"
            ),
        ),
        (
            {"listen": "tcp://239.1.2.3:5514"},
            (
                "cannot read 'tcp://239.1.2.3:5514' as an address: 239.1.2.3 is a multicast group, "
                "which has datagrams only; write udp://239.1.2.3:5514"
            ),
        ),
        (
            {"listen": "tcp://[ff02::1%lo]:5514"},
            (
                "cannot read 'tcp://[ff02::1%lo]:5514' as an address: ff02::1 is a multicast group, "
                "which has datagrams only; write udp://[ff02::1%lo]:5514"
            ),
        ),
    ],
)
def test_what_cannot_be_a_group_is_refused_when_the_job_file_is_loaded(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match="cannot") as caught:
        SocketReader(**params)

    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"to": "udp://127.0.0.1:1", "ttl": 4}, "cannot use 'ttl' with udp://127.0.0.1:1: it is for a multicast group"),
        (
            {"to": "tcp://127.0.0.1:1", "interface": "lo"},
            "cannot use 'interface' with tcp://127.0.0.1:1: it is for a multicast group, as in udp://239.1.2.3:5514",
        ),
    ],
)
def test_a_sender_refuses_options_of_groups_for_another_address(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match="cannot") as caught:
        SocketSender(**params)

    assert str(caught.value) == message


@pytest.mark.parametrize("listen", [GROUP, GROUP6, WIDE6])
@pytest.mark.parametrize("interface", ["no-such-if", "4096"])
def test_an_interface_that_does_not_exist_is_a_clear_failure(listen: str, interface: str) -> None:
    names = ", ".join(name for _, name in socket.if_nameindex())

    with FakeContext() as ctx, pytest.raises(EndpointError) as caught:
        SocketReader(listen=listen, interface=interface).run(ctx)

    assert str(caught.value) == (
        f"cannot listen on {listen}: cannot find interface '{interface}'; this machine has {names}"
    )


@pytest.mark.parametrize(("listen", "interface"), [(GROUP, "192.0.2.77"), (GROUP6, "2001:db8::77")])
def test_the_address_of_another_machine_is_not_an_interface(listen: str, interface: str) -> None:
    with FakeContext() as ctx, pytest.raises(EndpointError, match=f"cannot find interface '{interface}'; this machine"):
        SocketReader(listen=listen, interface=interface).run(ctx)


@pytest.mark.parametrize("interface", ["lo", "127.0.0.1", str(socket.if_nametoindex("lo"))])
def test_every_reader_of_a_group_gets_each_datagram(start: Start, tmp_path: Path, interface: str) -> None:
    first = start(SocketReader(listen="udp://239.1.2.3:0", interface=interface, output=str(tmp_path / "1")), job="1")
    group = str(first.address)
    second = start(SocketReader(listen=group, interface=interface, output=str(tmp_path / "2")), job="2")
    second.until_log(f"listening on {group}")

    sender = start(SocketSender(to=group, interface=interface, ttl=0, count=3, interval=0.0), job="sender")
    sender.join()
    for reader in (first, second):
        reader.until_count("frames", 3)
        reader.stop()

    assert (tmp_path / "1").read_text() == (tmp_path / "2").read_text() == "hello 1\nhello 2\nhello 3\n"


def test_a_datagram_to_the_machine_itself_is_not_for_a_group(start: Start, out: Path) -> None:
    reader = start(SocketReader(listen="udp://239.1.2.3:0", interface="lo", output=str(out)))

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.sendto(b"not for the group", ("127.0.0.1", reader.address.port))
    start(SocketSender(to=str(reader.address), interface="lo", count=1), job="sender").join()
    reader.until_count("frames", 1)
    reader.stop()

    assert out.read_text() == "hello 1\n"


@pytest.mark.parametrize("option", [socket.SO_REUSEADDR, socket.SO_REUSEPORT])
def test_a_group_is_shared_with_programs_that_set_one_of_the_two_options(start: Start, out: Path, option: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.setsockopt(socket.SOL_SOCKET, option, 1)
        other.bind(("239.1.2.3", 0))
        group = f"udp://239.1.2.3:{other.getsockname()[1]}"

        reader = start(SocketReader(listen=group, interface="lo", output=str(out)))
        reader.until_log(f"listening on {group}")
        start(SocketSender(to=group, interface="lo", count=1), job="sender").join()
        reader.until_count("frames", 1)
        reader.stop()
