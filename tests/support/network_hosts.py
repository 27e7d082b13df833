"""Hosts on one bridge, each a network namespace of this machine, whose cables a test pulls out. Needs root."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["NetworkHosts", "allows_hosts"]

_CLONE_NEWNET = 0x40000000
_FOLDER = Path("/run/netns")


class NetworkHosts:
    """The hosts, at 10.77.0.1 and so on, in the order of their names. Use it in a `with` block.

    `ip` is the path of that program. The bridge is in a namespace of its own, so nothing of the machine's network is
    changed.
    """

    def __init__(self, ip: str, *names: str) -> None:
        self._ip = ip
        self._names = names
        self._hub = self._namespace("hub")

    def __enter__(self) -> NetworkHosts:
        try:
            self._build()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._remove()

    def address(self, name: str) -> str:
        """Return the address of a host."""
        return f"10.77.0.{self._names.index(name) + 1}"

    def inside(self, name: str) -> Sequence[str]:
        """Return a command that executes another one on a host."""
        return [self._ip, "netns", "exec", self._namespace(name)]

    def cut(self, name: str) -> None:
        """Pull the cable of a host out at the bridge: on the host its interface seems to be well."""
        self._run("-n", self._hub, "link", "set", f"v-{name}", "nomaster")

    def heal(self, name: str) -> None:
        """Put the cable of a host in again."""
        self._run("-n", self._hub, "link", "set", f"v-{name}", "master", "bridge0")

    @contextmanager
    def inside_of(self, name: str) -> Iterator[None]:
        """Move the calling thread to a host, with all threads and processes that it starts there."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(_FOLDER / self._namespace(name), os.O_RDONLY)
        try:
            _set_namespace(there)
            try:
                yield
            finally:
                _set_namespace(before)
        finally:
            os.close(there)
            os.close(before)

    def _namespace(self, name: str) -> str:
        return f"taskloom-{os.getpid()}-{name}"

    def _build(self) -> None:
        for name in ("hub", *self._names):
            self._run("netns", "add", self._namespace(name))
        # Without the spanning tree a port forwards at once.
        self._run("-n", self._hub, "link", "add", "bridge0", "type", "bridge", "stp_state", "0")
        self._run("-n", self._hub, "link", "set", "bridge0", "up")
        for name in self._names:
            host = self._namespace(name)
            self._run(
                "-n", self._hub, "link", "add", f"v-{name}", "type", "veth", "peer", "name", "eth0", "netns", host
            )
            self._run("-n", self._hub, "link", "set", f"v-{name}", "master", "bridge0", "up")
            self._run("-n", host, "address", "add", f"{self.address(name)}/24", "dev", "eth0")
            self._run("-n", host, "link", "set", "eth0", "up")
            self._run("-n", host, "link", "set", "lo", "up")

    def _remove(self) -> None:
        for name in ("hub", *self._names):
            command = [self._ip, "netns", "delete", self._namespace(name)]
            subprocess.run(command, capture_output=True, check=False)

    def _run(self, *arguments: str) -> None:
        subprocess.run([self._ip, *arguments], capture_output=True, text=True, check=True)


def _set_namespace(descriptor: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def allows_hosts(ip: str) -> bool:
    """Return whether this machine allows such hosts."""
    try:
        with NetworkHosts(ip, "probe"):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False
