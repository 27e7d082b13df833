"""Paths of unix sockets: what is left behind at them, and why a reader does not listen there."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from taskloom.testing import FakeContext
from taskloom_plugins.endpoints import EndpointError
from taskloom_plugins.socket_reader import SocketReader

__all__ = ["KINDS", "SCHEMES", "files_beside", "left_behind", "refusal"]

KINDS = {"unix": socket.SOCK_STREAM, "unix-dgram": socket.SOCK_DGRAM}
SCHEMES = list(KINDS)


def refusal(address: str) -> str:
    """Return why a reader cannot listen on the address, without the address."""
    with FakeContext() as ctx, pytest.raises(EndpointError) as caught:
        SocketReader(listen=address).run(ctx)
    prefix = f"cannot listen on {address}: "
    assert str(caught.value).startswith(prefix)
    return str(caught.value).removeprefix(prefix)


def left_behind(path: Path, scheme: str = "unix") -> None:
    """Make the file of a socket whose owner is gone."""
    with socket.socket(socket.AF_UNIX, KINDS[scheme]) as sock:
        sock.bind(str(path))


def files_beside(path: Path) -> list[str]:
    """Return the names in the folder of the path, without the output of a reader."""
    return sorted(each.name for each in path.parent.iterdir() if each.name != "out.log")
