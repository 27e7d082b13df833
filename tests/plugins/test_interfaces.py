"""Network interfaces: groups, zones and broadcasts in a network namespace of its own.

It is empty but for lo and two virtual interfaces, a0 and b0.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.network_namespaces import CABLES, allows_namespaces, run_in_namespace

Experiment = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def in_namespace(need_tool: Callable[[str], str], child_env: dict[str, str], tmp_path: Path) -> Experiment:
    """Run an experiment in a new network namespace, and return what each of its readers saw."""
    unshare, ip = need_tool("unshare"), need_tool("ip")
    if not allows_namespaces(unshare, ip):
        pytest.skip("LOUD: this machine does not allow network namespaces with virtual interfaces")
    return functools.partial(run_in_namespace, unshare, ip, setup=CABLES, folder=tmp_path, env=child_env)


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
        setup=CABLES + "route add default dev a0\n",
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
        setup=CABLES + "link set b1 down\n",
    )

    assert refused["failure"] == (
        "cannot listen on udp://239.1.2.3:5514: cannot find interface 'late0'; this machine has lo, a1, a0, b1, b0"
    )
    assert (joined["failure"], joined["said"]) == ("", ["listening on udp://239.1.2.3:5514"])
