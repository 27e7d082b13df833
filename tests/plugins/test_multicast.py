"""Multicast groups: which are joined, on which interface, and which addresses are refused.

What needs more than one interface runs in a network namespace of its own, which is empty but for two virtual ones.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from taskloom.testing import FakeContext
from taskloom_plugins.endpoints import EndpointError
from taskloom_plugins.socket_reader import SocketReader
from taskloom_plugins.socket_sender import SocketSender

if TYPE_CHECKING:
    from tests.plugins.conftest import Start

GROUP, GROUP6 = "udp://239.1.2.3:5514", "udp://[ff02::114]:5514"
WIDE6 = "udp://[ff15::114]:5514"


@pytest.mark.parametrize(
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


# -- in a network namespace ------------------------------------------------------------------------

# Interfaces: lo, and the pairs a0-a1 and b0-b1, which are joined by a virtual cable. Reads the experiment from its
# input and prints the result as JSON.
IN_NAMESPACE = """
import json, os, socket, subprocess, sys, threading
from taskloom.testing import FakeContext
from taskloom_plugins.socket_reader import SocketReader
from taskloom_plugins.socket_sender import SocketSender

for command in sys.stdin.read().splitlines():
    subprocess.run([sys.argv[1], *command.split()], check=True)

class Context(FakeContext):
    def __init__(self, *, job="job"):
        super().__init__(job=job)
        self.changed = threading.Condition()
        self.failure = ""

    def ready(self):
        with self.changed:
            super().ready()
            self.changed.notify_all()

    def count(self, name, n=1):
        with self.changed:
            super().count(name, n)
            self.changed.notify_all()

class Reader:
    def __init__(self, **params):
        self.ctx, self.output = Context(), os.path.abspath("out-%d" % len(readers))
        self.thread = threading.Thread(target=self.run, args=(params,))
        self.thread.start()
        readers.append(self)
        with self.ctx.changed:
            assert self.ctx.changed.wait_for(lambda: self.ctx.is_ready.is_set() or self.ctx.failure, 20)

    def run(self, params):
        try:
            SocketReader(output=self.output, format="json", **params).run(self.ctx)
        except Exception as error:
            with self.ctx.changed:
                self.ctx.failure = str(error)
                self.ctx.changed.notify_all()

    def wait(self, frames):
        with self.ctx.changed:
            assert self.ctx.changed.wait_for(lambda: self.ctx.counts["frames"] >= frames, 20), self.ctx.messages

    def end(self):
        self.ctx.cancel("end")
        self.thread.join(20)
        records = [json.loads(line) for line in open(self.output)] if os.path.exists(self.output) else []
        return {
            "said": self.ctx.messages, "failure": self.ctx.failure,
            "data": [record["data"] for record in records], "from": [record["from"] for record in records],
        }

def send(to, text, **params):
    with Context() as ctx:
        SocketSender(to=to, line=text, count=1, **params).run(ctx)

readers = []
try:
    exec(sys.argv[2])
finally:
    results = [reader.end() for reader in readers]
print(json.dumps(results))
"""

# "nodad": the kernel would first check for a second that no other machine has the address.
CABLES = """\
link set lo up
link add a0 type veth peer name a1
link add b0 type veth peer name b1
link set a0 addrgenmode none
link set b0 addrgenmode none
address add 10.0.1.1/24 dev a0
address add 10.0.2.1/24 dev b0
address add fd00:1::1/64 dev a0 nodad
address add fd00:2::1/64 dev b0 nodad
address add fe80::a/64 dev a0 nodad
address add fe80::b/64 dev b0 nodad
link set a0 up
link set a1 up
link set b0 up
link set b1 up
"""

Experiment = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def in_namespace(need_tool: Callable[[str], str], child_env: dict[str, str], tmp_path: Path) -> Experiment:
    """Run an experiment in a new network namespace, and return what each of its readers saw."""
    unshare, ip = need_tool("unshare"), need_tool("ip")
    command = [unshare, "--net"] if os.geteuid() == 0 else [unshare, "--map-root-user", "--net"]
    if subprocess.run([*command, ip, "link", "add", "a0", "type", "veth"], capture_output=True, check=False).returncode:
        pytest.skip("LOUD: this machine does not allow network namespaces with virtual interfaces")

    def run(experiment: str, setup: str = CABLES) -> list[dict[str, Any]]:
        result = subprocess.run(
            [*command, sys.executable, "-c", IN_NAMESPACE, ip, experiment],
            input=setup, cwd=tmp_path, env=child_env, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        seen: list[dict[str, Any]] = json.loads(result.stdout)
        return seen

    return run


def test_a_group_is_joined_on_the_interface_that_is_named(in_namespace: Experiment) -> None:
    """Two readers of one group and port, each on its own interface: each gets only what arrives there."""
    a, b, a6, b6 = in_namespace("""
for interface in ("a0", "10.0.2.1"):
    Reader(listen="udp://239.1.2.3:5514", interface=interface)
for interface in ("a0", "fd00:2::1"):
    Reader(listen="udp://[ff15::114]:5514", interface=interface)
for interface in ("a0", "b0"):
    send("udp://239.1.2.3:5514", interface, interface=interface)
    send("udp://[ff15::114]:5514", interface, interface=interface)
for reader in readers:
    reader.wait(1)
""")

    assert (a["data"], b["data"], a6["data"], b6["data"]) == (["a0"], ["b0"], ["a0"], ["b0"])
    assert a["from"][0].startswith("udp://10.0.1.1:")
    assert b6["from"][0].startswith("udp://[fd00:2::1]:")
    assert a["said"] == ["listening on udp://239.1.2.3:5514"]


@pytest.mark.long
def test_without_an_interface_the_routes_choose_one_or_the_group_is_refused_in_words(in_namespace: Experiment) -> None:
    refused, joined = in_namespace(
        """
Reader(listen="udp://239.1.2.3:5514")
subprocess.run([sys.argv[1], "route", "add", "239.0.0.0/8", "dev", "b0"], check=True)
Reader(listen="udp://239.1.2.3:5514")
send("udp://239.1.2.3:5514", "routed")
readers[1].wait(1)
""",
        CABLES,
    )

    assert refused["failure"] == (
        "cannot listen on udp://239.1.2.3:5514: cannot join group 239.1.2.3: no interface has a route to it; "
        "name one with 'interface'"
    )
    assert joined["data"] == ["routed"]


def test_a_link_local_group_and_a_link_local_address_keep_their_zone(in_namespace: Experiment) -> None:
    group, encoded, tcp = in_namespace("""
Reader(listen="udp://[ff02::114]:5514", interface="a0")
Reader(listen="udp://[ff02::114%25b0]:5514")
send("udp://[ff02::114%a0]:5514", "to a0")
send("udp://[ff02::114]:5514", "to b0", interface="b0")
Reader(listen="tcp://[fe80::a%a0]:5514")
send("tcp://[fe80::a%a0]:5514", "stream")
for reader in readers:
    reader.wait(1)
""")

    assert (group["data"], encoded["data"], tcp["data"]) == (["to a0"], ["to b0"], ["stream"])
    assert group["said"] == ["listening on udp://[ff02::114%a0]:5514"]
    assert encoded["said"] == ["listening on udp://[ff02::114%b0]:5514"]
    assert group["from"][0].startswith("udp://[fe80::a%a0]:")
    assert tcp["said"] == ["listening on tcp://[fe80::a%a0]:5514"]
    assert tcp["from"][0].startswith("tcp://[fe80::a%a0]:")


@pytest.mark.long
def test_a_broadcast_is_sent_and_read_by_every_reader(in_namespace: Experiment) -> None:
    first, second, subnet = in_namespace(
        """
Reader(listen="udp://255.255.255.255:5514")
Reader(listen="udp://255.255.255.255:5514")
Reader(listen="udp://10.0.1.255:5515")
send("udp://255.255.255.255:5514", "to everybody")
send("udp://10.0.1.255:5515", "to the subnet")
for reader in readers:
    reader.wait(1)
""",
        CABLES + "route add default dev a0\n",
    )

    assert first["data"] == second["data"] == ["to everybody"]
    assert subnet["data"] == ["to the subnet"]


@pytest.mark.long
def test_an_interface_that_is_removed_ends_the_run(in_namespace: Experiment) -> None:
    """Also if there is another one with the same name at once: the group is not joined on it."""
    replaced, gone, stream, other = in_namespace("""
for listen, interface in (
    ("udp://239.1.2.3:5514", "a0"), ("udp://[ff02::114%b0]:5514", None), ("tcp://[fe80::b%b0]:5514", None),
    ("udp://239.1.2.3:5515", "lo"),
):
    Reader(listen=listen, interface=interface)
for command in ("delete a0", "add a0 type veth", "delete b0"):
    subprocess.run([sys.argv[1], "link", *command.split()], check=True)
for reader in readers[:3]:
    with reader.ctx.changed:
        assert reader.ctx.changed.wait_for(lambda: reader.ctx.failure, 20)
""")

    assert replaced["failure"] == "cannot read from udp://239.1.2.3:5514: interface 'a0' was removed"
    assert gone["failure"] == "cannot read from udp://[ff02::114%b0]:5514: interface 'b0' was removed"
    assert stream["failure"] == "cannot read from tcp://[fe80::b%b0]:5514: interface 'b0' was removed"
    assert other["failure"] == ""


@pytest.mark.long
def test_an_interface_that_comes_later_is_found_by_the_next_run(in_namespace: Experiment) -> None:
    refused, joined = in_namespace(
        """
Reader(listen="udp://239.1.2.3:5514", interface="late0")
subprocess.run([sys.argv[1], "link", "set", "dev", "b1", "name", "late0"], check=True)
Reader(listen="udp://239.1.2.3:5514", interface="late0")
""",
        CABLES + "link set b1 down\n",
    )

    assert refused["failure"] == (
        "cannot listen on udp://239.1.2.3:5514: cannot find interface 'late0'; this machine has lo, a1, a0, b1, b0"
    )
    assert (joined["failure"], joined["said"]) == ("", ["listening on udp://239.1.2.3:5514"])
